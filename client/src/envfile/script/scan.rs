//! Reads the bytes of a script the way bash's lexer does: words, quotes, expansions,
//! here-documents. It finds where things end and what they depend on; it expands nothing,
//! and copies nothing out of the script.

use crate::envfile::why::{Fault, LeftWhy};
use std::ops::Range;

/// How deep constructs may nest: far beyond what people write, and short of the stack.
const DEPTH_MAX: u32 = 64;

/// One word of a command, quotes and all.
pub(super) struct Word {
    pub span: Range<usize>,
    pub target: Option<Target>,
    /// The first thing in the word that only a shell can work out.
    pub dynamic: Option<LeftWhy>,
    /// Whether any of it is quoted or escaped.
    pub quoted: bool,
}

/// What stands before the `=` of an assignment.
pub(super) struct Target {
    pub name: Range<usize>,
    pub form: Form,
    pub value: usize,
}

/// `A=`, `A+=`, `A[0]=`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Set,
    Append,
    Element,
}

/// What a command depends on, beyond the variables that its text mentions.
#[derive(Default)]
pub(super) struct Facts {
    /// It runs something that may set, or see, any variable.
    pub barrier: bool,
    /// It looks at where it stands: `$?`, `$_`.
    pub position: bool,
    /// It may switch `set -a`.
    pub sets_options: bool,
    /// Assignments inside of it.
    pub inner: Vec<Range<usize>>,
}

struct Heredoc {
    delimiter: Vec<u8>,
    strips_tabs: bool,
    expands: bool,
}

/// A place in a script.
pub(super) struct Scan<'a> {
    pub text: &'a [u8],
    pub at: usize,
    pub depth: u32,
    pub facts: Facts,
    pub comments: Vec<Range<usize>>,
    pub functions: Vec<Range<usize>>,
    pub heredoc_seen: bool,
    heredocs: Vec<Heredoc>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            facts: Facts::default(),
            comments: Vec::new(),
            functions: Vec::new(),
            heredoc_seen: false,
            heredocs: Vec::new(),
        }
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    pub(super) fn starts_with(&self, prefix: &[u8]) -> bool {
        self.text[self.at..].starts_with(prefix)
    }

    pub(super) fn enter(&mut self) -> Result<(), (usize, Fault)> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err((self.at, Fault::Deep)) } else { Ok(()) }
    }

    /// Skips blanks and line continuations.
    pub(super) fn blanks(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t'), _) => self.at += 1,
                (Some(b'\\'), Some(b'\n')) => self.at += 2,
                _ => return,
            }
        }
    }

    /// Skips a comment, up to its newline, and remembers where it was.
    pub(super) fn comment(&mut self) {
        if self.peek(0) != Some(b'#') {
            return;
        }
        let start = self.at;
        while self.peek(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
        self.comments.push(start..self.at);
    }

    /// Skips a newline and the here-documents that begin after it.
    pub(super) fn newline(&mut self) -> Result<(), (usize, Fault)> {
        self.at += 1;
        for heredoc in std::mem::take(&mut self.heredocs) {
            self.heredoc_body(&heredoc)?;
        }
        Ok(())
    }

    pub(super) fn has_pending_heredoc(&self) -> bool {
        !self.heredocs.is_empty()
    }

    /// Reads a `<<` and the word after it.
    pub(super) fn heredoc_start(&mut self) -> Result<(), (usize, Fault)> {
        self.heredoc_seen = true;
        let strips_tabs = self.peek(2) == Some(b'-');
        self.at += if strips_tabs { 3 } else { 2 };
        self.blanks();
        let word = self.word()?;
        if word.span.is_empty() || word.dynamic.is_some() {
            return Err((self.at, Fault::Unreadable));
        }
        let raw = &self.text[word.span];
        let delimiter = raw.iter().copied().filter(|b| !b"'\"\\".contains(b)).collect();
        self.heredocs.push(Heredoc { delimiter, strips_tabs, expands: !word.quoted });
        Ok(())
    }

    fn heredoc_body(&mut self, heredoc: &Heredoc) -> Result<(), (usize, Fault)> {
        let start = self.at;
        while self.at < self.text.len() {
            let line_end = self.text[self.at..].iter().position(|&b| b == b'\n');
            let end = line_end.map_or(self.text.len(), |n| self.at + n);
            let mut line = &self.text[self.at..end];
            if heredoc.strips_tabs {
                line = &line[line.iter().take_while(|&&b| b == b'\t').count()..];
            }
            let body = start..self.at;
            self.at = (end + 1).min(self.text.len());
            if line == heredoc.delimiter {
                let body = &self.text[body];
                if heredoc.expands && (body.contains(&b'`') || body.contains(&b'$')) {
                    self.facts.barrier = true;
                }
                return Ok(());
            }
        }
        Err((start, Fault::Unclosed))
    }

    /// Reads one word; an empty one where none starts.
    pub(super) fn word(&mut self) -> Result<Word, (usize, Fault)> {
        let start = self.at;
        let mut word =
            Word { span: start..start, target: self.target(), dynamic: None, quoted: false };
        if let Some(target) = &word.target {
            self.at = target.value;
            if target.form == Form::Element {
                word.dynamic = Some(LeftWhy::Array);
            }
        }
        while let Some(byte) = self.peek(0) {
            if b" \t\n;&|)".contains(&byte) || !self.piece(byte, &mut word)? {
                break;
            }
        }
        word.span = start..self.at;
        Ok(word)
    }

    /// Reads one piece of a word; false where the word is over.
    fn piece(&mut self, byte: u8, word: &mut Word) -> Result<bool, (usize, Fault)> {
        let why = match byte {
            b'\\' => {
                word.quoted = true;
                let at_end = self.at + 1 == self.text.len();
                self.at = (self.at + 2).min(self.text.len());
                at_end.then_some(LeftWhy::Unclear)
            }
            b'\'' => {
                word.quoted = true;
                self.single_quoted()?;
                None
            }
            b'"' => {
                word.quoted = true;
                self.double_quoted()?
            }
            b'$' => {
                word.quoted |= matches!(self.peek(1), Some(b'\'' | b'"'));
                self.dollar(false)?
            }
            b'`' => self.backticks()?,
            b'<' | b'>' if self.peek(1) == Some(b'(') => {
                self.at += 2;
                self.nested_list()?;
                Some(LeftWhy::NeedsShell)
            }
            b'<' | b'>' => return Ok(false),
            b'(' if word.target.as_ref().is_some_and(|t| t.value == self.at) => {
                self.at += 1;
                self.array()?;
                Some(LeftWhy::Array)
            }
            b'(' => return Ok(false),
            b'~' => {
                let expands = !self.at.checked_sub(1).is_some_and(|before| {
                    self.text[before].is_ascii_alphanumeric()
                        || b"_-./".contains(&self.text[before])
                });
                self.at += 1;
                expands.then_some(LeftWhy::NeedsShell)
            }
            b'{' => {
                self.at += 1;
                Some(LeftWhy::Brace)
            }
            _ => {
                self.at += 1;
                None
            }
        };
        word.dynamic = word.dynamic.or(why);
        Ok(true)
    }

    /// Looks for `NAME=`, `NAME+=` or `NAME[` at the start of a word, without moving.
    fn target(&self) -> Option<Target> {
        let rest = &self.text[self.at..];
        let name_len = name_len(rest);
        if name_len == 0 {
            return None;
        }
        let name = self.at..self.at + name_len;
        let (form, len) = match (rest.get(name_len), rest.get(name_len + 1)) {
            (Some(b'='), _) => (Form::Set, name_len + 1),
            (Some(b'+'), Some(b'=')) => (Form::Append, name_len + 2),
            (Some(b'['), _) => {
                let word_len = rest.iter().take_while(|b| !b" \t\n;&|()<>".contains(b)).count();
                let close = rest[..word_len].windows(2).position(|pair| pair == b"]=")?;
                (Form::Element, close + 2)
            }
            _ => return None,
        };
        Some(Target { name, form, value: self.at + len })
    }

    fn array(&mut self) -> Result<(), (usize, Fault)> {
        loop {
            self.blanks();
            match self.peek(0) {
                None => return Err((self.at, Fault::Unclosed)),
                Some(b')') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\n') => self.newline()?,
                Some(b'#') => self.comment(),
                Some(_) => {
                    let word = self.word()?;
                    if word.span.is_empty() {
                        return Err((self.at, Fault::Unreadable));
                    }
                }
            }
        }
    }

    pub(super) fn single_quoted(&mut self) -> Result<(), (usize, Fault)> {
        let rest = &self.text[self.at + 1..];
        match rest.iter().position(|&b| b == b'\'') {
            Some(len) => self.at += len + 2,
            None => return Err((self.at, Fault::Unclosed)),
        }
        Ok(())
    }
}

/// How many bytes at the start are a shell name.
pub(super) fn name_len(text: &[u8]) -> usize {
    if text.first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    text.iter().take_while(|b| is_name_byte(**b)).count()
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
