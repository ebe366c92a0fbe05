//! Many writers at once: nothing is lost, a batch is one write, and what was only staged is
//! forgotten with its connection.

use keyagent_tests::wire::{done, refused, value};
use keyagent_tests::{Home, Wire, eventually, rounds};
use keyagent_wire::reply::{Outcome, VaultState};
use keyagent_wire::request::{Key, Unlock};
use keyagent_wire::{Limit, Refusal, Request};
use std::collections::BTreeSet;
use std::thread;

const WRITERS: usize = 8;
/// How many values each of them writes: in every run, and when all is asked for.
const PUTS: (usize, usize) = (50, 200);

fn generation(wire: &mut Wire) -> u64 {
    match wire.status().vault {
        VaultState::Open { generation, .. } => generation,
        other => panic!("the vault is open, not {other:?}"),
    }
}

#[test]
fn t67_of_writers_at_once_none_loses_anything() {
    let (home, mut agent) = Home::with_vault();
    let name = |writer, number| format!("writers/{writer}-{number:02}");
    let puts = rounds(PUTS.0, PUTS.1);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let home = &home;
            scope.spawn(move || {
                let mut wire = home.wire();
                for number in 0..puts {
                    let name = name(writer, number);
                    let written = wire.put(&name, format!("{}-{name}", home.canary()).as_bytes());
                    assert_eq!(written[0].outcome, Outcome::Created, "{name}");
                }
            });
        }
    });
    assert_eq!(generation(&mut home.wire()), 1 + (WRITERS * puts) as u64);
    // What counts is what is on disk.
    agent.kill();
    let _agent = home.agent();
    let mut wire = home.wire();
    let expected: BTreeSet<_> =
        (0..WRITERS).flat_map(|w| (0..puts).map(move |n| name(w, n))).collect();
    assert_eq!(wire.names().into_iter().collect::<BTreeSet<_>>(), expected);
    for name in expected {
        let value = format!("{}-{name}", home.canary());
        assert_eq!(wire.get(&name), Ok(value.into_bytes()), "{name}");
    }
}

/// Two agents of one vault, each with writers of its own, take turns by the vault's lock: what
/// one has written is the other's ground.
#[test]
fn t67_of_writers_at_two_agents_none_loses_anything() {
    let (home, mut agent) = Home::with_vault();
    let second = home.make_directory("run/second").join("agent.sock");
    home.keyagent(["list"]).env("KEYAGENT_SOCK", &second).run().code(0);
    let name = |writer, number| format!("writers/{writer}-{number:02}");
    let puts = rounds(PUTS.0, PUTS.1) / 2;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let socket = if writer % 2 == 0 { home.socket() } else { second.clone() };
            let home = &home;
            scope.spawn(move || {
                let mut wire = Wire::try_connect(&socket).expect("both agents listen");
                for number in 0..puts {
                    let name = name(writer, number);
                    wire.put(&name, format!("{}-{name}", home.canary()).as_bytes());
                }
            });
        }
    });
    let expected: BTreeSet<_> =
        (0..WRITERS).flat_map(|w| (0..puts).map(move |n| name(w, n))).collect();
    let stop = ["stop"];
    home.keyagent(stop).env("KEYAGENT_SOCK", &second).run().code(0);
    agent.kill();
    let _agent = home.agent();
    let mut wire = home.wire();
    assert_eq!(wire.names().into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(generation(&mut wire), 1 + (WRITERS * puts) as u64);
    for name in expected {
        let value = format!("{}-{name}", home.canary());
        assert_eq!(wire.get(&name), Ok(value.into_bytes()), "{name}");
    }
}

#[test]
fn a_batch_is_one_write() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    for number in 0..100 {
        done(wire.stage(&format!("writers/{number:03}"), home.canary().as_bytes()));
    }
    assert_eq!(wire.names(), Vec::<String>::new(), "nothing is there before the commit");
    assert_eq!(generation(&mut wire), 1);
    assert_eq!(wire.commit().map(|written| written.len()), Ok(100));
    assert_eq!(wire.names().len(), 100);
    assert_eq!(generation(&mut wire), 2);
    assert_eq!(wire.commit(), Err(Refusal::Malformed), "there is nothing left to commit");
    assert_eq!(generation(&mut wire), 2, "and nothing is written");
}

#[test]
fn what_was_staged_is_forgotten_with_its_connection() {
    let (home, _agent) = Home::with_vault();
    let large = [b'x'; 64 * 1024];
    let mut greedy = home.wire();
    let mut staged = 0;
    let refusal = loop {
        match greedy.stage(&format!("writers/{staged}"), &large) {
            keyagent_wire::Reply::Done => staged += 1,
            other => break refused(other),
        }
        assert!(staged < 1_000, "there is a limit");
    };
    assert_eq!(refusal, Refusal::TooLarge(Limit::Staged));
    assert!(staged >= 64, "an import of 4 MiB has room: {staged}");
    let mut modest = home.wire();
    let refusal = refused(modest.stage("writers/modest", &large));
    assert_eq!(refusal, Refusal::TooLarge(Limit::Staged), "the limit is for all together");
    drop(greedy);
    eventually("there is room again", || {
        let reply = modest.stage("writers/modest", &large);
        matches!(reply, keyagent_wire::Reply::Done).then_some(())
    });
    assert!(modest.commit().is_ok());
    assert_eq!(modest.names(), ["writers/modest"]);
}

#[test]
fn a_lock_between_staging_and_commit_refuses_the_commit() {
    let (home, _agent) = Home::with_vault();
    let mut writer = home.wire();
    done(writer.stage("writers/staged", home.canary().as_bytes()));
    done(home.wire().ask(&Request::Lock));
    assert_eq!(writer.commit(), Err(Refusal::Locked));
    assert_eq!(refused(writer.stage("writers/more", b"more")), Refusal::Locked);
    drop(writer);
    let key = Key::Passphrase(value("not needed"));
    let unlock = Unlock { key, accept_rollback: false, seconds: None };
    let mut wire = home.wire();
    done(wire.ask(&Request::Unlock(unlock)));
    assert_eq!(wire.names(), Vec::<String>::new());
    assert_eq!(generation(&mut wire), 1);
}
