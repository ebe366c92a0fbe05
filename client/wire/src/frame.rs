//! Frames: `u32` length, `u16` protocol version (both little-endian), then the body.
//!
//! The length counts the version and the body. It is checked before anything is allocated.

use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// The version of the protocol that this side speaks. Raised when an old peer would
/// misread a frame; new operations alone do not raise it.
pub const VERSION: u16 = 2;
/// Length and version.
pub const HEADER_BYTES: usize = 6;
/// The largest body of a request: one value and its facts.
pub const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// The largest body of a reply.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;
/// How many names one request may carry, and how many variables one manifest may bind.
pub const NAMES_MAX: usize = 256;
/// How many connections the agent serves at once.
pub const CONNECTIONS_MAX: usize = 64;
/// How long the agent waits for the header of a frame, from accept or its first byte.
pub const HEADER_MILLIS_MAX: u64 = 1_000;
/// How long the agent waits for a whole frame.
pub const FRAME_MILLIS_MAX: u64 = 2_000;
/// How long the agent waits for a client to drain its reply.
pub const REPLY_MILLIS_MAX: u64 = 5_000;
/// How long a connection may stay open between two requests.
pub const IDLE_MILLIS_MAX: u64 = 30_000;

/// The first six bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version that the sender speaks.
    pub version: u16,
    /// How many bytes of body follow.
    pub body_bytes: usize,
}

/// Why six bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The length does not even hold a version.
    TooShort,
    /// The body would be larger than its side of the contract allows.
    TooLong,
}

impl Header {
    /// Reads a header, refusing bodies of more than `body_bytes_max`.
    pub fn parse(bytes: [u8; HEADER_BYTES], body_bytes_max: usize) -> Result<Self, HeaderError> {
        let [a, b, c, d, v, w] = bytes;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let body_bytes = length.checked_sub(2).ok_or(HeaderError::TooShort)?;
        if body_bytes > body_bytes_max {
            return Err(HeaderError::TooLong);
        }
        Ok(Self { version: u16::from_le_bytes([v, w]), body_bytes })
    }

    /// The header of a body of that many bytes, in the version that we speak.
    pub fn bytes(body_bytes: usize) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = (body_bytes as u32 + 2).to_le_bytes();
        let [v, w] = VERSION.to_le_bytes();
        [a, b, c, d, v, w]
    }
}

/// Puts the header before a body, in one buffer, so that a frame is one write.
pub fn seal(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + body.len()));
    frame.extend_from_slice(&Header::bytes(body.len()));
    frame.extend_from_slice(body);
    frame
}

/// Writes one frame.
pub fn write(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    to.write_all(&seal(body))
}

/// Reads one frame: the sender's version, and the body.
pub fn read(from: &mut impl Read, body_bytes_max: usize) -> io::Result<(u16, Zeroizing<Vec<u8>>)> {
    let mut bytes = [0; HEADER_BYTES];
    from.read_exact(&mut bytes)?;
    let header = Header::parse(bytes, body_bytes_max).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, "the frame's length is out of range")
    })?;
    let mut body = Zeroizing::new(vec![0; header.body_bytes]);
    from.read_exact(&mut body)?;
    Ok((header.version, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_checked_at_its_edges() {
        let header = |length: u32| {
            let [a, b, c, d] = length.to_le_bytes();
            Header::parse([a, b, c, d, 1, 0], REQUEST_BYTES_MAX)
        };
        assert_eq!(header(0), Err(HeaderError::TooShort));
        assert_eq!(header(1), Err(HeaderError::TooShort));
        assert_eq!(header(2), Ok(Header { version: 1, body_bytes: 0 }));
        let max = REQUEST_BYTES_MAX as u32 + 2;
        assert_eq!(header(max), Ok(Header { version: 1, body_bytes: REQUEST_BYTES_MAX }));
        assert_eq!(header(max + 1), Err(HeaderError::TooLong));
        assert_eq!(header(u32::MAX), Err(HeaderError::TooLong));
    }

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let mut wire = Vec::new();
        write(&mut wire, b"body").expect("a Vec takes every write");
        let (version, body) = read(&mut wire.as_slice(), 4).expect("the frame is whole");
        assert_eq!((version, body.as_slice()), (VERSION, b"body".as_slice()));
        assert!(read(&mut &wire[..9], 4).is_err(), "a cut frame is an error");
    }
}
