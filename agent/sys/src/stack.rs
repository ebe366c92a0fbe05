//! What libraries leave on the stack. No unsafe code.

/// How deep a call that handles one value goes, in bytes.
const SHALLOW_BYTES: usize = 16 * 1024;
/// How deep age, JSON and their cryptography go, in bytes.
const DEEP_BYTES: usize = 192 * 1024;

/// Overwrites what a call that has just returned left below, if it handled one value.
#[inline(never)]
pub fn burn() {
    let mut below = [0u8; SHALLOW_BYTES];
    std::hint::black_box(&mut below);
}

/// The same, after a whole vault, an identity or a passphrase.
#[inline(never)]
pub fn burn_deep() {
    let mut below = [0u8; DEEP_BYTES];
    std::hint::black_box(&mut below);
}
