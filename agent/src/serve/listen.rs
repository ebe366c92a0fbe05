//! The socket: claimed by one agent a user, bound where nobody else can reach.
//!
//! The lock decides who may remove a stale socket; nobody else ever removes one.

use keyagent_wire::socket::Place;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{Backlog, UnixAddr, getsockname, getsockopt, listen};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// The right to be the one agent at a place. Held as long as the agent lives.
pub struct Claim {
    place: Place,
    directory: OwnedFd,
    _lock: File,
    handed: bool,
    /// The socket that is bound, as device and inode.
    bound: Option<(u64, u64)>,
}

/// Why there is no claim.
#[derive(Debug)]
pub enum ClaimError {
    /// Another agent has it.
    Running,
    /// The directory of the socket is not ours alone.
    NotPrivate(PathBuf),
    /// What the service manager handed in is no socket that listens.
    NotListening,
    /// The system would not let us.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |path: &PathBuf| keyagent_wire::escape(path.as_os_str().as_encoded_bytes());
        match self {
            Self::NotListening => f.write_str(
                "cannot use the descriptor that was handed in: it is no Unix socket that listens",
            ),
            Self::Running => f.write_str("cannot start: another agent is running"),
            Self::NotPrivate(path) => {
                write!(f, "cannot use directory `{}`: it is not ours alone", shown(path))
            }
            Self::Io(path, error) => write!(f, "cannot use `{}`: {error}", shown(path)),
        }
    }
}

impl Claim {
    /// Makes the directory, checks it, and takes the lock in it.
    pub fn take(place: &Place) -> Result<Self, ClaimError> {
        let io = |error| ClaimError::Io(place.directory.clone(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&place.directory).map_err(io)?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let directory: OwnedFd =
            open(&place.directory, flags, Mode::empty()).map_err(|e| io(e.into()))?;
        let facts = File::from(directory.try_clone().map_err(io)?).metadata().map_err(io)?;
        if facts.uid() != geteuid().as_raw() || facts.mode() & 0o022 != 0 {
            return Err(ClaimError::NotPrivate(place.directory.clone()));
        }
        let lock = lock(&at(&directory, place, ".lock")).map_err(io)?;
        let lock = lock.ok_or(ClaimError::Running)?;
        Ok(Self { place: place.clone(), directory, _lock: lock, handed: false, bound: None })
    }

    /// Listens on the socket that a service manager handed in, or on one of our own.
    pub fn listen(&mut self, handed: Option<OwnedFd>) -> Result<UnixListener, ClaimError> {
        match handed {
            None => self.bind(),
            Some(socket) => {
                self.handed = true;
                adopt(socket).ok_or(ClaimError::NotListening)
            }
        }
    }

    /// Binds the socket, mode 0600 from its first moment.
    fn bind(&mut self) -> Result<UnixListener, ClaimError> {
        let io = |error| ClaimError::Io(self.place.path(), error);
        self.remove_socket().map_err(io)?;
        let old = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(at(&self.directory, &self.place, ""));
        umask(old);
        let listener = bound.map_err(io)?;
        listen(&listener, Backlog::new(BACKLOG).expect("within SOMAXCONN"))
            .map_err(|e| io(e.into()))?;
        listener.set_nonblocking(true).map_err(io)?;
        let facts = at(&self.directory, &self.place, "").symlink_metadata().map_err(io)?;
        self.bound = Some((facts.dev(), facts.ino()));
        Ok(listener)
    }

    /// Removes the socket, if it is ours: once one is bound, that one alone. Anything else at
    /// its place stays, and is an error of bind.
    pub fn remove_socket(&self) -> io::Result<()> {
        if self.handed {
            return Ok(());
        }
        let path = at(&self.directory, &self.place, "");
        match path.symlink_metadata() {
            Ok(facts) if self.bound.is_some_and(|it| it != (facts.dev(), facts.ino())) => Ok(()),
            Ok(facts) if facts.file_type().is_socket() && facts.uid() == geteuid().as_raw() => {
                fs::remove_file(path)
            }
            _ => Ok(()),
        }
    }
}

/// A path through the directory's descriptor: no race on the way there, and no 108 bytes.
fn at(directory: &OwnedFd, place: &Place, suffix: &str) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .join(&place.name)
        .into_os_string();
    path.push(suffix);
    path.into()
}

fn adopt(socket: OwnedFd) -> Option<UnixListener> {
    let is_unix = getsockname::<UnixAddr>(socket.as_raw_fd()).is_ok();
    if !is_unix || !getsockopt(&socket, AcceptConn).ok()? {
        return None;
    }
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

/// Held until it is closed.
fn lock(path: &PathBuf) -> io::Result<Option<File>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
