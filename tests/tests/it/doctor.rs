//! `doctor`: what is set up, how well it is protected, and what mends the rest.

use crate::crash::Mounted;
use keyagent_tests::{Home, copy_program, eventually, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[test]
fn the_doctor_starts_the_agent_and_names_all_that_it_looked_at() {
    let home = Home::new();
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(home.agent_pid().is_some(), "{sheet}");
    for words in
        ["none yet: `keyagent init`", "lock.idle = \"15m\"", "level", "these are the defaults"]
    {
        assert!(sheet.contains(words), "{words}: {sheet}");
    }
    for check in ["inspection", "memory", "privileges", "files", "calls", "spawner", "pinentry"] {
        assert!(sheet.contains(&format!(" {check}: ")), "{check}: {sheet}");
    }
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.starts_with("{\"schema\":1,") && json.ends_with("}\n"), "{json}");
    assert!(json.contains("\"lock.idle\":\"\\\"15m\\\"\""), "{json}");
    let status = home.keyagent(["status"]).run().stdout_text();
    let level = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("level "));
        line.map(str::to_owned)
    };
    assert!(level(&sheet).is_some() && level(&sheet) == level(&status), "{sheet}{status}");
}

/// A program that could be a pinentry, which only its owner may write.
fn pinentry(home: &Home) -> PathBuf {
    let program = home.make_directory("programs").join("pinentry");
    copy_program(Path::new("/bin/true"), &program);
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
    let config = home.make_directory("config/keyagent").join("config.toml");
    let text = format!("[ask]\npinentry = \"{}\"\n", program.display());
    fs::write(&config, text).expect("it is ours");
    program
}

#[test]
fn the_pinentry_is_named_or_what_mends_it() {
    let home = Home::new();
    let program = pinentry(&home);
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    let good = format!("good  pinentry: there is a pinentry to ask by: \"{}\"", program.display());
    assert!(sheet.contains(&good), "{sheet}");
    fs::set_permissions(&program, Permissions::from_mode(0o775)).expect("it is ours");
    let output = home.keyagent(["doctor"]).run().code(1);
    let sheet = output.stdout_text();
    assert!(sheet.contains("bad  pinentry: the pinentry of config.toml cannot be"), "{sheet}");
    let config = home.config().join("config.toml");
    let mend = format!("`grep pinentry {}`", config.display());
    assert!(sheet.contains(&mend), "where it is, not where it is by default: {sheet}");
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.contains("{\"check\":\"pinentry\",\"grade\":\"bad\","), "{json}");
    assert!(json.contains("\"mend\":\"`grep pinentry "), "{json}");
}

/// What the sheet and the JSON have of how the vault opens.
fn opens(home: &Home) -> (Option<String>, String) {
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    let row = sheet.lines().find_map(|line| line.strip_prefix("opens      "));
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    let (_, member) = json.split_once("\"opens\":").expect("it is a member");
    let (word, _) = member.split_once(',').expect("it is not the last");
    (row.map(str::to_owned), word.to_owned())
}

#[test]
fn it_says_how_the_vault_opens_whether_or_not_it_is_open() {
    let home = Home::new();
    assert_eq!(opens(&home), (None, "null".to_owned()), "there is no vault yet");
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let (row, word) = opens(&home);
    let row = row.expect("there is a row");
    assert!(row.starts_with("by itself: whoever can read identity.age has every key"), "{row}");
    assert_eq!(word, "\"nothing\"");
    home.write("new", "the passphrase\n");
    let script = "keyagent passphrase --new-passphrase-fd 3 3<new";
    home.command("sh").args(["-c", script]).run().code(0);
    home.keyagent(["lock"]).run().code(0);
    let by = ("by its passphrase".to_owned(), "\"passphrase\"".to_owned());
    assert_eq!(opens(&home), (Some(by.0), by.1));
}

#[test]
fn needs_age_it_names_the_identity_file_that_opens_the_vault() {
    let home = Home::new();
    home.command("sh").args(["-c", "age-keygen 2>/dev/null >own.txt"]).run().code(0);
    home.command("sh").args(["-c", "chmod 600 own.txt"]).run().code(0);
    home.keyagent(["init", "--identity", "own.txt"]).run().code(0);
    let own = home.work().canonicalize().expect("it is there").join("own.txt");
    let row = format!("by your identity file {}", own.display());
    assert_eq!(opens(&home), (Some(row), "\"identity\"".to_owned()));
}

#[test]
fn a_log_that_was_tampered_with_is_told_and_fails() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("doctor/KEY", home.canary().as_bytes());
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(sheet.contains("\naudit      ") && sheet.contains("as they were written"), "{sheet}");
    let log = home.state().join("audit.log");
    let text = fs::read_to_string(&log).expect("it is ours");
    fs::write(&log, text.replacen("\"set\"", "\"sat\"", 1)).expect("it is ours");
    let output = home.keyagent(["doctor"]).run().code(1).complains("was tampered with: event ");
    let sheet = output.stdout_text();
    assert!(sheet.contains("\naudit      the audit log was tampered with: event "), "{sheet}");
    assert!(sheet.contains("`keyagent audit verify` says what to do"), "{sheet}");
    let json = home.keyagent(["doctor", "--json"]).run().code(1).stdout_text();
    assert!(json.contains("\"tampered\":\"the audit log was tampered with: event "), "{json}");
    home.keyagent(["lock"]).run().code(0);
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.contains("\"tampered\":null"), "who knows, while it is locked: {json}");
}

#[test]
fn the_audit_log_is_told_of_once_there_is_one() {
    let home = Home::new();
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(!sheet.contains(" audit: "), "there is no vault yet: {sheet}");
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    let words = "good  audit: nothing is handed out that is not in the log; last written 2";
    assert!(sheet.contains(words), "{sheet}");
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.contains("{\"check\":\"audit\",\"grade\":\"good\","), "{json}");
    assert!(json.contains("\"audited\":\"2"), "{json}");
}

#[test]
fn needs_root_a_log_that_cannot_be_written_is_told_until_it_can() {
    let home = Home::new();
    let state = home.make_directory("state/keyagent");
    let disk = Mounted::tmpfs(&state, "size=1m,mode=700");
    let mut agent = home.agent();
    home.wire().init(None);
    agent.terminate();
    disk.read_only(true);
    let mut agent = home.agent();
    let output = home.keyagent(["doctor"]).run().code(1);
    let sheet = output.complains("audit").stdout_text();
    assert!(sheet.contains("bad  audit: the log cannot be written"), "{sheet}");
    assert!(sheet.contains("(read-only file system)"), "{sheet}");
    let mend = format!("`df -h {}`", state.display());
    assert!(sheet.contains("; last written 2") && sheet.contains(&mend), "{sheet}");
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.contains("{\"check\":\"audit\",\"grade\":\"bad\","), "{json}");
    disk.read_only(false);
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(sheet.contains("good  audit: "), "{sheet}");
    agent.terminate();
    drop(disk);
}

#[test]
fn the_exit_code_tells_whether_all_is_good() {
    let home = Home::new();
    let output = home.keyagent(["doctor"]).run();
    let sheet = output.stdout_text();
    let is_full = sheet.lines().any(|line| line == "level      full");
    // Where there is no logind the deadlines lock; without a pinentry less can be done.
    let is_lacking = |line: &str| match line.trim_start() {
        line if line.starts_with("weak  session: ") || line.starts_with("weak  pinentry: ") => {
            false
        }
        line => line.starts_with("weak  ") || line.starts_with("bad  "),
    };
    assert_eq!(is_full, !sheet.lines().any(is_lacking), "{sheet}");
    let output = output.code(if is_full { 0 } else { 1 });
    if !is_full {
        output.complains("the agent's protection is degraded");
    }
}

#[test]
fn without_an_agent_it_says_why() {
    let home = Home::new();
    let config = home.make_directory("config/keyagent").join("config.toml");
    fs::write(&config, "[lock]\nidel = \"5m\"\n").expect("it is ours");
    let output = home.keyagent(["doctor"]).run().code(1);
    let output = output.complains("line 2 has an unknown key");
    let sheet = output.stdout_text();
    assert!(sheet.contains(&config.display().to_string()), "{sheet}");
    assert!(sheet.contains("cannot start the agent"), "{sheet}");
    fs::write(&config, "[lock]\nidle = \"5m\"\n").expect("it is ours");
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(sheet.contains("lock.idle = \"5m\""), "{sheet}");
}

#[test]
fn a_spawner_that_is_gone_is_told() {
    let home = Home::new();
    let agent = home.agent();
    let said = || home.keyagent(["doctor"]).run().stdout_text();
    assert!(said().contains("good  spawner: "), "{}", said());
    for child in process::children(agent.pid()) {
        kill(Pid::from_raw(child as i32), Signal::SIGKILL).expect("it is ours");
    }
    eventually("it is told", || said().contains("bad  spawner: ").then_some(()));
}
