//! Leases, by a clock of their own.

use super::*;
use crate::grant::{Directory, Grant};
use crate::vault::change::{Change, Put, Staged};
use crate::vault::sealed::{Kind, Opening, Sealed};
use keyagent_wire::Value;
use keyagent_wire::request::Clash;

fn name(text: &str) -> SecretName {
    SecretName::new(text).expect("a name")
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn session(sid: i32) -> TerminalSession {
    TerminalSession::new(sid, 7, 34817)
}

fn directory() -> Directory {
    Directory { device: 1, inode: 2, path: b"/p".to_vec() }
}

fn project(hash: u8) -> Holder {
    Holder::Project(directory(), [hash; 32])
}

fn wanted(holder: Holder, secret: &str, confirm: Confirm) -> Vec<Wanted> {
    vec![Wanted { holder, secret: name(secret), confirm }]
}

fn leased() -> Leases {
    let mut leases = Leases::default();
    leases.give(&wanted(project(1), "a", Confirm::Session), session(5), at(100));
    leases
}

fn put(vault: &Vault, secret: &str, confirm: Confirm) -> Vault {
    Opening::begin();
    let value = Value::new(b"x").expect("a value");
    let put = Put {
        name: name(secret),
        value: Sealed::of(&value, Kind::Version).expect("there is a data key"),
        clash: Clash::NewVersion,
        exec_only: None,
        confirm: Some(confirm),
        note: None,
    };
    apply(vault, Change::Put(vec![Staged::Put(put)]))
}

fn apply(vault: &Vault, change: Change) -> Vault {
    let (next, _) = change.apply(vault, 0).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    next.expect("it changes something")
}

fn vault() -> Vault {
    let vault = put(&Vault::new(String::new(), Vec::new()), "a", Confirm::Session);
    let grant = Grant {
        directory: directory(),
        manifest: [1; 32],
        secrets: [name("a")].into(),
        channels: [].into(),
        created: 0,
    };
    apply(&vault, Change::Allow(grant))
}

#[test]
fn a_lease_is_for_one_holder_one_secret_and_one_session() {
    let mut leases = leased();
    let now = at(101);
    assert!(leases.hold(&project(1), &name("a"), session(5), now));
    assert!(!leases.hold(&project(2), &name("a"), session(5), now), "a changed manifest");
    assert!(!leases.hold(&Holder::Own, &name("a"), session(5), now), "another's word");
    assert!(!leases.hold(&project(1), &name("b"), session(5), now), "another secret");
    assert!(!leases.hold(&project(1), &name("a"), session(6), now), "another session");
    let (other_leader, other_tty) =
        (TerminalSession::new(5, 8, 34817), TerminalSession::new(5, 7, 34818));
    assert!(!leases.hold(&project(1), &name("a"), other_leader, now), "its number, used again");
    assert!(!leases.hold(&project(1), &name("a"), other_tty, now), "another terminal");
}

#[test]
fn a_lease_slides_and_has_an_end() {
    let hold =
        |leases: &mut Leases, second| leases.hold(&project(1), &name("a"), session(5), at(second));
    assert!(hold(&mut leased(), 100 + LEASE_IDLE_SECONDS_MAX - 1));
    assert!(!hold(&mut leased(), 100 + LEASE_IDLE_SECONDS_MAX));
    let mut leases = leased();
    let end = 100 + LEASE_HARD_SECONDS_MAX;
    for second in (100..end).step_by(500) {
        assert!(hold(&mut leases, second), "it slides: {second}");
    }
    assert!(hold(&mut leases, end - 1));
    assert!(!hold(&mut leases, end), "it was used a second ago, and yet");
}

#[test]
fn what_is_asked_each_time_leaves_no_lease() {
    let mut leases = Leases::default();
    leases.give(&wanted(Holder::Own, "a", Confirm::Always), session(5), at(1));
    assert!(!leases.hold(&Holder::Own, &name("a"), session(5), at(1)));
}

#[test]
fn a_lease_ends_with_its_ground() {
    let holds = |vault: &Vault| {
        let mut leases = leased();
        leases.settle(vault);
        leases.hold(&project(1), &name("a"), session(5), at(101))
    };
    assert!(holds(&vault()));
    assert!(!holds(&apply(&vault(), Change::Deny(directory()))), "denied");
    assert!(!holds(&apply(&vault(), Change::Remove(vec![name("a")]))), "removed");
    assert!(!holds(&apply(&vault(), Change::Move(name("a"), name("b")))), "renamed");
    assert!(!holds(&put(&vault(), "a", Confirm::Always)), "asked about more often");
    assert!(!holds(&put(&vault(), "a", Confirm::None)), "asked about no more");
    let mut leases = leased();
    leases.clear();
    assert!(!leases.hold(&project(1), &name("a"), session(5), at(101)), "locked");
}

#[test]
fn there_are_only_so_many_and_the_oldest_goes() {
    let mut leases = leased();
    for sid in 0..LEASES_MAX as i32 {
        leases.give(&wanted(Holder::Own, "b", Confirm::Session), session(sid), at(200));
    }
    assert_eq!(leases.0.len(), LEASES_MAX);
    assert!(!leases.hold(&project(1), &name("a"), session(5), at(200)));
    leases.give(&wanted(Holder::Own, "b", Confirm::Session), session(1), at(9000));
    assert_eq!(leases.0.len(), 1, "what is over takes no room");
}
