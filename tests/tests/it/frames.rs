//! Hostile frames: none harms the agent, and each gets the answer that it deserves.

use crate::burden::Burden;
use crate::samples;
use keyagent_tests::wire::{refused, secret};
use keyagent_tests::{Home, Random, Wire, describe, eventually};
use keyagent_wire::frame::{HEADER_BYTES, Header, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, VERSION};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Channel, Resolve};
use keyagent_wire::{Limit, Refusal, Reply, Request, codec, frame};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

/// How much address space an agent may have that is lied to, in bytes.
const ADDRESS_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// How often every length is sent, and by how much the agent may grow meanwhile.
const LENGTH_ROUNDS: usize = 20;
const LENGTHS_KIB_MAX: u64 = 1024;

/// A frame of that length, as its first four bytes say it, with a body of zeroes.
fn of_length(length: u32, body_bytes: usize) -> Vec<u8> {
    [&length.to_le_bytes()[..], &VERSION.to_le_bytes(), &vec![0; body_bytes]].concat()
}

fn framed(version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = frame::seal(body).to_vec();
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    bytes
}

fn answer(wire: &mut Wire, bytes: &[u8]) -> Reply {
    wire.send_bytes(bytes).expect("the agent takes them");
    wire.try_reply().expect("the agent answers")
}

#[test]
fn t16_every_length_edge_has_its_answer() {
    let (home, agent) = Home::with_vault();
    every_length_edge(&home);
    let burden = Burden::of(&agent);
    for _ in 0..LENGTH_ROUNDS {
        every_length_edge(&home);
    }
    burden.is_back(&home, &agent);
    burden.has_grown_by_at_most(&agent, LENGTHS_KIB_MAX);
}

fn every_length_edge(home: &Home) {
    let max = REQUEST_BYTES_MAX as u32 + 2;
    let too_large = || Refusal::TooLarge(Limit::Request);
    for (length, body_bytes, refusal, goes_on) in [
        (0, 0, Refusal::Malformed, false),
        (1, 0, Refusal::Malformed, false),
        (2, 0, Refusal::Malformed, true),
        (4, 2, Refusal::Malformed, true),
        (max, REQUEST_BYTES_MAX, Refusal::Malformed, true),
        (max + 1, 0, too_large(), false),
        (u32::MAX, 64, too_large(), false),
    ] {
        let mut wire = home.wire();
        let found = refused(answer(&mut wire, &of_length(length, body_bytes)));
        assert_eq!(found, refusal, "length {length}");
        if goes_on {
            wire.status();
        } else {
            assert_eq!(wire.rest().expect("it ends"), b"", "length {length} ends the connection");
        }
    }
}

#[test]
fn t17_a_message_cut_at_any_byte_does_nothing() {
    let (home, agent) = Home::with_vault();
    home.wire().put("frames/canary", home.canary().as_bytes());
    let burden = Burden::of(&agent);
    let before = home.wire().status();
    for request in samples::requests() {
        let bytes = Wire::frame(&request);
        for cut in 0..bytes.len() {
            let mut wire = home.wire();
            wire.send_bytes(&bytes[..cut]).expect("the agent takes them");
            wire.socket().shutdown(Shutdown::Write).expect("the socket is open");
            let name = samples::request_name(&request);
            assert_eq!(wire.rest().expect("it ends"), b"", "{name} cut at {cut} has no answer");
        }
    }
    assert_eq!(home.wire().status(), before, "no half of a request has done anything");
    assert_eq!(home.wire().get("frames/canary"), Ok(home.canary().as_bytes().to_vec()));
    burden.is_back(&home, &agent);
}

#[test]
fn t17_a_message_one_byte_at_a_time_is_the_same_message() {
    let (home, agent) = Home::with_vault();
    home.wire().put("sample/KEY", home.canary().as_bytes());
    let burden = Burden::of(&agent);
    for request in samples::requests() {
        // These two end the test, and Init takes a second of scrypt before it refuses.
        if matches!(request, Request::Stop | Request::Lock | Request::Init(_)) {
            continue;
        }
        let mut slowly = home.wire();
        for byte in Wire::frame(&request) {
            slowly.send_bytes(&[byte]).expect("the agent takes a byte");
        }
        let slow = describe(&slowly.try_reply().expect("the agent answers"));
        // What changes something is not done twice.
        if !matches!(request, Request::Remove { .. } | Request::Move { .. }) {
            assert_eq!(slow, describe(&home.wire().ask(&request)));
        }
    }
    burden.is_back(&home, &agent);
}

#[test]
fn what_is_no_request_is_refused_and_the_next_is_answered() {
    let (home, agent) = Home::with_vault();
    let burden = Burden::of(&agent);
    let get = Request::Get { name: secret("sample/KEY"), version: None };
    let get = codec::encode_request(&get).expect("it is small");
    let trailing = [&get[..], &[0]].concat();
    let version =
        || Refusal::Version { protocol: VERSION, release: env!("CARGO_PKG_VERSION").into() };
    let mut wire = home.wire();
    for (bytes, refusal) in [
        (framed(VERSION, &trailing), Refusal::Malformed),
        (framed(VERSION, &[30]), Refusal::UnknownOp),
        (framed(VERSION, &[250]), Refusal::UnknownOp),
        (framed(VERSION, &[251, 0xff, 0xff]), Refusal::UnknownOp),
        (framed(VERSION, &[255]), Refusal::Malformed),
        (framed(0, &get), version()),
        (framed(1, &get), version()),
        (framed(u16::MAX, &[200]), version()),
    ] {
        assert_eq!(refused(answer(&mut wire, &bytes)), refusal, "{bytes:?}");
    }
    for version in [0, 1, VERSION, u16::MAX] {
        let reply = answer(&mut wire, &framed(version, &[0]));
        assert!(matches!(reply, Reply::Status(_)), "version {version} has its status");
    }
    drop(wire);
    burden.is_back(&home, &agent);
}

#[test]
fn t14_a_wrong_number_of_descriptors_is_refused() {
    let (home, agent) = Home::with_vault();
    let burden = Burden::of(&agent);
    let resolve = || {
        Request::Resolve(Resolve {
            channel: Channel::Exec,
            profile: None,
            only: Vec::new(),
            extra: Vec::new(),
        })
    };
    let bind = || samples::requests().remove(13);
    let directory = File::open(home.work()).expect("it is a directory");
    for (request, counts) in [
        (resolve(), &[1, 3, 4, 5][..]),
        (Request::Review, &[0, 1, 3, 253]),
        (Request::Allow { manifest: [0; 32] }, &[0, 1, 3]),
        (Request::Deny, &[0, 2, 3]),
        (bind(), &[1, 3]),
        (Request::Status, &[3, 253]),
    ] {
        for count in counts {
            let fds: Vec<BorrowedFd<'_>> = vec![directory.as_fd(); *count];
            let mut wire = home.wire();
            let refusal = refused(wire.ask_with(&request, &fds));
            let name = samples::request_name(&request);
            assert_eq!(refusal, Refusal::Malformed, "{name} with {count} descriptors");
        }
    }
    burden.is_back(&home, &agent);
}

/// The body of a request that changes what the agent is, cut, stretched and flipped.
#[test]
fn t24_malformed_locks_and_unlocks_end_nothing() {
    let (home, agent) = Home::with_vault();
    let burden = Burden::of(&agent);
    let mut count = 0;
    for request in samples::requests() {
        use Request::{Commit, Init, Lock, Stop, Unlock};
        if !matches!(request, Init(_) | Unlock(_) | Lock | Stop | Commit) {
            continue;
        }
        let body = codec::encode_request(&request).expect("it is small");
        let cut = (0..body.len()).map(|at| body[..at].to_vec());
        let stretched = (0..=255).map(|byte| [&body[..], &[byte]].concat());
        let flipped = (1..body.len()).flat_map(|at| {
            (0..8).map({
                let body = &body;
                move |bit| {
                    let mut flipped = body.to_vec();
                    flipped[at] ^= 1 << bit;
                    flipped
                }
            })
        });
        let mut wire = home.wire();
        for bytes in cut.chain(stretched).chain(flipped) {
            if codec::decode_request(&bytes).is_ok() {
                continue;
            }
            let refusal = refused(answer(&mut wire, &framed(frame::VERSION, &bytes)));
            let expected = [Refusal::Malformed, Refusal::UnknownOp];
            assert!(expected.contains(&refusal), "{bytes:?}: {refusal:?}");
            count += 1;
        }
    }
    assert!(count > 1_000, "{count}");
    assert!(matches!(home.wire().status().vault, VaultState::Open { .. }));
    burden.is_back(&home, &agent);
}

/// An agent that kept but one of each lot would run out of descriptors.
#[test]
fn t14_descriptors_that_nobody_asked_for_are_closed() {
    let (home, agent) = Home::with_vault();
    let burden = Burden::of(&agent);
    let null = File::open("/dev/null").expect("it is there");
    let status = Wire::frame(&Request::Status);
    for round in 0..1100 {
        let count = [1, 2, 4, 253][round % 4];
        let mut wire = home.wire();
        // Half of them never become a frame.
        let bytes = if round % 8 < 4 { &status[..] } else { &status[..3] };
        wire.send_bytes_with(bytes, &vec![null.as_fd(); count]).expect("the agent takes them");
        wire.socket().shutdown(Shutdown::Write).expect("the socket is open");
        wire.rest().expect("it ends");
    }
    burden.is_back(&home, &agent);
}

#[test]
fn t18_ten_thousand_mutated_frames_harm_nothing() {
    let (home, agent) = Home::with_vault();
    home.wire().put("frames/canary", home.canary().as_bytes());
    let before = home.wire().status();
    let frames: Vec<_> = samples::requests().iter().map(Wire::frame).collect();
    let burden = Burden::of(&agent);
    let mut random = Random::new();
    let seed = random.seed();
    let mut sent = 0;
    while sent < 10_000 {
        let bytes = mutated(&frames, &mut random);
        if !is_harmless(&bytes) {
            continue;
        }
        let mut wire = home.wire();
        // It may hang up before it has read all of them.
        let _ = wire.send_bytes(&bytes);
        let _ = wire.socket().shutdown(Shutdown::Write);
        let said = wire.rest().unwrap_or_else(|e| panic!("KEYAGENT_SEED={seed} {bytes:?}: {e}"));
        let mut said = said.as_slice();
        while !said.is_empty() {
            let (_, body) = frame::read(&mut said, REPLY_BYTES_MAX)
                .unwrap_or_else(|e| panic!("KEYAGENT_SEED={seed} {bytes:?}: half a reply: {e}"));
            let reply = codec::decode_reply(&body);
            assert!(reply.is_ok(), "KEYAGENT_SEED={seed} {bytes:?}: no reply");
        }
        sent += 1;
    }
    assert_eq!(home.wire().status(), before, "KEYAGENT_SEED={seed}");
    assert_eq!(home.wire().get("frames/canary"), Ok(home.canary().as_bytes().to_vec()));
    burden.is_back(&home, &agent);
}

fn mutated(frames: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = frames[random.below(frames.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1)).min(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0xff, 251, 252][random.below(6)],
            2 => bytes.insert(at, random.below(256) as u8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => bytes.extend_from_slice(&frames[random.below(frames.len())]),
        }
    }
    bytes
}

/// Each place of each request says that what follows is 2^31 long, or as long as a number can
/// say. An agent that believed it would ask for more memory than it may have, and end.
#[test]
fn needs_prlimit_t25_lengths_that_lie_are_refused_before_memory_is_asked_for() {
    let (home, agent) = Home::with_vault();
    home.wire().put("frames/canary", home.canary().as_bytes());
    let (pid, limit) = (agent.pid().to_string(), format!("--as={ADDRESS_BYTES_MAX}"));
    home.command("prlimit").args(["--pid", &pid, &limit]).run().quietly();
    let burden = Burden::of(&agent);
    let before = home.wire().status();
    let lies: [&[u8]; 3] = [&[252, 0, 0, 0, 0x80], &[253, 0, 0, 0, 0x80, 0, 0, 0, 0], &[253; 9]];
    let mut sent = 0;
    for request in samples::requests() {
        let body = codec::encode_request(&request).expect("a sample fits");
        for (at, lie) in (1..=body.len()).flat_map(|at| lies.map(|lie| (at, lie))) {
            let behind = vec![b'a'; if sent % 7 == 0 { REQUEST_BYTES_MAX - 9 - at } else { 0 }];
            let lying = [&body[..at], lie, &behind].concat();
            // Where any bytes may stand it is no lie.
            if codec::decode_request(&lying).is_err() {
                refused(answer(&mut home.wire(), &framed(VERSION, &lying)));
                sent += 1;
            }
        }
    }
    assert!(sent > 500, "there are enough places: {sent}");
    assert_eq!(home.wire().status(), before);
    assert_eq!(home.wire().get("frames/canary"), Ok(home.canary().as_bytes().to_vec()));
    burden.is_back(&home, &agent);
}

/// No Stop, Lock, Commit, key derivation or new seal: these are obeyed, however they came about.
fn is_harmless(mut bytes: &[u8]) -> bool {
    while bytes.len() >= HEADER_BYTES {
        let (head, rest) = bytes.split_at(HEADER_BYTES);
        let head = head.try_into().expect("they are six");
        let Ok(header) = Header::parse(head, REQUEST_BYTES_MAX) else { return true };
        let Some((body, rest)) = rest.split_at_checked(header.body_bytes) else { return true };
        let obeyed = |request| {
            use Request::{AddRecipient, Commit, Init, Lock, Rekey, RemoveRecipient, Reseal};
            use Request::{Stop, Unlock};
            matches!(
                request,
                Stop | Lock
                    | Commit
                    | Init(_)
                    | Unlock(_)
                    | Reseal(_)
                    | AddRecipient { .. }
                    | RemoveRecipient { .. }
                    | Rekey { .. }
            )
        };
        if codec::decode_request(body).is_ok_and(obeyed) {
            return false;
        }
        bytes = rest;
    }
    true
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (home, agent) = Home::with_vault();
    let burden = Burden::of(&agent);
    let mut wire = home.wire();
    let name = |n: usize| format!("frames/pipelined-{n:02}");
    let puts: Vec<u8> = (0..31)
        .flat_map(|n| {
            let value = format!("{}{n}", home.canary());
            Wire::frame(&Request::Put(keyagent_tests::wire::put(&name(n), value.as_bytes())))
        })
        .chain(Wire::frame(&Request::Commit))
        .collect();
    wire.send_bytes(&puts).expect("the agent takes 32 requests");
    for n in 0..31 {
        let reply = wire.try_reply().expect("the agent answers");
        assert!(matches!(reply, Reply::Done), "put {n}: {}", describe(&reply));
    }
    let Reply::Committed(written) = wire.try_reply().expect("the agent answers") else {
        panic!("the 32nd is the commit");
    };
    let names: Vec<_> = written.iter().map(|w| w.name.to_string()).collect();
    assert_eq!(names, (0..31).map(name).collect::<Vec<_>>());
    let gets: Vec<u8> = (0..32)
        .flat_map(|n| Wire::frame(&Request::Get { name: secret(&name(n)), version: None }))
        .collect();
    wire.send_bytes(&gets).expect("the agent takes 32 requests");
    for n in 0..31 {
        let Reply::Value(value) = wire.try_reply().expect("the agent answers") else {
            panic!("get {n} is answered by its value");
        };
        assert_eq!(value.expose(), format!("{}{n}", home.canary()).as_bytes());
    }
    let last = refused(wire.try_reply().expect("the agent answers"));
    assert_eq!(last, Refusal::NoSuchSecret(vec![secret(&name(31))]));
    drop(wire);
    burden.is_back(&home, &agent);
}

#[test]
fn t20_a_client_that_never_reads_is_hung_up_on() {
    let (home, agent) = Home::with_vault();
    home.wire().put("frames/large", &[b'x'; 64 * 1024]);
    let burden = Burden::of(&agent);
    let wire = home.wire();
    let mut socket = wire.socket();
    socket.set_nonblocking(true).expect("the socket is open");
    let get = Wire::frame(&Request::Get { name: secret("frames/large"), version: None });
    let mut answered = 0;
    eventually("the agent hangs up", || {
        assert!(matches!(home.wire().status().vault, VaultState::Open { .. }));
        answered += 1;
        match socket.write(&get) {
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => {
                let expected = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(expected.contains(&error.kind()), "{error}");
                Some(())
            }
        }
    });
    assert!(answered > 1, "good clients were answered meanwhile");
    drop(wire);
    burden.is_back(&home, &agent);
}
