//! The spawner: a process that is forked before the agent closes itself in, and starts the
//! helpers that need a wider world: much memory, a screen, a bus.
//!
//! It never holds the vault. A helper gets one end of a socket and its job, and is gone when
//! that ends; it outlives neither the spawner nor, therefore, the agent.

pub mod chunk;
pub mod identity;
pub mod inspect;
pub mod keyring;
mod pinentry;
mod process;
pub mod scrypt;
pub mod session;

use keyagent_sys::detach::{Side, fork};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The longest job, in bytes.
const JOB_BYTES_MAX: usize = 16 * 1024;

/// The agent's end.
pub struct Spawner {
    socket: OwnedFd,
}

/// What a helper is to do. No value is in it: those go by the helper's own socket.
#[derive(Serialize, Deserialize)]
pub enum Job {
    /// Unseal by passphrase.
    Unseal,
    /// Seal by passphrase.
    Seal,
    /// Tell what becomes of the user's session, and hold up sleep until the vault is locked.
    WatchSession {
        /// Whether sleep is to be held up.
        delays_sleep: bool,
    },
    /// Become a program that asks the human.
    Pinentry {
        /// The program, by its absolute path.
        program: PathBuf,
        /// The variables that say where the screen is.
        env: Vec<(String, String)>,
    },
    /// Unseal by an age identity of the user's own, whose file is there.
    UnsealByIdentity {
        /// An absolute path.
        path: String,
    },
    /// Seal to one.
    SealByIdentity {
        /// An absolute path.
        path: String,
    },
    /// Look at processes that the sandbox hides.
    Inspect,
    /// Look a passphrase up in the OS keyring.
    KeyringGet {
        /// Under which name.
        entry: String,
    },
    /// Keep one there.
    KeyringKeep {
        /// Under which name.
        entry: String,
    },
    /// Take one away.
    KeyringForget {
        /// Under which name.
        entry: String,
    },
}

impl Spawner {
    /// Forks it. Must be called while there is one thread, and before there is anything that
    /// a helper must not have.
    pub fn fork() -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        match fork()? {
            Side::Parent => Ok(Self { socket: ours }),
            Side::Child => {
                drop(ours);
                process::run(theirs)
            }
        }
    }

    /// Whether it is there. It never says anything: all that can be read is its end.
    pub fn lives(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.socket.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
    }

    /// Has a helper started, and gives the socket to it. Blocks for as long as a message to
    /// the spawner does, which is not at all.
    pub fn start(&self, job: &Job) -> io::Result<UnixStream> {
        let job = serde_json::to_vec(job).expect("a job is JSON");
        if job.len() > JOB_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (ours, theirs) = UnixStream::pair()?;
        let rights = [theirs.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&job)], &control, flags, None)?;
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_job_arrives_with_its_socket() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair");
        let spawner = Spawner { socket: ours };
        let _stream = spawner.start(&Job::Seal).expect("there is room");
        let (job, _socket) = process::next(theirs.as_fd()).expect("it came").expect("whole");
        assert!(matches!(job, Job::Seal) && spawner.lives());
        drop(spawner);
        assert!(process::next(theirs.as_fd()).is_none(), "the end");
    }

    #[test]
    fn a_spawner_that_is_gone_is_noticed() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair");
        let spawner = Spawner { socket: ours };
        assert!(spawner.lives());
        drop(theirs);
        assert!(!spawner.lives());
    }
}
