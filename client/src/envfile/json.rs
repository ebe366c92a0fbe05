//! One flat JSON object (RFC 8259): its members as variables, and the object without some.
//!
//! Texts are values; numbers and truth values count as they are written. `null`, lists and
//! objects are read past and left. A reader of our own, because the client's tree stays
//! small, and because the bytes of the other members must not change.

use crate::envfile::found::{Found, Lines};
use crate::envfile::why::{Fault, LeftWhy};
use keyagent_wire::{EnvName, NameError, Value, ValueError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use zeroize::Zeroizing;

const DEPTH_MAX: u32 = 64;

/// The members, in order: which bytes, and which variable if it can go.
pub(super) struct Layout(Vec<(Range<usize>, Option<EnvName>)>);

type Text = Result<Zeroizing<Vec<u8>>, LeftWhy>;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// Reads a file.
pub(super) fn parse(text: &[u8], found: &mut Found) -> Result<Layout, (usize, Fault)> {
    let lines = Lines::new(text);
    let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut reader = Reader { text, at };
    let mut layout = Vec::new();
    let mut values: BTreeMap<EnvName, (usize, Value)> = BTreeMap::new();
    let mut seen: BTreeMap<EnvName, (usize, bool)> = BTreeMap::new();
    reader.expect(b'{')?;
    while reader.more(b'}', layout.is_empty())? {
        let start = reader.at;
        let line = lines.number(start);
        let name = reader.string()?.unwrap_or_default();
        reader.expect(b':')?;
        let value = reader.value(0)?.and_then(|bytes| check(&bytes));
        let var = str::from_utf8(&name).map_err(|_| NameError::Character).and_then(EnvName::new);
        let known = var.as_ref().ok().cloned();
        if let Some(var) = &known {
            let entry = seen.entry(var.clone()).or_insert((line, true));
            entry.1 &= value.is_ok();
        }
        match (var, value) {
            (Ok(var), Ok(value)) => drop(values.insert(var, (line, value))),
            (Ok(_), Err(why)) => found.leave(line, &name, why),
            (Err(NameError::Reserved), _) => found.leave(line, &name, LeftWhy::Reserved),
            (Err(_), _) => found.leave(line, &name, LeftWhy::BadName),
        }
        layout.push((start..reader.at, known));
    }
    reader.blanks();
    if reader.at != text.len() {
        return Err((reader.at, Fault::NotJson));
    }
    for (var, (line, value)) in values {
        match seen.get(&var) {
            Some((_, true)) => found.assign(var, value, line),
            other => {
                let again = other.map_or(line, |(line, _)| *line);
                found.leave(line, var.as_str().as_bytes(), LeftWhy::Again(again));
            }
        }
    }
    Ok(Layout(layout))
}

/// The object without the members of the sealed variables.
pub(super) fn rewrite(
    layout: &Layout,
    text: &[u8],
    sealed: &BTreeSet<EnvName>,
) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let goes = |at: usize| layout.0[at].1.as_ref().is_some_and(|var| sealed.contains(var));
    let mut at = 0;
    let mut kept_before = false;
    for (index, (span, _)) in layout.0.iter().enumerate() {
        if !goes(index) {
            kept_before = true;
            continue;
        }
        match layout.0.get(index + 1) {
            // With the comma behind it, up to the next member.
            Some((next, _)) if !kept_before => {
                out.extend_from_slice(&text[at..span.start]);
                at = next.start;
            }
            // With the comma before it: a member that stays comes first.
            _ => {
                let from = index.checked_sub(1).map_or(span.start, |before| layout.0[before].0.end);
                let from = if kept_before { from } else { span.start };
                out.extend_from_slice(&text[at..from.max(at)]);
                at = span.end;
            }
        }
    }
    out.extend_from_slice(&text[at..]);
    out
}

impl Reader<'_> {
    fn fail<T>(&self) -> Result<T, (usize, Fault)> {
        Err((self.at, Fault::NotJson))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| b" \t\r\n".contains(&b)) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), (usize, Fault)> {
        self.blanks();
        if self.peek() != Some(byte) {
            return self.fail();
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// Whether another element follows; reads the comma before it, or the end.
    fn more(&mut self, close: u8, first: bool) -> Result<bool, (usize, Fault)> {
        self.blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn value(&mut self, depth: u32) -> Result<Text, (usize, Fault)> {
        if depth > DEPTH_MAX {
            return Err((self.at, Fault::Deep));
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(open @ (b'{' | b'[')) => {
                self.at += 1;
                let close = if open == b'{' { b'}' } else { b']' };
                let mut first = true;
                while self.more(close, first)? {
                    first = false;
                    if open == b'{' {
                        drop(self.string()?);
                        self.expect(b':')?;
                    }
                    drop(self.value(depth + 1)?);
                }
                Ok(Err(LeftWhy::NotText))
            }
            _ => self.word(),
        }
    }

    /// Reads a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<Text, (usize, Fault)> {
        let rest = &self.text[self.at..];
        let len =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
        let word = &rest[..len];
        if word != b"true" && word != b"false" && word != b"null" && !is_number(word) {
            return self.fail();
        }
        self.at += len;
        if word == b"null" {
            return Ok(Err(LeftWhy::NotText));
        }
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(word);
        Ok(Ok(out))
    }

    /// Reads a string. A text that is not valid inside is an error of the value alone.
    fn string(&mut self) -> Result<Text, (usize, Fault)> {
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err((open, Fault::Unclosed)),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(..0x20) => return self.fail(),
                Some(_) => self.at += 1,
            }
        }
        let inner = &self.text[open + 1..self.at];
        self.at += 1;
        match unescape(inner) {
            Some(text) => Ok(text),
            None => Err((open, Fault::NotJson)),
        }
    }
}

fn is_number(word: &[u8]) -> bool {
    let digits = |s: &[u8]| s.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    match rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent =
                exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

/// Takes the escapes out; `None` where one is none. What comes out is never longer.
fn unescape(inner: &[u8]) -> Option<Text> {
    let mut out = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    let mut lone_surrogate = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&letter, tail) = tail.split_first()?;
        rest = tail;
        out.push(match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = hex4(tail)?;
                rest = &tail[4..];
                if let (0xd800..0xdc00, Some(low)) = (code, low_surrogate(rest)) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    rest = &rest[6..];
                }
                match char::from_u32(code) {
                    Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => lone_surrogate = true,
                }
                continue;
            }
            _ => return None,
        });
    }
    let valid = !lone_surrogate && str::from_utf8(&out).is_ok();
    Some(if valid { Ok(out) } else { Err(LeftWhy::Encoding) })
}

fn low_surrogate(text: &[u8]) -> Option<u32> {
    hex4(text.strip_prefix(b"\\u")?).filter(|code| (0xdc00..0xe000).contains(code))
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |n, b| Some(n * 16 + char::from(*b).to_digit(16)?))
}

fn check(bytes: &[u8]) -> Result<Value, LeftWhy> {
    Value::new(bytes).map_err(|e| match e {
        ValueError::TooLong => LeftWhy::TooLong,
        ValueError::Nul => LeftWhy::Nul,
    })
}
