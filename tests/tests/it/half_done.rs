//! What a lock or a crash has cut off is told, or finished as it was wanted; never by half.

use keyagent_tests::Home;
use keyagent_tests::wire::{done, refused, value};
use keyagent_wire::request::{Init, Key, Reseal, Seal};
use keyagent_wire::{Refusal, Request};
use std::fs;

const PASSPHRASE: &str = "a passphrase of these tests";

/// A home in which an `init` was cut off behind its identity, which nothing seals.
fn with_identity_left() -> Home {
    let (home, mut agent) = Home::with_vault();
    agent.terminate();
    remove_vault(&home);
    home.add_canary(PASSPHRASE.as_bytes());
    home
}

fn remove_vault(home: &Home) {
    fs::remove_file(home.vault()).expect("it is ours");
    for number in 1..=5 {
        let _ = fs::remove_file(home.data().join(format!("vault.age.{number}")));
    }
}

fn init(home: &Home, seal: Seal) {
    done(home.wire().ask(&Request::Init(Init { seal, recipients: Vec::new() })));
}

#[test]
fn an_identity_that_is_left_open_is_sealed_by_the_passphrase_of_the_next_init() {
    let home = with_identity_left();
    let left = fs::read(home.data().join("identity.age")).expect("it is there");
    assert!(!left.starts_with(b"age-encryption.org"), "nothing seals it");
    home.agent();
    init(&home, Seal::Passphrase(value(PASSPHRASE)));
    let sealed = fs::read(home.data().join("identity.age")).expect("it is there");
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    let mut wire = home.wire();
    done(wire.ask(&Request::Lock));
    assert_eq!(refused(wire.unlock(None)), Refusal::NeedsPassphrase);
    done(wire.unlock(Some(PASSPHRASE)));
}

#[test]
fn one_that_is_left_sealed_opens_by_its_passphrase_and_stays_as_it_is() {
    let home = with_identity_left();
    home.agent();
    let mut wire = home.wire();
    init(&home, Seal::Nothing);
    let seal = Seal::Passphrase(value(PASSPHRASE));
    done(wire.ask(&Request::Reseal(Reseal { key: Key::Stored, seal })));
    let sealed = fs::read(home.data().join("identity.age")).expect("it is there");
    done(wire.ask(&Request::Lock));
    remove_vault(&home);
    let other = Init { seal: Seal::Passphrase(value("another one")), recipients: Vec::new() };
    assert_eq!(refused(wire.ask(&Request::Init(other))), Refusal::WrongPassphrase);
    init(&home, Seal::Passphrase(value(PASSPHRASE)));
    assert_eq!(fs::read(home.data().join("identity.age")).expect("it is there"), sealed);
}

#[test]
fn what_a_lock_has_taken_half_of_is_not_committed() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    done(wire.stage("half/FIRST", b"first"));
    done(wire.ask(&Request::Lock));
    done(home.wire().unlock(None));
    assert_eq!(refused(wire.stage("half/SECOND", b"second")), Refusal::Locked);
    assert_eq!(wire.commit(), Err(Refusal::Malformed), "nothing is staged");
    assert_eq!(wire.names(), [""; 0]);
    // What was told is over.
    wire.put("half/FIRST", b"first");
    done(wire.stage("half/THIRD", b"third"));
    done(home.wire().ask(&Request::Lock));
    done(home.wire().unlock(None));
    assert_eq!(wire.commit(), Err(Refusal::Locked));
    assert_eq!(wire.names(), ["half/FIRST"]);
}
