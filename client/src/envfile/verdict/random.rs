//! Values that only a generator writes: long, mixed, without words, places or addresses.

use crate::envfile::verdict::{names, seen};
use zeroize::Zeroizing;

/// Shorter ones are told apart by name and make alone.
const LENGTH_MIN: usize = 24;
/// Shannon entropy in thousandths of a bit per byte: English has less, base64 more.
const MILLIBITS_MIN: u32 = 3_700;

/// Names whose random values are meant to be seen.
const SEEN: &[&str] = &[
    "SHA",
    "COMMIT",
    "HASH",
    "CHECKSUM",
    "DIGEST",
    "REVISION",
    "REV",
    "ID",
    "UUID",
    "FINGERPRINT",
    "VERSION",
    "PUBLIC",
    "PUBLISHABLE",
    "PUB",
    "PUBKEY",
    "IMAGE",
    "TAG",
    "REGION",
    "HOST",
    "ARN",
    "PATH",
    "DIR",
    "FILE",
];

/// Whether nothing but a generator writes this.
pub(super) fn is_random(var: &str, value: &[u8]) -> bool {
    let named = names::words(var).iter().any(|word| SEEN.contains(&word.as_str()));
    if named || value.len() < LENGTH_MIN || seen::is_id(value) {
        return false;
    }
    // One alphabet of keys: base64 in both kinds, hex, and what makers put between.
    let body = value.iter().take_while(|b| **b != b'=').count();
    let padding = &value[body..];
    if padding.len() > 2 || padding.iter().any(|b| *b != b'=') {
        return false;
    }
    let keyish = |b: &u8| b.is_ascii_alphanumeric() || b"+/_-.~".contains(b);
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    value[..body].iter().all(keyish)
        && digits >= 2
        && digits < value.len()
        && !is_uuid(value)
        && !is_commit(value)
        && !is_worded(value)
        && millibits(value) >= MILLIBITS_MIN
}

fn is_uuid(value: &[u8]) -> bool {
    let dashes = [8, 13, 18, 23];
    value.len() == 36
        && value
            .iter()
            .enumerate()
            .all(|(at, b)| if dashes.contains(&at) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// A hash of git or of a file; a hex key is told apart by its name alone.
fn is_commit(value: &[u8]) -> bool {
    [32, 40, 64].contains(&value.len()) && value.iter().all(u8::is_ascii_hexdigit)
}

/// A path, a host, a version, an identifier: parts that are each all letters or all digits.
fn is_worded(value: &[u8]) -> bool {
    let parts: Vec<_> = value.split(|b| b"/._-~".contains(b)).filter(|p| !p.is_empty()).collect();
    let plain = |part: &&[u8]| {
        let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let lower = part.iter().skip(1).all(|b| !b.is_ascii_uppercase());
        let upper = part.iter().all(|b| !b.is_ascii_lowercase());
        let digits_only_behind = part[letters..].iter().all(u8::is_ascii_digit);
        part.len() < 16 && (lower || upper) && digits_only_behind
    };
    parts.len() > 1 && parts.iter().filter(|p| plain(p)).count() * 4 >= parts.len() * 3
}

/// Shannon entropy of the bytes, in thousandths of a bit.
fn millibits(value: &[u8]) -> u32 {
    let mut counts = Zeroizing::new([0_u32; 256]);
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let len = value.len() as f64;
    let used = counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / len);
    let bits: f64 = used.map(|share| -share * share.log2()).sum();
    (bits * 1000.0) as u32
}
