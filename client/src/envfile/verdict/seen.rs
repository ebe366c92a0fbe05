//! Values that are made to be seen, or only name something, however random they look.

use std::ops::RangeInclusive;

/// How a value begins, how many bytes of which alphabet follow, and how it ends.
type Form = (&'static str, RangeInclusive<usize>, fn(u8) -> bool, &'static str);

/// Published by intent: neither a loose name nor randomness makes these secrets.
const PUBLISHED: &[Form] = &[
    ("pk_test_", 10..=200, is_base64, ""),
    ("pk_live_", 10..=200, is_base64, ""),
    // The address of an account or a contract; a private key is longer.
    ("0x", 40..=40, is_hex, ""),
    // A file's integrity, as HTML and lock files have it.
    ("sha256-", 44..=44, is_base64, ""),
    ("sha384-", 64..=64, is_base64, ""),
    ("sha512-", 88..=88, is_base64, ""),
    // W3C traceparent.
    ("00-", 52..=52, is_dashed_hex, ""),
    // An OAuth client of Google.
    ("", 10..=80, is_dashed, ".apps.googleusercontent.com"),
];

/// Identifiers of makers. Random, but another maker's key may begin so: its name decides.
const IDS: &[Form] = &[
    ("org-", 16..=40, is_letter_or_digit, ""),
    ("price_", 14..=40, is_letter_or_digit, ""),
    ("prod_", 14..=40, is_letter_or_digit, ""),
];

/// Whether its maker means it to be seen by everyone.
pub(super) fn is_published(value: &[u8]) -> bool {
    PUBLISHED.iter().any(|form| has(value, form))
}

/// Whether it only names something, however random it looks.
pub(super) fn is_id(value: &[u8]) -> bool {
    is_published(value) || IDS.iter().any(|form| has(value, form))
}

fn has(value: &[u8], (start, len, alphabet, end): &Form) -> bool {
    let body = value.strip_prefix(start.as_bytes()).and_then(|b| b.strip_suffix(end.as_bytes()));
    body.is_some_and(|body| len.contains(&body.len()) && body.iter().all(|b| alphabet(*b)))
}

fn is_letter_or_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_dashed_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-$".contains(&byte)
}
