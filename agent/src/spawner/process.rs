//! The spawner's own process: takes jobs, forks a helper for each, knows nothing else.

use super::{JOB_BYTES_MAX, Job, identity, inspect, keyring, pinentry, scrypt, session};
use keyagent_sys::detach::{Side, depend_on_parent, forget_children, fork, keep_only};
use keyagent_sys::message::receive_blocking;
use nix::unistd::setsid;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::exit;

/// Serves until the agent is gone.
pub fn run(socket: OwnedFd) -> ! {
    let Ok(socket) = settle(socket) else { exit(1) };
    while let Some(next) = next(socket.as_fd()) {
        // A job that cannot be read is the end of its socket, which the agent sees.
        let Some((job, stream)) = next else { continue };
        if matches!(fork(), Ok(Side::Child)) {
            help(&job, stream);
        }
    }
    exit(0)
}

fn settle(socket: OwnedFd) -> io::Result<OwnedFd> {
    let socket = keep_only(socket)?;
    // A ^C in the terminal of the agent is the agent's to handle.
    let _ = setsid();
    forget_children()?;
    Ok(socket)
}

/// The next job; none when the agent is gone, and none inside if it makes no sense.
pub(super) fn next(socket: BorrowedFd<'_>) -> Option<Option<(Job, OwnedFd)>> {
    let mut bytes = [0; JOB_BYTES_MAX];
    let mut received = receive_blocking(socket, &mut bytes).ok()?;
    if received.bytes == 0 {
        return None;
    }
    let job = serde_json::from_slice(&bytes[..received.bytes]).ok();
    Some(job.zip(received.descriptors.pop()))
}

/// The helper: it has its job's socket, and nothing else.
fn help(job: &Job, stream: OwnedFd) -> ! {
    let Ok(stream) = keep_only(stream) else { exit(1) };
    if depend_on_parent().is_err() {
        exit(1);
    }
    let stream = UnixStream::from(stream);
    let done = match job {
        Job::Unseal => scrypt::unseal_here(stream),
        Job::Seal => scrypt::seal_here(stream),
        Job::WatchSession { delays_sleep } => session::watch_here(stream, *delays_sleep),
        Job::Pinentry { program, env } => pinentry::run_here(stream, program, env),
        Job::UnsealByIdentity { path } => identity::unseal_here(stream, path),
        Job::SealByIdentity { path } => identity::seal_here(stream, path),
        Job::Inspect => inspect::inspect_here(stream),
        Job::KeyringGet { entry } => keyring::get_here(stream, entry),
        Job::KeyringKeep { entry } => keyring::keep_here(stream, entry),
        Job::KeyringForget { entry } => keyring::forget_here(stream, entry),
    };
    exit(if done.is_ok() { 0 } else { 1 })
}
