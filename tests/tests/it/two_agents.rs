//! Two agents of one vault, whose changes of what opens it meet: one of them is refused, or
//! waits, and nothing is lost.

use keyagent_tests::wire::{done, refused};
use keyagent_tests::{Agent, Home, Wire, copy_program, describe, eventually};
use keyagent_wire::event::{Deed, What};
use keyagent_wire::request::{Audit, Key, Reseal, Seal, Unlock};
use keyagent_wire::{Refusal, Reply, Request};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An identity of a plugin that lies beside this file.
const MIRROR: &str = "AGE-PLUGIN-MIRROR-1QYRZU7V8\n";
/// A plugin that waits, once, for as long as its file lies there.
const GATE: &str = "#!/bin/sh
here=$(dirname \"$0\")
if mv \"$here/hold\" \"$here/held\" 2>/dev/null; then
    while [ -e \"$here/held\" ]; do sleep 0.01; done
fi
exec \"$here/mirror\" \"$@\"
";
/// How many large values make a rekeying long, compared to a lock.
const LARGE: usize = 8;
/// How often a lock tries to come into a rekeying.
const ATTEMPTS: usize = 50;

/// An agent of a vault that opens by itself, with a plugin that can be made to wait.
struct Gated {
    home: Home,
    agent: Agent,
    plugins: PathBuf,
    file: PathBuf,
}

impl Gated {
    fn new() -> Self {
        let home = Home::new();
        let plugins = home.make_directory("plugins");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/age-plugin-mirror");
        copy_program(&ours, &plugins.join("mirror"));
        let gate = home.write("gate", GATE);
        fs::set_permissions(&gate, Permissions::from_mode(0o755)).expect("it is ours");
        copy_program(&gate, &plugins.join("age-plugin-mirror"));
        let file = home.write("mirror.txt", MIRROR);
        let path = std::env::var("PATH").expect("it is set");
        let mut command = Command::new(home.program("keyagentd"));
        home.surround(&mut command);
        command.env("PATH", format!("{}:{path}", plugins.display()));
        let agent = home.start(command);
        home.wire().init(None);
        home.wire().put("two/canary", home.canary().as_bytes());
        Self { home, agent, plugins, file }
    }

    fn reseal(&self) -> Request {
        let seal = Seal::Identity(self.file.as_os_str().as_bytes().to_vec());
        Request::Reseal(Reseal { key: Key::Stored, seal })
    }

    /// Asks, and returns once the plugin waits.
    fn held(&self, request: &Request) -> Wire {
        fs::write(self.plugins.join("hold"), "").expect("it is ours");
        let mut wire = self.home.wire();
        wire.send(request).expect("the agent listens");
        eventually("the plugin waits", || self.plugins.join("held").exists().then_some(()));
        wire
    }

    fn go_on(&self) {
        fs::remove_file(self.plugins.join("held")).expect("it waits");
    }

    /// A second agent, of the same vault.
    fn second(&self) -> Second<'_> {
        let socket = self.home.make_directory("run/second").join("agent.sock");
        self.home.keyagent(["list"]).env("KEYAGENT_SOCK", &socket).run().code(0);
        Second { home: &self.home, socket }
    }
}

struct Second<'a> {
    home: &'a Home,
    socket: PathBuf,
}

impl Second<'_> {
    fn wire(&self) -> Wire {
        Wire::try_connect(&self.socket).expect("it listens")
    }

    fn stop(self) {
        self.home.keyagent(["stop"]).env("KEYAGENT_SOCK", &self.socket).run().code(0);
    }
}

fn canary_is_there(home: &Home) {
    assert_eq!(home.wire().get("two/canary"), Ok(home.canary().as_bytes().to_vec()));
}

#[test]
fn needs_python3_while_a_plugin_seals_others_change_the_vault() {
    let gated = Gated::new();
    let second = gated.second();
    let mut waits = gated.held(&gated.reseal());
    second.wire().put("two/other", b"other");
    gated.home.wire().put("two/third", b"third");
    gated.go_on();
    done(waits.try_reply().expect("it is done"));
    second.stop();
    done(gated.home.wire().ask(&Request::Lock));
    done(gated.home.wire().unlock(None));
    canary_is_there(&gated.home);
    assert_eq!(gated.home.wire().get("two/other"), Ok(b"other".to_vec()));
}

#[test]
fn needs_python3_a_sealing_does_not_bring_back_an_identity_that_was_replaced() {
    let mut gated = Gated::new();
    let second = gated.second();
    let mut waits = gated.held(&gated.reseal());
    done(second.wire().ask(&Request::Rekey { key: Key::Stored }));
    gated.go_on();
    assert_eq!(refused(waits.try_reply().expect("it answers")), Refusal::Conflict);
    second.stop();
    gated.agent.kill();
    let _agent = gated.home.agent();
    canary_is_there(&gated.home);
}

#[test]
fn needs_python3_a_rekeying_does_not_bring_back_what_opened_it_before() {
    let gated = Gated::new();
    let identity = gated.home.data().join("identity.age");
    let plain = fs::read(&identity).expect("it is there");
    done(gated.home.wire().ask(&gated.reseal()));
    let mut waits = gated.held(&Request::Rekey { key: Key::Stored });
    // As a second agent's `passphrase --none` leaves it.
    fs::write(&identity, &plain).expect("it is ours");
    gated.go_on();
    assert_eq!(refused(waits.try_reply().expect("it answers")), Refusal::Conflict);
    assert!(fs::read(&identity).expect("it is there") == plain);
    canary_is_there(&gated.home);
}

#[test]
fn an_unlock_leaves_the_next_identity_to_an_agent_that_rekeys() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("two/canary", home.canary().as_bytes());
    let next = home.data().join("identity.age.next");
    fs::copy(home.data().join("identity.age"), &next).expect("both are ours");
    let lock = fs::File::open(home.data().join("vault.lock")).expect("it is there");
    lock.lock().expect("nobody writes");
    let reopen = || {
        done(home.wire().ask(&Request::Lock));
        done(home.wire().unlock(None));
        canary_is_there(&home);
    };
    reopen();
    assert!(next.exists(), "whoever holds the lock is about to seal the vault to it");
    // Not by its end alone: a child of another thread may have it open, too, until it runs.
    lock.unlock().expect("it is ours");
    reopen();
    assert!(!next.exists(), "it was cut off");
}

/// Rekeys, and locks once the vault is sealed to the next identity. False if the rekeying was
/// faster, which takes some tens of milliseconds.
fn is_cut_off_by_a_lock(home: &Home, wire: &mut Wire) -> bool {
    let inode = || fs::metadata(home.vault()).ok().map(|facts| facts.ino());
    let before = inode();
    wire.send(&Request::Rekey { key: Key::Stored }).expect("the agent listens");
    eventually("the vault has a new identity", || (inode() != before).then_some(()));
    done(home.wire().ask(&Request::Lock));
    let reply = wire.try_reply().expect("it answers");
    done(wire.unlock(None));
    match reply {
        Reply::Done => false,
        other => refused(other) == Refusal::Locked,
    }
}

/// What the old identities' logs were is kept, and is no tampering.
fn log_begins_anew(home: &Home, rekeyings: usize) {
    let mut wire = home.wire();
    match wire.ask(&Request::VerifyAudit) {
        Reply::Verified(verified) => assert_eq!(verified.bad, None),
        other => panic!("not {}", describe(&other)),
    }
    let all = Audit { before: None, secret: None, count: 64 };
    let Reply::Events { events, .. } = wire.ask(&Request::Audit(all)) else {
        panic!("it tells events");
    };
    let says = events.iter().any(|event| event.what == What::Changed(Deed::Rekeyed));
    assert!(says, "the new log says why it began: {events:?}");
    let names = fs::read_dir(home.state()).expect("it is there").flatten();
    let is_aside = |name: &str| name.starts_with("audit-") && name.ends_with(".log");
    let aside = names.filter(|entry| is_aside(&entry.file_name().to_string_lossy())).count();
    assert_eq!(aside, rekeyings, "the old logs are kept");
}

#[test]
fn a_lock_in_a_rekeying_leaves_every_backup_open_to_the_new_identity() {
    let home = Home::new();
    let _agent = home.agent();
    let mut wire = home.wire();
    wire.init(None);
    wire.put("two/canary", home.canary().as_bytes());
    for number in 0..LARGE {
        done(wire.stage(&format!("two/large-{number}"), &[b'x'; 64 * 1024]));
    }
    wire.commit().expect("it is written");
    for number in 0..5 {
        wire.put(&format!("two/small-{number}"), b"small");
    }
    let rekeyings = (1..=ATTEMPTS).find(|_| is_cut_off_by_a_lock(&home, &mut wire));
    let rekeyings = rekeyings.expect("one of them takes longer than a lock");
    canary_is_there(&home);
    assert!(!home.data().join("identity.age.next").exists(), "it is finished");
    log_begins_anew(&home, rekeyings);
    for number in 1..=5 {
        done(wire.ask(&Request::Lock));
        let backup = home.data().join(format!("vault.age.{number}"));
        fs::copy(backup, home.vault()).expect("both are ours");
        let unlock = Unlock { key: Key::Stored, accept_rollback: true, seconds: None };
        done(wire.ask(&Request::Unlock(unlock)));
        canary_is_there(&home);
    }
}
