//! Names: of secrets, of variables, of profiles. A name that exists is valid.
//!
//! Names are printed, logged and compared, so each alphabet is an allow-list of
//! ASCII: no control, bidi or look-alike character survives construction.

use bincode::{
    Encode,
    de::{Decode, Decoder},
    error::DecodeError,
    impl_borrow_decode,
};
use std::fmt;

/// The longest secret, variable or profile name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Variables that change how programs run, so that no manifest may set them.
const VARS_REFUSED: &[&str] = &[
    "PATH",
    "HOME",
    "SHELL",
    "USER",
    "LOGNAME",
    "IFS",
    "CDPATH",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PROMPT_COMMAND",
    "PWD",
    "OLDPWD",
    "TERM",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERMCAP",
    "TERMPATH",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "BROWSER",
    "TMPDIR",
    "TMP",
    "TEMP",
    "FPATH",
    "ZDOTDIR",
    "NULLCMD",
    "READNULLCMD",
    "GLOBIGNORE",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "PERLLIB",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "PERLIO_DEBUG",
    "RUBYLIB",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "NLSPATH",
    "PATH_LOCALE",
    "RES_OPTIONS",
    "RESOLV_HOST_CONF",
    "TZDIR",
    "MALLOC_TRACE",
    "GLIBC_TUNABLES",
    "LESSOPEN",
    "LESSCLOSE",
    "LESSSECURE",
    "INPUTRC",
    "HISTFILE",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "KUBECONFIG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC",
    "MAKEFLAGS",
    "CC",
    "CXX",
    "LUA_PATH",
    "LUA_CPATH",
    "LUA_INIT",
    "R_PROFILE",
    "SUDO_ASKPASS",
    "WATCHFD",
    "UID",
    "EUID",
    "PPID",
    "BASH",
    "RANDOM",
    "SECONDS",
    "LINENO",
    "FUNCNAME",
    "OPTIND",
    "OPTARG",
    "OPTERR",
    "REPLY",
    "MAIL",
    "MAILPATH",
    "MAILCHECK",
    "LINES",
    "COLUMNS",
    "SHLVL",
    "EGID",
    "GID",
    "USERNAME",
    "STATUS",
    "ARGV",
    // What bash and zsh evaluate as arithmetic when it is set: `a[$(cmd)]` runs cmd.
    "HISTCMD",
    "SRANDOM",
    "EPOCHSECONDS",
    "HISTSIZE",
    "SAVEHIST",
    "FUNCNEST",
    "TRY_BLOCK_ERROR",
    "TRY_BLOCK_INTERRUPT",
    "ERRNO",
    "KEYTIMEOUT",
    "TTYIDLE",
    // What they run, load, or will not have set.
    "PROMPT",
    "PROMPT2",
    "PROMPT3",
    "PROMPT4",
    "RPROMPT",
    "RPROMPT2",
    "RPS1",
    "RPS2",
    "SPROMPT",
    "POSTEDIT",
    "MODULE_PATH",
    "HISTCHARS",
    "TMOUT",
    "GROUPS",
    "DIRSTACK",
    "BASHPID",
    "UMASK",
    "HISTORY",
    // What programs load code from, or send their keys to.
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    "SSLKEYLOGFILE",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "TAR_OPTIONS",
    "RSYNC_RSH",
    "GOFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "BUNDLE_GEMFILE",
    "VIMINIT",
    "EXINIT",
    "LESSKEY",
    "LESSKEYIN",
    "LESSKEY_CONTENT",
    "AWS_CONFIG_FILE",
    "TEXTDOMAINDIR",
    // What zsh calculates or looks up when it is set, or keeps exported for ever.
    "ZLE_RPROMPT_INDENT",
    "ZLE_REMOVE_SUFFIX_CHARS",
    "ZLE_SPACE_SUFFIX_CHARS",
    "DIRSTACKSIZE",
    "PERIOD",
    "REPORTTIME",
    "REPORTMEMORY",
    "LISTMAX",
    "LOGCHECK",
    "BAUD",
    "WORDCHARS",
    "FIGNORE",
    "MANPATH",
    "PSVAR",
    "WATCH",
    "WATCHFMT",
    "KEYBOARD_HACK",
    "ALIASES",
    "OPTIONS",
    "FUNCTIONS",
    "COMMANDS",
    "PARAMETERS",
    "PIPESTATUS",
    "SIGNALS",
    // What every program takes its language from, and a shell complains of with its value.
    "LANG",
    "LANGUAGE",
    // What Nushell loads code from, and how it reads its environment.
    "NU_LIB_DIRS",
    "NU_PLUGIN_DIRS",
    "ENV_CONVERSIONS",
    // What zsh begins the names of files with, and where programs show their windows.
    "TMPPREFIX",
    "DISPLAY",
    "WAYLAND_DISPLAY",
];

/// Prefixes and suffixes of such variables.
const VAR_PREFIXES_REFUSED: &[&str] = &[
    "LD_",
    "LC_",
    "DYLD_",
    "DBUS_",
    "XDG_",
    "DIRENV_",
    "BASH_",
    "PYTHON",
    "npm_config_",
    "NPM_CONFIG_",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "_RLD",
    "LDR_",
    "MALLOC_",
    "ZSH_",
    "FISH_",
    "fish_",
    "DOTNET_STARTUP_",
    // One for each of its services.
    "AWS_ENDPOINT_URL",
    "COR_",
    "CORECLR_",
    // Our own: what the shell hook remembers.
    "KEYAGENT_",
    "__keyagent_",
];
const VAR_SUFFIXES_REFUSED: &[&str] = &["_ENDPOINT_URL", "_PROXY", "_proxy", "_functions"];

/// Prefixes that programs share with people: git, ssh and gpg obey names under them, and
/// others keep keys there.
const VAR_PREFIXES_SHARED: &[&str] = &["GIT_", "SSH_", "GPG_"];
/// What ends so under a shared prefix is a key, like `GIT_TOKEN`. None of the three programs
/// reads a name with such an end: what they run or obey ends in `_ASKPASS`, `_COMMAND`,
/// `_KEY_n`, `_VALUE_n` and the like. Hence no `_KEY`, no `_PASS`, no numbers here.
const VAR_SUFFIXES_SHARED: &[&str] =
    &["_TOKEN", "_PASSWORD", "_PASSPHRASE", "_SECRET", "_PAT", "_API_KEY"];

/// Why a text is not a name. Carries no input: the caller has it, and escapes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, bincode::Decode)]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// A character outside the alphabet of its kind.
    Character,
    /// A variable that changes how programs run.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 128 bytes",
            Self::Character => "it has a character that names may not have",
            Self::Reserved => "that variable changes how programs run",
        })
    }
}

impl std::error::Error for NameError {}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
        pub struct $type(String);

        impl $type {
            /// Takes the text if it is a name of this kind.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<C> Decode<C> for $type {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::new(String::decode(decoder)?).map_err(|_| DecodeError::Other("not a name"))
            }
        }

        impl_borrow_decode!($type);
    };
}

name_type!(
    /// Our key for a secret: `[A-Za-z0-9][A-Za-z0-9._/-]{0,127}`. An id, never a file name.
    SecretName,
    check_secret
);
name_type!(
    /// A variable that a manifest may set: `[A-Za-z_][A-Za-z0-9_]{0,127}`, less the ones
    /// that change how programs run.
    EnvName,
    check_env
);
name_type!(
    /// The name of a profile or of a project: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    ProfileName,
    check_profile
);

fn check_secret(text: &str) -> Result<(), NameError> {
    check(
        text,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || b"._/-".contains(&b),
    )
}

fn check_profile(text: &str) -> Result<(), NameError> {
    check(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn check_env(text: &str) -> Result<(), NameError> {
    check(
        text,
        |b| b.is_ascii_alphabetic() || b == b'_',
        |b| b.is_ascii_alphanumeric() || b == b'_',
    )?;
    if is_reserved(text) { Err(NameError::Reserved) } else { Ok(()) }
}

fn check(text: &str, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> Result<(), NameError> {
    let Some((&head, tail)) = text.as_bytes().split_first() else { return Err(NameError::Empty) };
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if first(head) && tail.iter().all(|&b| rest(b)) { Ok(()) } else { Err(NameError::Character) }
}

/// Case is ignored for the plain words: `http_proxy` is as dangerous as `HTTP_PROXY`, and
/// zsh ties `path` to `PATH`.
fn is_reserved(text: &str) -> bool {
    VARS_REFUSED.iter().any(|v| v.eq_ignore_ascii_case(text))
        || VAR_PREFIXES_REFUSED.iter().any(|p| text.starts_with(p))
        || VAR_SUFFIXES_REFUSED.iter().any(|s| text.ends_with(s))
        || (VAR_PREFIXES_SHARED.iter().any(|p| text.starts_with(p))
            && !VAR_SUFFIXES_SHARED.iter().any(|s| text.ends_with(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_ids() {
        for good in ["a", "acme/OPENAI_API_KEY", "pg/acme-dev", "0.a", &"a".repeat(128)] {
            assert!(SecretName::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("/a", NameError::Character),
            ("-a", NameError::Character),
            ("..", NameError::Character),
            ("a b", NameError::Character),
            ("a\u{202e}b", NameError::Character),
            ("a\x1b[31m", NameError::Character),
            ("a\0", NameError::Character),
            ("é", NameError::Character),
            (&"a".repeat(129), NameError::TooLong),
        ] {
            assert_eq!(SecretName::new(bad), Err(why));
        }
    }

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
        ] {
            assert_eq!(EnvName::new(bad), Err(NameError::Reserved), "{bad}");
        }
        for good in ["OPENAI_API_KEY", "_x", "DATABASE_URL", "GITHUB_TOKEN", "PGPASSWORD"] {
            assert!(EnvName::new(good).is_ok(), "{good}");
        }
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
        ] {
            assert!(EnvName::new(good).is_ok(), "{good}");
        }
        for bad in ["1A", "A-B", "A=(", "A B", "A\n"] {
            assert_eq!(EnvName::new(bad), Err(NameError::Character), "{bad}");
        }
    }
}
