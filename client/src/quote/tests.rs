//! Every value comes back as it went, by readers that are written here from the shells'
//! own rules. The shells themselves are asked in `shells`, and of all of `export` in `tests/`.

mod shells;

use super::*;

/// What a POSIX shell makes of a word of single-quoted pieces and `\'`.
fn read_posix(word: &[u8]) -> Vec<u8> {
    let (mut read, mut quoted, mut bytes) = (Vec::new(), false, word.iter().copied());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => quoted = !quoted,
            b'\\' if !quoted => read.extend(bytes.next()),
            other => {
                assert!(quoted, "a byte outside quotes");
                read.push(other);
            }
        }
    }
    assert!(!quoted, "the quotes are closed");
    read
}

/// What fish makes of one single-quoted word.
fn read_fish(word: &[u8]) -> Vec<u8> {
    let inner = word.strip_prefix(b"'").and_then(|w| w.strip_suffix(b"'")).expect("quoted");
    let (mut read, mut bytes) = (Vec::new(), inner.iter().copied());
    while let Some(byte) = bytes.next() {
        assert_ne!(byte, b'\'', "a quote that ends the word");
        match byte {
            b'\\' => read.extend(bytes.next().filter(|b| matches!(b, b'\'' | b'\\'))),
            other => read.push(other),
        }
    }
    read
}

/// What Nushell makes of one double-quoted word.
fn read_nu(word: &[u8]) -> Vec<u8> {
    let inner = word.strip_prefix(b"\"").and_then(|w| w.strip_suffix(b"\"")).expect("quoted");
    let (mut read, mut bytes) = (Vec::new(), inner.iter().copied());
    while let Some(byte) = bytes.next() {
        assert_ne!(byte, b'"', "a quote that ends the word");
        match byte {
            b'\\' => read.extend(bytes.next().filter(|b| matches!(b, b'"' | b'\\'))),
            other => read.push(other),
        }
    }
    read
}

fn written(write: impl Fn(&mut Vec<u8>, &[u8]), value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    assert!(out.len() <= value.len() * GROWTH_MAX + 2, "it grew more than it may");
    out
}

fn check(value: &[u8]) {
    assert_eq!(read_posix(&written(posix, value)), value);
    assert_eq!(read_fish(&written(fish, value)), value);
    assert_eq!(read_nu(&written(nu, value)), value);
}

#[test]
fn every_byte_and_every_pair_of_special_bytes_comes_back() {
    let special = b"'\\\"$`!\n\r\t #;&|()<>*?[]{}~=%a\x01\x7f\x80\xff";
    check(b"");
    for byte in 1..=255 {
        check(&[byte]);
        check(&[b'a', byte, b'b']);
        for &other in special {
            check(&[byte, other]);
            check(&[other, byte, other]);
        }
    }
}

#[test]
fn long_values_of_any_bytes_come_back() {
    // xorshift64: the same values each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in [7, 64, 1000, 65_536] {
        for _ in 0..20 {
            let value: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % 255) as u8 + 1
            })
            .take(length)
            .collect();
            check(&value);
        }
    }
}

#[test]
fn dotenv_picks_what_its_readers_agree_on() {
    for (value, line) in [
        ("", Some("")),
        ("sk-abc", Some("sk-abc")),
        ("two words", Some("'two words'")),
        ("a'b\"c", Some("a'b\"c")),
        ("postgres://u:p@h/d", Some("postgres://u:p@h/d")),
        ("x;cmd", Some("'x;cmd'")),
        ("`cmd`", Some("'`cmd`'")),
        ("it's `cmd`", None),
        ("a'b\";cmd", None),
        ("a#b", Some("'a#b'")),
        ("$x", Some("'$x'")),
        ("$ {x}", Some("'$ {x}'")),
        ("a${x}", None),
        ("it's ${ x:-y}", None),
        (" a", Some("' a'")),
        ("a\u{a0}", Some("'a\u{a0}'")),
        ("a\\nb", Some("'a\\nb'")),
        ("\"a\"", Some("'\"a\"'")),
        ("it's #1", Some("\"it's #1\"")),
        ("it's $1", None),
        ("a\\\\b", None),
        ("a\\", None),
        ("it's \"#\"", None),
        ("a\nb", None),
        ("a\rb", None),
        ("a\x1bb", None),
        ("a\u{85}b", None),
        ("a\u{2028}b", None),
    ] {
        let mut out = Vec::new();
        let fits = dotenv(&mut out, value.as_bytes());
        assert_eq!(fits.then_some(out.as_slice()), line.map(str::as_bytes), "{value:?}");
    }
    assert!(!dotenv(&mut Vec::new(), b"\xff"), "dotenv files are UTF-8");
}
