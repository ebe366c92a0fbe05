//! One connection to the agent: where it is, whose it is, one request, one reply.
//!
//! Not a byte is sent before the kernel has said that the other end is ours. Nothing here
//! starts an agent, asks a human, or reads what a reply means.

use crate::refusal;
use crate::report::{Failure, Kind, cause};
use crate::tty::Progress;
use keyagent_wire::request::{Key, Unlock};
use keyagent_wire::socket::{self, Place, Surroundings};
use keyagent_wire::{Limit, Refusal, Reply, Request, codec, frame};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt,
    sendmsg, setsockopt, socket, sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{Uid, geteuid};
use std::env;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How long the agent may take for what it does from memory.
const REPLY_SECONDS_MAX: u64 = 10;
/// How long it may take where a prompt waits for it: a moment more than it waits for a slow
/// file system itself.
pub(crate) const PROMPT_SECONDS_MAX: u64 = 3;
/// How long it may take for scrypt, at its largest on a slow machine.
const UNLOCK_SECONDS_MAX: u64 = 180;
/// How long a human may take who is asked, or who is to be asked after others. The agent gives
/// up long before that.
pub(crate) const ASK_SECONDS_MAX: u64 = 660;
/// After how long a human is told that something is going on.
const TICK_MILLIS: i64 = 500;
/// How often a request is sent that nobody took.
const TRIES: u32 = 5;
/// How long each wait of a hasty connection may be.
const HASTY_MILLIS_MAX: i64 = 200;

/// A connection to an agent of our own uid.
pub(crate) struct Connection {
    stream: UnixStream,
    pid: i32,
    haste: Haste,
    has_asked: bool,
}

/// How long a connection waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// As long as what was asked may take; a human is told.
    No,
    /// As long as a prompt may.
    Prompt,
    /// Hardly, and without a word.
    Yes,
}

/// Where the socket is, by the environment and the rule that both ends share.
pub(crate) fn place() -> Result<Place, Failure> {
    let uid = geteuid();
    let around = Surroundings {
        keyagent_sock: set("KEYAGENT_SOCK"),
        xdg_runtime_dir: set("XDG_RUNTIME_DIR"),
        xdg_state_home: set("XDG_STATE_HOME"),
        home: set("HOME"),
        uid: uid.as_raw(),
    };
    let named = around.keyagent_sock.is_some();
    socket::choose(&around, |dir| is_private(dir, uid)).ok_or_else(|| {
        if named {
            Failure::usage("KEYAGENT_SOCK is no absolute path of a socket")
        } else {
            Failure::failed("there is no place for the agent's socket: HOME is not set")
        }
    })
}

impl Connection {
    /// Connects; nothing if no agent listens.
    pub(crate) fn open() -> Result<Option<Self>, Failure> {
        Self::open_with(Haste::No)
    }

    /// The same, to an agent that answers at once or not at all: nobody has asked for this,
    /// so nobody shall wait for it, or be told.
    pub(crate) fn open_hasty() -> Result<Option<Self>, Failure> {
        Self::open_with(Haste::Yes)
    }

    /// The same, for somebody who waits like that.
    pub(crate) fn open_with(haste: Haste) -> Result<Option<Self>, Failure> {
        let place = place()?;
        let fail = |why: &str| Failure::new(Kind::NoAgent, cannot_connect(&place, why));
        let address = match Address::of(&place) {
            Ok(address) => address,
            Err(Errno::ENOENT) => return Ok(None),
            Err(e) => return Err(fail(&cause(&e.into()))),
        };
        let socket = patient_socket(haste).map_err(|e| fail(&cause(&e.into())))?;
        match connect(socket.as_raw_fd(), &address.address) {
            Ok(()) => Self::of_our_own(socket, haste).map_err(|why| fail(&why)).map(Some),
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
            Err(Errno::EAGAIN) => Err(fail("it does not answer")),
            Err(e) => Err(fail(&cause(&e.into()))),
        }
    }

    /// Asks, with these descriptors beside the first byte, and waits for the reply.
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, Failure> {
        let body = codec::encode_request(request)
            .map_err(|_| refusal::failure(&Refusal::TooLarge(Limit::Request)))?;
        let frame = frame::seal(&body);
        for left in (0..TRIES).rev() {
            match self.send(&frame, descriptors) {
                Ok(()) => break,
                Err(e) if !closed(&e) => return Err(cannot_ask(&e)),
                Err(e) => match self.receive(request) {
                    // An agent that refuses by closing may still have said why.
                    Ok(reply) => return Ok(reply),
                    Err(_) if left > 0 && self.comes_back()? => {}
                    Err(_) => return Err(cannot_ask(&e)),
                },
            }
        }
        self.has_asked = true;
        self.receive(request)
    }

    /// In a crowd, an agent hangs up on who has not asked yet. Whoever has may have staged
    /// something, which another connection would not know of.
    fn comes_back(&mut self) -> Result<bool, Failure> {
        let again = if self.has_asked { None } else { Self::open_with(self.haste)? };
        Ok(again.map(|again| *self = again).is_some())
    }

    /// The agent's process, as the kernel reports it.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the agent has closed its end.
    pub(crate) fn wait_for_end(&mut self) -> Result<(), Failure> {
        let mut rest = [0; 1];
        match Patient::new(&self.stream, REPLY_SECONDS_MAX, "stopping…").read(&mut rest) {
            Ok(0) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Ok(_) => Err(Failure::failed("the agent did not stop: it goes on talking")),
            Err(e) => Err(Failure::failed(format!("the agent did not stop: {}", cause(&e)))),
        }
    }

    fn of_our_own(socket: OwnedFd, haste: Haste) -> Result<Self, String> {
        let peer = getsockopt(&socket, sockopt::PeerCredentials).map_err(|e| cause(&e.into()))?;
        if peer.uid() != geteuid().as_raw() {
            return Err("it belongs to another user".to_owned());
        }
        Ok(Self { stream: UnixStream::from(socket), pid: peer.pid(), haste, has_asked: false })
    }

    fn send(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        let sent = sendmsg::<()>(
            self.stream.as_raw_fd(),
            &[IoSlice::new(frame)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        (&self.stream).write_all(frame.get(sent..).unwrap_or_default())
    }

    fn receive(&self, request: &Request) -> Result<Reply, Failure> {
        let (seconds, doing) = match self.haste {
            Haste::No => patience(request),
            Haste::Prompt => (PROMPT_SECONDS_MAX, "waiting for the agent…"),
            Haste::Yes => (0, ""),
        };
        let mut from = Patient::new(&self.stream, seconds, doing);
        let (version, body) = frame::read(&mut from, frame::REPLY_BYTES_MAX).map_err(|e| {
            Failure::failed(format!("cannot read the agent's reply: {}", unanswered(&e)))
                .hint("`keyagent status` shows whether it is well")
        })?;
        match codec::decode_reply(&body) {
            // These two are frozen, so that every version can read them.
            Ok(reply @ (Reply::Status(_) | Reply::Refused(Refusal::Version { .. }))) => Ok(reply),
            _ if version != frame::VERSION => Err(refusal::other_version(version, "unknown")),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Failure::failed("cannot read the agent's reply: it makes no sense")
                .hint("`keyagent --version` and `keyagent status` should name one release")),
        }
    }
}

/// The socket's address. A path that does not fit into one goes through a descriptor of its
/// directory, which stays open until it was used; /proc costs more than a short path.
/// Whoever may move a directory on the way gains nothing: who listens is asked afterwards.
struct Address {
    address: UnixAddr,
    _directory: Option<OwnedFd>,
}

impl Address {
    fn of(place: &Place) -> nix::Result<Self> {
        match UnixAddr::new(&place.path()) {
            Err(Errno::ENAMETOOLONG) => {}
            address => return Ok(Self { address: address?, _directory: None }),
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, &place.directory, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        let address = UnixAddr::new(&path.join(&place.name))?;
        Ok(Self { address, _directory: Some(directory) })
    }
}

/// A stream that is read until a deadline, and says on a terminal that it is.
struct Patient<'a> {
    stream: &'a UnixStream,
    ticks: u64,
    progress: Progress,
}

impl<'a> Patient<'a> {
    fn new(stream: &'a UnixStream, seconds: u64, doing: &'static str) -> Self {
        let ticks = seconds * 1_000 / TICK_MILLIS as u64;
        Self { stream, ticks, progress: Progress::new(doing) }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.ticks > 0 => {
                    self.ticks -= 1;
                    self.progress.tick();
                }
                result => return result,
            }
        }
    }
}

fn patience(request: &Request) -> (u64, &'static str) {
    match request {
        Request::Init(_) => (UNLOCK_SECONDS_MAX, "making the vault…"),
        // A pinentry may draw on our terminal meanwhile.
        Request::Unlock(Unlock { key: Key::Pinentry(_), .. }) => {
            (ASK_SECONDS_MAX + UNLOCK_SECONDS_MAX, "")
        }
        Request::Unlock(_) => (UNLOCK_SECONDS_MAX, "unlocking…"),
        Request::Ask(_) => (ASK_SECONDS_MAX, ""),
        Request::Reseal(_) | Request::Rekey { .. } => (UNLOCK_SECONDS_MAX, "sealing anew…"),
        Request::AddRecipient { .. } | Request::RemoveRecipient { .. } | Request::Commit => {
            (UNLOCK_SECONDS_MAX, "writing the vault…")
        }
        _ => (REPLY_SECONDS_MAX, "waiting for the agent…"),
    }
}

/// Whether the other end is gone, and no reply will be long in coming.
fn closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn cannot_ask(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot ask the agent: {}", cause(error)))
}

fn unanswered(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "it did not answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => cause(error),
    }
}

/// The failure where an agent must be there already.
pub(crate) fn none_running() -> Failure {
    Failure::new(Kind::NoAgent, "no agent is running").hint("`keyagent start` starts it")
}

fn cannot_connect(place: &Place, why: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = keyagent_wire::escape(place.path().as_os_str().as_bytes());
    format!("cannot connect to the agent at `{path}`: {why}")
}

/// A socket that gives up: reading after a tick, writing and connecting when it is hopeless.
fn patient_socket(haste: Haste) -> nix::Result<OwnedFd> {
    let (send, receive) = match haste {
        Haste::No => (REPLY_SECONDS_MAX as i64 * 1_000, TICK_MILLIS),
        Haste::Prompt => (PROMPT_SECONDS_MAX as i64 * 1_000, TICK_MILLIS),
        Haste::Yes => (HASTY_MILLIS_MAX, HASTY_MILLIS_MAX),
    };
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(send))?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(receive))?;
    Ok(fd)
}

/// By lstat: a directory, no link, ours, closed to everybody else.
fn is_private(directory: &Path, uid: Uid) -> bool {
    std::fs::symlink_metadata(directory).is_ok_and(|facts| {
        facts.is_dir() && facts.uid() == uid.as_raw() && facts.mode() & 0o077 == 0
    })
}

/// A variable that is set and not empty, as the XDG rules have it.
fn set(variable: &str) -> Option<std::ffi::OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}
