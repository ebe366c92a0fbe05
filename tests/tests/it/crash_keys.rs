//! What changes who opens the vault or who reads it, killed or refused at each call that changes
//! a file: the old way opens it or the new one, and every secret is there.

use crate::crash::Mounted;
use crate::inject::{self, Call, Came, Seed, Tracer, no_temporary_file};
use keyagent_tests::wire::{done, value};
use keyagent_tests::{Agent, Home, PATIENCE, Wire, describe, rounds, within};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Key, Reseal, Seal};
use keyagent_wire::{Refusal, Reply, Request, VaultFault};
use std::fs;
use std::path::Path;

const FIRST: &str = "the first passphrase";
const SECOND: &str = "the second passphrase";
/// Another reader of the vault.
const OTHER: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
/// What each call comes to; only the first of them where each costs seconds of scrypt, unless
/// all is asked for.
const OUTCOMES: [&str; 3] = ["signal=KILL", "error=EIO", "error=ENOSPC"];

/// A change, and what opens the vault before and after it: nothing, or a passphrase.
struct Change {
    /// What it makes last, in its thread.
    makes: &'static str,
    old: Option<&'static str>,
    new: Option<&'static str>,
    request: fn() -> Request,
}

/// What a vault is opened by and read by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Access {
    opens: Option<&'static str>,
    readers: Vec<String>,
}

fn key(passphrase: Option<&str>) -> Key {
    passphrase.map_or(Key::Stored, |text| Key::Passphrase(value(text)))
}

fn reseal(old: Option<&str>, new: Option<&str>) -> Request {
    let seal = new.map_or(Seal::Nothing, |text| Seal::Passphrase(value(text)));
    Request::Reseal(Reseal { key: key(old), seal })
}

fn readers(wire: &mut Wire) -> Vec<String> {
    match wire.ask(&Request::Recipients) {
        Reply::Recipients(readers) => readers,
        other => panic!("no recipients: {}", describe(&other)),
    }
}

/// A vault with a canary, with versions, and with more backups than one.
fn seed(old: Option<&str>, first: Option<Request>) -> (Seed, Vec<String>) {
    let home = Home::new();
    let agent = home.agent();
    let mut wire = home.wire();
    wire.init(old);
    wire.put("keys/old", home.canary().as_bytes());
    wire.put("keys/second", b"second");
    wire.put("keys/old", format!("{}-new", home.canary()).as_bytes());
    if let Some(first) = first {
        done(wire.ask(&first));
    }
    let before = readers(&mut wire);
    (Seed::of(home, agent), before)
}

impl Change {
    /// Opens it by whichever passphrase it is: who reads it then. All secrets are there.
    fn opened(&self, seed: &Seed, wire: &mut Wire, what: &str) -> Access {
        let mut opens = None;
        if wire.status().vault == VaultState::Locked {
            let ways = [self.old, self.new].into_iter().flatten();
            opens = ways.into_iter().find(|way| match wire.unlock(Some(way)) {
                Reply::Done => true,
                Reply::Refused(Refusal::WrongPassphrase) => false,
                other => panic!("{what}: {}", describe(&other)),
            });
            assert!(opens.is_some(), "{what}: neither the old one opens it nor the new one");
        }
        let old = seed.canary();
        assert_eq!(wire.names(), ["keys/old", "keys/second"], "{what}");
        assert_eq!(wire.get("keys/second"), Ok(b"second".to_vec()), "{what}");
        assert_eq!(wire.get("keys/old"), Ok([&old[..], b"-new"].concat()), "{what}");
        Access { opens, readers: readers(wire) }
    }

    /// The agent starts again: what was done is done, and what was refused is not.
    fn check_after(&self, seed: &Seed, home: &Home, before: &Access, came: Came, what: &str) {
        let _agent = home.agent();
        let mut wire = home.wire();
        let after = self.opened(seed, &mut wire, what);
        match came {
            Came::Refusal => assert_eq!(&after, before, "{what}: it was refused"),
            Came::Nothing => assert_ne!(&after, before, "{what}: it was done"),
            Came::NoStart | Came::Death => {}
        }
        no_temporary_file(home, what);
        assert!(!home.data().join("identity.age.next").exists(), "{what}: it is finished, or gone");
        wire.put("keys/after", b"after");
        done(wire.ask(&Request::Lock));
        done(wire.unlock(after.opens));
        assert_eq!(wire.get("keys/after"), Ok(b"after".to_vec()), "{what}");
    }

    /// An agent with the vault open.
    fn open(&self, seed: &Seed) -> (Home, Agent) {
        let home = seed.plant();
        let agent = home.agent();
        if self.old.is_some() {
            done(home.wire().unlock(self.old));
        }
        (home, agent)
    }

    /// One injection: the change fails, or the agent dies, or neither mattered.
    fn inject(&self, seed: &Seed, before: &Access, call: &Call, outcome: &str) -> Came {
        let what = call.injection(outcome);
        let (home, mut agent) = self.open(seed);
        let tracer = Tracer::attach(&home, &agent, Path::new("/dev/null"), Some(&what));
        let came = self.make(seed, &home, before, &what);
        if came == Came::Death {
            let killed = within(PATIENCE, || (!agent.is_alive()).then_some(()));
            assert!(killed.is_some(), "{what}: it hung up, and lives: {}", home.log());
        }
        agent.kill();
        drop(tracer);
        self.check_after(seed, &home, before, came, &what);
        came
    }

    /// The change in an agent that may die of it, and goes on serving if it does not.
    fn make(&self, seed: &Seed, home: &Home, before: &Access, what: &str) -> Came {
        let mut wire = home.wire();
        let came = match wire.try_ask(&(self.request)()) {
            Ok(Reply::Done) => Came::Nothing,
            Ok(Reply::Refused(refusal)) => {
                let errno = match refusal {
                    Refusal::NotWritten { errno }
                    | Refusal::Vault { fault: VaultFault::Unreadable(errno), .. } => errno,
                    other => panic!("{what}: {other:?}"),
                };
                let injected = [nix::libc::EIO, nix::libc::ENOSPC];
                assert!(injected.contains(&errno), "{what}: {errno}");
                Came::Refusal
            }
            Ok(other) => panic!("{what}: {}", describe(&other)),
            Err(_) => return Came::Death,
        };
        let now = self.opened(seed, &mut wire, what);
        let is_as_before = now.readers == before.readers;
        assert!(came == Came::Nothing || is_as_before, "{what}: it was refused");
        came
    }

    fn calls(&self, seed: &Seed) -> Vec<Call> {
        let (home, mut agent) = self.open(seed);
        let trace = home.root().join("trace");
        let tracer = Tracer::attach(&home, &agent, &trace, None);
        done(home.wire().ask(&(self.request)()));
        agent.kill();
        drop(tracer);
        inject::calls(&trace, self.makes)
    }

    /// Sweeps over the calls that change a file. Each of them is the last of some agent.
    fn is_old_or_new(&self, first: Option<Request>, outcomes: &[&str]) {
        let (seed, readers) = seed(self.old, first);
        let before = Access { opens: self.old, readers };
        let calls = self.calls(&seed);
        let changing: Vec<_> = calls.iter().filter(|call| call.changes).collect();
        for expected in ["openat", "write", "fsync", "rename"] {
            assert!(changing.iter().any(|call| call.name == expected), "no {expected}: {calls:?}");
        }
        let run = |call: &Call, outcome: &str| self.inject(&seed, &before, call, outcome);
        let came = inject::each(changing.iter().copied(), outcomes, run);
        let count = |of| came.get(&of).copied().unwrap_or(0);
        assert_eq!(count(Came::Death), changing.len(), "{came:?} of {changing:?}");
        assert!(count(Came::Refusal) > 0 || outcomes.len() == 1, "{came:?} of {changing:?}");
    }
}

#[test]
fn needs_root_needs_strace_t63_a_rekeying_that_fails_at_any_call_loses_nothing() {
    let request = || Request::Rekey { key: Key::Stored };
    Change { makes: "identity.age.next.tmp", old: None, new: None, request }
        .is_old_or_new(None, &OUTCOMES);
}

#[test]
fn needs_root_needs_strace_t63_a_recipient_that_comes_or_fails_to_loses_nothing() {
    let request = || Request::AddRecipient { recipient: OTHER.to_owned() };
    Change { makes: "vault.age.tmp", old: None, new: None, request }.is_old_or_new(None, &OUTCOMES);
}

#[test]
fn needs_root_needs_strace_t63_a_recipient_that_goes_or_fails_to_loses_nothing() {
    let first = Request::AddRecipient { recipient: OTHER.to_owned() };
    let request = || Request::RemoveRecipient { recipient: OTHER.to_owned() };
    Change { makes: "vault.age.tmp", old: None, new: None, request }
        .is_old_or_new(Some(first), &OUTCOMES);
}

#[test]
fn needs_root_needs_strace_t63_a_first_passphrase_that_fails_at_any_call_loses_nothing() {
    let request = || reseal(None, Some(FIRST));
    let outcomes = &OUTCOMES[..rounds(2, OUTCOMES.len())];
    Change { makes: "identity.age.tmp", old: None, new: Some(FIRST), request }
        .is_old_or_new(None, outcomes);
}

/// Each costs many seconds of scrypt, so that a few are enough for every run.
#[test]
fn needs_root_needs_strace_t63_another_passphrase_that_fails_at_any_call_loses_nothing() {
    let request = || reseal(Some(FIRST), Some(SECOND));
    let outcomes = &OUTCOMES[..rounds(1, OUTCOMES.len())];
    Change { makes: "identity.age.tmp", old: Some(FIRST), new: Some(SECOND), request }
        .is_old_or_new(None, outcomes);
}

/// The client says why, and the vault is as it was.
#[test]
fn needs_root_t66_on_a_full_disk_no_key_changes() {
    let home = Home::new();
    let data = home.make_directory("data/keyagent");
    let disk = Mounted::tmpfs(&data, "size=64k,mode=700");
    let mut agent = home.agent();
    home.wire().init(None);
    home.wire().put("keys/old", home.canary().as_bytes());
    let before = readers(&mut home.wire());
    let filler = data.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("the disk is full");
    let passphrase = home.write("passphrase", FIRST);
    let passphrase = format!("keyagent passphrase --new-passphrase-fd 3 3<'{passphrase:?}'");
    for change in [
        "keyagent rekey",
        &format!("keyagent recipients add {OTHER}"),
        &passphrase.replace('"', ""),
    ] {
        let refused = home.command("sh").args(["-c", change]).run().fails(1);
        refused.complains("cannot write the vault: no space left on device; it is as it was");
        assert_eq!(readers(&mut home.wire()), before, "{change}");
        assert_eq!(home.wire().get("keys/old"), Ok(home.canary().as_bytes().to_vec()), "{change}");
        no_temporary_file(&home, change);
    }
    fs::remove_file(filler).expect("it is ours");
    agent.terminate();
    let mut agent = home.agent();
    assert_eq!(home.wire().get("keys/old"), Ok(home.canary().as_bytes().to_vec()));
    home.keyagent(["rekey"]).run().code(0);
    agent.terminate();
    drop(disk);
}
