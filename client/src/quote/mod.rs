//! Writes values so that a shell or a tool reads back the same bytes.
//!
//! One form for all values, so that no table of "safe" characters can be wrong; dotenv is
//! the exception, because its readers do not agree with each other.

/// The most bytes that one byte of a value becomes, in any format (`\u00XX` in JSON).
pub(crate) const GROWTH_MAX: usize = 6;

/// Single quotes, as POSIX shells read them: exact for every byte from 1 to 255.
pub(crate) fn posix(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'\'');
    for &byte in value {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            other => out.push(other),
        }
    }
    out.push(b'\'');
}

/// Single quotes, as fish reads them.
pub(crate) fn fish(out: &mut Vec<u8>, value: &[u8]) {
    backslashed(out, value, b'\'');
}

/// Double quotes, as Nushell reads them: text alone, of which nothing is expanded.
pub(crate) fn nu(out: &mut Vec<u8>, text: &[u8]) {
    backslashed(out, text, b'"');
}

/// In quotes in which a backslash takes the quote, and itself, as they are.
fn backslashed(out: &mut Vec<u8>, value: &[u8], quote: u8) {
    out.push(quote);
    for &byte in value {
        if byte == quote || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(quote);
}

/// A value as dotenv, if there is a form that node's dotenv and python-dotenv read alike.
/// Where it can be bare it is, because `docker --env-file` takes quotes for a part of it.
/// False, and nothing written, if there is none: a control character, `${`, or all quotes at once.
pub(crate) fn dotenv(out: &mut Vec<u8>, value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    if text.chars().any(|c| (c.is_control() && c != '\t') || ends_a_line(c)) {
        return false;
    }
    let quote: &[u8] = match text {
        _ if is_bare(text) => b"",
        _ if stands_in_single_quotes(text) => b"'",
        _ if !text.contains(['"', '\\', '$', '`']) => b"\"",
        _ if is_tame(text) => b"",
        _ => return false,
    };
    out.extend_from_slice(quote);
    out.extend_from_slice(value);
    out.extend_from_slice(quote);
    true
}

/// JavaScript's idea of a line, beside the control characters.
fn ends_a_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Nothing that any reader takes for more than itself, nor a shell that sources the file.
fn is_bare(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c);
    !text.starts_with('=') && text.chars().all(plain)
}

/// Both kinds of quotes, and nothing else that a reader or a shell would act on.
fn is_tame(text: &str) -> bool {
    let acts = |c: char| c.is_whitespace() || "#$\\`;|&<>(){}*?[]~!".contains(c);
    !text.starts_with(['\'', '"']) && !text.contains(acts)
}

/// python-dotenv reads `\\` and `\'` in single quotes as escapes, and puts a variable in the
/// place of `${x}`, whatever `x` is; node's dotenv does neither.
fn stands_in_single_quotes(text: &str) -> bool {
    !["'", "\\\\", "${"].iter().any(|acts| text.contains(acts)) && !text.ends_with('\\')
}

#[cfg(test)]
mod tests;
