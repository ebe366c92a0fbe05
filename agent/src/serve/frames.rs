//! Replies as whole frames. What is plain lies in ordinary memory; values are sealed until
//! the moment that they are sent, and open in the arena's scratch alone.

use crate::vault::sealed::{Locked, Sealed};
use crate::vault::{Original, Version};
use keyagent_sys::{arena, stack};
use keyagent_wire::codec::CodecError;
use keyagent_wire::outline::{Outline, Piece};
use keyagent_wire::request::Binding;
use keyagent_wire::{Limit, Refusal, Reply};

/// A reply, as a whole frame of which the values are sealed.
#[derive(Default)]
pub struct Answer {
    outline: Outline,
    values: Vec<Sealed>,
}

/// Writes a reply that has no value of the vault in it.
pub fn encode(reply: &Reply) -> Result<Answer, Refusal> {
    Answer::of(Outline::of(reply), Vec::new())
}

/// Writes the env of a command.
pub fn env(env: &[(&Binding, &Version)]) -> Result<Answer, Refusal> {
    let outline = env.iter().map(|(binding, v)| (&binding.var, v.value.byte_count()));
    Answer::of(Outline::env(outline), env.iter().map(|(_, v)| v.value.share()).collect())
}

/// Writes the env of a shell.
pub fn loaded(env: &[(&Binding, &Version)]) -> Result<Answer, Refusal> {
    let outline = env.iter().map(|(binding, v)| (*binding, v.number, v.value.byte_count()));
    Answer::of(Outline::loaded(outline), env.iter().map(|(_, v)| v.value.share()).collect())
}

/// Writes one value.
pub fn value(value: &Sealed) -> Result<Answer, Refusal> {
    Answer::of(Outline::value(value.byte_count()), vec![value.share()])
}

/// Writes a part of an original.
pub fn original(original: &Original, part: &Sealed) -> Result<Answer, Refusal> {
    let outline = Outline::original(original.part_count(), original.after(), part.byte_count());
    Answer::of(outline, vec![part.share()])
}

impl Answer {
    fn of(outline: Result<Outline, CodecError>, values: Vec<Sealed>) -> Result<Self, Refusal> {
        let outline = outline.map_err(|_| Refusal::TooLarge(Limit::Reply))?;
        Ok(Self { outline, values })
    }

    /// Whether there are values in it.
    pub fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// How long the whole frame is.
    pub fn frame_bytes(&self) -> usize {
        self.outline.frame_bytes()
    }

    /// Has `send` see what comes after the first `sent` bytes: all of it, or as much as there
    /// is scratch for. Values are open for as long as that takes.
    pub fn reveal<T>(&self, sent: usize, send: impl FnOnce(&[u8]) -> T) -> Result<T, Locked> {
        if let Some(whole) = self.outline.whole() {
            return Ok(send(&whole[sent..]));
        }
        let longest = self.values.iter().map(Sealed::byte_count).max().unwrap_or(0);
        let mut scratch = arena::scratch();
        let (value, window) = scratch.take(longest, self.frame_bytes() - sent);
        let filled = stack::burn_after(|| self.fill(sent, value, window));
        Ok(send(&window[..filled?]))
    }

    /// Opens one value at a time.
    fn fill(&self, sent: usize, value: &mut [u8], window: &mut [u8]) -> Result<usize, Locked> {
        let (mut at, mut filled) = (0, 0);
        for piece in self.outline.pieces() {
            let bytes = match piece {
                Piece::Plain(plain) => plain.len(),
                Piece::Value(_, bytes) => bytes,
            };
            let skip = sent.saturating_sub(at).min(bytes);
            let count = (bytes - skip).min(window.len() - filled);
            at += bytes;
            if count == 0 {
                continue;
            }
            let open = match piece {
                Piece::Plain(plain) => plain,
                Piece::Value(number, bytes) => {
                    self.values[number].expose_into(&mut value[..bytes])?;
                    &value[..bytes]
                }
            };
            window[filled..filled + count].copy_from_slice(&open[skip..skip + count]);
            filled += count;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::sealed::{Kind, Opening};
    use keyagent_wire::reply::VersionState;
    use keyagent_wire::{EnvName, SecretName, Value, codec};

    fn version(value: &[u8]) -> Version {
        Opening::begin();
        let value = Value::new(value).expect("a value");
        let value = Sealed::of(&value, Kind::Version).expect("there is a data key");
        Version { number: 1, value, created: 0, state: VersionState::Active }
    }

    fn sent(answer: &Answer, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < answer.frame_bytes() {
            let piece = answer.reveal(all.len(), |piece| piece[..piece.len().min(most)].to_vec());
            all.extend(piece.expect("nobody locks"));
        }
        all
    }

    #[test]
    fn however_little_is_sent_at_once_the_frame_is_that_of_the_reply() {
        let bytes: Vec<u8> = (0..65_536u32).map(|n| (n % 255 + 1) as u8).collect();
        let versions = [version(&bytes), version(b""), version(b"small"), version(&bytes)];
        let var = EnvName::new("A_KEY").expect("a name");
        let binding = Binding { var: var.clone(), secret: SecretName::new("a").expect("a name") };
        let asked: Vec<_> = versions.iter().map(|version| (&binding, version)).collect();
        let answer = env(&asked).expect("it fits");
        let owned = [bytes.as_slice(), b"", b"small", &bytes];
        let owned = owned.map(|value| (var.clone(), Value::new(value).expect("a value")));
        let whole = codec::frame_reply(&Reply::Env(owned.into())).expect("it fits");
        for most in [usize::MAX, 65_536, 10_007, 1_001] {
            assert!(sent(&answer, most) == *whole, "{most} bytes at once");
        }
    }

    #[test]
    fn a_small_reply_is_one_piece() {
        let value = version(b"small");
        let answer = super::value(&value.value).expect("it fits");
        let first = answer.reveal(0, <[u8]>::len).expect("nobody locks");
        assert_eq!(first, answer.frame_bytes());
    }
}
