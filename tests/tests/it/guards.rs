//! What opens a way to a value is on record, and whoever is asked is asked for what it is.

use crate::stub::{self, Stub};
use keyagent_tests::wire::{done, refused, secret, value};
use keyagent_tests::{Home, Wire, eventually};
use keyagent_wire::event::{Deed, Event, What};
use keyagent_wire::reply::Outcome;
use keyagent_wire::request::{Ask, Asked, Audit, Clash, Key, Put, Reseal, Screen, Seal, Unlock};
use keyagent_wire::{Confirm, Refusal, Reply, Request};
use std::fs;

const PASSPHRASE: &str = "a passphrase of these tests";

fn last(wire: &mut Wire) -> Event {
    match wire.ask(&Request::Audit(Audit { before: None, secret: None, count: 9 })) {
        Reply::Events { events, .. } => {
            let mut events = events.into_iter().filter(|event| event.what != What::Assistant);
            events.next_back().expect("something has happened")
        }
        other => panic!("not {}", keyagent_tests::describe(&other)),
    }
}

fn confirm(wire: &mut Wire, name: &str, bytes: &[u8], confirm: Confirm) -> Outcome {
    let value = keyagent_wire::Value::new(bytes).expect("a value");
    let (name, clash) = (secret(name), Clash::NewVersion);
    let put = Put { name, value, clash, exec_only: None, confirm: Some(confirm), note: None };
    done(wire.ask(&Request::Put(put)));
    wire.commit().expect("it is written")[0].outcome
}

#[test]
fn a_guard_that_is_lowered_is_on_record_though_the_value_stays() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    assert_eq!(confirm(&mut wire, "guard/KEY", b"value", Confirm::Always), Outcome::Created);
    assert_eq!(confirm(&mut wire, "guard/KEY", b"value", Confirm::None), Outcome::Altered);
    let event = last(&mut wire);
    assert_eq!(event.what, What::Changed(Deed::Set));
    assert_eq!(event.secrets, [(secret("guard/KEY"), None)]);
    assert_eq!(confirm(&mut wire, "guard/KEY", b"value", Confirm::None), Outcome::Same);
    assert_eq!(last(&mut wire).seq, event.seq, "nothing has changed");
    let set = home.keyagent(["set", "guard/KEY", "--confirm", "session"]).stdin("value");
    set.run().code(0).complains("keeps its value");
}

#[test]
fn a_rollback_that_is_taken_over_an_open_vault_is_on_record() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("guard/OLD", b"old");
    let older = fs::read(home.vault()).expect("it is there");
    wire.put("guard/NEW", b"new");
    fs::write(home.vault(), older).expect("it is ours");
    eventually("it is noticed", || wire.status().stale);
    let unlock = Unlock { key: Key::Stored, accept_rollback: true, seconds: None };
    done(wire.ask(&Request::Unlock(unlock)));
    let event = last(&mut wire);
    assert_eq!(event.what, What::Reloaded);
    assert!(event.by.is_some(), "and so is who took it");
    assert_eq!(wire.names(), ["guard/OLD"]);
}

#[test]
fn what_is_named_by_hand_is_on_record_where_the_manifest_is_refused() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("guard/KEY", b"value");
    home.wire().put("guard/EXTRA", b"value");
    home.write("keyagent.toml", "[env]\nA_KEY = \"guard/KEY\"\n");
    let line = ["exec", "--env", "EXTRA=guard/EXTRA", "--", "true"];
    home.keyagent(line).run().fails(3).complains("not allowed");
    let names: Vec<_> = last(&mut home.wire()).secrets.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [secret("guard/KEY"), secret("guard/EXTRA")]);
}

/// A home whose agent asks by the stub.
fn asking(answer: &str) -> (Home, keyagent_tests::Agent, Stub) {
    let home = Home::new();
    let stub = Stub::new(&home);
    stub.answers(answer);
    stub::configure(&home, &stub.program(), "600s");
    let agent = home.agent();
    home.wire().init(None);
    (home, agent, stub)
}

fn by_pinentry() -> Key {
    Key::Pinentry(Screen::default())
}

#[test]
fn a_dialog_says_what_the_passphrase_is_for_and_is_not_shown_for_ever() {
    let (home, _agent, stub) = asking("yes");
    home.add_canary(PASSPHRASE.as_bytes());
    stub.knows(&home, PASSPHRASE);
    let mut wire = home.wire();
    let seal = || Seal::Passphrase(value(PASSPHRASE));
    done(wire.ask(&Request::Reseal(Reseal { key: Key::Stored, seal: seal() })));
    done(wire.ask(&Request::Lock));
    stub.go();
    let reseal = || Request::Reseal(Reseal { key: by_pinentry(), seal: seal() });
    done(wire.ask(&reseal()));
    assert!(stub.shown().contains("to change what opens it"), "{}", stub.shown());
    let unlock = || Unlock { key: by_pinentry(), accept_rollback: false, seconds: None };
    done(wire.ask(&Request::Unlock(unlock())));
    assert!(stub.shown().contains("to open it"), "{}", stub.shown());
    done(wire.ask(&Request::Lock));
    // No is no here, too.
    stub.cancels();
    for _ in 0..3 {
        assert_eq!(refused(wire.ask(&Request::Unlock(unlock()))), Refusal::Denied);
    }
    let dialogs = stub.dialogs().len();
    assert!(matches!(refused(wire.ask(&Request::Unlock(unlock()))), Refusal::Muted(_)));
    assert_eq!(stub.dialogs().len(), dialogs);
    // Typed at a terminal, it opens all the same.
    done(wire.unlock(Some(PASSPHRASE)));
}

#[test]
fn an_answer_stays_for_what_it_was_asked_for_when_it_is_asked_again() {
    let (home, _agent, stub) = asking("yes");
    let mut wire = home.wire();
    confirm(&mut wire, "guard/KEY", home.canary().as_bytes(), Confirm::Always);
    let about = || Asked::One { name: secret("guard/KEY"), version: None };
    let ask = || Request::Ask(Ask { about: about(), screen: Screen::default() });
    done(wire.ask(&ask()));
    done(wire.ask(&ask()));
    assert_eq!(stub.dialogs().len(), 1);
    assert_eq!(wire.get("guard/KEY"), Ok(home.canary().as_bytes().to_vec()));
    assert!(wire.get("guard/KEY").is_err(), "and for nothing else");
}
