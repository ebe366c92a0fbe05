//! One record on disk: a line of JSON, ASCII alone, whose last member is its MAC.
//!
//! `{"seq":7,"epoch":0,"event":"release",…,"mac":"64 digits of hex"}` and a newline. The MAC
//! covers the very bytes before `,"mac":`, so no two texts are the same record. A human can
//! read the file as it is; lines need no other length than their newline, because a newline
//! in a text is escaped.

use super::body::Body;
use super::chain::Mac;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// The longest record, in bytes: 256 names, and all else at its longest, fit.
pub const RECORD_BYTES_MAX: usize = 128 * 1024;
/// `,"mac":"…"}` and a newline.
const TAIL_BYTES: usize = MAC_KEY.len() + 64 + 3;
const MAC_KEY: &[u8] = b",\"mac\":\"";

/// A record as it was read, before anything is believed.
#[derive(Debug)]
pub struct Line<'a> {
    /// What the MAC covers.
    pub body: &'a [u8],
    /// The MAC that it has.
    pub mac: Mac,
    /// The number that it claims.
    pub seq: u64,
    /// The epoch that it claims.
    pub epoch: u64,
    /// Whether it ends its epoch.
    pub is_seal: bool,
}

/// The bytes of a record that the MAC covers.
pub fn body(record: &Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(768);
    let mut writer = Serializer::with_formatter(&mut bytes, Ascii);
    record.serialize(&mut writer).expect("texts and numbers are JSON, and a Vec takes them");
    bytes.pop();
    bytes
}

/// Makes a body a whole line.
pub fn finish(body: &mut Vec<u8>, mac: &Mac) {
    body.extend_from_slice(MAC_KEY);
    push_hex(body, mac);
    body.extend_from_slice(b"\"}\n");
}

/// Reads a line, its newline included. None if it is not one that was ever written.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let (body, tail) = line.split_at(line.len().checked_sub(TAIL_BYTES)?);
    let digits = tail.strip_prefix(MAC_KEY)?.strip_suffix(b"\"}\n")?;
    let rest = body.strip_prefix(b"{\"seq\":")?;
    let (seq, rest) = number(rest)?;
    let (epoch, rest) = number(rest.strip_prefix(b",\"epoch\":")?)?;
    let is_seal = rest.starts_with(b",\"event\":\"sealed\"");
    Some(Line { body, mac: parse_hex(digits)?, seq, epoch, is_seal })
}

/// The JSON object of a line.
pub fn json(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Lines with their newlines; the last may lack it.
pub fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Lower-case hex.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// 64 digits of lower-case hex: no other text is the same MAC.
pub fn parse_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// JSON in which everything but printable ASCII is escaped: no control character, and no
/// letter that turns a line around, reaches the terminal of whoever reads the file.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !(' '..='~').contains(&c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            let letter = rest[at..].chars().next().unwrap_or_default();
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + letter.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}
