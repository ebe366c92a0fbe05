//! `.env`, where the tools agree: node's dotenv and `--env-file`, python-dotenv, direnv.
//!
//! They were compared by hand. They disagree on every escape in double quotes but `\n`, on
//! `\` and quotes in bare values, on a `#` without a blank before it, on backticks, on `$`
//! outside single quotes and on `${` inside of them. Such values are left, never guessed.

use crate::envfile::found::{Found, Lines};
use crate::envfile::why::{Fault, LeftWhy};
use keyagent_wire::{EnvName, NameError, Value, ValueError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use zeroize::Zeroizing;

const COMMENT: &[u8] = b"# keys are in keyagent: keyagent exec -- COMMAND";

/// Where a quote is out of place, tools find their way back at different lines, and what
/// follows is one thing to this one and another to that one: the file is refused.
const QUOTES: &[u8] = b"'\"`";

/// The lines that assign something: which bytes, and to what.
pub(super) struct Layout(Vec<(Range<usize>, EnvName)>);

impl Layout {
    /// Where the assignments of such variables stand.
    pub(super) fn lines(&self, goes: impl Fn(&EnvName) -> bool) -> Vec<Range<usize>> {
        self.0.iter().filter(|(_, var)| goes(var)).map(|(span, _)| span.clone()).collect()
    }
}

type Read<'a> = (Result<Zeroizing<Vec<u8>>, LeftWhy>, usize);

/// Reads a file.
pub(super) fn parse(text: &[u8], found: &mut Found) -> Result<Layout, (usize, Fault)> {
    let lines = Lines::new(text);
    let mut layout = Vec::new();
    let mut values: BTreeMap<EnvName, (usize, Value)> = BTreeMap::new();
    let mut given_up: BTreeMap<EnvName, usize> = BTreeMap::new();
    let mut expanded: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    while at < text.len() {
        let start = at;
        let number = lines.number(start);
        let line = &text[start..line_end(text, start)];
        at = (start + line.len() + 1).min(text.len());
        if line.trim_ascii_start().starts_with(b"#") {
            found.comment(number, line);
            continue;
        }
        let Some((name, separator)) = split(line) else {
            if line.iter().any(|b| QUOTES.contains(b)) {
                return Err((start, Fault::Unreadable));
            }
            continue;
        };
        let (value, end) = value(text, start + separator + 1)?;
        if line[separator] == b':' && end > start + line.len() {
            return Err((start, Fault::Unreadable));
        }
        at = (line_end(text, end) + 1).min(text.len());
        // Node keeps tabs, around the name as well as around the value.
        let tab = text[start..end].iter().take_while(|b| !QUOTES.contains(b)).any(|b| *b == b'\t');
        let value = match line[separator] {
            b'=' if !tab => value,
            _ => Err(LeftWhy::ToolsDisagree),
        };
        let var = str::from_utf8(name).map_err(|_| NameError::Character).and_then(EnvName::new);
        let (var, why) = match (var, value.and_then(|bytes| check(&bytes))) {
            (Ok(var), Ok(value)) => {
                layout.push((start..at, var.clone()));
                values.insert(var, (number, value));
                continue;
            }
            (Ok(var), Err(why)) => (Some(var), why),
            (Err(NameError::Reserved), _) => (None, LeftWhy::Reserved),
            (Err(_), _) => (None, LeftWhy::BadName),
        };
        found.leave(number, name, why);
        for name in expansions(&text[start + separator + 1..at]) {
            expanded.entry(name).or_insert(number);
        }
        given_up.extend(var.map(|var| (var, number)));
    }
    for (var, (line, value)) in values {
        let again = given_up.get(&var).map(|other| LeftWhy::Again(*other));
        // In the environment it would be there from the start, with its last value.
        let early = expanded.get(var.as_str().as_bytes()).filter(|above| **above < line);
        match again.or(early.map(|above| LeftWhy::Order(*above))) {
            Some(why) => found.leave(line, var.as_str().as_bytes(), why),
            None => found.assign(var, value, line),
        }
    }
    Ok(Layout(layout))
}

/// The file without the lines of the sealed variables; a comment says where they went.
pub(super) fn rewrite(
    layout: &Layout,
    text: &[u8],
    sealed: &BTreeSet<EnvName>,
) -> Zeroizing<Vec<u8>> {
    let crlf = text.windows(2).any(|pair| pair == b"\r\n");
    let newline: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let mut told = text.split(|b| *b == b'\n').any(|line| line.trim_ascii() == COMMENT);
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + COMMENT.len() + 2));
    let mut at = 0;
    for (span, _) in layout.0.iter().filter(|(_, var)| sealed.contains(var)) {
        out.extend_from_slice(&text[at..span.start]);
        if !std::mem::replace(&mut told, true) {
            out.extend_from_slice(COMMENT);
            out.extend_from_slice(newline);
        }
        at = span.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Every name that a value may expand, and some more.
fn expansions(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let expands = if value.contains(&b'$') { value } else { &[] };
    expands.split(move |b| !is_name(b)).filter(|word| !word.is_empty())
}

fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|b| *b == b'\n').map_or(text.len(), |len| from + len)
}

/// Whether a line is `NAME=…`, with a name that some tool would take.
pub(super) fn assigns(line: &[u8]) -> bool {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    split(line).is_some_and(|(name, at)| line[at] == b'=' && name.iter().all(is_name))
}

/// The name before the first `=` or `:`, and where that stands.
fn split(line: &[u8]) -> Option<(&[u8], usize)> {
    let separator = line.iter().position(|b| b"=:".contains(b))?;
    let name = line[..separator].trim_ascii();
    let name = match name.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_whitespace) => rest.trim_ascii(),
        _ => name,
    };
    (!name.is_empty()).then_some((name, separator))
}

/// Reads the value that starts here, and where it ends.
fn value(text: &[u8], from: usize) -> Result<Read<'_>, (usize, Fault)> {
    let end = line_end(text, from);
    let blanks = text[from..end].iter().take_while(|b| b" \t".contains(b)).count();
    let start = from + blanks;
    match text.get(start) {
        Some(quote @ (b'\'' | b'"')) => quoted(text, start, *quote),
        Some(b'`') => {
            let close = text[start + 1..].iter().position(|b| *b == b'`');
            let close = close.map_or(end, |len| start + 1 + len);
            Ok((Err(LeftWhy::ToolsDisagree), close))
        }
        _ => Ok((bare(&text[start..end], blanks > 0), end)),
    }
}

/// A value in quotes may go on over several lines.
fn quoted(text: &[u8], open: usize, quote: u8) -> Result<Read<'_>, (usize, Fault)> {
    let mut close = open + 1;
    while text.get(close).is_some_and(|b| *b != quote) {
        close += if text[close] == b'\\' { 2 } else { 1 };
    }
    if close >= text.len() {
        return Err((open, Fault::Unclosed));
    }
    let inner = &text[open + 1..close];
    let rest = &text[close + 1..line_end(text, close)];
    let comment = rest.trim_ascii_start();
    let is_comment = comment.starts_with(b"#") && comment.len() < rest.len();
    let escapes = text[open..close].windows(2).any(|pair| pair == [b'\\', quote]);
    let goes_on = line_end(text, open) < close;
    let stray = !is_comment && comment.iter().any(|b| QUOTES.contains(b));
    if stray || (escapes && goes_on) {
        return Err((open, Fault::Unreadable));
    }
    if !comment.is_empty() && !is_comment {
        return Ok((Err(LeftWhy::ToolsDisagree), close));
    }
    let value = if quote == b'"' { unescape(inner) } else { verbatim(inner) };
    Ok((value, close))
}

fn unescape(inner: &[u8]) -> Result<Zeroizing<Vec<u8>>, LeftWhy> {
    let mut out = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'$' => return Err(LeftWhy::NeedsShell),
            b'\r' => return Err(LeftWhy::ToolsDisagree),
            b'\\' if tail.first() == Some(&b'n') => {
                out.push(b'\n');
                rest = &tail[1..];
            }
            b'\\' => return Err(LeftWhy::ToolsDisagree),
            _ => out.push(byte),
        }
    }
    Ok(out)
}

fn verbatim(inner: &[u8]) -> Result<Zeroizing<Vec<u8>>, LeftWhy> {
    if inner.contains(&b'\\') || inner.contains(&b'\r') {
        return Err(LeftWhy::ToolsDisagree);
    }
    if inner.windows(2).any(|pair| pair == b"${") {
        return Err(LeftWhy::NeedsShell);
    }
    Ok(copy(inner))
}

/// A bare value: to the end of the line or a comment, without the blanks around it.
fn bare(raw: &[u8], blanks_before: bool) -> Result<Zeroizing<Vec<u8>>, LeftWhy> {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let text = match raw.iter().position(|b| *b == b'#') {
        None => raw,
        Some(0) if blanks_before => return Err(LeftWhy::ToolsDisagree),
        Some(at) if at > 0 && b" \t".contains(&raw[at - 1]) => &raw[..at],
        Some(_) => return Err(LeftWhy::ToolsDisagree),
    };
    let text = text.trim_ascii();
    // Some readers take more than ASCII for a blank.
    if str::from_utf8(text).is_ok_and(|text| text.trim().len() < text.len()) {
        return Err(LeftWhy::ToolsDisagree);
    }
    if text.contains(&b'$') || text.contains(&b'`') {
        return Err(LeftWhy::NeedsShell);
    }
    if text.iter().any(|b| b"\\'\"\r".contains(b)) {
        return Err(LeftWhy::ToolsDisagree);
    }
    Ok(copy(text))
}

fn copy(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    out.extend_from_slice(bytes);
    out
}

fn check(bytes: &[u8]) -> Result<Value, LeftWhy> {
    if str::from_utf8(bytes).is_err() {
        return Err(LeftWhy::Encoding);
    }
    Value::new(bytes).map_err(|e| match e {
        ValueError::TooLong => LeftWhy::TooLong,
        ValueError::Nul => LeftWhy::Nul,
    })
}
