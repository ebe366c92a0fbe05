//! What needs the human's word leaves only with it: T36, T41, T49, T50, T51.
//!
//! The pinentry is a script that answers as its test says, and keeps a list of what it showed.

use crate::given::{allow, manifest};
use crate::stub::{self, Stub};
use keyagent_tests::wire::{done, put, refused, secret, value};
use keyagent_tests::{Agent, Home, Output, Terminal, Wire, describe, eventually, process};
use keyagent_wire::codec::decode_reply;
use keyagent_wire::frame::{self, REPLY_BYTES_MAX};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Ask, Asked, Key, Reseal, Screen, Seal, Unlock};
use keyagent_wire::{Confirm, Refusal, Request};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const PASSPHRASE: &str = "the passphrase that is typed";

/// A home whose agent asks by the stub, with one secret for each way of asking.
struct Asking {
    home: Home,
    agent: Agent,
    stub: Stub,
}

impl Asking {
    fn new(answer: &str) -> Self {
        Self::patient(answer, "60s")
    }

    /// One that asks for so long.
    fn patient(answer: &str, timeout: &str) -> Self {
        let home = Home::new();
        let stub = Stub::new(&home);
        stub.answers(answer);
        let agent = agent_with(&home, &stub.program(), timeout);
        let asked = Self { home, agent, stub };
        for (name, confirm) in [
            ("app/NONE", Confirm::None),
            ("app/SESSION", Confirm::Session),
            ("app/ALWAYS", Confirm::Always),
        ] {
            set(&asked.home, name, confirm);
        }
        asked
    }

    fn answers(&self, answer: &str) {
        self.stub.answers(answer);
    }

    fn dialogs(&self) -> Vec<u32> {
        self.stub.dialogs()
    }

    /// Runs a script in a terminal session of its own, whose leader is the shell.
    fn session(&self, script: &str) -> Output {
        self.home.command("setsid").args(["--wait", "sh", "-c", script]).run()
    }

    fn get(&self, name: &str) -> Output {
        self.session(&format!("keyagent get {name}; exit $?"))
    }

    fn is_well(&self) {
        assert!(self.agent.is_alive());
        self.get("app/NONE").quietly().prints(self.home.canary());
    }
}

fn agent_with(home: &Home, program: &Path, timeout: &str) -> Agent {
    stub::configure(home, program, timeout);
    let agent = home.agent();
    home.wire().init(None);
    agent
}

fn set(home: &Home, name: &str, confirm: Confirm) {
    let mut wire = home.wire();
    let mut put = put(name, home.canary().as_bytes());
    put.confirm = Some(confirm);
    done(wire.ask(&Request::Put(put)));
    wire.commit().expect("it is written");
}

fn get(name: &str) -> Request {
    Request::Get { name: secret(name), version: None }
}

fn about(name: &str) -> Request {
    let about = Asked::One { name: secret(name), version: None };
    Request::Ask(Ask { about, screen: Screen::default() })
}

#[test]
fn a_yes_hands_it_out_and_a_no_does_not() {
    let asked = Asking::new("yes");
    asked.get("app/SESSION").quietly().prints(asked.home.canary());
    assert_eq!(asked.dialogs().len(), 1);
    asked.answers("no");
    asked.get("app/SESSION").fails(3).complains("denied");
    assert_eq!(asked.dialogs().len(), 2);
    asked.get("app/NONE").quietly().prints(asked.home.canary());
    assert_eq!(asked.dialogs().len(), 2, "nobody is asked about what needs no answer");
}

#[test]
fn t36_a_pinentry_that_fails_has_said_no() {
    let answers = ["crash", "end", "garbage", "binary", "flood", "lines", "other", "hang"];
    for answer in answers {
        // Only of one that hangs the end is waited for.
        let timeout = if answer == "hang" { "2s" } else { "60s" };
        let asked = Asking::patient(answer, timeout);
        let output = asked.get("app/SESSION").fails(3);
        let word = if answer == "hang" { "denied" } else { "nobody could answer" };
        assert!(output.stderr_text().contains(word), "{answer}: {}", output.report());
        assert_eq!(asked.dialogs().len(), 1, "{answer}");
        asked.is_well();
        let pid = asked.dialogs()[0];
        eventually("it is gone", || (!process::is_alive(pid)).then_some(()));
    }
}

#[test]
fn t36_no_program_or_one_that_cannot_run_is_no_answer() {
    let asked = Asking::new("yes");
    let program = asked.stub.program();
    fs::write(&program, "#!/no/such/program\n").expect("it is ours");
    asked.get("app/SESSION").fails(3).complains("nobody could answer");
    fs::set_permissions(&program, Permissions::from_mode(0o777)).expect("it is ours");
    asked.get("app/SESSION").fails(3).complains("no pinentry");
    fs::remove_file(&program).expect("it is ours");
    asked.get("app/SESSION").fails(3).complains("no pinentry");
    asked.is_well();
}

#[test]
fn t41_both_projects_are_named_and_a_no_is_no_byte() {
    let asked = Asking::new("no");
    let (home, text) = (&asked.home, "[env]\nA = \"app/SESSION\"\n");
    let (old, new) = (home.work().join("old"), home.work().join("new"));
    for directory in [&old, &new] {
        manifest(home, directory, text);
        allow(home, directory);
    }
    let exec = ["exec", "--", "sh", "-c", "echo \"$A\""];
    home.keyagent(exec).dir(&new).run().fails(3).complains("denied");
    let shown = asked.stub.shown();
    for named in [&old, &new] {
        assert!(shown.contains(&named.display().to_string()), "{shown}");
    }
    assert!(shown.contains("app/SESSION") && shown.contains("unverified"), "{shown}");
    assert!(!home.has_value(shown.as_bytes()));
    asked.answers("yes");
    home.keyagent(exec).dir(&new).run().quietly().prints(format!("{}\n", home.canary()));
}

#[test]
fn t49_a_thousand_requests_are_one_dialog() {
    let asked = Asking::new("hold");
    let output = std::thread::scope(|scope| {
        let script = "seq 1000 | xargs -P 12 -n 1 sh -c 'echo \"$(keyagent get app/SESSION)\"'";
        let running = scope.spawn(|| asked.session(script));
        eventually("somebody is asked", || (!asked.dialogs().is_empty()).then_some(()));
        asked.stub.go();
        running.join().expect("it does not panic")
    });
    let lines = output.quietly().stdout_text();
    assert_eq!(lines.lines().filter(|line| *line == asked.home.canary()).count(), 1000);
    assert_eq!(asked.dialogs().len(), 1);
}

/// Any program can lock and, where no passphrase is typed, unlock.
#[test]
fn t49_three_denials_mute_until_a_passphrase_is_typed() {
    let asked = Asking::new("no");
    for _ in 0..3 {
        asked.get("app/SESSION").fails(3).complains("denied:");
    }
    asked.answers("yes");
    let mut wire = asked.home.wire();
    let still_muted = || {
        asked.get("app/ALWAYS").fails(3).complains("denied too often");
        asked.get("app/SESSION").fails(3).complains("denied too often");
        assert_eq!(asked.dialogs().len(), 3);
    };
    still_muted();
    for nothing_to_type in [None, Some("whatever")] {
        done(wire.ask(&Request::Lock));
        done(wire.unlock(nothing_to_type));
        still_muted();
    }
    let seal = Seal::Passphrase(value(PASSPHRASE));
    done(wire.ask(&Request::Reseal(Reseal { key: Key::Stored, seal })));
    still_muted();
    done(wire.ask(&Request::Lock));
    done(wire.unlock(Some(PASSPHRASE)));
    asked.get("app/SESSION").quietly().prints(asked.home.canary());
}

fn unlock_by_pinentry() -> Request {
    let key = Key::Pinentry(Screen::default());
    Request::Unlock(Unlock { key, accept_rollback: false, seconds: None })
}

/// One that asks for the passphrase, and is told it.
#[test]
fn one_dialog_for_the_passphrase_and_none_for_who_is_gone() {
    let asked = Asking::patient("hold", "600s");
    let (home, mut wire) = (&asked.home, asked.home.wire());
    home.add_canary(PASSPHRASE.as_bytes());
    asked.stub.knows(home, PASSPHRASE);
    let seal = Seal::Passphrase(value(PASSPHRASE));
    done(wire.ask(&Request::Reseal(Reseal { key: Key::Stored, seal })));
    done(wire.ask(&Request::Lock));
    let mut waiting: Vec<_> = (0..3).map(|_| home.wire()).collect();
    for wire in &mut waiting {
        wire.send(&unlock_by_pinentry()).expect("the agent listens");
    }
    let ended = end_of_dialog(&asked.stub, 0);
    assert_eq!(wire.status().vault, VaultState::Locked);
    assert_eq!(asked.dialogs().len(), 1, "the others wait for the screen");
    // Whoever has the dialog is among those who go.
    let halted = asked.agent.halt();
    drop(waiting);
    drop(halted);
    ended();
    let mut last = home.wire();
    last.send(&unlock_by_pinentry()).expect("the agent listens");
    eventually("it is asked", || (asked.dialogs().len() > 1).then_some(()));
    assert_eq!(wire.status().vault, VaultState::Locked);
    asked.stub.go();
    done(last.try_reply().expect("it answers"));
}

/// Refused is not denied: what is put on record as the human's word is theirs.
#[test]
fn a_human_whom_nothing_was_shown_has_denied_nothing() {
    let asked = Asking::new("yes");
    let denials = || {
        let text = asked.home.keyagent(["audit"]).run().quietly().stdout_text();
        text.lines().filter(|line| line.contains("  denied by the human")).count()
    };
    let program = fs::read(asked.stub.program()).expect("it is ours");
    fs::write(asked.stub.program(), "#!/no/such/program\n").expect("it is ours");
    asked.get("app/SESSION").fails(3).complains("nobody could answer");
    assert_eq!(denials(), 0);
    fs::write(asked.stub.program(), program).expect("it is ours");
    asked.answers("no");
    asked.get("app/SESSION").fails(3).complains("denied");
    assert_eq!(denials(), 1);
}

#[test]
fn t50_a_lease_is_for_one_terminal_session_and_ends() {
    let asked = Asking::new("yes");
    let twice = "keyagent get app/SESSION >/dev/null && keyagent get app/SESSION >/dev/null";
    asked.session(twice).quietly();
    assert_eq!(asked.dialogs().len(), 1, "once for a session");
    asked.session(twice).quietly();
    assert_eq!(asked.dialogs().len(), 2, "and again for another");
    // What another session has is nothing to this one.
    let other = "keyagent get app/SESSION >/dev/null; echo no >stub/answer; \
                 setsid --wait keyagent get app/SESSION; echo $?; keyagent get app/SESSION >/dev/null";
    let answer = asked.stub.answer().display().to_string();
    let output = asked.session(&other.replace("stub/answer", &answer));
    assert_eq!(output.stdout_text(), "3\n", "{}", output.report());
    assert_eq!(output.code, Some(0), "its own lease goes on: {}", output.report());
    for end in [
        "keyagent lock && keyagent unlock",
        "keyagent get app/NONE | keyagent set app/SESSION --confirm none && \
         keyagent get app/NONE | keyagent set app/SESSION --confirm session",
        "keyagent mv app/SESSION app/x && keyagent mv app/x app/SESSION",
    ] {
        asked.answers("yes");
        let before = asked.dialogs().len();
        let script = format!("{{ {twice} && {end} && {twice}; }} 2>/dev/null");
        asked.session(&script).code(0);
        assert_eq!(asked.dialogs().len(), before + 2, "{end}");
    }
}

#[test]
fn t50_a_lease_of_a_project_ends_with_its_grant() {
    let asked = Asking::new("yes");
    let text = "[env]\nA = \"app/SESSION\"\n";
    manifest(&asked.home, asked.home.work(), text);
    allow(&asked.home, asked.home.work());
    let run = "keyagent exec -- true";
    asked.session(&format!("{run} && {run}")).quietly();
    assert_eq!(asked.dialogs().len(), 1);
    let denied = format!("{{ {run} && keyagent deny && keyagent allow --yes && {run}; }} 2>&-");
    asked.session(&denied).code(0);
    assert_eq!(asked.dialogs().len(), 3);
    let changed = format!(
        "{{ {run} && echo '# new' >>keyagent.toml && keyagent allow --yes && {run}; }} 2>&-"
    );
    asked.session(&changed).code(0);
    assert_eq!(asked.dialogs().len(), 5);
    // What is named by hand is another word than the manifest's.
    asked.session(&format!("{run} && keyagent exec --env B=app/SESSION -- true")).quietly();
    assert_eq!(asked.dialogs().len(), 7);
}

/// Hands on the connection that it is given as stdin and stdout. What it is handed to asks, and
/// keeps the answers in a file; first, if that is wanted, it waits for the end of who connected.
const HAND_ON: &str = r#"
exec 3<&0
(
  while [ "$1" = ended ] && kill -0 $$; do sleep 0.01; done
  cat requests
  touch sent
  exec cat <&3 >"$1"
) 2>/dev/null &
[ "$1" = ended ] || wait
"#;

/// The answers to what is asked in a session that has a lease, by a connection whose process
/// has ended by then, or has not.
fn answers_in_session_of_lease(asked: &Asking, connected: &str) -> Vec<String> {
    let home = &asked.home;
    let requests = [get("app/SESSION"), about("app/SESSION"), get("app/NONE")];
    home.write("requests", requests.iter().flat_map(Wire::frame).collect::<Vec<_>>());
    home.write("hand-on", HAND_ON);
    let answers = home.write(connected, "");
    let there = |name: &str| home.work().join(name).exists().then_some(());
    let script = "keyagent get app/SESSION >/dev/null && touch leased
        while [ ! -e halted ]; do sleep 0.01; done
        \"$PROBE\" become \"$SOCKET\" sh ./hand-on \"$CONNECTED\"
        exit $?";
    let mut session = Command::new("setsid");
    home.surround(&mut session);
    session.args(["sh", "-c", script]).env("PATH", home.path_with_programs());
    session.env("PROBE", env!("CARGO_BIN_EXE_probe")).env("SOCKET", home.socket());
    let mut session = session.env("CONNECTED", connected).spawn().expect("there is a setsid");
    eventually("the session has a lease", || there("leased"));
    // However slow we are: the agent's patience begins when it sees the connection.
    let halted = asked.agent.halt();
    home.write("halted", "");
    eventually("it is asked", || there("sent"));
    drop(halted);
    let answers = eventually("all is answered", || {
        let bytes = fs::read(&answers).expect("it is ours");
        let mut rest = bytes.as_slice();
        let frames = requests.iter().map(|_| frame::read(&mut rest, REPLY_BYTES_MAX).ok());
        frames.collect::<Option<Vec<_>>>()
    });
    let _ = session.kill();
    session.wait().expect("it is our child");
    let replies = answers.iter().map(|(_, body)| decode_reply(body).expect("it is a reply"));
    replies.map(|reply| describe(&reply)).collect()
}

/// Nobody gets by the lease of a session what another of it has connected for, and nobody is
/// asked on its behalf. What needs no answer is the uid's, whoever it is.
#[test]
fn t13_a_connection_whose_process_is_gone_has_no_lease_and_asks_nobody() {
    let asked = Asking::new("yes");
    let gone = answers_in_session_of_lease(&asked, "ended");
    let needs = Refusal::NeedsAnswer(vec![secret("app/SESSION")]);
    let refused = |refusal: &Refusal| format!("Refused({refusal:?})");
    assert_eq!(gone, [&refused(&needs), &refused(&Refusal::Denied), "Value"]);
    assert_eq!(asked.dialogs().len(), 1, "for the lease");
    let asked = Asking::new("yes");
    assert_eq!(answers_in_session_of_lease(&asked, "lives"), ["Value", "Done", "Value"]);
    assert_eq!(asked.dialogs().len(), 1, "for the lease");
}

#[test]
fn t51_always_is_each_time() {
    let asked = Asking::new("yes");
    let get = "keyagent get app/ALWAYS >/dev/null";
    asked.session(&format!("{get} && {get} && {get}")).quietly();
    assert_eq!(asked.dialogs().len(), 3);
}

#[test]
fn t51_a_yes_is_for_the_next_request_of_its_connection() {
    let asked = Asking::new("yes");
    let mut wire = asked.home.wire();
    let needs = Err(Refusal::NeedsAnswer(vec![secret("app/ALWAYS")]));
    assert_eq!(wire.get("app/ALWAYS"), needs);
    done(wire.ask(&about("app/ALWAYS")));
    assert_eq!(asked.home.wire().get("app/ALWAYS"), needs, "another connection");
    assert_eq!(wire.get("app/ALWAYS"), Ok(asked.home.canary().as_bytes().to_vec()));
    assert_eq!(wire.get("app/ALWAYS"), needs, "it is used up");
    done(wire.ask(&about("app/ALWAYS")));
    wire.status();
    assert_eq!(wire.get("app/ALWAYS"), needs, "by whatever comes next");
    done(wire.ask(&about("app/ALWAYS")));
    asked.home.keyagent(["lock"]).run().code(0);
    asked.home.keyagent(["unlock"]).run().code(0);
    assert_eq!(wire.get("app/ALWAYS"), needs, "a lock ends it");
}

/// The dialog of that number, once it is there; what comes back waits for its end.
fn end_of_dialog(stub: &Stub, at: usize) -> impl Fn() {
    let pid = eventually("it asks", || stub.dialogs().get(at).copied());
    move || eventually("the pinentry is gone", || (!process::is_alive(pid)).then_some(()))
}

/// Nobody's patience ends it: that of the pinentry is longer than the test's.
#[test]
fn a_question_ends_with_who_asked_and_with_the_lock() {
    let asked = Asking::patient("hold", "600s");
    let question = about("app/SESSION");
    for (at, sent) in [vec![&question], vec![&question, &Request::Status]].iter().enumerate() {
        let mut wire = asked.home.wire();
        sent.iter().for_each(|request| wire.send(request).expect("the agent listens"));
        let ended = end_of_dialog(&asked.stub, at);
        drop(wire);
        ended();
    }
    let mut wire = asked.home.wire();
    wire.send(&question).expect("the agent listens");
    let ended = end_of_dialog(&asked.stub, 2);
    asked.home.keyagent(["lock"]).run().code(0);
    assert_eq!(refused(wire.try_reply().expect("it answers")), Refusal::Locked);
    ended();
}

#[test]
fn who_sets_a_value_does_not_get_at_the_one_before() {
    let asked = Asking::new("no");
    let set = ["set", "app/ALWAYS", "--confirm", "none"];
    asked.home.keyagent(set).stdin("another value").run().code(0);
    asked.home.keyagent(["get", "app/ALWAYS"]).run().quietly().prints("another value");
    asked.home.keyagent(["get", "app/ALWAYS", "--version", "1"]).run().fails(6);
    assert_eq!(asked.dialogs().len(), 0);
}

#[test]
fn a_shell_gets_nothing_that_needs_an_answer() {
    let asked = Asking::new("yes");
    let text = "[env]\nA = \"app/SESSION\"\nB = \"app/NONE\"\nC = \"app/ALWAYS\"\n";
    manifest(&asked.home, asked.home.work(), text);
    allow(&asked.home, asked.home.work());
    let hook = ["export", "--hook", "--format", "bash"];
    let output = asked.home.keyagent(hook).run().quietly();
    let text = output.stdout_text();
    assert!(text.contains("__keyagent_put 'B' ") && !text.contains("__keyagent_put 'A' "));
    assert!(!text.contains("__keyagent_put 'C' "));
    // Nobody looks at this one either.
    let export = ["export", "--format", "bash"];
    asked.home.keyagent(export).run().fails(3).complains("not confirmed: `app/ALWAYS`");
    assert_eq!(asked.dialogs().len(), 0);
    let mut shell = Terminal::run(
        &asked.home,
        "bash",
        &["--norc", "-c", "eval \"$(keyagent export)\"; [ -n \"$C\" ] && echo exp''orted"],
        &[],
    );
    shell.expect("exported");
    shell.end().code(0);
    assert_eq!(asked.dialogs().len(), 1);
    assert!(asked.stub.shown().contains("/dev/pts/"), "{}", asked.stub.shown());
}

#[test]
fn needs_pinentry_curses_the_real_one_asks_on_the_terminal() {
    let home = Home::new();
    let _agent = agent_with(&home, Path::new("/usr/bin/pinentry-curses"), "60s");
    set(&home, "app/SESSION", Confirm::Session);
    for (keys, allowed) in [("\t\r", false), ("\r", true)] {
        let script = "keyagent get app/SESSION >/dev/null && echo it''came; stty sane; exit 0";
        let mut shell =
            Terminal::run(&home, "bash", &["--norc", "-c", script], &[("TERM", "xterm")]);
        shell.expect("app/SESSION");
        shell.expect("Allow");
        shell.keys(keys);
        shell.expect(if allowed { "itcame" } else { "denied" });
        shell.end().code(0);
    }
}

#[test]
fn needs_pinentry_tty_the_real_one_asks_on_the_terminal() {
    let home = Home::new();
    let _agent = agent_with(&home, Path::new("/usr/bin/pinentry-tty"), "60s");
    set(&home, "app/SESSION", Confirm::Session);
    for (keys, allowed) in [("d", false), ("a", true)] {
        let script = "keyagent get app/SESSION >/dev/null && echo it''came; stty sane; exit 0";
        let mut shell =
            Terminal::run(&home, "bash", &["--norc", "-c", script], &[("TERM", "xterm")]);
        shell.expect("app/SESSION");
        shell.expect("[ad]?");
        shell.keys(keys);
        shell.expect(if allowed { "itcame" } else { "denied" });
        shell.end().code(0);
    }
}
