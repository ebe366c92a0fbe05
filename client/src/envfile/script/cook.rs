//! Takes the quotes off a word that holds nothing to expand: what bash would assign.

use crate::envfile::why::LeftWhy;
use zeroize::Zeroizing;

/// The bytes that bash assigns for the literal text after an `=`.
///
/// The text has been scanned, so every quote in it is closed. What comes out is never
/// longer than what went in, so the buffer never grows and leaves no copy behind.
pub(super) fn cook(raw: &[u8]) -> Result<Zeroizing<Vec<u8>>, LeftWhy> {
    let mut out = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'\\' => escaped(tail, &mut out, |_| true),
            b'\'' => {
                let len = tail.iter().position(|&b| b == b'\'').ok_or(LeftWhy::Unclear)?;
                out.extend_from_slice(&tail[..len]);
                &tail[len + 1..]
            }
            b'"' => double_quoted(tail, &mut out)?,
            b'$' if tail.first() == Some(&b'\'') => ansi_quoted(&tail[1..], &mut out)?,
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    Ok(out)
}

/// Takes what a backslash stands before; `\` and a newline are nothing.
fn escaped<'a>(tail: &'a [u8], out: &mut Vec<u8>, takes: fn(u8) -> bool) -> &'a [u8] {
    match tail.split_first() {
        Some((b'\n', after)) => after,
        Some((&byte, after)) if takes(byte) => {
            out.push(byte);
            after
        }
        _ => {
            out.push(b'\\');
            tail
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], LeftWhy> {
    loop {
        let (&byte, tail) = rest.split_first().ok_or(LeftWhy::Unclear)?;
        rest = match byte {
            b'"' => return Ok(tail),
            b'\\' => escaped(tail, out, |b| b"$`\"\\".contains(&b)),
            _ => {
                out.push(byte);
                tail
            }
        };
    }
}

fn ansi_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], LeftWhy> {
    loop {
        let (&byte, tail) = rest.split_first().ok_or(LeftWhy::Unclear)?;
        rest = match byte {
            b'\'' => return Ok(tail),
            b'\\' => ansi_escape(tail, out)?,
            _ => {
                out.push(byte);
                tail
            }
        };
    }
}

/// Reads one escape of `$'…'`, from behind its backslash (bash(1), QUOTING).
fn ansi_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], LeftWhy> {
    let (&letter, tail) = text.split_first().ok_or(LeftWhy::Unclear)?;
    let (byte, rest) = match letter {
        b'a' => (0x07, tail),
        b'b' => (0x08, tail),
        b'e' | b'E' => (0x1b, tail),
        b'f' => (0x0c, tail),
        b'n' => (b'\n', tail),
        b'r' => (b'\r', tail),
        b't' => (b'\t', tail),
        b'v' => (0x0b, tail),
        b'\\' | b'\'' | b'"' | b'?' => (letter, tail),
        b'0'..=b'7' => {
            let (code, rest) = number(text, 3, 8);
            ((code & 0xff) as u8, rest)
        }
        b'x' if tail.first() == Some(&b'{') => return Err(LeftWhy::Unclear),
        b'x' | b'u' | b'U' => {
            let digits = match letter {
                b'x' => 2,
                b'u' => 4,
                _ => 8,
            };
            let (code, rest) = number(tail, digits, 16);
            if rest.len() == tail.len() {
                out.extend_from_slice(&[b'\\', letter]);
                return Ok(tail);
            }
            if letter != b'x' && code > 0x7f {
                return Err(LeftWhy::Locale);
            }
            (code as u8, rest)
        }
        b'c' => control(tail)?,
        _ => {
            out.extend_from_slice(&[b'\\', letter]);
            return Ok(tail);
        }
    };
    if byte == 0 {
        return Err(LeftWhy::Nul);
    }
    out.push(byte);
    Ok(rest)
}

/// Reads the letter of `\cX`; a backslash after `\c` counts with the one that follows it.
fn control(text: &[u8]) -> Result<(u8, &[u8]), LeftWhy> {
    match text {
        [b'\\', b'\\', rest @ ..] => Ok((b'\\' & 0x1f, rest)),
        [b'?', rest @ ..] => Ok((0x7f, rest)),
        [b'\\' | b'\'' | 0x80.., ..] | [] => Err(LeftWhy::Unclear),
        [letter, rest @ ..] => Ok((letter.to_ascii_uppercase() & 0x1f, rest)),
    }
}

/// Reads up to so many digits; what they say, and what is left.
fn number(text: &[u8], digits_max: usize, base: u32) -> (u32, &[u8]) {
    let digit = |b: &u8| char::from(*b).to_digit(base);
    let len = text.iter().take(digits_max).take_while(|b| digit(b).is_some()).count();
    let code = text[..len].iter().filter_map(digit).fold(0_u32, |n, d| n.wrapping_mul(base) + d);
    (code, &text[len..])
}
