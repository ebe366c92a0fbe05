//! Finds where commands end: simple ones, and the compound ones that hide assignments.
//! It is more lenient than bash about what stands where: a script that bash refuses is
//! refused as a whole, whatever is read here.

use crate::envfile::script::inert;
use crate::envfile::script::scan::{Form, Scan, Word, name_len};
use crate::envfile::why::Fault;
use std::ops::Range;

type Done = Result<(), (usize, Fault)>;

/// One command: its words if it is simple, has no redirection, and defines no function.
pub(super) struct Command {
    pub span: Range<usize>,
    pub words: Option<Vec<Word>>,
}

/// What ends a nested list.
#[derive(Clone, Copy)]
enum Closer {
    Word(&'static [u8]),
    Paren,
    Arm,
}

pub(super) const MIDDLE_WORDS: &[&[u8]] = &[b"then", b"else", b"elif", b"do"];
pub(super) const CLOSING_WORDS: &[&[u8]] = &[b"fi", b"done", b"esac", b"}"];

impl<'a> Scan<'a> {
    /// The bytes up to the next blank or operator: a reserved word, or not.
    pub(super) fn next_bare_word(&self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        &rest[..rest.iter().take_while(|b| !b" \t\n;&|()<>".contains(b)).count()]
    }

    /// Reads one command; `None` where there is none.
    pub(super) fn command(&mut self) -> Result<Option<Command>, (usize, Fault)> {
        let start = self.at;
        let keyword = self.next_bare_word();
        let (len, closer) = match keyword {
            b"if" => (2, Closer::Word(b"fi")),
            b"while" | b"until" => (5, Closer::Word(b"done")),
            b"{" => (1, Closer::Word(b"}")),
            b"for" | b"select" => {
                self.at += keyword.len();
                self.for_head()?;
                (0, Closer::Word(b"done"))
            }
            b"case" => {
                self.at += 4;
                self.case()?;
                return self.compound_end(start).map(Some);
            }
            b"[[" => {
                self.at += 2;
                self.test()?;
                return self.compound_end(start).map(Some);
            }
            b"function" => {
                self.at += 8;
                self.blanks();
                let name = self.word()?.span;
                self.function(name)?;
                return self.compound_end(start).map(Some);
            }
            _ if self.starts_with(b"((") => {
                self.at += 2;
                self.arithmetic()?;
                return self.compound_end(start).map(Some);
            }
            _ if self.starts_with(b"(") => (1, Closer::Paren),
            _ => return self.simple(),
        };
        self.at += len;
        self.enter()?;
        self.list(closer)?;
        self.depth -= 1;
        self.compound_end(start).map(Some)
    }

    /// Reads the redirections behind a compound command.
    fn compound_end(&mut self, start: usize) -> Result<Command, (usize, Fault)> {
        loop {
            let end = self.at;
            self.blanks();
            if !self.redirection()? {
                self.at = end;
                return Ok(Command { span: start..end, words: None });
            }
        }
    }

    fn simple(&mut self) -> Result<Option<Command>, (usize, Fault)> {
        let start = self.at;
        let mut end = start;
        let mut words: Vec<Word> = Vec::new();
        let mut redirected = false;
        loop {
            self.blanks();
            match self.peek(0) {
                None | Some(b'\n' | b';' | b'|' | b')' | b'#') => break,
                Some(b'&') if self.peek(1) != Some(b'>') => break,
                Some(b'(') => {
                    let [name] = words.as_slice() else {
                        return Err((self.at, Fault::Unreadable));
                    };
                    let name = name.span.clone();
                    self.function(name)?;
                    return self.compound_end(start).map(Some);
                }
                _ if self.redirection()? => redirected = true,
                _ => words.push(self.word()?),
            }
            end = self.at;
        }
        self.at = end;
        if end == start {
            return Ok(None);
        }
        self.note(&words);
        Ok(Some(Command { span: start..end, words: (!redirected).then_some(words) }))
    }

    /// Notes what a simple command may do to other variables.
    fn note(&mut self, words: &[Word]) {
        self.facts.barrier |= !inert::is_inert(words, self.text);
        self.facts.sets_options |= inert::is_word(words.first(), self.text, b"set");
        if self.depth > 0 {
            let named = words.iter().filter_map(|w| w.target.as_ref());
            self.facts.inner.extend(named.map(|t| t.name.clone()));
        }
    }

    /// Reads one redirection, if one stands here.
    fn redirection(&mut self) -> Result<bool, (usize, Fault)> {
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let operator = &self.text[self.at + digits..];
        let len = match operator {
            [b'<' | b'>', b'(', ..] => return Ok(false),
            [b'<', b'<', b'<', ..] | [b'&', b'>', b'>', ..] => 3,
            [b'<', b'<', ..] => {
                self.at += digits;
                self.heredoc_start()?;
                return Ok(true);
            }
            [b'<' | b'>', b'&' | b'>' | b'|', ..] | [b'&', b'>', ..] => 2,
            [b'<' | b'>', ..] => 1,
            _ => return Ok(false),
        };
        self.at += digits + len;
        self.blanks();
        let target = self.word()?;
        if target.span.is_empty() { Err((self.at, Fault::Unreadable)) } else { Ok(true) }
    }

    /// Reads a function from behind its name: its body runs where it is called, not here.
    fn function(&mut self, name: Range<usize>) -> Done {
        self.functions.push(name);
        self.blanks();
        if self.peek(0) == Some(b'(') {
            self.at += 1;
            self.blanks();
            if self.peek(0) != Some(b')') {
                return Err((self.at, Fault::Unreadable));
            }
            self.at += 1;
        }
        self.gaps()?;
        let outer = self.facts.barrier;
        self.enter()?;
        let body = self.command()?;
        self.depth -= 1;
        self.facts.barrier = outer;
        match body {
            Some(Command { words: None, .. }) => Ok(()),
            _ => Err((self.at, Fault::Unreadable)),
        }
    }

    /// Reads the list of a `$(…)` or `<(…)`, from behind its parenthesis.
    pub(super) fn nested_list(&mut self) -> Done {
        self.enter()?;
        self.list(Closer::Paren)?;
        self.depth -= 1;
        Ok(())
    }

    fn list(&mut self, closer: Closer) -> Done {
        let start = self.at;
        loop {
            self.gaps()?;
            let word = self.next_bare_word();
            match (closer, self.peek(0)) {
                (_, None) => return Err((start, Fault::Unclosed)),
                (Closer::Paren, Some(b')')) => {
                    self.at += 1;
                    return Ok(());
                }
                (Closer::Arm, Some(b';')) if matches!(self.peek(1), Some(b';' | b'&')) => {
                    self.at += 2;
                    if self.peek(0) == Some(b'&') {
                        self.at += 1;
                    }
                    return Ok(());
                }
                (Closer::Arm, _) if word == b"esac" => return Ok(()),
                (Closer::Word(end), _) if word == end => {
                    self.at += end.len();
                    return Ok(());
                }
                (_, Some(b';' | b'|' | b'&')) if self.peek(1) != Some(b'>') => self.at += 1,
                _ if MIDDLE_WORDS.contains(&word) || word == b"!" || word == b"time" => {
                    self.at += word.len();
                }
                _ if CLOSING_WORDS.contains(&word) => return Err((self.at, Fault::Unreadable)),
                _ => {
                    if self.command()?.is_none() {
                        return Err((self.at, Fault::Unreadable));
                    }
                }
            }
        }
    }

    /// Skips blanks, comments and newlines.
    pub(super) fn gaps(&mut self) -> Done {
        loop {
            self.blanks();
            match self.peek(0) {
                Some(b'#') => self.comment(),
                Some(b'\n') => self.newline()?,
                _ => return Ok(()),
            }
        }
    }

    fn for_head(&mut self) -> Done {
        self.blanks();
        if self.starts_with(b"((") {
            self.at += 2;
            return self.arithmetic();
        }
        loop {
            self.blanks();
            match self.peek(0) {
                None | Some(b'\n' | b';' | b'#') => return Ok(()),
                Some(_) => {
                    if self.word()?.span.is_empty() {
                        return Err((self.at, Fault::Unreadable));
                    }
                }
            }
        }
    }

    fn case(&mut self) -> Done {
        let start = self.at;
        self.enter()?;
        self.blanks();
        self.word()?;
        self.gaps()?;
        if self.next_bare_word() != b"in" {
            return Err((self.at, Fault::Unreadable));
        }
        self.at += 2;
        loop {
            self.gaps()?;
            match self.peek(0) {
                None => return Err((start, Fault::Unclosed)),
                _ if self.next_bare_word() == b"esac" => {
                    self.at += 4;
                    self.depth -= 1;
                    return Ok(());
                }
                _ => {
                    self.patterns()?;
                    self.list(Closer::Arm)?;
                }
            }
        }
    }

    fn patterns(&mut self) -> Done {
        if self.peek(0) == Some(b'(') {
            self.at += 1;
        }
        loop {
            self.blanks();
            match self.peek(0) {
                Some(b'|') => self.at += 1,
                Some(b')') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => {
                    if self.word()?.span.is_empty() {
                        return Err((self.at, Fault::Unreadable));
                    }
                }
            }
        }
    }

    /// Reads `[[ … ]]` from behind its start.
    fn test(&mut self) -> Done {
        let start = self.at;
        loop {
            self.blanks();
            match self.peek(0) {
                None => return Err((start, Fault::Unclosed)),
                Some(b';') => return Err((self.at, Fault::Unreadable)),
                Some(b'\n') => self.newline()?,
                Some(b'(' | b')' | b'<' | b'>' | b'&' | b'|') => self.at += 1,
                Some(_) => {
                    let word = self.word()?;
                    match &self.text[word.span] {
                        b"]]" => return Ok(()),
                        b"[[" => return Err((start, Fault::Unreadable)),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Whether a word names a variable and does nothing else, as in `export A`.
pub(super) fn is_plain_name(word: &Word, text: &[u8]) -> bool {
    let raw = &text[word.span.clone()];
    !raw.is_empty() && name_len(raw) == raw.len()
}

/// Whether a word is `NAME=value`.
pub(super) fn sets(word: &Word) -> bool {
    word.target.as_ref().is_some_and(|t| t.form == Form::Set)
}
