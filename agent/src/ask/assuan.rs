//! Assuan, as pinentries speak it: lines, and how text is written in them. Pure.
//!
//! <https://www.gnupg.org/documentation/manuals/assuan/>; the codes are libgpg-error's.

use keyagent_wire::escape;

/// The longest line, without its newline.
pub const LINE_BYTES_MAX: usize = 1000;

/// The low 16 bits of an error are its code, the rest is its source.
const CODE_MASK: u32 = 0xffff;
const TIMEOUT: u32 = 62;
const CANCELED: u32 = 99;
const NOT_CONFIRMED: u32 = 114;
const FULLY_CANCELED: u32 = 198;

/// A line of a pinentry.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// It did what it was told.
    Ok,
    /// The human said no, or nothing in time.
    No,
    /// It did not do it: the code.
    Error(u32),
    /// What was typed.
    Data(&'a [u8]),
    /// Nothing that matters: a comment, a status.
    Idle,
    /// Nothing that a pinentry says.
    Garbage,
}

/// Reads a line, and unescapes its data in place.
pub fn parse(line: &mut [u8]) -> Line<'_> {
    match line {
        [b'O', b'K'] | [b'O', b'K', b' ', ..] => Line::Ok,
        [b'E', b'R', b'R', b' ', rest @ ..] => error(rest),
        [b'D', b' ', data @ ..] => match unescape(data) {
            Some(length) => Line::Data(&data[..length]),
            None => Line::Garbage,
        },
        [] | [b'S'] | [b'#', ..] | [b'S', b' ', ..] => Line::Idle,
        _ => Line::Garbage,
    }
}

fn error<'a>(rest: &[u8]) -> Line<'a> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|n| n.parse::<u32>().ok());
    match number.map(|number| number & CODE_MASK) {
        Some(TIMEOUT | CANCELED | NOT_CONFIRMED | FULLY_CANCELED) => Line::No,
        Some(code) => Line::Error(code),
        None => Line::Garbage,
    }
}

/// Resolves `%XX` in place: the new length.
fn unescape(data: &mut [u8]) -> Option<usize> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let (mut from, mut to) = (0, 0);
    while from < data.len() {
        if data[from] == b'%' {
            let (high, low) = (digit(*data.get(from + 1)?)?, digit(*data.get(from + 2)?)?);
            data[to] = high << 4 | low;
            from += 3;
        } else {
            data[to] = data[from];
            from += 1;
        }
        to += 1;
    }
    Some(to)
}

/// Text as an argument of a command.
pub fn argument(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Bytes from outside as a part of a text: what could steer a terminal is shown escaped, what
/// could be markup, too, and no more than `cost_max` bytes of a command's line are used.
pub fn field(bytes: &[u8], cost_max: usize) -> String {
    let shown = escape(bytes).replace('&', "\\x26").replace('<', "\\x3c").replace('>', "\\x3e");
    let cost = |c: char| if c == '%' { 3 } else { c.len_utf8() };
    if shown.chars().map(cost).sum::<usize>() <= cost_max {
        return shown;
    }
    let mut left = cost_max - '…'.len_utf8();
    let fits = |c: &char| {
        let fits = cost(*c) <= left;
        left = left.saturating_sub(cost(*c));
        fits
    };
    let mut cut: String = shown.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_they_say() {
        for (line, means) in [
            ("OK", Line::Ok),
            ("OK Pleased to meet you", Line::Ok),
            ("ERR 83886179 Operation cancelled <Pinentry>", Line::No),
            ("ERR 83886194 Not confirmed <Pinentry>", Line::No),
            ("ERR 83886142 Timeout <Pinentry>", Line::No),
            ("ERR 83886278 Fully cancelled", Line::No),
            ("ERR 83918950 Inappropriate ioctl for device", Line::Error(32870)),
            ("D a%25b%0a", Line::Data(b"a%b\n")),
            ("D ", Line::Data(b"")),
            ("# hello", Line::Idle),
            ("S PASSWORD_FROM_CACHE", Line::Idle),
            ("", Line::Idle),
        ] {
            assert_eq!(parse(&mut line.as_bytes().to_vec()), means, "{line}");
        }
        for garbage in ["OKAY", "ok", "ERR", "ERR x", "ERR 99999999999", "D a%2", "D %zz", "yes"] {
            assert_eq!(parse(&mut garbage.as_bytes().to_vec()), Line::Garbage, "{garbage}");
        }
    }

    #[test]
    fn an_argument_stays_one_line_and_comes_back_as_it_was() {
        let text = "50 % of\r\nit";
        let escaped = argument(text);
        assert_eq!(escaped, "50 %25 of%0D%0Ait");
        let mut bytes = escaped.into_bytes();
        let length = unescape(&mut bytes).expect("it is well formed");
        assert_eq!(&bytes[..length], text.as_bytes());
    }

    #[test]
    fn a_field_steers_nothing_and_has_an_end() {
        assert_eq!(
            field("a\n\u{202e}<b>\x1b[0m".as_bytes(), 200),
            r"a\x0a\u{202e}\x3cb\x3e\x1b[0m"
        );
        for text in ["%".repeat(300), "é".repeat(300), "a".repeat(300), "\u{1f511}".repeat(99)] {
            let field = field(text.as_bytes(), 120);
            assert!(argument(&field).len() <= 120 && field.ends_with('…'), "{field}");
        }
    }
}
