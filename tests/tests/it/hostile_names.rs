//! Names that no variable may have: no manifest binds them, and nothing is printed for them.

use crate::given;
use std::fs;

/// What a shell, a loader or a program obeys, and what is an address or a proxy.
const OBEYED: &str = "
LD_LIBRARY_PATH LD_AUDIT LD_DEBUG LD_BIND_NOW DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH _RLD_LIST
LDR_PRELOAD SHELL USER LOGNAME BASH_FUNC_x BASHOPTS GLOBIGNORE PS1 PS2 CDPATH FPATH ZDOTDIR
HISTFILE EDITOR VISUAL PAGER BROWSER LESSOPEN LESSCLOSE MANPAGER TMPDIR TMPPREFIX
XDG_RUNTIME_DIR XDG_DATA_HOME DIRENV_DIR DIRENV_WATCHES DIRENV_FILE KEYAGENT_LOADED
KEYAGENT_PROFILE KEYAGENT_OLD_X GIT_CONFIG_GLOBAL GIT_CONFIG_COUNT GIT_ASKPASS GIT_DIR
GIT_EXEC_PATH GIT_PROXY_COMMAND GIT_EDITOR GIT_PAGER GIT_SSH SSH_ASKPASS SSH_AUTH_SOCK
GPG_AGENT_INFO GPG_TTY DBUS_SESSION_BUS_ADDRESS DISPLAY PYTHONSTARTUP PYTHONHOME PYTHONINSPECT
PERL5LIB PERLLIB PERL5DB RUBYOPT RUBYLIB NODE_PATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS CLASSPATH
HTTP_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy DOCKER_HOST KUBECONFIG
OPENAI_ENDPOINT_URL AWS_ENDPOINT_URL_S3 GCONV_PATH LOCPATH NLSPATH HOSTALIASES LOCALDOMAIN
RES_OPTIONS RESOLV_HOST_CONF TERMINFO TERMCAP TERMPATH LC_ALL LANG MALLOC_CHECK_ OPENSSL_CONF
SSL_CERT_FILE SSLKEYLOGFILE RUSTC_WRAPPER CARGO_BUILD_RUSTC NU_LIB_DIRS npm_config_registry
TERM PWD OLDPWD SHLVL UID RANDOM";

/// As TOML spells them: what is no name at all.
const MALFORMED: &[&str] = &[
    "A=B",
    "=A",
    "A=()",
    "A=() { id; }",
    "BASH_FUNC_x%%",
    "BASH_FUNC_x()",
    "LD_PRE\\u0000LOAD_X",
    "\\u0000",
    "A\\tB",
    "A\\rB",
    "A\\u001b[31m",
    "A\\u007f",
    "A\\u0085",
    "A\\u202eB",
    "A\\u200bB",
    "A\\ufeff",
    "\\u0410",
    "Å",
    "A\\u0301",
    "A-B",
    "A.B",
    "A/B",
    "A:B",
    "A+",
    "A?",
    "A*",
    "A~",
    "A#",
    "A%",
    "A^",
    "A&B",
    "A|B",
    "A>B",
    "A<B",
    "A'B",
    "A`id`",
    "A${X}",
    "A]",
    "A{B}",
    "A,B",
    "A!",
    "A@",
    " A",
    "A ",
    "9",
    "--",
];

#[test]
fn t71_no_name_that_is_obeyed_or_malformed_is_bound() {
    let (home, _agent) = given::project();
    let names: Vec<&str> = OBEYED.split_whitespace().chain(MALFORMED.iter().copied()).collect();
    assert!(names.len() >= 120, "{}", names.len());
    let mut taken = Vec::new();
    for name in names {
        let text = format!("[env]\n\"{name}\" = \"app/A_KEY\"\n");
        fs::write(home.work().join("keyagent.toml"), text).expect("ours");
        let allowed = home.keyagent(["allow", "--yes"]).run();
        if allowed.code == Some(0) {
            taken.push(name);
            continue;
        }
        allowed.fails(1).complains("line 2, column ");
        home.keyagent(["export"]).run().fails(1).complains("line 2, column ");
        home.keyagent(["exec", "--", "env"]).run().fails(1);
        // Nor by hand, where TOML's spelling is the name itself.
        if !name.contains(['\\', '=']) {
            let pair = format!("{name}=app/A_KEY");
            home.keyagent(["exec", "--env", &pair, "--", "true"]).run().fails(2);
        }
    }
    assert!(taken.is_empty(), "{taken:?} can be bound");
}
