//! A line for humans, safe to print.

use bincode::{
    Encode,
    de::{Decode, Decoder},
    error::DecodeError,
    impl_borrow_decode,
};

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 256;

/// One line of at most 256 bytes with no control and no bidi character.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub struct Note(String);

impl Note {
    /// Takes the text if it is short and safe to print.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= NOTE_BYTES_MAX && text.chars().all(is_printable)).then_some(Self(text))
    }

    /// The note as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<C> Decode<C> for Note {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::new(String::decode(decoder)?).ok_or(DecodeError::Other("not a note"))
    }
}

impl_borrow_decode!(Note);

/// Whether a character can be shown as it is: no control (C0, DEL, C1), no line or paragraph
/// separator, no zero-width or bidirectional control (Unicode TR 36).
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Shows bytes from outside: what is printable as it is, the rest as `\x1b` or `\u{202e}`.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if is_printable(c) => shown.push(c),
                c if c.is_ascii() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => shown.push_str(&c.escape_unicode().to_string()),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(escape(b"a\x1b[31m\n\xff"), r"a\x1b[31m\x0a\xff");
        assert_eq!(escape("é\u{202e}\u{9b}".as_bytes()), r"é\u{202e}\u{9b}");
        assert!(Note::new("for é").is_some());
        assert!(Note::new("a\nb").is_none());
        assert!(Note::new("a".repeat(257)).is_none());
    }
}
