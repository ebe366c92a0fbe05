//! Stamps: one file for each project, with one number in it, which tells shells and direnv
//! that what the project would get has changed. Where they are, and what they are called.
//!
//! They lie beside the socket, because that is the one place of which client and agent know
//! that it is the same for both. A stamp says nothing of a project but that it changed: its
//! name is a fingerprint, its number a time. Nothing here opens a file.

use crate::fingerprint;
use crate::socket::Place;
use std::path::PathBuf;

/// How much of the fingerprint of a path is in a name. Two projects that share a stamp would
/// only reload together.
const NAME_BYTES: usize = 16;
/// The longest stamp that is read.
pub const STAMP_BYTES_MAX: usize = 32;

/// The directory of all stamps of the agent at that place.
pub fn directory(place: &Place) -> PathBuf {
    let mut name = place.name.clone();
    name.push(".stamps");
    place.directory.join(name)
}

/// The name of the stamp of a project: its directory's path, as the kernel has it.
pub fn name(project: &[u8]) -> String {
    fingerprint::of(project).iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the mark of a stamp that has that number: an empty file, which whoever looks
/// for a change makes, and which goes when the number changes. That it is there is told by
/// less than what it takes to read.
pub fn mark(stamp: &str, number: u64) -> String {
    format!("{stamp}.{number}")
}

/// The number of a stamp; 0 if there is none in it. Seconds since 1970, or later: no two
/// changes have the same.
pub fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.trim_ascii().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_lies_beside_the_socket_and_names_nobody() {
        let place = Place { directory: "/run/a".into(), name: "agent.sock".into() };
        assert_eq!(directory(&place), PathBuf::from("/run/a/agent.sock.stamps"));
        let name = name(b"/home/a/acme");
        assert!(name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        assert_ne!(name, super::name(b"/home/a/acm"));
        assert_eq!(mark("ab", 7), "ab.7");
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(number(b"1764000000\n"), 1_764_000_000);
        for text in [&b""[..], b"\n", b"x", b"-1", b"\xff", b"1 2"] {
            assert_eq!(number(text), 0);
        }
    }
}
