//! Finds where expansions end: `"…"`, `$'…'`, `$x`, `${…}`, `$(…)`, `$((…))`, backticks.
//! It never works out what one expands to.

use crate::envfile::script::scan::{Scan, is_name_byte};
use crate::envfile::why::{Fault, LeftWhy};

type Found = Result<Option<LeftWhy>, (usize, Fault)>;

impl Scan<'_> {
    pub(super) fn double_quoted(&mut self) -> Found {
        let start = self.at;
        let mut why = None;
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(why);
                }
                b'\\' => self.at += 2,
                b'$' => why = why.or(self.dollar(true)?),
                b'`' => why = why.or(self.backticks()?),
                _ => self.at += 1,
            }
        }
        Err((start, Fault::Unclosed))
    }

    /// Reads what a `$` starts. A lone `$` is itself.
    pub(super) fn dollar(&mut self, in_quotes: bool) -> Found {
        let shell = Ok(Some(LeftWhy::NeedsShell));
        match self.peek(1) {
            // bash joins the lines first: the `$` belongs to what comes on the next one.
            Some(b'\\') if self.peek(2) == Some(b'\n') => Err((self.at, Fault::Unreadable)),
            Some(b'(') if self.peek(2) == Some(b'(') => {
                self.at += 3;
                self.arithmetic()?;
                shell
            }
            Some(b'(') => {
                self.at += 2;
                self.nested_list()?;
                shell
            }
            Some(b'{') => {
                self.braces(in_quotes)?;
                shell
            }
            Some(b'\'') if !in_quotes => self.ansi_quoted(),
            Some(b'"') if !in_quotes => {
                self.at += 1;
                self.double_quoted()?;
                Ok(Some(LeftWhy::Locale))
            }
            Some(b'[') => {
                self.at += 2;
                self.facts.barrier = true;
                shell
            }
            Some(byte) if is_name_byte(byte) || b"@*#?-$!".contains(&byte) => {
                let lone_underscore = byte == b'_' && !self.peek(2).is_some_and(is_name_byte);
                self.facts.position |= byte == b'?' || lone_underscore;
                self.at += 2;
                shell
            }
            _ => {
                self.at += 1;
                Ok(None)
            }
        }
    }

    /// Reads `$'…'`. What it holds is literal, unless the locale or a NUL decides.
    fn ansi_quoted(&mut self) -> Found {
        let start = self.at;
        self.at += 2;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\'' => {
                    self.at += 1;
                    return Ok(None);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        Err((start, Fault::Unclosed))
    }

    fn braces(&mut self, in_quotes: bool) -> Result<(), (usize, Fault)> {
        let start = self.at;
        self.at += 2;
        self.enter()?;
        self.facts.barrier |= self.peek(0) == Some(b'!');
        let lone_underscore = self.peek(0) == Some(b'_') && !self.peek(1).is_some_and(is_name_byte);
        self.facts.position |= self.peek(0) == Some(b'?') || lone_underscore;
        if matches!(self.peek(0), Some(b' ' | b'\t' | b'\n' | b'|' | b'\\')) {
            return Err((start, Fault::Unreadable));
        }
        while let Some(byte) = self.peek(0) {
            match byte {
                b'}' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                b'\\' => self.at += 2,
                // Whether this quotes depends on the operator; nobody remembers how.
                b'\'' if in_quotes => return Err((self.at, Fault::Unreadable)),
                b'\'' => self.single_quoted()?,
                b'"' => drop(self.double_quoted()?),
                b'$' => drop(self.dollar(in_quotes)?),
                b'`' => drop(self.backticks()?),
                b'@' => {
                    // `${x@P}` runs what is in `x`.
                    self.facts.barrier |= matches!(self.peek(1), Some(b'P' | b'\\'));
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        Err((start, Fault::Unclosed))
    }

    /// Reads to the `))` that matches, from behind the `((`.
    pub(super) fn arithmetic(&mut self) -> Result<(), (usize, Fault)> {
        let start = self.at;
        let mut open = 0_u32;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'(' => open += 1,
                b')' if open > 0 => open -= 1,
                b')' if self.peek(1) == Some(b')') => {
                    self.at += 2;
                    return Ok(());
                }
                b')' | b'\'' => return Err((self.at, Fault::Unreadable)),
                b'$' => {
                    self.dollar(true)?;
                    continue;
                }
                b'`' => {
                    self.backticks()?;
                    continue;
                }
                b'"' => {
                    self.double_quoted()?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        Err((start, Fault::Unclosed))
    }

    /// Skips `` `…` ``. Its quoting is of another age, so nothing in it is trusted.
    pub(super) fn backticks(&mut self) -> Found {
        let start = self.at;
        self.facts.barrier = true;
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'`' => {
                    self.at += 1;
                    return Ok(Some(LeftWhy::NeedsShell));
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        Err((start, Fault::Unclosed))
    }
}
