//! Questions: asked on the terminal of a human who looks at it, of nobody else, and what is
//! typed there is never shown.

use crate::given;
use keyagent_tests::{Agent, Home, Output, Terminal};
use nix::sys::signal::Signal;
use std::process::{Command, Stdio};

const PASSPHRASE: &str = "corRect horse-42 é";
const PROMPT: &str = "passphrase of the vault: ";

/// A home whose identity a passphrase seals; the vault is open.
fn sealed() -> (Home, Agent) {
    let home = Home::new();
    home.add_canary(PASSPHRASE.as_bytes());
    let agent = home.agent();
    home.wire().init(Some(PASSPHRASE));
    home.wire().put("app/A_KEY", home.canary().as_bytes());
    given::manifest(&home, home.work(), given::MANIFEST);
    given::allow(&home, home.work());
    (home, agent)
}

fn lock(home: &Home) {
    home.keyagent(["lock"]).run().quietly();
}

/// It ended with that code, and left the terminal as it was.
fn ends(terminal: Terminal<'_>, code: i32) -> Output {
    let output = terminal.end();
    assert_eq!(output.code, Some(code), "{}", output.report());
    output
}

#[test]
fn init_asks_twice_and_shows_that_it_works() {
    let home = Home::new();
    home.add_canary(PASSPHRASE.as_bytes());
    for (first, again, code, why) in [
        ("", None, 2, "the passphrase is empty"),
        (PASSPHRASE, Some("another"), 1, "the two passphrases are not the same"),
    ] {
        let mut terminal = Terminal::keyagent(&home, &["init"]);
        terminal.expect("new passphrase: ");
        terminal.line(first);
        if let Some(again) = again {
            terminal.expect("the same again: ");
            terminal.line(again);
        }
        terminal.expect(why);
        ends(terminal, code);
        assert!(!home.vault().exists());
    }
    let mut terminal = Terminal::keyagent(&home, &["init"]);
    terminal.expect("new passphrase: ");
    assert!(!terminal.is_as_usual(), "what is typed is not shown");
    // A typing error, taken back.
    terminal.keys("wrong\u{15}x\u{7f}");
    terminal.line(PASSPHRASE);
    terminal.expect("the same again: ");
    // However fast scrypt is: the line is there while the agent has not answered, and erased.
    let halted = home.halt_agent();
    terminal.line(PASSPHRASE);
    terminal.expect("keyagent: making the vault…");
    drop(halted);
    terminal.expect("\r\x1b[K");
    terminal.expect("the vault is made, and open");
    assert!(terminal.is_as_usual());
    ends(terminal, 0);
    let mut again = Terminal::keyagent(&home, &["init"]);
    again.expect("there is a vault already");
    ends(again, 1);
    home.keyagent(["stop"]).run().quietly();
    let mut terminal = Terminal::keyagent(&home, &["list"]);
    terminal.expect(PROMPT);
    let halted = home.halt_agent();
    terminal.line(PASSPHRASE);
    terminal.expect("keyagent: unlocking…");
    drop(halted);
    terminal.expect("\r\x1b[K");
    ends(terminal, 0);
}

fn unlocks(mut terminal: Terminal<'_>, then: &str) {
    terminal.expect(PROMPT);
    terminal.line(PASSPHRASE);
    terminal.expect(then);
    ends(terminal, 0);
}

#[test]
fn a_verb_that_is_typed_while_locked_asks_once_and_goes_on() {
    let (home, _agent) = sealed();
    lock(&home);
    let mut terminal = Terminal::keyagent(&home, &["unlock"]);
    terminal.expect(PROMPT);
    terminal.line("not it");
    terminal.expect("that passphrase does not open the vault");
    assert!(terminal.is_as_usual());
    ends(terminal, 1);
    unlocks(Terminal::keyagent(&home, &["exec", "--", "echo", "went", "on"]), "went on");
    lock(&home);
    let mut get = Terminal::keyagent(&home, &["get", "--reveal", "app/A_KEY"]);
    get.expect(PROMPT);
    get.line(PASSPHRASE);
    get.expect(home.canary());
    assert_eq!(get.end_with_value().code, Some(0));
    lock(&home);
    // The value is asked for first, and is not lost.
    let mut set = Terminal::keyagent(&home, &["set", "app/NEW"]);
    set.expect("value of `app/NEW`: ");
    set.line(home.canary());
    set.expect(PROMPT);
    set.line(PASSPHRASE);
    set.expect("`app/NEW` is new");
    ends(set, 0);
    home.keyagent(["get", "app/NEW"]).run().quietly().prints(home.canary());
}

#[test]
fn keys_that_end_a_prompt_put_the_terminal_back() {
    let (home, _agent) = sealed();
    lock(&home);
    for (keys, code) in [("abc\u{3}", 130), ("\u{4}", 130)] {
        let mut terminal = Terminal::keyagent(&home, &["unlock"]);
        terminal.expect(PROMPT);
        terminal.keys(keys);
        terminal.expect("cancelled");
        assert!(terminal.is_as_usual());
        ends(terminal, code);
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut terminal = Terminal::keyagent(&home, &["exec", "true"]);
        terminal.expect(PROMPT);
        terminal.keys("half a pass");
        terminal.signal(signal);
        let output = terminal.end_and_look(|terminal| assert!(terminal.is_as_usual()));
        assert_eq!(output.code, None, "{signal} ends it: {}", output.report());
    }
    home.keyagent(["status"]).run().quietly();
    home.keyagent(["list"]).run().fails(4);
}

#[test]
fn a_pasted_text_of_several_lines_is_not_cut() {
    let (home, _agent) = given::project();
    let mut terminal = Terminal::keyagent(&home, &["set", "pem"]);
    terminal.expect("value of `pem`: ");
    terminal.keys(&format!("-----BEGIN KEY-----\r{}\r-----END KEY-----\r", home.canary()));
    terminal.expect("more than one line was pasted");
    ends(terminal, 1);
    home.keyagent(["get", "pem"]).run().fails(6);
    let mut terminal = Terminal::keyagent(&home, &["set", "none"]);
    terminal.expect("value of `none`: ");
    terminal.line("");
    terminal.expect("no value was typed");
    ends(terminal, 1);
    // Longer than the kernel's own line.
    let long = home.canary().repeat(200);
    let mut terminal = Terminal::keyagent(&home, &["set", "long"]);
    terminal.expect("value of `long`: ");
    terminal.line(&long);
    terminal.expect("`long` is new");
    ends(terminal, 0);
    home.keyagent(["get", "long"]).run().quietly().prints(&long);
}

#[test]
fn nothing_asks_where_no_human_looks() {
    let (home, _agent) = sealed();
    lock(&home);
    for args in [
        &["exec", "true"][..],
        &["get", "app/A_KEY"],
        &["list"],
        &["rm", "app/A_KEY"],
        &["export"],
        &["import", "--undo"],
        &["unlock"],
    ] {
        // No terminal at all, and no way to get at one.
        let mut command = Command::new("setsid");
        home.surround(&mut command);
        command.arg(home.program("keyagent")).args(args).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    // At a terminal, `export` and what direnv runs do not ask either.
    for args in [&["export", "--reveal"][..], &["export", "--format", "direnv", "--reveal"]] {
        let output = ends(Terminal::keyagent(&home, args), 4);
        assert!(output.stdout_text().contains("the vault is locked"), "{}", output.report());
    }
    // Nor does what has its messages read by a program, or sits in the background.
    for script in ["keyagent list 2>log", "set -m; keyagent list & wait $!"] {
        let output = Terminal::run(&home, "bash", &["-c", script], &[]).end();
        assert_eq!(output.code, Some(4), "{}", output.report());
    }
}

#[test]
fn a_passphrase_comes_from_a_descriptor() {
    let home = Home::new();
    home.add_canary(PASSPHRASE.as_bytes());
    let bash = |script: &str| {
        home.command("bash").args(["-c", script]).stdin(format!("{PASSPHRASE}\nmore")).run()
    };
    bash("keyagent init --passphrase-fd 9 9</dev/null").fails(2).complains("is empty");
    bash("keyagent init --passphrase-fd 77").fails(2).complains("descriptor 77");
    bash("keyagent init --passphrase-fd 0").code(0).prints("");
    lock(&home);
    bash("keyagent unlock --passphrase-fd 0 </dev/null").fails(1).complains("does not open");
    bash("keyagent unlock --passphrase-fd 7 7<&0").quietly().prints("");
    home.keyagent(["unlock"]).run().code(0).complains("open already");
}

#[test]
fn get_shows_a_human_nothing_unasked() {
    let (home, _agent) = given::project();
    let mut terminal = Terminal::keyagent(&home, &["get", "app/A_KEY"]);
    terminal.expect("`keyagent get --reveal app/A_KEY` shows it");
    ends(terminal, 2);
    let output = Terminal::keyagent(&home, &["get", "--reveal", "app/A_KEY"]).end_with_value();
    assert_eq!(output.stdout_text(), format!("{}\r\n", home.canary()));
    let piped = Terminal::run(&home, "sh", &["-c", "keyagent get app/A_KEY | wc -c"], &[]).end();
    assert_eq!(piped.stdout_text().trim(), home.canary().len().to_string());
}

#[test]
fn allow_shows_what_it_asks_for() {
    let (home, _agent) = given::project();
    let other = home.work().join("other");
    given::manifest(&home, &other, "project = \"o\"\n[env]\nX = \"app/A_KEY\"\nY = \"none\"\n");
    let script = format!("cd '{}' && keyagent allow", other.display());
    for (answer, code, said) in
        [("", 3, "not allowed"), ("n", 3, "not allowed"), ("y", 0, "allowed `")]
    {
        let mut terminal = Terminal::run(&home, "sh", &["-c", &script], &[]);
        terminal.expect("o, in `");
        terminal.expect(&format!("X <- app/A_KEY (shared with `{}`)", home.work().display()));
        terminal.expect("Y <- none (not in the vault)");
        terminal.expect("allow it? [y/N] ");
        terminal.line(answer);
        terminal.expect(said);
        ends(terminal, code);
    }
    home.keyagent(["allow"]).dir(&other).run().code(0).complains("is allowed already");
    given::manifest(&home, &other, "[env]\nX = \"app/A_KEY\"\nZ = \"new\"\n");
    let output = home.keyagent(["allow"]).dir(&other).run().fails(2).complains("no terminal");
    output.complains("Z <- new (new) (not in the vault)").complains("no longer: none");
}
