//! Values as they lie in memory: sealed under a data key that only the arena has.
//!
//! Whoever wipes that key has taken every value away, however many there are and whoever
//! still holds one. A value is open in scratch, or for as long as a [`Value`] lives; nothing
//! here decides who may have it.

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use keyagent_sys::arena::{self, Keys, Slot, VALUE_BYTES};
use keyagent_wire::{Refusal, VALUE_BYTES_MAX, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What stands before the value's own bytes.
const HEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

const _: () = assert!(VALUE_BYTES_MAX == VALUE_BYTES, "scratch holds the longest value");

/// How often everything was forgotten. Changes only while the keys are held.
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

/// The data key is gone, and with it every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked;

impl From<Locked> for Refusal {
    fn from(_: Locked) -> Self {
        Self::Locked
    }
}

/// An attempt to open the vault. A lock meanwhile ends it: what it then puts into the arena
/// is not taken.
#[derive(Clone, Copy)]
pub struct Opening(u64);

impl Opening {
    /// Begins one. Values that are parsed from here on are sealed under a new data key, unless
    /// the vault is open already.
    pub fn begin() -> Self {
        let mut keys = arena::keys();
        if keys.get(Slot::DataKey).is_none() {
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            fill_randomly(&mut *key);
            keys.put(Slot::DataKey, &*key);
        }
        Self(FORGOTTEN.load(Ordering::Relaxed))
    }

    /// Whether nothing was forgotten since.
    pub fn stands(self) -> bool {
        let _keys = arena::keys();
        self.is_current()
    }

    /// Keeps the identity in the arena, if no lock came first.
    pub(super) fn keep_identity(self, text: &[u8]) -> Result<(), Locked> {
        let mut keys = arena::keys();
        if self.is_current() && keys.put(Slot::Identity, text) { Ok(()) } else { Err(Locked) }
    }

    fn is_current(self) -> bool {
        FORGOTTEN.load(Ordering::Relaxed) == self.0
    }
}

/// Looks at the text of the identity that is kept in the arena.
pub(super) fn with_identity<T>(look: impl FnOnce(&[u8]) -> T) -> Result<T, Locked> {
    arena::keys().get(Slot::Identity).map(look).ok_or(Locked)
}

/// Wipes the data key and the identity. What was sealed is noise from here on.
pub fn forget_all() {
    let mut keys = arena::keys();
    keys.clear(Slot::DataKey);
    keys.clear(Slot::Identity);
    FORGOTTEN.fetch_add(1, Ordering::Relaxed);
}

/// What a sealed value is, so that one is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A version of a secret.
    Version,
    /// A part of a file as it was before an import.
    Original,
}

impl Kind {
    fn aad(self) -> &'static [u8] {
        match self {
            Self::Version => b"keyagent version 1",
            Self::Original => b"keyagent original 1",
        }
    }
}

/// A value that nobody can read without the arena: nonce, tag, and as many bytes as it has.
pub struct Sealed {
    bytes: Arc<[u8]>,
    kind: Kind,
}

impl Sealed {
    /// Seals a value.
    pub fn of(value: &Value, kind: Kind) -> Result<Self, Locked> {
        let (nonce, plain) = (fresh_nonce(), value.expose());
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, HEAD_BYTES + plain.len()).collect();
        let held = Arc::get_mut(&mut bytes).expect("nobody else has it yet");
        let (head, body) = held.split_at_mut(HEAD_BYTES);
        head[..NONCE_BYTES].copy_from_slice(&nonce);
        body.copy_from_slice(plain);
        let tag = cipher(&arena::keys())?
            .encrypt_in_place_detached(&nonce.into(), kind.aad(), body)
            .expect("a value is far shorter than the cipher can take");
        head[NONCE_BYTES..].copy_from_slice(&tag);
        Ok(Self { bytes, kind })
    }

    /// The same one, once more.
    pub fn share(&self) -> Self {
        Self { bytes: self.bytes.clone(), kind: self.kind }
    }

    /// How many bytes the value has.
    pub fn byte_count(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    /// Opens it into the arena's scratch, or into a buffer that is wiped. `into` must have
    /// room for just the value.
    pub fn expose_into(&self, into: &mut [u8]) -> Result<(), Locked> {
        let (head, body) = self.bytes.split_at(HEAD_BYTES);
        let (nonce, tag) = head.split_at(NONCE_BYTES);
        into.copy_from_slice(body);
        let (nonce, tag) = (XNonce::from_slice(nonce), Tag::from_slice(tag));
        cipher(&arena::keys())?
            .decrypt_in_place_detached(nonce, self.kind.aad(), into, tag)
            .map_err(|_| Locked)
    }

    /// Opens it in ordinary memory, for the short while that the vault's file is composed.
    pub(super) fn expose_copy(&self) -> Result<Zeroizing<Vec<u8>>, Locked> {
        let mut plain = Zeroizing::new(vec![0; self.byte_count()]);
        self.expose_into(&mut plain)?;
        Ok(plain)
    }

    /// Whether two values are the same, in time that depends on their lengths alone.
    pub fn same_as(&self, other: &Self) -> Result<bool, Locked> {
        if Arc::ptr_eq(&self.bytes, &other.bytes) {
            return Ok(true);
        }
        let bytes = self.byte_count();
        if bytes != other.byte_count() {
            return Ok(false);
        }
        let mut scratch = arena::scratch();
        let (ours, theirs) = scratch.take(bytes, bytes);
        self.expose_into(ours)?;
        other.expose_into(theirs)?;
        Ok(ours.iter().zip(theirs).fold(0, |diff, (a, b)| diff | (*a ^ *b)) == 0)
    }
}

fn cipher(keys: &Keys) -> Result<XChaCha20Poly1305, Locked> {
    let key = keys.get(Slot::DataKey).ok_or(Locked)?;
    XChaCha20Poly1305::new_from_slice(key).map_err(|_| Locked)
}

/// Random once in a process, and counted from there: no nonce comes twice, whatever the key,
/// and ten thousand values need no ten thousand system calls.
fn fresh_nonce() -> [u8; NONCE_BYTES] {
    static BASE: OnceLock<[u8; NONCE_BYTES]> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut nonce = *BASE.get_or_init(|| {
        let mut base = [0; NONCE_BYTES];
        fill_randomly(&mut base);
        base
    });
    nonce[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    nonce
}

fn fill_randomly(bytes: &mut [u8]) {
    getrandom::getrandom(bytes).expect("the system has randomness once it has started");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &[u8], kind: Kind) -> Sealed {
        Opening::begin();
        Sealed::of(&Value::new(text).expect("a value"), kind).expect("there is a data key")
    }

    #[test]
    fn what_is_sealed_opens_again_and_is_not_seen_meanwhile() {
        for text in [b"".as_slice(), b"canary", &[0xff; VALUE_BYTES_MAX]] {
            let value = sealed(text, Kind::Version);
            assert_eq!(value.byte_count(), text.len());
            assert!(text.is_empty() || !value.bytes.windows(text.len()).any(|at| at == text));
            assert!(**value.expose_copy().expect("there is a data key") == *text);
        }
    }

    #[test]
    fn every_flip_and_another_kind_is_noise() {
        let value = sealed(b"canary", Kind::Version);
        for at in 0..value.bytes.len() {
            let mut bytes = value.bytes.to_vec();
            bytes[at] ^= 1;
            let flipped = Sealed { bytes: bytes.into(), kind: Kind::Version };
            assert_eq!(flipped.expose_copy().err(), Some(Locked), "flipped at {at}");
        }
        let other = Sealed { bytes: value.bytes.clone(), kind: Kind::Original };
        assert_eq!(other.expose_copy().err(), Some(Locked));
    }

    #[test]
    fn no_nonce_comes_twice() {
        let nonces: std::collections::BTreeSet<_> = (0..1_000).map(|_| fresh_nonce()).collect();
        assert_eq!(nonces.len(), 1_000);
    }

    #[test]
    fn sameness_needs_every_byte() {
        let value = sealed(b"abc", Kind::Version);
        for (other, same) in [(b"abc".as_slice(), true), (b"abd", false), (b"ab", false)] {
            let found = value.same_as(&sealed(other, Kind::Version));
            assert_eq!(found, Ok(same), "{other:?}");
        }
        assert_eq!(value.same_as(&value.share()), Ok(true));
    }
}
