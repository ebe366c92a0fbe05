//! Where things lie in a region of the arena, and whether something wrote across.
//! Arithmetic and slices alone: no unsafe code, and nothing that Miri cannot run.

use std::ops::Range;

/// What stands behind each field but the last, in bytes.
pub const CANARY_BYTES: usize = 16;

/// Chosen anew by each process, so that nothing writes it by accident or from elsewhere.
pub type Canary = [u8; CANARY_BYTES];

/// How many bytes a region needs for fields of at least these sizes.
pub const fn bytes_for<const N: usize>(sizes: [usize; N]) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < N {
        sum += sizes[i] + CANARY_BYTES;
        i += 1;
    }
    sum - CANARY_BYTES
}

/// The fields of a region: the first begins where it begins and the last ends where it ends,
/// so that what runs over either edge meets a guard page.
pub fn fields<const N: usize>(sizes: [usize; N], region_bytes: usize) -> [Range<usize>; N] {
    let mut from = 0;
    let mut fields = sizes.map(|size| {
        let field = from..from + size;
        from = field.end + CANARY_BYTES;
        field
    });
    if let Some(last) = fields.last_mut() {
        last.end = region_bytes;
    }
    fields
}

/// Puts the canary behind each field but the last.
pub fn plant(region: &mut [u8], fields: &[Range<usize>], canary: &Canary) {
    for gap in gaps(fields) {
        region[gap].copy_from_slice(canary);
    }
}

/// Whether every canary is as it was planted.
pub fn is_intact(region: &[u8], fields: &[Range<usize>], canary: &Canary) -> bool {
    gaps(fields).all(|gap| region[gap] == *canary)
}

/// Overwrites with zeroes, which the compiler may not leave out.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

fn gaps(fields: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> {
    fields.windows(2).map(|pair| pair[0].end..pair[1].start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 3] = [32, 32, 100];
    const CANARY: Canary = [7; CANARY_BYTES];

    #[test]
    fn fields_fill_the_region_from_edge_to_edge_and_do_not_touch() {
        assert_eq!(bytes_for(SIZES), 32 + 16 + 32 + 16 + 100);
        assert_eq!(fields(SIZES, 4096), [0..32, 48..80, 96..4096]);
        let least = fields(SIZES, bytes_for(SIZES));
        assert_eq!(least[2].len(), 100);
    }

    #[test]
    fn every_byte_of_a_canary_counts_and_no_other() {
        let (mut region, fields) = (vec![0; 4096], fields(SIZES, 4096));
        plant(&mut region, &fields, &CANARY);
        for at in 0..region.len() {
            region[at] ^= 1;
            let in_field = fields.iter().any(|field| field.contains(&at));
            assert_eq!(is_intact(&region, &fields, &CANARY), in_field, "byte {at}");
            region[at] ^= 1;
        }
        wipe(&mut region);
        assert!(!is_intact(&region, &fields, &CANARY) && region.iter().all(|byte| *byte == 0));
    }
}
