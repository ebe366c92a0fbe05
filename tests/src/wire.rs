//! A client that speaks the wire directly, well or badly.

use keyagent_wire::frame::{self, REPLY_BYTES_MAX, VERSION};
use keyagent_wire::reply::{Status, Written};
use keyagent_wire::request::{Clash, Init, Key, Put, Seal, Unlock};
use keyagent_wire::{Refusal, Reply, Request, SecretName, Value, codec};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::PATIENCE;

/// One connection to an agent.
pub struct Wire {
    socket: UnixStream,
}

impl Wire {
    /// Connects, if somebody listens there.
    pub fn try_connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// The socket, for whatever has no method here.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends bytes, and descriptors beside the first of them.
    pub fn send_bytes_with(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &control[..] };
        let to = self.socket.as_fd().as_raw_fd();
        let slices = [IoSlice::new(bytes)];
        let sent = sendmsg::<UnixAddr>(to, &slices, control, MsgFlags::MSG_NOSIGNAL, None)?;
        self.socket.write_all(&bytes[sent..])
    }

    /// Sends a request.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        self.send_bytes(&Self::frame(request))
    }

    /// The frame of a request.
    pub fn frame(request: &Request) -> Vec<u8> {
        let body = codec::encode_request(request).expect("the request is within its limits");
        frame::seal(&body).to_vec()
    }

    /// Reads one reply.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let (version, body) = frame::read(&mut self.socket, REPLY_BYTES_MAX)?;
        assert_eq!(version, VERSION, "the agent speaks our version");
        Ok(codec::decode_reply(&body).expect("the agent sends replies that can be read"))
    }

    /// Sends a request and reads its reply.
    pub fn try_ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.send(request)?;
        self.try_reply()
    }

    /// Sends a request and reads its reply.
    pub fn ask(&mut self, request: &Request) -> Reply {
        self.try_ask(request).expect("the agent answers")
    }

    /// The same, with descriptors.
    pub fn ask_with(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Reply {
        self.send_bytes_with(&Self::frame(request), fds).expect("the agent takes the request");
        self.try_reply().expect("the agent answers")
    }

    /// Reads until the agent closes: what it sent until then.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            // It closed while bytes of ours were unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(rest),
            Err(error) => Err(error),
        }
    }

    /// The agent's status.
    pub fn status(&mut self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => status,
            other => panic!("Status is always answered, not by {}", describe(&other)),
        }
    }

    /// Makes identity and vault; nothing seals the identity without a passphrase.
    pub fn init(&mut self, passphrase: Option<&str>) {
        let seal = passphrase.map_or(Seal::Nothing, |text| Seal::Passphrase(value(text)));
        done(self.ask(&Request::Init(Init { seal, recipients: Vec::new() })));
    }

    /// Opens the vault.
    pub fn unlock(&mut self, passphrase: Option<&str>) -> Reply {
        let key = passphrase.map_or(Key::Stored, |text| Key::Passphrase(value(text)));
        self.ask(&Request::Unlock(Unlock { key, accept_rollback: false, seconds: None }))
    }

    /// Stages a value.
    pub fn stage(&mut self, name: &str, bytes: &[u8]) -> Reply {
        self.ask(&Request::Put(put(name, bytes)))
    }

    /// Stages one value and commits it.
    pub fn try_put(
        &mut self,
        name: &str,
        bytes: &[u8],
    ) -> io::Result<Result<Vec<Written>, Refusal>> {
        match self.try_ask(&Request::Put(put(name, bytes)))? {
            Reply::Done => {}
            Reply::Refused(refusal) => return Ok(Err(refusal)),
            other => panic!("Put is not answered by {}", describe(&other)),
        }
        match self.try_ask(&Request::Commit)? {
            Reply::Committed(written) => Ok(Ok(written)),
            Reply::Refused(refusal) => Ok(Err(refusal)),
            other => panic!("Commit is not answered by {}", describe(&other)),
        }
    }

    /// Stages one value and commits it, which must succeed.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Vec<Written> {
        let outcome = self.try_put(name, bytes).expect("the agent answers");
        outcome.unwrap_or_else(|refusal| panic!("cannot put `{name}`: {refusal:?}"))
    }

    /// Commits what was staged.
    pub fn commit(&mut self) -> Result<Vec<Written>, Refusal> {
        match self.ask(&Request::Commit) {
            Reply::Committed(written) => Ok(written),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("Commit is not answered by {}", describe(&other)),
        }
    }

    /// The bytes of one value, or why not.
    pub fn get(&mut self, name: &str) -> Result<Vec<u8>, Refusal> {
        match self.ask(&Request::Get { name: secret(name), version: None }) {
            Reply::Value(value) => Ok(value.expose().to_vec()),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("Get is not answered by {}", describe(&other)),
        }
    }

    /// The names of all secrets, in order.
    pub fn names(&mut self) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let Reply::Page { secrets, more } = self.ask(&Request::List { after }) else {
                panic!("List is answered by a page");
            };
            after = secrets.last().map(|fact| fact.name.clone());
            names.extend(secrets.into_iter().map(|fact| fact.name.to_string()));
            if !more {
                return names;
            }
        }
    }
}

/// The name of a reply's variant, with the refusal if it is one. Never a value.
pub fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Refused(refusal) => format!("Refused({refusal:?})"),
        Reply::Done => "Done".into(),
        Reply::Status(status) => format!("{status:?}"),
        Reply::Env(env) => format!("Env of {}", env.len()),
        Reply::Value(_) => "Value".into(),
        Reply::Committed(written) => format!("Committed({written:?})"),
        Reply::Page { secrets, more } => format!("Page of {}, more: {more}", secrets.len()),
        Reply::Fact(fact) => format!("{fact:?}"),
        Reply::Review(review) => format!("{review:?}"),
        Reply::Manifest(text) => format!("Manifest({text:?})"),
        Reply::Original { parts, .. } => format!("Original of {parts} parts"),
        Reply::Loaded(loaded) => format!("Loaded {} variables", loaded.len()),
        Reply::Health(health) => format!("{health:?}"),
        Reply::Events { events, more } => format!("Events {events:?}, more: {more}"),
        Reply::Verified(verified) => format!("{verified:?}"),
        Reply::Recipients(recipients) => format!("Recipients {recipients:?}"),
        Reply::Bindings { allowed, bound } => format!("Bindings, allowed {allowed}: {bound:?}"),
    }
}

/// Fails unless the reply is `Done`.
pub fn done(reply: Reply) {
    assert!(matches!(reply, Reply::Done), "not done: {}", describe(&reply));
}

/// The refusal; fails unless the reply is one.
pub fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {}", describe(&other)),
    }
}

/// A name that is known to be one.
pub fn secret(name: &str) -> SecretName {
    SecretName::new(name).unwrap_or_else(|error| panic!("`{name}` is no name: {error}"))
}

/// A value that is known to be one.
pub fn value(text: &str) -> Value {
    Value::new(text.as_bytes()).unwrap_or_else(|error| panic!("no value: {error}"))
}

/// A put with nothing but a name and a value.
pub fn put(name: &str, bytes: &[u8]) -> Put {
    let value = Value::new(bytes).unwrap_or_else(|error| panic!("no value: {error}"));
    Put {
        name: secret(name),
        value,
        clash: Clash::NewVersion,
        exec_only: None,
        confirm: None,
        note: None,
    }
}
