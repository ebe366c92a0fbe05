//! Bytes to messages and back. The one file that knows bincode.
//!
//! bincode is frozen (RUSTSEC-2025-0141); what it writes is pinned by PROTOCOL.md and by
//! the golden frames in `tests/`, so replacing it changes this file and nothing else.

use crate::frame::{HEADER_BYTES, Header, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::{Reply, Request};
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use zeroize::Zeroizing;

type Config<const N: usize> = Configuration<LittleEndian, Varint, Limit<N>>;

fn config<const N: usize>() -> Config<N> {
    bincode::config::standard().with_limit::<N>()
}

/// Why a body is not a message. Carries no input bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// An operation, or an answer, that this version does not know.
    UnknownOp,
    /// Truncated, out of range, or not what its type says.
    Malformed,
    /// The message ended before the frame did.
    TrailingBytes,
    /// Larger than its side of the contract allows.
    TooLarge,
}

/// Writes a request as the body of a frame.
pub fn encode_request(request: &Request) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    encode::<REQUEST_BYTES_MAX, _>(request)
}

/// Reads a request from the whole body of a frame.
pub fn decode_request(body: &[u8]) -> Result<Request, CodecError> {
    decode::<REQUEST_BYTES_MAX, _>(body)
}

/// Writes a reply as the body of a frame.
pub fn encode_reply(reply: &Reply) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    encode::<REPLY_BYTES_MAX, _>(reply)
}

/// Writes a reply as a whole frame, header and all, in one buffer.
pub fn frame_reply(reply: &Reply) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    let mut frame = encode_behind::<REPLY_BYTES_MAX, _>(reply, HEADER_BYTES)?;
    let body_bytes = frame.len() - HEADER_BYTES;
    frame[..HEADER_BYTES].copy_from_slice(&Header::bytes(body_bytes));
    Ok(frame)
}

/// Reads a reply from the whole body of a frame.
pub fn decode_reply(body: &[u8]) -> Result<Reply, CodecError> {
    decode::<REPLY_BYTES_MAX, _>(body)
}

/// Writes a part of a reply behind what is there.
pub(crate) fn append(to: &mut Vec<u8>, part: &impl Encode) -> Result<(), CodecError> {
    bincode::encode_into_std_write(part, to, config::<REPLY_BYTES_MAX>())
        .map(drop)
        .map_err(|_| CodecError::TooLarge)
}

fn encode<const N: usize, T: Encode>(message: &T) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    encode_behind::<N, _>(message, 0)
}

/// Sizes first, so that the buffer never grows and leaves a copy behind.
fn encode_behind<const N: usize, T: Encode>(
    message: &T,
    head_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    let mut sizer = bincode::enc::write::SizeWriter::default();
    bincode::encode_into_writer(message, &mut sizer, config::<N>())
        .map_err(|_| CodecError::TooLarge)?;
    if sizer.bytes_written > N {
        return Err(CodecError::TooLarge);
    }
    let mut buffer = Zeroizing::new(vec![0; head_bytes + sizer.bytes_written]);
    bincode::encode_into_slice(message, &mut buffer[head_bytes..], config::<N>())
        .map_err(|_| CodecError::TooLarge)?;
    Ok(buffer)
}

fn decode<const N: usize, T: Decode<()>>(body: &[u8]) -> Result<T, CodecError> {
    use bincode::error::DecodeError;
    let (message, consumed) =
        bincode::decode_from_slice(body, config::<N>()).map_err(|e| match e {
            DecodeError::UnexpectedVariant { type_name, .. } if names_message(type_name) => {
                CodecError::UnknownOp
            }
            DecodeError::LimitExceeded => CodecError::TooLarge,
            _ => CodecError::Malformed,
        })?;
    if consumed == body.len() { Ok(message) } else { Err(CodecError::TrailingBytes) }
}

/// Whether the variant that is unknown is the message's own, not one deep inside it. bincode
/// names types without their path.
fn names_message(type_name: &str) -> bool {
    matches!(type_name, "Request" | "Reply")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_message_is_told_from_a_malformed_one() {
        for op in [30, 100, 250] {
            assert_eq!(decode_request(&[op]).err(), Some(CodecError::UnknownOp), "{op}");
            assert_eq!(decode_reply(&[op]).err(), Some(CodecError::UnknownOp), "{op}");
        }
        // The second channel and the third: there are two.
        assert_eq!(decode_request(&[1, 2, 0, 0, 0]).err(), Some(CodecError::Malformed));
        assert_eq!(decode_request(&[]).err(), Some(CodecError::Malformed));
    }
}
