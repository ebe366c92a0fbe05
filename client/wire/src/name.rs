//! Names: of secrets, of variables, of profiles. A name that exists is valid.
//!
//! Names are printed, logged and compared, so each alphabet is an allow-list of
//! ASCII: no control, bidi or look-alike character survives construction.

use crate::reserved::is_reserved;
use bincode::{
    Encode,
    de::{Decode, Decoder},
    error::DecodeError,
    impl_borrow_decode,
};
use std::fmt;

/// The longest secret, variable or profile name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is not a name. Carries no input: the caller has it, and escapes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, bincode::Decode)]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// A character outside the alphabet of its kind.
    Character,
    /// A variable that changes how programs run.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 128 bytes",
            Self::Character => "it has a character that names may not have",
            Self::Reserved => "that variable changes how programs run",
        })
    }
}

impl std::error::Error for NameError {}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
        pub struct $type(String);

        impl $type {
            /// Takes the text if it is a name of this kind.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<C> Decode<C> for $type {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::new(String::decode(decoder)?).map_err(|_| DecodeError::Other("not a name"))
            }
        }

        impl_borrow_decode!($type);
    };
}

name_type!(
    /// Our key for a secret: `[A-Za-z0-9][A-Za-z0-9._/-]{0,127}`. An id, never a file name.
    SecretName,
    check_secret
);
name_type!(
    /// A variable that a manifest may set: `[A-Za-z_][A-Za-z0-9_]{0,127}`, less the ones
    /// that change how programs run.
    EnvName,
    check_env
);
name_type!(
    /// The name of a profile or of a project: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    ProfileName,
    check_profile
);

fn check_secret(text: &str) -> Result<(), NameError> {
    check(
        text,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || b"._/-".contains(&b),
    )
}

fn check_profile(text: &str) -> Result<(), NameError> {
    check(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn check_env(text: &str) -> Result<(), NameError> {
    check(
        text,
        |b| b.is_ascii_alphabetic() || b == b'_',
        |b| b.is_ascii_alphanumeric() || b == b'_',
    )?;
    if is_reserved(text) { Err(NameError::Reserved) } else { Ok(()) }
}

fn check(text: &str, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> Result<(), NameError> {
    let Some((&head, tail)) = text.as_bytes().split_first() else { return Err(NameError::Empty) };
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if first(head) && tail.iter().all(|&b| rest(b)) { Ok(()) } else { Err(NameError::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_ids() {
        for good in ["a", "acme/OPENAI_API_KEY", "pg/acme-dev", "0.a", &"a".repeat(128)] {
            assert!(SecretName::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("/a", NameError::Character),
            ("-a", NameError::Character),
            ("..", NameError::Character),
            ("a b", NameError::Character),
            ("a\u{202e}b", NameError::Character),
            ("a\x1b[31m", NameError::Character),
            ("a\0", NameError::Character),
            ("é", NameError::Character),
            (&"a".repeat(129), NameError::TooLong),
        ] {
            assert_eq!(SecretName::new(bad), Err(why));
        }
    }
}
