//! The bytes on the wire, pinned by frames that are never edited, only added.
//!
//! A new kind of message gets its frame from `KEYAGENT_BLESS=1 cargo test -p keyagent-tests
//! golden`, which writes the frames that are missing and never those that are there.

use crate::samples;
use keyagent_wire::codec::{decode_reply, decode_request, encode_reply, encode_request};
use keyagent_wire::frame::{self, REPLY_BYTES_MAX, VERSION};
use keyagent_wire::{Refusal, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire")
}

/// Every sample, as a frame, by the name of its file.
fn frames() -> BTreeMap<String, Vec<u8>> {
    let mut frames = BTreeMap::new();
    let mut add = |name: String, body: &[u8]| {
        let taken = frames.insert(format!("{name}.bin"), frame::seal(body).to_vec());
        assert!(taken.is_none(), "two samples are called {name}");
    };
    for request in samples::requests() {
        let body = encode_request(&request).expect("samples are small");
        add(format!("request-{}", kebab(samples::request_name(&request))), &body);
    }
    for reply in samples::replies() {
        let body = encode_reply(&reply).expect("samples are small");
        add(format!("reply-{}", kebab(samples::reply_name(&reply))), &body);
    }
    for (state, reply) in ["missing", "locked", "unusable"].iter().zip(samples::statuses()) {
        let body = encode_reply(&reply).expect("samples are small");
        add(format!("reply-status-{state}"), &body);
    }
    for (name, reply) in
        [("events-refused", samples::refused_events()), ("committed-altered", samples::altered())]
    {
        add(format!("reply-{name}"), &encode_reply(&reply).expect("samples are small"));
    }
    for refusal in samples::refusals() {
        let name = refusal_file(&refusal);
        add(name, &encode_reply(&Reply::Refused(refusal)).expect("samples are small"));
    }
    frames
}

fn refusal_file(refusal: &Refusal) -> String {
    let outer = kebab(samples::refusal_name(refusal));
    let inner = match refusal {
        Refusal::Vault { fault, .. } => samples::vault_fault_name(fault),
        Refusal::Unsafe(fault) => samples::unsafe_name(fault),
        Refusal::Manifest { fault, .. } => samples::manifest_fault_name(fault),
        Refusal::Unsealer(fault) => samples::unsealer_name(fault),
        Refusal::TooLarge(limit) => samples::limit_name(limit),
        _ => return format!("refused-{outer}"),
    };
    format!("refused-{outer}-{}", kebab(inner))
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

#[test]
fn every_kind_of_message_has_a_sample() {
    let names = |names: Vec<&'static str>| names.into_iter().collect::<BTreeSet<_>>();
    let all = |all: &[&'static str]| all.iter().copied().collect::<BTreeSet<_>>();
    let requests = samples::requests().iter().map(samples::request_name).collect();
    assert_eq!(names(requests), all(samples::REQUESTS));
    let mut replies: Vec<_> = samples::replies().iter().map(samples::reply_name).collect();
    replies.push("Refused");
    assert_eq!(names(replies), all(samples::REPLIES));
    let refusals = samples::refusals().iter().map(samples::refusal_name).collect();
    assert_eq!(names(refusals), all(samples::REFUSALS));
    let faults = samples::vault_faults().iter().map(samples::vault_fault_name).collect();
    assert_eq!(names(faults), all(samples::VAULT_FAULTS));
    let faults = samples::unsealers().iter().map(samples::unsealer_name).collect();
    assert_eq!(names(faults), all(samples::UNSEALERS));
    let faults = samples::unsafes().iter().map(samples::unsafe_name).collect();
    assert_eq!(names(faults), all(samples::UNSAFES));
    let faults = samples::manifest_faults().iter().map(samples::manifest_fault_name).collect();
    assert_eq!(names(faults), all(samples::MANIFEST_FAULTS));
    let limits = samples::limits().iter().map(samples::limit_name).collect();
    assert_eq!(names(limits), all(samples::LIMITS));
}

#[test]
fn the_bytes_are_what_they_always_were() {
    let bless = std::env::var_os("KEYAGENT_BLESS").is_some();
    let mut on_disk: BTreeSet<String> = fs::read_dir(directory())
        .expect("the golden frames are there")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    for (name, bytes) in frames() {
        let path = directory().join(&name);
        if bless && !on_disk.contains(&name) {
            fs::write(&path, &bytes).expect("a new frame can be written");
        }
        let golden = fs::read(&path).unwrap_or_else(|e| panic!("no golden frame {name}: {e}"));
        assert_eq!(golden, bytes, "{name}: what is written has changed");
        is_read_and_written_alike(&name, &golden);
        on_disk.remove(&name);
    }
    assert!(on_disk.is_empty(), "golden frames of which there is no sample: {on_disk:?}");
}

fn is_read_and_written_alike(name: &str, golden: &[u8]) {
    let (version, body) = frame::read(&mut &*golden, REPLY_BYTES_MAX).expect("it is a frame");
    assert_eq!(version, VERSION, "{name}");
    let again = if name.starts_with("request-") {
        encode_request(&decode_request(&body).unwrap_or_else(|e| panic!("{name}: {e:?}")))
    } else {
        encode_reply(&decode_reply(&body).unwrap_or_else(|e| panic!("{name}: {e:?}")))
    };
    let again = again.expect("what was read can be written");
    assert_eq!(frame::seal(&again).as_slice(), golden, "{name}");
}
