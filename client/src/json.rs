//! Writes JSON by hand: strings, and the commas between members.
//!
//! Writes only; into the buffer that it is given, which the caller has sized.

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                let (high, low) = (c as u8 >> 4, c as u8 & 15);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[hex(high), hex(low)]);
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

/// An object under construction. Its members hold no value of a secret.
pub(crate) struct Object {
    out: Vec<u8>,
}

impl Object {
    /// An object with no member.
    pub(crate) fn new() -> Self {
        Self { out: vec![b'{'] }
    }

    /// A string.
    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.member(key, |out| string(out, text))
    }

    /// A number.
    pub(crate) fn number(self, key: &str, number: u64) -> Self {
        self.raw(key, number.to_string().as_bytes())
    }

    /// True or false.
    pub(crate) fn flag(self, key: &str, flag: bool) -> Self {
        self.raw(key, if flag { b"true" } else { b"false" })
    }

    /// A string, or null.
    pub(crate) fn text_or_null(self, key: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self.raw(key, b"null"),
        }
    }

    /// A number, or none.
    pub(crate) fn number_or_null(self, key: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(key, number),
            None => self.raw(key, b"null"),
        }
    }

    /// What is JSON already.
    pub(crate) fn raw(self, key: &str, json: &[u8]) -> Self {
        self.member(key, |out| out.extend_from_slice(json))
    }

    /// The object as JSON.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn member(mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) -> Self {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        string(&mut self.out, key);
        self.out.push(b':');
        value(&mut self.out);
        self
    }
}

/// A list of what is JSON already.
pub(crate) fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&item);
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json(""), r#""""#);
        assert_eq!(json("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(json("\n\r\t\x01\x1f\x7f"), r#""\n\r\t\u0001\u001f\u007f""#);
        assert_eq!(json("é\u{202e}😀"), "\"é\u{202e}😀\"");
    }

    #[test]
    fn members_and_items_have_commas_between_them() {
        let object = Object::new().number("a", 1).flag("b", true).text_or_null("c", None);
        let object = object.raw("d", &list([b"1".to_vec(), b"2".to_vec()])).end();
        assert_eq!(object, br#"{"a":1,"b":true,"c":null,"d":[1,2]}"#);
        assert_eq!(Object::new().end(), b"{}");
        assert_eq!(list([]), b"[]");
    }
}
