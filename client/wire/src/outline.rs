//! A reply with holes where its values go: the same bytes as the reply itself, less those of
//! its values, which are put in piece by piece when they are sent.
//!
//! It knows how long values are, and never sees one.

use crate::codec::{self, CodecError};
use crate::frame::{HEADER_BYTES, Header, REPLY_BYTES_MAX};
use crate::request::Binding;
use crate::{EnvName, Reply};
use bincode::Encode;

/// The variants of [`Reply`] that carry values out of a vault, by their places.
const ENV: u32 = 3;
const VALUE: u32 = 4;
const ORIGINAL: u32 = 10;
const LOADED: u32 = 11;

/// A whole frame, less its values.
#[derive(Default)]
pub struct Outline {
    plain: Vec<u8>,
    holes: Vec<Hole>,
    value_bytes: usize,
}

/// Where a value goes.
struct Hole {
    /// How much of the plain bytes stands before it.
    at: usize,
    bytes: usize,
}

/// A part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Plain(&'a [u8]),
    /// The value of that number, from 0, which has that many bytes.
    Value(usize, usize),
}

impl Outline {
    /// A reply without values.
    pub fn of(reply: &Reply) -> Result<Self, CodecError> {
        let mut plain = codec::frame_reply(reply)?;
        Ok(Self { plain: std::mem::take(&mut *plain), holes: Vec::new(), value_bytes: 0 })
    }

    /// [`Reply::Env`]: variables, and how long the values are.
    pub fn env<'a>(
        env: impl ExactSizeIterator<Item = (&'a EnvName, usize)>,
    ) -> Result<Self, CodecError> {
        let mut outline = Self::begin(ENV)?;
        outline.put(&(env.len() as u64))?;
        for (var, bytes) in env {
            outline.put(var)?;
            outline.leave(bytes)?;
        }
        outline.end()
    }

    /// [`Reply::Value`]: how long the value is.
    pub fn value(bytes: usize) -> Result<Self, CodecError> {
        let mut outline = Self::begin(VALUE)?;
        outline.leave(bytes)?;
        outline.end()
    }

    /// [`Reply::Loaded`]: bindings, versions, and how long the values are.
    pub fn loaded<'a>(
        loaded: impl ExactSizeIterator<Item = (&'a Binding, u32, usize)>,
    ) -> Result<Self, CodecError> {
        let mut outline = Self::begin(LOADED)?;
        outline.put(&(loaded.len() as u64))?;
        for (binding, version, bytes) in loaded {
            outline.put(&(binding, version))?;
            outline.leave(bytes)?;
        }
        outline.end()
    }

    /// [`Reply::Original`]: how many parts, the fingerprint, and how long this part is.
    pub fn original(parts: u32, after: [u8; 32], bytes: usize) -> Result<Self, CodecError> {
        let mut outline = Self::begin(ORIGINAL)?;
        outline.put(&(parts, after))?;
        outline.leave(bytes)?;
        outline.end()
    }

    /// How long the whole frame is.
    pub fn frame_bytes(&self) -> usize {
        self.plain.len() + self.value_bytes
    }

    /// The whole frame, if there is no value in it.
    pub fn whole(&self) -> Option<&[u8]> {
        self.holes.is_empty().then_some(&self.plain)
    }

    /// The pieces of the frame, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut from = 0;
        let before = self.holes.iter().enumerate().flat_map(move |(number, hole)| {
            let plain = &self.plain[from..hole.at];
            from = hole.at;
            [Piece::Plain(plain), Piece::Value(number, hole.bytes)]
        });
        let last = self.holes.last().map_or(0, |hole| hole.at);
        before.chain([Piece::Plain(&self.plain[last..])])
    }

    fn begin(variant: u32) -> Result<Self, CodecError> {
        let plain = vec![0; HEADER_BYTES];
        let mut outline = Self { plain, holes: Vec::new(), value_bytes: 0 };
        outline.put(&variant)?;
        Ok(outline)
    }

    fn put(&mut self, part: &impl Encode) -> Result<(), CodecError> {
        codec::append(&mut self.plain, part)
    }

    /// A value is its length, and then its bytes.
    fn leave(&mut self, bytes: usize) -> Result<(), CodecError> {
        self.put(&(bytes as u64))?;
        self.holes.push(Hole { at: self.plain.len(), bytes });
        self.value_bytes += bytes;
        Ok(())
    }

    fn end(mut self) -> Result<Self, CodecError> {
        let body_bytes = self.frame_bytes() - HEADER_BYTES;
        if body_bytes > REPLY_BYTES_MAX {
            return Err(CodecError::TooLarge);
        }
        self.plain[..HEADER_BYTES].copy_from_slice(&Header::bytes(body_bytes));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Loaded;
    use crate::{SecretName, Value};

    fn value(bytes: usize) -> Value {
        Value::new(&vec![b'v'; bytes]).expect("a value")
    }

    /// The frame, with every value of `v`s.
    fn filled(outline: &Outline) -> Vec<u8> {
        let mut frame = Vec::new();
        for piece in outline.pieces() {
            match piece {
                Piece::Plain(bytes) => frame.extend_from_slice(bytes),
                Piece::Value(_, bytes) => frame.extend(vec![b'v'; bytes]),
            }
        }
        assert_eq!(frame.len(), outline.frame_bytes());
        frame
    }

    fn same(reply: &Reply, outline: Result<Outline, CodecError>) {
        let owned = codec::frame_reply(reply).expect("it is within its limits");
        let outline = outline.expect("it is within its limits");
        assert!(*owned == filled(&outline), "another frame than of {} bytes", owned.len());
    }

    #[test]
    fn a_filled_outline_is_the_frame_of_the_reply() {
        let var = EnvName::new("A_KEY").expect("a name");
        let binding = Binding { var: var.clone(), secret: SecretName::new("a/B").expect("a name") };
        same(&Reply::Done, Outline::of(&Reply::Done));
        same(&Reply::Env(Vec::new()), Outline::env([].into_iter()));
        for bytes in [0, 1, 250, 251, 65_535, 65_536] {
            same(&Reply::Value(value(bytes)), Outline::value(bytes));
            let env = Reply::Env(vec![(var.clone(), value(bytes)), (var.clone(), value(3))]);
            same(&env, Outline::env([(&var, bytes), (&var, 3)].into_iter()));
            let loaded = Loaded { binding: binding.clone(), version: 300, value: value(bytes) };
            let outline = Outline::loaded([(&binding, 300, bytes)].into_iter());
            same(&Reply::Loaded(vec![loaded]), outline);
            let original = Reply::Original { parts: 2, after: [0xff; 32], bytes: value(bytes) };
            same(&original, Outline::original(2, [0xff; 32], bytes));
        }
    }

    #[test]
    fn what_no_frame_holds_is_refused() {
        let var = EnvName::new("A").expect("a name");
        let most = REPLY_BYTES_MAX / 65_536;
        assert!(Outline::env(vec![(&var, 65_536); most - 1].into_iter()).is_ok());
        let over = Outline::env(vec![(&var, 65_536); most].into_iter());
        assert_eq!(over.err(), Some(CodecError::TooLarge));
    }

    #[test]
    fn only_what_has_no_value_is_whole() {
        assert!(Outline::of(&Reply::Done).expect("small").whole().is_some());
        assert!(Outline::value(0).expect("small").whole().is_none());
    }
}
