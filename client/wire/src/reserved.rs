//! The variables that steer programs: what they load, run, trust or write to. No manifest may
//! set one of them, whatever it asks for.
//!
//! An address that has a key in it, like `PIP_INDEX_URL`, is not refused: people keep such
//! here.

/// Whether a variable is one of them. Case is ignored: `http_proxy` is as dangerous as
/// `HTTP_PROXY`, zsh ties `path` to `PATH`, and npm reads `npm_Config_` like any other.
pub(crate) fn is_reserved(text: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|p| begins_alike(text, p));
    let ends = |with: &[&str]| with.iter().any(|s| ends_alike(text, s));
    VARS_REFUSED.iter().any(|v| v.eq_ignore_ascii_case(text))
        || begins(VAR_PREFIXES_REFUSED)
        || ends(VAR_SUFFIXES_REFUSED)
        || (begins(VAR_PREFIXES_SHARED) && !ends(VAR_SUFFIXES_SHARED))
}

fn begins_alike(text: &str, with: &str) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

fn ends_alike(text: &str, with: &str) -> bool {
    let end = text.len().checked_sub(with.len()).and_then(|at| text.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(with))
}

/// In full. Six lines of one group are read at a glance, sixty are not.
#[rustfmt::skip]
const VARS_REFUSED: &[&str] = &[
    "PATH", "HOME", "SHELL", "USER", "LOGNAME", "IFS", "CDPATH", "ENV", "BASH_ENV", "BASHOPTS",
    "SHELLOPTS", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "PWD", "OLDPWD", "TERM",
    "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "TERMPATH", "EDITOR", "VISUAL", "PAGER", "MANPAGER",
    "BROWSER", "TMPDIR", "TMP", "TEMP", "FPATH", "ZDOTDIR", "NULLCMD", "READNULLCMD",
    "GLOBIGNORE", "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "PERLLIB", "PERL5LIB",
    "PERL5OPT", "PERL5DB", "PERLIO_DEBUG", "RUBYLIB", "RUBYOPT", "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES",
    "LOCALDOMAIN", "LOCPATH", "NLSPATH", "PATH_LOCALE", "RES_OPTIONS", "RESOLV_HOST_CONF",
    "TZDIR", "MALLOC_TRACE", "GLIBC_TUNABLES", "LESSOPEN", "LESSCLOSE", "LESSSECURE", "INPUTRC",
    "HISTFILE", "DOCKER_HOST", "DOCKER_CONFIG", "KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY",
    "ALL_PROXY", "FTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE", "RUSTC_WRAPPER", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC", "MAKEFLAGS",
    "CC", "CXX", "LUA_PATH", "LUA_CPATH", "LUA_INIT", "R_PROFILE", "SUDO_ASKPASS", "WATCHFD",
    "UID", "EUID", "PPID", "BASH", "RANDOM", "SECONDS", "LINENO", "FUNCNAME", "OPTIND", "OPTARG",
    "OPTERR", "REPLY", "MAIL", "MAILPATH", "MAILCHECK", "LINES", "COLUMNS", "SHLVL", "EGID",
    "GID", "USERNAME", "STATUS", "ARGV",
    // What bash and zsh evaluate as arithmetic when it is set: `a[$(cmd)]` runs cmd.
    "HISTCMD", "SRANDOM", "EPOCHSECONDS", "HISTSIZE", "SAVEHIST", "FUNCNEST", "TRY_BLOCK_ERROR",
    "TRY_BLOCK_INTERRUPT", "ERRNO", "KEYTIMEOUT", "TTYIDLE",
    // What they run, load, or will not have set.
    "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SPROMPT",
    "POSTEDIT", "MODULE_PATH", "HISTCHARS", "TMOUT", "GROUPS", "DIRSTACK", "BASHPID", "UMASK",
    "HISTORY",
    // What programs load code from, or send their keys to.
    "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "SSLKEYLOGFILE",
    "NODE_TLS_REJECT_UNAUTHORIZED", "TAR_OPTIONS", "RSYNC_RSH", "GOFLAGS",
    "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "BUNDLE_GEMFILE", "VIMINIT", "EXINIT",
    "LESSKEY", "LESSKEYIN", "LESSKEY_CONTENT", "AWS_CONFIG_FILE", "TEXTDOMAINDIR",
    // What zsh calculates or looks up when it is set, or keeps exported for ever.
    "ZLE_RPROMPT_INDENT", "ZLE_REMOVE_SUFFIX_CHARS", "ZLE_SPACE_SUFFIX_CHARS", "DIRSTACKSIZE",
    "PERIOD", "REPORTTIME", "REPORTMEMORY", "LISTMAX", "LOGCHECK", "BAUD", "WORDCHARS", "FIGNORE",
    "MANPATH", "PSVAR", "WATCH", "WATCHFMT", "KEYBOARD_HACK", "ALIASES", "OPTIONS", "FUNCTIONS",
    "COMMANDS", "PARAMETERS", "PIPESTATUS", "SIGNALS",
    // What every program takes its language from, and a shell complains of with its value.
    "LANG", "LANGUAGE",
    // What Nushell loads code from, and how it reads its environment.
    "NU_LIB_DIRS", "NU_PLUGIN_DIRS", "ENV_CONVERSIONS",
    // What zsh begins the names of files with, and where programs show their windows.
    "TMPPREFIX", "DISPLAY", "WAYLAND_DISPLAY",
    // What else they run, load or trust.
    "PHPRC", "PHP_INI_SCAN_DIR", "GEM_PATH", "GEM_HOME", "BUNDLE_PATH", "GRADLE_USER_HOME",
    "MAVEN_ARGS", "JAVA_HOME", "NODE_REPL_EXTERNAL_MODULE", "ELECTRON_RUN_AS_NODE",
    "YARN_RC_FILENAME", "COREPACK_NPM_REGISTRY", "PIP_CONFIG_FILE", "UV_CONFIG_FILE", "UV_PYTHON",
    "CONDA_EXE", "CARGO_HOME", "GOENV", "GOROOT", "GOPATH", "GOPROXY", "GOINSECURE",
    "GOTOOLCHAIN", "CVS_RSH", "SVN_SSH", "HGEDITOR", "HGMERGE", "HGRCPATH", "EMACSLOADPATH",
    "GTK_MODULES", "GTK_PATH", "GTK_EXE_PREFIX", "GIO_EXTRA_MODULES", "GIO_MODULE_DIR",
    "GST_PLUGIN_PATH", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QML_IMPORT_PATH",
    "QML2_IMPORT_PATH", "LIBGL_DRIVERS_PATH", "VK_ICD_FILENAMES", "VK_DRIVER_FILES",
    "VK_LAYER_PATH", "OCL_ICD_VENDORS", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR",
    "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "CFLAGS", "CXXFLAGS",
    "CPPFLAGS", "LDFLAGS", "COMPILER_PATH", "GCC_EXEC_PREFIX", "MAKEFILES", "GNUMAKEFLAGS",
    "WGETRC", "CURL_HOME", "NETRC", "KRB5_CONFIG", "PGSERVICEFILE", "PGSYSCONFDIR", "PGHOSTADDR",
    "PSQLRC", "MYSQL_HOME", "LIBMYSQL_PLUGINS", "LIBMYSQL_PLUGIN_DIR",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "TCLLIBPATH", "AWKPATH", "AWKLIBPATH",
    "DEBUGINFOD_URLS", "XAUTHORITY", "TMUX_TMPDIR", "SCREENRC", "LESS", "GNUPGHOME", "RUSTDOC",
    "RUSTFMT", "PIP_PYTHON", "ZIPOPT", "AR", "LD", "AS", "CPP", "FC", "LEX", "YACC", "RM",
    "APT_CONFIG", "CONFIG_SITE", "CONFIG_SHELL", "CARGO_REGISTRY_CREDENTIAL_PROVIDER",
    "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "GOAUTH", "GOCACHEPROG", "CCACHE_PREFIX",
    "CCACHE_COMPILER", "FCEDIT", "STARSHIP_CONFIG", "FZF_DEFAULT_COMMAND",
    "FZF_DEFAULT_OPTS_FILE", "RIPGREP_CONFIG_PATH", "RSYNC_CONNECT_PROG", "SYSTEMD_LESS",
    "MANOPT", "VIM", "VIMRUNTIME", "PYTEST_PLUGINS", "PYTEST_ADDOPTS", "PYENV_ROOT", "IPYTHONDIR",
    "JAVACMD", "IBM_JAVA_OPTIONS", "DOTNET_ADDITIONAL_DEPS", "DOTNET_GCName", "BUN_OPTIONS",
    "ESBUILD_BINARY_PATH", "npm_execpath", "CLOUDSDK_PYTHON", "AZURE_EXTENSION_DIR",
    "HELM_PLUGINS", "VAULT_CONFIG_PATH", "CONTAINERS_CONF", "COMPOSE_FILE", "NIX_CONFIG",
    "CUDA_INJECTION64_PATH", "GTK_IM_MODULE_FILE", "SASL_PATH", "GSS_MECH_CONFIG",
    "PRISMA_QUERY_ENGINE_LIBRARY", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY",
    // What zsh will not have set, and ends the line for.
    "ARGC", "BUILTINS", "RESWORDS", "PATCHARS", "GALIASES", "SALIASES", "MODULES", "HISTORYWORDS",
    "JOBDIRS", "JOBTEXTS", "JOBSTATES", "NAMEDDIRS", "USERDIRS", "USERGROUPS", "FUNCFILETRACE",
    "FUNCSOURCETRACE", "FUNCSTACK", "FUNCTRACE", "FUNCTIONS_SOURCE", "ERRNOS", "SYSPARAMS",
    "MAPFILE",
];

/// By how they begin and end.
const VAR_PREFIXES_REFUSED: &[&str] = &[
    "LD_",
    "LC_",
    "DYLD_",
    "DBUS_",
    "XDG_",
    "DIRENV_",
    "BASH_",
    "PYTHON",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "_RLD",
    "LDR_",
    "MALLOC_",
    "ZSH_",
    "FISH_",
    "DOTNET_STARTUP_",
    // One for each of its services.
    "AWS_ENDPOINT_URL",
    "COR_",
    "CORECLR_",
    "COMPLUS_",
    "NPM_CONFIG_",
    "CGO_",
    "NIX_LD",
    "ERL_",
    "JULIA_",
    "R_PROFILE",
    "R_ENVIRON",
    "R_LIBS",
    "GDK_PIXBUF_",
    "TF_CLI_",
    "CMAKE_",
    "RUSTUP_",
    "LUA_INIT",
    // Our own: what the shell hook remembers.
    "KEYAGENT_",
    "__keyagent_",
];
const VAR_SUFFIXES_REFUSED: &[&str] = &[
    "_ENDPOINT_URL",
    "_PROXY",
    "_functions",
    // Options of a Java machine, and commands that are run.
    "_OPTS",
    "_PAGER",
    "_EDITOR",
    "_BROWSER",
];

/// Prefixes that programs share with people: git, ssh and gpg obey names under them, and
/// others keep keys there.
const VAR_PREFIXES_SHARED: &[&str] = &["GIT_", "SSH_", "GPG_", "ANSIBLE_", "YARN_"];
/// What ends so under a shared prefix is a key, like `GIT_TOKEN`. None of the three programs
/// reads a name with such an end: what they run or obey ends in `_ASKPASS`, `_COMMAND`,
/// `_KEY_n`, `_VALUE_n` and the like. Hence no `_KEY`, no `_PASS`, no numbers here.
const VAR_SUFFIXES_SHARED: &[&str] =
    &["_TOKEN", "_PASSWORD", "_PASSPHRASE", "_SECRET", "_PAT", "_API_KEY"];

#[cfg(test)]
mod tests {
    use crate::{EnvName, NameError};

    #[test]
    fn variables_that_steer_programs_are_refused() {
        for bad in [
            "PATH",
            "path",
            "LD_PRELOAD",
            "BASH_ENV",
            "NODE_OPTIONS",
            "GIT_SSH_COMMAND",
            "https_proxy",
            "IFS",
            "PYTHONPATH",
            "DIRENV_DIFF",
            "AWS_ENDPOINT_URL",
            "BASH_FUNC_x",
            "HISTCMD",
            "HISTSIZE",
            "precmd_functions",
            "OPENSSL_CONF",
            "ERL_AFLAGS",
            "MAVEN_OPTS",
            "GH_PAGER",
            "gtk_modules",
            "npm_Config_script_shell",
            "LESS",
            "ANSIBLE_CONFIG",
            "yarn_plugins",
        ] {
            assert_eq!(EnvName::new(bad), Err(NameError::Reserved), "{bad}");
        }
        for good in ["OPENAI_API_KEY", "_x", "DATABASE_URL", "GITHUB_TOKEN", "PGPASSWORD"] {
            assert!(EnvName::new(good).is_ok(), "{good}");
        }
        for bad in ["1A", "A-B", "A=(", "A B", "A\n"] {
            assert_eq!(EnvName::new(bad), Err(NameError::Character), "{bad}");
        }
    }

    #[test]
    fn keys_pass_under_prefixes_that_programs_share_with_people() {
        for bad in [
            "GIT_ASKPASS",
            "GIT_SSH",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_KEY_0",
            "GIT_CONFIG_VALUE_0",
            "GIT_CONFIG_PARAMETERS",
            "GIT_EXEC_PATH",
            "GIT_PROXY_COMMAND",
            "GIT_PROXY_SSL_KEY",
            "GIT_PROXY_SSL_CERT_PASSWORD_PROTECTED",
            "GIT_SSL_KEY",
            "GIT_PASS",
            "GIT_TOKEN_FILE",
            "GIT_",
            "SSH_ASKPASS",
            "SSH_ASKPASS_REQUIRE",
            "SSH_AUTH_SOCK",
            "SSH_SK_PROVIDER",
            "GPG_AGENT_INFO",
            "GPG_TTY",
            "LD_TOKEN",
            "npm_config_SECRET",
        ] {
            assert_eq!(EnvName::new(bad), Err(NameError::Reserved), "{bad}");
        }
        for good in [
            "GIT_TOKEN",
            "GIT_PASSWORD",
            "GIT_PAT",
            "GIT_WEBHOOK_SECRET",
            "GIT_API_KEY",
            "SSH_PASSWORD",
            "SSH_KEY_PASSPHRASE",
            "GPG_PASSPHRASE",
            "YARN_NPM_AUTH_TOKEN",
            "CARGO_REGISTRY_TOKEN",
        ] {
            assert!(EnvName::new(good).is_ok(), "{good}");
        }
    }
}
