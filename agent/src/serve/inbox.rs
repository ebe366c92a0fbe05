//! What a client has sent: bytes in, whole frames out, with their descriptors.
//!
//! A small frame comes with one receive. Lengths are checked before anything is allocated.

use super::mounts::{Handed, Mounts};
use super::roster::{Place, Socket};
use keyagent_sys::message::{Received, receive};
use keyagent_wire::frame::{
    FRAME_MILLIS_MAX, HEADER_BYTES, HEADER_MILLIS_MAX, Header, HeaderError, REQUEST_BYTES_MAX,
};
use keyagent_wire::{Limit, Refusal};
use std::io;
use std::os::fd::AsFd;
use tokio::io::Interest;
use zeroize::{Zeroize, Zeroizing};

/// How much one receive may bring; longer bodies are read into their own place.
const INBOX_BYTES: usize = 1024;
/// The most descriptors that any request has use for.
const DESCRIPTORS_MAX: usize = 2;

/// One frame of a request.
pub struct Frame {
    /// The version that the client speaks.
    pub version: u16,
    /// The encoded request.
    pub body: Zeroizing<Vec<u8>>,
    /// The descriptors that came with it.
    pub descriptors: Handed,
}

/// Why there is no further frame.
pub enum End {
    /// The client is done, late, or gone.
    Closed,
    /// What it sent is no frame.
    Refuse(Refusal),
}

/// Bytes that came and are not yet a frame.
pub struct Inbox {
    socket: Socket,
    bytes: Zeroizing<[u8; INBOX_BYTES]>,
    filled: usize,
    descriptors: Handed,
    mounts: &'static Mounts,
}

impl Inbox {
    /// An empty one.
    pub fn new(socket: Socket, mounts: &'static Mounts) -> Self {
        let (bytes, descriptors) = (Zeroizing::new([0; INBOX_BYTES]), Handed::none(mounts));
        Self { socket, bytes, filled: 0, descriptors, mounts }
    }

    /// Whether there is more of it than was read: it was sent before the reply was.
    pub fn has_more(&self) -> bool {
        self.filled > 0
    }

    /// Waits for a whole frame. Each part of it has its own deadline at that place.
    pub async fn next(&mut self, place: &Place) -> Result<Frame, End> {
        while self.filled < HEADER_BYTES {
            if self.filled > 0 {
                place.wait(HEADER_MILLIS_MAX);
            }
            self.fill().await?;
        }
        let header = self.header()?;
        let mut body = Zeroizing::new(vec![0; header.body_bytes]);
        let here = header.body_bytes.min(self.filled - HEADER_BYTES);
        body[..here].copy_from_slice(&self.bytes[HEADER_BYTES..HEADER_BYTES + here]);
        self.forget(HEADER_BYTES + here);
        if here < body.len() {
            place.wait(FRAME_MILLIS_MAX);
            self.read_rest(&mut body[here..]).await?;
        }
        Ok(Frame { version: header.version, body, descriptors: self.take_descriptors() })
    }

    fn header(&self) -> Result<Header, End> {
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&self.bytes[..HEADER_BYTES]);
        Header::parse(bytes, REQUEST_BYTES_MAX).map_err(|error| {
            End::Refuse(match error {
                HeaderError::TooShort => Refusal::Malformed,
                HeaderError::TooLong => Refusal::TooLarge(Limit::Request),
            })
        })
    }

    /// The kernel ends a receive behind the message that brought descriptors (unix(7)), so
    /// they are of the last frame that came: what is followed by another has none.
    fn take_descriptors(&mut self) -> Handed {
        if self.filled > 0 { Handed::none(self.mounts) } else { self.descriptors.take() }
    }

    /// What came behind moves to the front, and nothing stays where it was.
    fn forget(&mut self, count: usize) {
        let filled = self.filled;
        self.bytes.copy_within(count..filled, 0);
        self.filled -= count;
        self.bytes[self.filled..filled].zeroize();
    }

    async fn fill(&mut self) -> Result<(), End> {
        let received =
            receive_some(&self.socket, &mut self.bytes[self.filled..], self.mounts).await;
        self.filled += self.accept(received)?;
        Ok(())
    }

    async fn read_rest(&mut self, mut into: &mut [u8]) -> Result<(), End> {
        while !into.is_empty() {
            let received = receive_some(&self.socket, into, self.mounts).await;
            into = &mut into[self.accept(received)?..];
        }
        Ok(())
    }

    /// Keeps the descriptors, and tells how many bytes came: at least one.
    fn accept(&mut self, received: io::Result<Received>) -> Result<usize, End> {
        let received = received.map_err(|_| End::Closed)?;
        self.descriptors.extend(received.descriptors);
        let count = self.descriptors.as_slice().len();
        if received.cut || count > DESCRIPTORS_MAX {
            let no_room = received.cut && count == 0;
            let refusal = if no_room { Refusal::Busy } else { Refusal::Malformed };
            return Err(End::Refuse(refusal));
        }
        if received.bytes == 0 { Err(End::Closed) } else { Ok(received.bytes) }
    }
}

async fn receive_some(socket: &Socket, into: &mut [u8], mounts: &Mounts) -> io::Result<Received> {
    loop {
        socket.readable().await?;
        match socket
            .try_io(Interest::READABLE, || Ok(receive(socket.as_fd(), into, mounts.has_room())?))
        {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            done => return done,
        }
    }
}
