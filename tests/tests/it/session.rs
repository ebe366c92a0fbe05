//! Sleep, screen lock and logout lock the vault, as logind tells of them: a bus of the test's
//! own, in a mount namespace of its own, at the place of the system's.

use keyagent_tests::{Agent, Home, eventually};
use keyagent_wire::health::{Check, Grade};
use keyagent_wire::reply::VaultState;
use keyagent_wire::{Refusal, Reply, Request};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What logind lists while sleep is held up for the agent.
const HELD: &str = "sleep/keyagent/delay";
/// How soon after a signal the vault must be locked (G8).
const SOON: Duration = Duration::from_secs(1);
/// How often that is tried: what counts is the machine at its best.
const ROUNDS: usize = 5;
/// A user that need not exist.
const OTHER: u32 = 4321;

/// The stub, which does what it is told, line by line.
struct Logind {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Logind {
    /// The stub without a bus yet, for this thread and what it starts. It has a /run of its
    /// own from now on.
    fn absent(home: &Home) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("root can");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root can");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("root can");
        fs::create_dir("/run/dbus").expect("it is ours");
        let directory = home.make_directory("logind");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/logind.py");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "/usr/bin/python3", script]).arg(&directory);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv can be run");
        let to = child.stdin.take().expect("it is piped");
        let from = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, to, from }
    }

    /// Has the bus there, and on it a logind to which this has been done.
    fn start(&mut self, commands: &[&str]) {
        for command in ["start"].iter().chain(commands).chain(&["show"]) {
            self.tell(command);
        }
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.to, "{command}").expect("the stub is there");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("it is text");
        assert!(answer.ends_with('\n'), "the stub failed at `{command}`");
        answer.trim_end().to_owned()
    }

    fn holds_up_sleep(&mut self) -> bool {
        let held = self.tell("held");
        assert!(["", HELD].contains(&held.as_str()), "{held}");
        held == HELD
    }
}

impl Drop for Logind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent with an open vault that hears the stub.
fn watched(config: &str) -> (Logind, Home, Agent) {
    let home = Home::new();
    let mut logind = Logind::absent(&home);
    logind.start(&["add c1 0"]);
    fs::write(home.make_directory("config/keyagent").join("config.toml"), config)
        .expect("it is ours");
    let agent = home.agent();
    home.wire().init(None);
    home.wire().put("session/canary", home.canary().as_bytes());
    becomes(&home, Grade::Good);
    (logind, home, agent)
}

fn session(home: &Home) -> Option<Grade> {
    let Reply::Health(health) = home.wire().ask(&Request::Health) else { panic!("no health") };
    health.findings.iter().find(|found| found.check == Check::Session).map(|found| found.grade)
}

fn becomes(home: &Home, grade: Grade) {
    let what = format!("the session is {grade:?}");
    eventually(&what, || (session(home) == Some(grade)).then_some(()));
}

fn is_open(home: &Home) -> bool {
    matches!(home.wire().status().vault, VaultState::Open { .. })
}

fn locks(home: &Home) {
    eventually("it locks", || (!is_open(home)).then_some(()));
    assert_eq!(home.wire().get("session/canary"), Err(Refusal::Locked));
}

fn unlock(home: &Home) {
    keyagent_tests::wire::done(home.wire().unlock(None));
    assert!(is_open(home));
}

/// How often the log says that the vault was locked, and why.
fn locked(home: &Home, why: &str) -> usize {
    let why = format!("why={why}");
    home.log().lines().filter(|line| line.contains("locked") && line.contains(&why)).count()
}

#[test]
fn needs_root_needs_dbus_t55_sleep_waits_until_the_vault_is_locked() {
    let (mut logind, home, agent) = watched("");
    assert!(logind.holds_up_sleep());
    let halted = agent.halt();
    let begun = Instant::now();
    logind.tell("sleep true");
    while begun.elapsed() < SOON / 2 {
        assert!(logind.holds_up_sleep(), "the agent has not locked yet");
    }
    drop(halted);
    eventually("sleep is let go on", || (!logind.holds_up_sleep()).then_some(()));
    assert!(!is_open(&home), "it goes on once the vault is locked");
    locks(&home);
    unlock(&home);
    logind.tell("sleep false");
    locks(&home);
    assert_eq!(locked(&home, "Sleep"), 2, "{}", home.log());
    eventually("the next sleep waits, too", || logind.holds_up_sleep().then_some(()));
    let rounds = (0..ROUNDS).map(|_| {
        unlock(&home);
        let begun = Instant::now();
        logind.tell("sleep true");
        locks(&home);
        let took = begun.elapsed();
        eventually("it sleeps", || (!logind.holds_up_sleep()).then_some(()));
        logind.tell("sleep false");
        eventually("it has slept", || logind.holds_up_sleep().then_some(()));
        took
    });
    let best = rounds.min().expect("there are rounds");
    assert!(best <= SOON, "{best:?}");
}

#[test]
fn needs_root_needs_dbus_t55_an_agent_that_does_not_answer_holds_up_no_sleep_for_long() {
    let (mut logind, home, agent) = watched("");
    let halted = agent.halt();
    logind.tell("sleep true");
    eventually("sleep is let go on", || (!logind.holds_up_sleep()).then_some(()));
    drop(halted);
    locks(&home);
    eventually("another helper hears logind", || logind.holds_up_sleep().then_some(()));
    unlock(&home);
    logind.tell("sleep true");
    locks(&home);
}

#[test]
fn needs_root_needs_dbus_t55_a_locked_screen_and_the_last_logout_lock() {
    let (mut logind, home, _agent) = watched("");
    // What others' sessions do, or somebody who is no logind, changes nothing.
    logind.tell("forge");
    logind.tell(&format!("add c2 {OTHER}"));
    for other in ["lock c2", "hint c2 true", "remove c2", "hint c1 false"] {
        logind.tell(other);
    }
    logind.tell("lock c1");
    locks(&home);
    assert_eq!((locked(&home, "Screen"), locked(&home, "Sleep")), (1, 0), "{}", home.log());
    unlock(&home);
    logind.tell("hint c1 true");
    locks(&home);
    unlock(&home);
    logind.tell("add c3 0");
    logind.tell("remove c1");
    logind.tell("lock c3");
    locks(&home);
    assert_eq!((locked(&home, "Screen"), locked(&home, "Logout")), (3, 0), "{}", home.log());
    unlock(&home);
    logind.tell("remove c3");
    locks(&home);
    assert_eq!(locked(&home, "Logout"), 1, "{}", home.log());
}

#[test]
fn needs_root_needs_dbus_t55_what_the_user_does_not_want_locks_nothing() {
    let (mut logind, home, _agent) = watched("[lock]\non_sleep = false\non_logout = false\n");
    assert!(!logind.holds_up_sleep(), "nobody waits for it");
    for command in ["sleep true", "sleep false", "add c3 0", "remove c1", "remove c3"] {
        logind.tell(command);
    }
    logind.tell("add c4 0");
    logind.tell("lock c4");
    locks(&home);
    let whys = ["Sleep", "Logout", "Screen"].map(|why| locked(&home, why));
    assert_eq!(whys, [0, 0, 1], "{}", home.log());
}

#[test]
fn needs_root_needs_dbus_t55_a_session_that_is_closing_has_ended() {
    let (mut logind, home, _agent) = watched("");
    for command in ["add c3 0", "close c1", "lock c1", "hint c3 true"] {
        logind.tell(command);
    }
    locks(&home);
    assert_eq!((locked(&home, "Screen"), locked(&home, "Logout")), (1, 0), "{}", home.log());
    unlock(&home);
    logind.tell("close c3");
    locks(&home);
    assert_eq!(locked(&home, "Logout"), 1, "{}", home.log());
}

#[test]
fn needs_root_needs_dbus_t55_a_bus_that_comes_back_is_heard_again() {
    let (mut logind, home, _agent) = watched("");
    logind.tell("stop");
    becomes(&home, Grade::Weak);
    let canary = home.canary().as_bytes().to_vec();
    assert_eq!(home.wire().get("session/canary"), Ok(canary), "it serves meanwhile");
    logind.start(&["add c1 0"]);
    becomes(&home, Grade::Good);
    assert!(is_open(&home), "nothing has changed");
    assert!(logind.holds_up_sleep());
    logind.tell("sleep true");
    locks(&home);
}

#[test]
fn needs_root_needs_dbus_t55_what_was_missed_without_a_bus_locks_when_it_is_back() {
    let (mut logind, home, _agent) = watched("");
    let mut comes_back = |commands: &[&str]| {
        logind.tell("stop");
        becomes(&home, Grade::Weak);
        assert!(is_open(&home), "nobody has told it");
        logind.start(commands);
        becomes(&home, Grade::Good);
        locks(&home);
        unlock(&home);
    };
    comes_back(&["add c1 0", "hint c1 true"]);
    comes_back(&["add c1 0", "close c1"]);
    let whys = ["Screen", "Logout"].map(|why| locked(&home, why));
    assert_eq!(whys, [1, 1], "{}", home.log());
    // It was noticed once, and is no news to the next connection.
    logind.tell("stop");
    becomes(&home, Grade::Weak);
    logind.start(&[]);
    becomes(&home, Grade::Good);
    assert!(is_open(&home));
}

#[test]
fn needs_root_needs_dbus_t55_a_logout_while_logind_restarts_locks() {
    let (mut logind, home, _agent) = watched("");
    let connections = logind.tell("connections");
    logind.tell("restart");
    locks(&home);
    assert_eq!(locked(&home, "Logout"), 1, "{}", home.log());
    becomes(&home, Grade::Good);
    assert!(logind.holds_up_sleep());
    assert_eq!(logind.tell("connections"), connections, "the old one is closed");
}

#[test]
fn needs_root_needs_dbus_t55_without_a_bus_it_serves_and_says_so() {
    let home = Home::new();
    let _logind = Logind::absent(&home);
    let _agent = home.agent();
    home.wire().init(None);
    home.wire().put("session/canary", home.canary().as_bytes());
    becomes(&home, Grade::Weak);
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(sheet.contains("weak  session: it does not hear of sleep"), "{sheet}");
    assert!(sheet.contains("systemctl status systemd-logind"), "{sheet}");
    let level = sheet.lines().find(|line| line.starts_with("level")).unwrap_or_default();
    assert!(!level.is_empty() && !level.contains("session"), "this machine has no more: {level}");
}
