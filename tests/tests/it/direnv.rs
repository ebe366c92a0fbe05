//! Real direnv with the real `use_keyagent`: keys come and go with the directory, and
//! nothing that fails hangs a prompt or takes the rest of the .envrc with it.

use crate::given;
use keyagent_tests::{Agent, Home, Output};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const ENVRC: &str = "export BEFORE=1\nuse keyagent\nexport AFTER=2\n";
/// What is shown of the environment.
const SHOW: &str = "echo \"${BEFORE-} ${A_KEY+key} ${AFTER-}\"";

/// A project that direnv loads.
fn project(envrc: &str) -> (Home, Agent) {
    let (home, agent) = given::project();
    let installed = home.keyagent(["hook", "direnv", "--install"]).run().code(0).prints("");
    installed.complains("direnv/lib/keyagent.sh`");
    allow(&home, &home.work(), envrc);
    (home, agent)
}

/// Writes an .envrc and has direnv trust it.
fn allow(home: &Home, dir: &Path, envrc: &str) {
    fs::write(dir.join(".envrc"), envrc).expect("ours");
    home.command("direnv").args(["allow", "."]).dir(dir).run().code(0);
}

/// What a command in the directory sees.
fn seen(home: &Home, dir: &Path) -> Output {
    home.command("direnv").args(["exec", ".", "bash", "-c", SHOW]).dir(dir).run().code(0)
}

#[test]
fn needs_direnv_t73_keys_come_and_go_with_the_directory() {
    let (home, _agent) = project(ENVRC);
    let script = format!(
        "load() {{ eval \"$(direnv export bash)\"; {SHOW}; }}\n\
         load; cd /; load; cd - >/dev/null; load; printf %s \"$A_KEY\""
    );
    let output = home.command("bash").args(["-c", &script]).run().code(0);
    output.prints(format!("1 key 2\n  \n1 key 2\n{}", home.canary()));
}

#[test]
fn needs_direnv_installing_twice_changes_nothing() {
    let (home, _agent) = project(ENVRC);
    let path = home.root().join("config/direnv/lib/keyagent.sh");
    let first = fs::read(&path).expect("it was installed");
    let printed = home.keyagent(["hook", "direnv"]).run().quietly();
    home.keyagent(["hook", "direnv", "--install"]).run().code(0);
    assert!(fs::read(&path).expect("it is there") == first);
    printed.prints(first);
}

#[test]
fn needs_direnv_what_is_refused_takes_nothing_else_with_it() {
    let (home, _agent) = project(ENVRC);
    for (args, why) in [
        (&["lock"][..], "keyagent: error: the vault is locked (`keyagent unlock`"),
        (&["unlock"], ""),
        (&["deny"], "keyagent: error: this project is not allowed (`keyagent allow`"),
    ] {
        home.keyagent(args).run().code(0);
        let output = seen(&home, &home.work());
        let expected = if why.is_empty() { "1 key 2\n" } else { "1  2\n" };
        let stderr = output.stderr_text();
        let ours: Vec<_> = stderr.lines().filter(|line| line.starts_with("keyagent:")).collect();
        assert_eq!(ours.len(), usize::from(!why.is_empty()), "one line at most: {stderr}");
        output.prints(expected).complains(why);
    }
    given::allow(&home, home.work());
    home.wire().put("app/B_KEY", b"b");
    let changed = given::MANIFEST.replace("A_KEY = ", "B_KEY = \"app/B_KEY\"\nA_KEY = ");
    given::manifest(&home, home.work(), &changed);
    seen(&home, &home.work()).prints("1  2\n").complains("changed since it was allowed");
    fs::remove_file(home.work().join("keyagent.toml")).expect("ours");
    seen(&home, &home.work()).prints("1  2\n").complains("no keyagent.toml here or above");
}

#[test]
fn needs_direnv_t73_keys_that_were_loaded_go_when_they_are_refused() {
    let (home, _agent) = project(ENVRC);
    let script = format!(
        "eval \"$(direnv export bash)\"; {SHOW}; keyagent lock; touch -d '+1 minute' .envrc\n\
         direnv allow; eval \"$(direnv export bash)\"; {SHOW}"
    );
    home.command("bash").args(["-c", &script]).run().code(0).prints("1 key 2\n1  2\n");
}

#[test]
fn needs_direnv_a_strict_file_stops_at_what_is_refused() {
    let (home, _agent) = project("strict_env\nexport BEFORE=1\nuse keyagent\nexport AFTER=2\n");
    seen(&home, &home.work()).prints("1 key 2\n");
    home.keyagent(["lock"]).run().quietly();
    let line = home.command("direnv").args(["exec", ".", "bash", "-c", SHOW]).run();
    assert!(!line.stdout_text().contains('2'), "{}", line.report());
    line.complains("the vault is locked");
}

#[test]
fn needs_direnv_a_profile_is_named() {
    let (home, _agent) = project("use keyagent prod\n");
    let text = format!("{}[profile.prod.env]\nP_KEY = \"app/A_KEY\"\n", given::MANIFEST);
    given::manifest(&home, home.work(), &text);
    given::allow(&home, home.work());
    let show = |dir: &Path| {
        home.command("direnv").args(["exec", ".", "sh", "-c", "echo ${P_KEY+prod}"]).dir(dir).run()
    };
    show(&home.work()).code(0).prints("prod\n");
    // A profile that is none is refused without being run.
    for odd in ["none", "'$(touch pwned)'", "'; touch pwned'", "--format=json", "-P"] {
        allow(&home, &home.work(), &format!("use keyagent {odd}\n"));
        show(&home.work()).code(0).prints("\n").complains("keyagent: error: ");
        assert!(!home.work().join("pwned").exists());
    }
}

#[test]
fn needs_direnv_below_a_project() {
    let (home, _agent) = project(ENVRC);
    let below = home.make_directory("work/below");
    allow(&home, &below, "source_up\nexport AFTER=3\n");
    seen(&home, &below).prints("1 key 3\n");
    // The project of the directory where direnv finds the .envrc, not of where one stands.
    let deep = home.make_directory("work/deep/er");
    let output = home.command("direnv").args(["exec", ".", "bash", "-c", SHOW]).dir(deep).run();
    output.code(0).prints("1 key 2\n");
}

#[test]
fn needs_direnv_an_override_is_named_once() {
    let (home, _agent) = project(ENVRC);
    let line = home.command("direnv").args(["exec", ".", "printenv", "A_KEY"]);
    let output = line.env("A_KEY", "mine").run().code(0);
    let output = output.complains("`A_KEY` was set already; it has the vault's value now");
    assert!(!output.stderr_text().contains("mine"));
    output.prints(format!("{}\n", home.canary()));
    let again = "eval \"$(direnv export bash)\"; touch -d '+1 minute' .envrc; direnv allow; direnv export bash";
    let output = home.command("bash").args(["-c", again]).run().code(0);
    assert!(!output.stderr_text().contains("was set already"), "{}", output.report());
}

/// A held pipe would keep direnv, and the prompt with it, for ever: no run would end.
#[test]
fn needs_direnv_the_agent_that_it_starts_holds_nothing() {
    let (home, mut agent) = project(ENVRC);
    for script in [
        "direnv export bash 2>&1 | cat",
        "direnv export bash </dev/null 2>&1 | cat",
        "direnv export bash <&- 2>&1 | cat",
        "mkfifo hang && exec 8<>hang && direnv export bash <&8 2>&1 | cat",
    ] {
        if agent.is_alive() {
            agent.kill();
        } else {
            home.keyagent(["stop"]).run().quietly();
        }
        let output = home.command("bash").args(["-c", script]).run();
        assert!(output.stdout_text().contains("A_KEY"), "{}", output.report());
    }
    let pid = home.agent_pid().expect("direnv has started it");
    let mut named: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it is ours")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|path| path.starts_with("pipe:") || path.contains("/pts/"))
        .collect();
    named.sort();
    named.dedup();
    assert!(named.len() <= 1, "at most a pipe of its own: {named:?}");
    let environ = fs::read(format!("/proc/{pid}/environ")).expect("it is ours");
    for name in ["DIRENV_", "BEFORE=", "A_KEY="] {
        assert!(!String::from_utf8_lossy(&environ).contains(name), "{name} came with it");
    }
}

/// A terminal that hangs on stdin is never read.
#[test]
fn needs_direnv_stdin_is_left_to_the_human() {
    let (home, _agent) = project(ENVRC);
    home.keyagent(["lock"]).run().quietly();
    let mut command = Command::new("direnv");
    home.surround(&mut command);
    let command = command.env("PATH", home.path_with_programs()).args(["export", "bash"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("direnv can be run");
    // Held open until direnv is gone.
    let stdin = child.stdin.take();
    keyagent_tests::eventually("direnv returns", || child.try_wait().expect("it is our child"));
    drop(stdin);
}
