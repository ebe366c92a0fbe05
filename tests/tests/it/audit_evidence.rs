//! After `audit verify` has found tampering: its hint, followed to the letter, keeps the log as
//! evidence and begins one that verifies.

use keyagent_tests::Home;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the hint of `audit verify` says, between its first and its second backtick.
fn command_in_hint(stderr: &str) -> String {
    let hint = stderr.lines().find(|line| line.contains("begins a new log")).expect("a hint");
    hint.split('`').nth(1).expect("a command").to_owned()
}

fn log(home: &Home) -> PathBuf {
    home.state().join("audit.log")
}

fn change(home: &Home) {
    let text = fs::read_to_string(log(home)).expect("it is ours");
    fs::write(log(home), text.replacen("\"get\"", "\"exe\"", 1)).expect("it is ours");
}

fn take_log(home: &Home) {
    fs::remove_file(log(home)).expect("it is ours");
}

fn take_state(home: &Home) {
    fs::remove_file(home.state().join("audit.state")).expect("it is ours");
}

/// Whatever was done to the log while no agent ran.
fn is_followed_in(shell: &str) {
    let home = Home::new();
    let run = |args: &[&str]| home.keyagent(args).run();
    run(&["init", "--no-passphrase"]).code(0);
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let place = format!("it lies in {}, and is evidence", home.state().display());
    for (at, tamper) in [change as fn(&Home), take_log, take_state].into_iter().enumerate() {
        run(&["get", "audit/KEY"]).code(0);
        run(&["stop"]).code(0);
        let whole = fs::read(log(&home)).expect("it is ours");
        tamper(&home);
        let left = fs::read(log(&home)).unwrap_or_default();
        assert!(left != whole || !home.state().join("audit.state").exists(), "{at}: tampered");
        run(&["unlock"]).code(0);
        let stderr = run(&["audit", "verify"]).fails(1).complains(&place).stderr_text();
        home.command(shell).args(["-c", &command_in_hint(&stderr)]).run().code(0);
        run(&["audit", "verify"]).quietly();
        run(&["get", "audit/KEY"]).code(0).prints(home.canary());
        run(&["audit", "verify"]).quietly();
        is_kept(&home.state().join(format!("evidence-{}", at + 1)), &left);
    }
}

/// What was left of the log is there as it was found, for its owner alone.
fn is_kept(evidence: &Path, left: &[u8]) {
    let mode = fs::metadata(evidence).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let kept = fs::read_dir(evidence).expect("it is there").flatten();
    let mut kept = kept.map(|file| fs::read(file.path()).expect("it is ours"));
    assert!(kept.any(|text| text.starts_with(left)), "{}", evidence.display());
}

#[test]
fn t76_after_tampering_the_hint_keeps_the_evidence_and_begins_a_new_log() {
    is_followed_in("sh");
}

#[test]
fn needs_zsh_the_hint_after_tampering_can_be_pasted_there() {
    is_followed_in("zsh");
}

#[test]
fn needs_fish_the_hint_after_tampering_can_be_pasted_there() {
    is_followed_in("fish");
}

#[test]
fn the_hint_after_tampering_is_for_the_log_of_a_second_agent_too() {
    let (home, mut agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let socket = home.make_directory("run/other").join("agent.sock");
    let other = |args: &[&str]| home.keyagent(args).env("KEYAGENT_SOCK", &socket).run();
    other(&["get", "audit/KEY"]).code(0);
    let second = home.state().join("audit-2.log");
    let text = fs::read_to_string(&second).expect("it is ours");
    fs::write(&second, text.replacen("\"get\"", "\"exe\"", 1)).expect("it is ours");
    home.keyagent(["audit", "verify"]).run().quietly();
    let stderr = other(&["audit", "verify"]).fails(1).stderr_text();
    assert!(stderr.contains("more than one agent wrote logs there: stop each first"), "{stderr}");
    agent.terminate();
    let command = command_in_hint(&stderr);
    home.command("sh").args(["-c", &command]).env("KEYAGENT_SOCK", &socket).run().code(0);
    other(&["audit", "verify"]).quietly();
    home.keyagent(["unlock"]).run().code(0);
    home.keyagent(["audit", "verify"]).run().quietly();
    assert!(home.state().join("evidence-1/audit-2.log").is_file());
    other(&["stop"]).code(0);
}
