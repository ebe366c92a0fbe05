//! What libraries leave on the stack, and memcpy(3) in vector registers. No unsafe code.

/// How deep a call that handles one value goes, in bytes.
const SHALLOW_BYTES: usize = 16 * 1024;
/// How deep age, JSON and their cryptography go, in bytes.
const DEEP_BYTES: usize = 192 * 1024;

/// Calls it, and then overwrites what it left, if it handled one value at a time. It has a
/// frame of its own: what the compiler puts into the caller's would lie above what is
/// overwritten.
pub fn burn_after<T>(work: impl FnOnce() -> T) -> T {
    let done = call(work);
    burn();
    done
}

/// The same, after a whole vault, an identity or a passphrase.
pub fn burn_deep_after<T>(work: impl FnOnce() -> T) -> T {
    let done = call(work);
    burn_deep();
    done
}

#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn burn() {
    let mut below = [0u8; SHALLOW_BYTES];
    std::hint::black_box(&mut below);
    copy_zeroes(&mut below);
}

#[inline(never)]
fn burn_deep() {
    let mut below = [0u8; DEEP_BYTES];
    std::hint::black_box(&mut below);
    copy_zeroes(&mut below);
}

/// Registers that a short copy has used keep what it copied, other ones for other lengths,
/// until somebody copies as much again: a core file has them.
fn copy_zeroes(zeroes: &mut [u8]) {
    let (from, to) = zeroes.split_at_mut(zeroes.len() / 2);
    for bytes in (3..13).map(|power| 1 << power) {
        let bytes = std::hint::black_box(bytes);
        to[..bytes].copy_from_slice(&from[..bytes]);
        std::hint::black_box(&mut *to);
    }
}
