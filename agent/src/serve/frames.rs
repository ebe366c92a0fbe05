//! Replies as whole frames, in buffers that are wiped.

use keyagent_wire::codec::{self, CodecError};
use keyagent_wire::{Limit, Refusal, Reply};
use zeroize::Zeroizing;

/// A reply, as a whole frame.
pub type Answer = Zeroizing<Vec<u8>>;

/// Writes a reply.
pub fn encode(reply: &Reply) -> Result<Answer, Refusal> {
    fits(codec::frame_reply(reply))
}

/// What was written, or that it is too large for a frame.
pub fn fits(frame: Result<Answer, CodecError>) -> Result<Answer, Refusal> {
    frame.map_err(|_| Refusal::TooLarge(Limit::Reply))
}
