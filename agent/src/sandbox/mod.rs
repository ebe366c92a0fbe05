//! The agent closes itself in: after this it reaches its own directories and the sockets
//! that it has, starts nothing, and opens no way to anywhere else.
//!
//! One thread calls this, before there are others: they inherit it. What this system has not
//! is noted, not insisted on: the user's config says whether that is enough.

mod calls;
mod files;
mod proof;
pub mod selftest;

use crate::health::Findings;
use crate::places::Places;
use crate::vault::file::make_directory;
use keyagent_sys::harden;
use keyagent_wire::frame::CONNECTIONS_MAX;
use keyagent_wire::health::Check;
use keyagent_wire::stamp;
use std::io;
use std::path::PathBuf;

/// How many descriptors of clients there may be at once: four for each message that is being
/// read, and those that wait to be closed.
const HANDED_MAX: usize = 4 * CONNECTIONS_MAX + 128;
/// How many descriptors are the agent's own, at most.
const OWN_MAX: usize = 64;
/// How many descriptors it may have open.
const DESCRIPTORS_MAX: u64 = (CONNECTIONS_MAX + HANDED_MAX + OWN_MAX) as u64;
/// The largest file that it may write: four times the largest vault.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Closes this process in, and looks whether it is.
pub fn enter(places: &Places, findings: &mut Findings) {
    make_directories(places);
    findings.tell_weak(Check::Privileges, &harden::bound(DESCRIPTORS_MAX, FILE_BYTES_MAX));
    match harden::refuse_new_code() {
        // Older kernels have not heard of it; the filter of calls refuses the same.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => {}
        done => findings.tell_weak(Check::Calls, &done),
    }
    let mut proof = proof::Proof::open(findings);
    files::close(places, findings);
    findings.tell(Check::Calls, &calls::close());
    proof.check(findings);
    for finding in findings.lacking() {
        tracing::warn!(?finding, "protected less than it could be");
    }
}

/// A rule holds for a directory that is there, and for no other of its name.
fn make_directories(places: &Places) {
    for path in [places.data(), places.state(), places.config(), &stamps(places)] {
        if let Err(error) = make_directory(path) {
            tracing::debug!(%error, "cannot make a directory");
        }
    }
}

fn stamps(places: &Places) -> PathBuf {
    stamp::directory(places.socket())
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
