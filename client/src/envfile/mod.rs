//! `.envrc`, `.env` and JSON files: which keys are in them, and the same file without.
//!
//! Bytes in, facts and bytes out. It never runs anything, and knows no file, no environment
//! and no clock. What cannot be read with certainty is left, and named with its line: the
//! file may be somebody's only copy.
//!
//! What bash decides is read as bash reads it, and the rewrite never changes what a shell
//! ends up with:
//! * `use keyagent` stands where the first sealed key stood, so keys further down are set
//!   earlier than they were. A key moves only past lines that neither mention it nor run
//!   anything that could set or see it (`source_up`, `dotenv`, `eval`, a program that is
//!   not in the table of harmless ones). Otherwise it is left as [`LeftWhy::Order`].
//! * A bare `A=1` is no environment variable unless `export A` or `set -a` make it one; it
//!   is left as [`LeftWhy::Unexported`]. So is `declare -x`, which direnv keeps local.
//! * A literal that a later line changes with something only a shell can work out is sealed
//!   all the same: that line stays, and still finds what it changes.
//! * A carriage return is part of the value, as in bash. Dotenv tools drop it.
//! * A script that bash itself cannot parse is outside this promise: direnv does not load it.
//! * In `.env` files a value counts only where the tools agree on it.

mod dotenv;
mod found;
mod json;
mod script;
mod stray;
#[cfg(test)]
mod tests;
mod verdict;
mod why;

use found::{Found, Lines};
use keyagent_wire::{EnvName, Value, escape};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use zeroize::Zeroizing;

pub(crate) use why::{Fault, LeftWhy, ParseError, Why};

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As bash reads it.
    Envrc,
    /// As the dotenv tools read it, where they agree.
    Dotenv,
    /// As one JSON object.
    Json,
    /// Not at all: a shell script in which `use keyagent` would mean nothing.
    Script,
}

/// A file, read. It holds values, so nothing prints or copies it.
pub(crate) struct EnvFile {
    found: Found,
    layout: Layout,
}

/// Where things stand in the file.
enum Layout {
    Script(script::Script),
    Dotenv(dotenv::Layout),
    Json(json::Layout),
}

/// An assignment that can leave the file: what holds in the end for one variable.
pub(crate) struct Assignment {
    /// The variable.
    pub(crate) var: EnvName,
    /// Its value.
    pub(crate) value: Value,
    /// The line of the last assignment, from 1.
    pub(crate) line: usize,
    /// Whether the value is a secret.
    pub(crate) verdict: Verdict,
}

/// Whether a value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes, and why.
    Secret(Why),
    /// No.
    Plain,
}

/// An assignment that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// The variable, safe to print.
    pub(crate) var: String,
    /// Why it stays.
    pub(crate) why: LeftWhy,
}

/// Tells from its name, then from what is in it, how a file is to be read.
///
/// direnv's `source_env` reads files such as `.envrc.private`. Other scripts are not read:
/// what looks like a line of a `.env` may be a part of a function there.
pub(crate) fn kind_of(file_name: &OsStr, bytes: &[u8]) -> Kind {
    const SCRIPTS: &[&[u8]] = &[
        b".sh",
        b".bash",
        b".zsh",
        b".ksh",
        b".fish",
        b"shrc",
        b"profile",
        b"zshenv",
        b"zlogin",
        b"bash_login",
    ];
    let name = file_name.as_bytes();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if name == b"envrc" || name.starts_with(b".envrc") || name.ends_with(b".envrc") {
        Kind::Envrc
    } else if name.ends_with(b".json") || text.trim_ascii_start().first() == Some(&b'{') {
        Kind::Json
    } else if SCRIPTS.iter().any(|ending| name.ends_with(ending)) || text.starts_with(b"#!") {
        Kind::Script
    } else if name.windows(3).any(|part| part == b"env") || only_assigns(text) {
        Kind::Dotenv
    } else {
        Kind::Script
    }
}

/// Whether each line could be one of a `.env`, where the name does not say that it is.
fn only_assigns(text: &[u8]) -> bool {
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.all(|line| line.is_empty() || line.starts_with(b"#") || dotenv::assigns(line))
}

/// Reads a file.
pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<EnvFile, ParseError> {
    let fault = |(at, fault)| ParseError { line: Lines::new(bytes).number(at), fault };
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(fault((at, Fault::Nul)));
    }
    let mut found = Found::default();
    let layout = match kind {
        Kind::Envrc => script::parse(bytes, &mut found).map(Layout::Script),
        Kind::Dotenv => dotenv::parse(bytes, &mut found).map(Layout::Dotenv),
        Kind::Json => json::parse(bytes, &mut found).map(Layout::Json),
        Kind::Script => Err((0, Fault::Script)),
    }
    .map_err(fault)?;
    found.assignments.sort_by_key(|a| a.line);
    let mut file = EnvFile { found, layout };
    file.leave_unsettled();
    stray::name(&mut file.found, &file.layout, bytes);
    file.found.left.sort_by_key(|l| l.line);
    Ok(file)
}

impl EnvFile {
    /// The assignments that hold in the end, in file order.
    pub(crate) fn assignments(&self) -> &[Assignment] {
        &self.found.assignments
    }

    /// The assignments that stay as they are, in file order.
    pub(crate) fn left(&self) -> &[Left] {
        &self.found.left
    }

    /// Which of the chosen variables can be sealed together, and why the others cannot.
    ///
    /// All that are [`Verdict::Secret`] always can. Others may stand before a line that no
    /// key may move past, so ask before sealing any: [`rewrite`] takes out no more than this.
    pub(crate) fn settle(&self, chosen: &BTreeSet<EnvName>) -> (BTreeSet<EnvName>, Vec<Left>) {
        let known = |var: &&EnvName| self.found.assignments.iter().any(|a| a.var == **var);
        let chosen: BTreeSet<_> = chosen.iter().filter(known).cloned().collect();
        let Layout::Script(script) = &self.layout else { return (chosen, Vec::new()) };
        let settled = script::settle(script, &chosen);
        let line = |var: &EnvName| {
            self.found.assignments.iter().find(|a| a.var == *var).map_or(0, |a| a.line)
        };
        let left = settled.left.into_iter().map(|(var, why)| Left {
            line: line(&var),
            var: escape(var.as_str().as_bytes()),
            why,
        });
        (settled.sealed, left.collect())
    }

    /// Leaves what cannot go with the other secrets, and what could not even go alone.
    fn leave_unsettled(&mut self) {
        let Layout::Script(script) = &self.layout else { return };
        let (secret, plain): (Vec<_>, Vec<_>) =
            self.found.assignments.iter().partition(|a| matches!(a.verdict, Verdict::Secret(_)));
        let secret = secret.iter().map(|a| a.var.clone()).collect();
        let mut left = script::settle(script, &secret).left;
        for assignment in plain {
            left.extend(script::settle(script, &BTreeSet::from([assignment.var.clone()])).left);
        }
        for (var, why) in left {
            self.found.give_up(&var, why);
        }
    }
}

/// The file without the assignments of the sealed variables, every other line as it was.
///
/// With nothing to take out it is the original, byte for byte.
pub(crate) fn rewrite(
    file: &EnvFile,
    original: &[u8],
    sealed: &BTreeSet<EnvName>,
) -> Zeroizing<Vec<u8>> {
    let (sealed, _) = file.settle(sealed);
    if sealed.is_empty() {
        let mut same = Zeroizing::new(Vec::with_capacity(original.len()));
        same.extend_from_slice(original);
        return same;
    }
    match &file.layout {
        Layout::Script(script) => script::rewrite(script, original, &sealed),
        Layout::Dotenv(layout) => dotenv::rewrite(layout, original, &sealed),
        Layout::Json(layout) => json::rewrite(layout, original, &sealed),
    }
}
