//! What reading a file turns up: assignments, and what is left. One entry per variable.

use crate::envfile::why::LeftWhy;
use crate::envfile::{Assignment, Left, Verdict, verdict};
use keyagent_wire::{EnvName, Value, escape};

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &[u8]) -> Self {
        let newlines = text.iter().enumerate().filter(|(_, b)| **b == b'\n');
        Self(newlines.map(|(at, _)| at).collect())
    }

    /// The line of a byte, from 1.
    pub(super) fn number(&self, at: usize) -> usize {
        self.0.partition_point(|&newline| newline < at) + 1
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    pub assignments: Vec<Assignment>,
    pub left: Vec<Left>,
}

impl Found {
    pub(super) fn assign(&mut self, var: EnvName, value: Value, line: usize) {
        let verdict = verdict::of(var.as_str(), value.expose());
        self.assignments.push(Assignment { var, value, line, verdict });
    }

    pub(super) fn leave(&mut self, line: usize, var: &[u8], why: LeftWhy) {
        let left = Left { line, var: escape(var), why };
        if !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    /// Reports a comment that holds an assignment of what looks like a secret.
    pub(super) fn comment(&mut self, line: usize, comment: &[u8]) {
        let text = comment.trim_ascii_start();
        let text = &text[text.iter().take_while(|b| **b == b'#').count()..];
        let mut text = text.trim_ascii();
        for word in [&b"export "[..], b"set -x "] {
            text = text.strip_prefix(word).unwrap_or(text).trim_ascii_start();
        }
        let Some(equals) = text.iter().position(|b| *b == b'=') else { return };
        let Ok(name) = str::from_utf8(text[..equals].trim_ascii()) else { return };
        let Ok(var) = EnvName::new(name) else { return };
        let raw = text[equals + 1..].trim_ascii();
        let quote = raw.first().filter(|q| b"'\"".contains(q));
        let value = match quote {
            Some(quote) => raw[1..].split(|b| b == quote).next(),
            None => raw.split(|b| b.is_ascii_whitespace() || *b == b';').next(),
        };
        if let Verdict::Secret(_) = verdict::of(var.as_str(), value.unwrap_or_default()) {
            self.leave(line, name.as_bytes(), LeftWhy::Commented);
        }
    }

    /// Moves a variable from the assignments to what is left.
    pub(super) fn give_up(&mut self, var: &EnvName, why: LeftWhy) {
        if let Some(at) = self.assignments.iter().position(|a| a.var == *var) {
            let assignment = self.assignments.remove(at);
            self.leave(assignment.line, var.as_str().as_bytes(), why);
        }
    }
}
