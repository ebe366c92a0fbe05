//! The bytes of a secret. Nothing here prints, clones or compares them by accident.

use bincode::{
    de::{Decode, Decoder, read::Reader},
    enc::{Encode, Encoder, write::Writer},
    error::{DecodeError, EncodeError},
    impl_borrow_decode,
};
use std::fmt;
use zeroize::Zeroize;

/// The longest value, in bytes. The kernel takes 128 KiB for one environment string.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The bytes of one secret: 0 to 64 KiB of bytes 1 to 255, wiped when dropped.
///
/// It has no `Debug`, `Display`, `Clone`, `PartialEq` or `Deref`: [`Value::expose`] is the
/// only door, and its call sites are few enough to be listed in a test.
pub struct Value(Box<[u8]>);

/// Why bytes are not a value. Carries no input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    /// More than [`VALUE_BYTES_MAX`] bytes.
    TooLong,
    /// A NUL, which no environment can hold.
    Nul,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is longer than 64 KiB",
            Self::Nul => "it has a NUL byte, which no environment variable can hold",
        })
    }
}

impl std::error::Error for ValueError {}

impl Value {
    /// Copies the bytes, at their exact size, if they are a value.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(ValueError::TooLong);
        }
        if bytes.contains(&0) {
            return Err(ValueError::Nul);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A second one of the same bytes. It has a name of its own, and is no `Clone`, because
    /// it is one more that somebody keeps.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// How many bytes there are.
    pub fn byte_count(&self) -> usize {
        self.0.len()
    }

    /// Whether two values are the same, in time that depends on their lengths alone.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Encode for Value {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        encoder.writer().write(&self.0)
    }
}

impl<C> Decode<C> for Value {
    /// Checks the length before it allocates, and reads into the exact place.
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let len = u64::decode(decoder)?;
        if len > VALUE_BYTES_MAX as u64 {
            return Err(DecodeError::LimitExceeded);
        }
        let len = len as usize;
        decoder.claim_bytes_read(len)?;
        let mut value = Self(vec![0; len].into_boxed_slice());
        decoder.reader().read(&mut value.0)?;
        if value.0.contains(&0) {
            return Err(DecodeError::Other("a value with a NUL"));
        }
        Ok(value)
    }
}

impl_borrow_decode!(Value);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bytes_1_to_255_up_to_64_kib() {
        assert!(Value::new(b"").is_ok());
        assert!(Value::new(&[0xff; VALUE_BYTES_MAX]).is_ok());
        assert_eq!(Value::new(&[1; VALUE_BYTES_MAX + 1]).err(), Some(ValueError::TooLong));
        assert_eq!(Value::new(b"a\0b").err(), Some(ValueError::Nul));
    }

    #[test]
    fn sameness_needs_every_byte() {
        let value = |b: &[u8]| Value::new(b).unwrap_or_else(|e| panic!("{e}"));
        assert!(value(b"abc").same_as(&value(b"abc")));
        assert!(!value(b"abc").same_as(&value(b"abd")));
        assert!(!value(b"abc").same_as(&value(b"ab")));
    }
}
