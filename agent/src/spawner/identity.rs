//! Sealing and unsealing by an age identity of the user's own, in a helper: its file is
//! outside of what the agent may read, and its plugin is a program.

use super::{Job, Spawner, chunk};
use crate::vault::file::{self, FILE_BYTES_MAX};
use crate::vault::foreign;
use keyagent_sys::detach::{Side, depend_on_parent, fork};
use keyagent_wire::{Refusal, Unsealer, VaultFault};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, pipe2, setpgid};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::exit;
use std::time::Duration;
use zeroize::Zeroizing;

/// The largest file that is sealed or unsealed: an identity has a few hundred bytes.
const SEALED_BYTES_MAX: usize = 64 * 1024;
/// The largest file of identities.
const IDENTITIES_BYTES_MAX: usize = 64 * 1024;
/// How much time of a processor a helper has.
const HELPER_CPU_SECONDS_MAX: u64 = 60;
/// How long the agent waits, and a helper lives: some plugins want a key to be touched.
const HELPER_SECONDS_MAX: u16 = 60;

/// What a helper found, as one byte: done, unreadable with an errno, or one of these.
const DONE: u8 = 0;
const UNREADABLE: u8 = 1;
const WHYS: [Unsealer; 7] = [
    Unsealer::Missing,
    Unsealer::NotPrivate,
    Unsealer::NotIdentity,
    Unsealer::NotForUs,
    Unsealer::Plugin,
    Unsealer::NoSsh,
    Unsealer::Sealed,
];

/// Seals to the identities of that file. Blocks: for as long as a plugin takes.
pub fn seal(spawner: &Spawner, plain: &[u8], path: &str) -> Result<Vec<u8>, Refusal> {
    let sealed = ask(spawner, &Job::SealByIdentity { path: path.to_owned() }, plain)?;
    Ok(sealed.to_vec())
}

/// Unseals with the identities of that file. Blocks: for as long as a plugin takes.
pub fn unseal(spawner: &Spawner, sealed: &[u8], path: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    ask(spawner, &Job::UnsealByIdentity { path: path.to_owned() }, sealed)
}

fn ask(spawner: &Spawner, job: &Job, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let ask = || {
        let mut stream = spawner.start(job)?;
        stream.set_read_timeout(Some(Duration::from_secs(HELPER_SECONDS_MAX.into())))?;
        chunk::write(&stream, bytes)?;
        let mut found = [0];
        stream.read_exact(&mut found)?;
        Ok((found[0], chunk::read(&stream, FILE_BYTES_MAX as usize)?))
    };
    let (found, bytes) = ask().map_err(|error: io::Error| {
        tracing::warn!(%error, "the helper for the user's identity failed");
        Refusal::Helper
    })?;
    match found {
        DONE => Ok(bytes),
        UNREADABLE => {
            let errno = bytes.as_slice().try_into().map_or(nix::libc::EIO, i32::from_le_bytes);
            Err(Refusal::Unsealer(Unsealer::Unreadable(errno)))
        }
        other => {
            let why = WHYS.get(usize::from(other) - 2).ok_or(Refusal::Helper)?;
            Err(Refusal::Unsealer(*why))
        }
    }
}

/// The helper's side of [`seal`].
pub(super) fn seal_here(stream: UnixStream, path: &str) -> io::Result<()> {
    let _working = oversee(&stream)?;
    let plain = asked(&stream)?;
    let sealed = identities(path).and_then(|file| foreign::seal(&plain, &file));
    tell(&stream, sealed.map(Zeroizing::new))
}

/// The helper's side of [`unseal`].
pub(super) fn unseal_here(stream: UnixStream, path: &str) -> io::Result<()> {
    let _working = oversee(&stream)?;
    let sealed = asked(&stream)?;
    tell(&stream, identities(path).and_then(|file| foreign::unseal(&sealed, &file)))
}

/// Goes on in a child. The helper itself waits for its end, for the agent's and for the last
/// second, and ends the child then with whatever plugin it has started. What comes back tells it
/// by its own end that the child is done.
fn oversee(stream: &UnixStream) -> io::Result<OwnedFd> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    // The spawner ends with the agent: there is still a plugin to end then.
    set_pdeathsig(None)?;
    let (theirs, working) = pipe2(OFlag::O_CLOEXEC)?;
    if fork()? == Side::Child {
        depend_on_parent()?;
        return Ok(working);
    }
    drop(working);
    let mut ends = [stream.as_fd(), theirs.as_fd()].map(|fd| PollFd::new(fd, PollFlags::empty()));
    while poll(&mut ends, PollTimeout::from(HELPER_SECONDS_MAX * 1000)) == Err(Errno::EINTR) {}
    // This process is one of them.
    let _ = killpg(getpgrp(), Signal::SIGKILL);
    exit(1)
}

fn asked(stream: &UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    setrlimit(Resource::RLIMIT_CPU, HELPER_CPU_SECONDS_MAX, HELPER_CPU_SECONDS_MAX)?;
    chunk::read(stream, SEALED_BYTES_MAX)
}

/// The user's file, guarded as our own are.
fn identities(path: &str) -> Result<Zeroizing<Vec<u8>>, Unsealer> {
    let file = file::read_guarded(Path::new(path)).map_err(|fault| match fault {
        VaultFault::Missing => Unsealer::Missing,
        VaultFault::Owner | VaultFault::Mode => Unsealer::NotPrivate,
        VaultFault::Unreadable(errno) => Unsealer::Unreadable(errno),
        _ => Unsealer::NotIdentity,
    })?;
    if file.len() > IDENTITIES_BYTES_MAX {
        return Err(Unsealer::NotIdentity);
    }
    Ok(Zeroizing::new(file))
}

fn tell(mut stream: &UnixStream, done: Result<Zeroizing<Vec<u8>>, Unsealer>) -> io::Result<()> {
    let (found, bytes) = match done {
        Ok(bytes) => (DONE, bytes),
        Err(Unsealer::Unreadable(errno)) => {
            (UNREADABLE, Zeroizing::new(errno.to_le_bytes().to_vec()))
        }
        Err(why) => {
            let at = WHYS.iter().position(|known| *known == why).unwrap_or(0);
            (at as u8 + 2, Zeroizing::default())
        }
    };
    stream.write_all(&[found])?;
    chunk::write(stream, &bytes)
}
