//! A fingerprint of a file, to tell later whether a human edited it.
//!
//! No cryptography and no promise against anybody who looks for a collision: whoever can
//! write the file needs none.

/// Where each of the four rounds starts.
const SEEDS: [u64; 4] =
    [0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
/// FNV's prime for 64 bits: <https://www.rfc-editor.org/rfc/rfc9923>.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Four FNV-1a, each from a seed of its own.
pub fn of(bytes: &[u8]) -> [u8; 32] {
    let mut print = [0; 32];
    for (seed, place) in SEEDS.iter().zip(print.chunks_exact_mut(8)) {
        let hash =
            bytes.iter().fold(*seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
        place.copy_from_slice(&hash.to_le_bytes());
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv_1a_and_feels_every_byte() {
        // The first round has FNV's own seed: its published value for "foobar".
        assert_eq!(of(b"foobar")[..8], 0x8594_4171_f739_67e8_u64.to_le_bytes());
        assert_ne!(of(b"a\nb"), of(b"a\nb\n"));
        assert_ne!(of(b"ab"), of(b"ba"));
        assert_eq!(of(b""), of(b""));
    }
}
