//! Says what each word of a top-level command is: an assignment that can be taken, an
//! `export NAME`, or something that stays.

use crate::envfile::script::grammar::{is_plain_name, sets};
use crate::envfile::script::inert::{bare, is_word};
use crate::envfile::script::read::Read;
use crate::envfile::script::scan::{Form, Target, Word, name_len};
use crate::envfile::why::LeftWhy;
use keyagent_wire::{EnvName, NameError};
use std::ops::Range;

/// A top-level command.
pub(in crate::envfile) struct Stmt {
    pub span: Range<usize>,
    pub parts: Vec<Part>,
    pub group: usize,
    /// No key moves past it.
    pub barrier: bool,
    /// The stretches of text that may read or set a variable which they mention.
    pub texts: Vec<Range<usize>>,
    pub role: Role,
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::envfile) enum Role {
    /// Assigns and exports.
    Exports,
    /// Assigns; exports under `set -a`.
    Assigns,
    /// `use keyagent`.
    Uses,
    /// `set -a` (true) or something that may end it.
    AllExport(bool),
    /// Takes away what it mentions.
    Unsets,
    /// Gives attributes to what it mentions.
    Declares,
    Other,
}

/// A word, or the command itself.
pub(in crate::envfile) struct Part {
    pub span: Range<usize>,
    pub what: What,
}

/// What a word is.
pub(in crate::envfile) enum What {
    /// `export`, which goes with the last of its words.
    Keyword,
    /// `A=literal`; the range is the text of its value.
    Sets(EnvName, Range<usize>),
    /// `export A`.
    Marks(EnvName),
    /// Anything that stays.
    Stays,
    /// An assignment that stays: its name, and why.
    Leaves(Range<usize>, LeftWhy),
}

/// Classifies a command.
pub(in crate::envfile) fn classify(read: &Read, text: &[u8], heredoc: bool) -> Stmt {
    let words = read.command.words.as_deref().unwrap_or_default();
    let role = match &read.command.words {
        Some(words) if !read.conditional && !heredoc => role(words, text),
        _ => Role::Other,
    };
    let role = match role {
        Role::Other if read.facts.barrier || read.facts.sets_options => Role::AllExport(false),
        role => role,
    };
    let mut stmt = Stmt {
        span: read.command.span.clone(),
        parts: Vec::new(),
        group: read.group,
        barrier: read.facts.barrier,
        texts: Vec::new(),
        role,
    };
    match role {
        Role::Exports | Role::Assigns => {
            let keywords = export_len(words, text);
            for (index, word) in words.iter().enumerate() {
                let what = if index < keywords { What::Keyword } else { assignment(word, text) };
                if matches!(what, What::Stays | What::Leaves(..)) {
                    stmt.texts.push(word.span.clone());
                }
                stmt.parts.push(Part { span: word.span.clone(), what });
            }
        }
        // Its place is known, and order.rs reckons with it.
        Role::Uses => stmt.barrier = false,
        _ => {
            stmt.texts.push(stmt.span.clone());
            let why = opaque_why(read, words, text);
            stmt.parts.extend(words.iter().filter_map(|w| leaves(w, text, why)));
            let inner = read.facts.inner.iter().cloned();
            stmt.parts.extend(
                inner.map(|n| Part { span: n.clone(), what: What::Leaves(n, LeftWhy::InBlock) }),
            );
        }
    }
    stmt
}

fn role(words: &[Word], text: &[u8]) -> Role {
    if words.iter().all(|w| w.target.is_some()) {
        return Role::Assigns;
    }
    let second = bare(words.get(1), text);
    let all_bare = words.iter().all(|w| bare(Some(w), text).is_some());
    match bare(words.first(), text) {
        Some("use") if second == Some("keyagent") && all_bare => Role::Uses,
        Some("set") => match (second, bare(words.get(2), text), words.len()) {
            (Some("-a"), _, 2) | (Some("-o"), Some("allexport"), 3) => Role::AllExport(true),
            _ => Role::AllExport(false),
        },
        Some("unset") => Role::Unsets,
        Some("readonly" | "local") => Role::Declares,
        Some("export" | "declare" | "typeset") => declaration(words, text),
        _ => Role::Other,
    }
}

/// `export …` and `declare -gx …` with names and assignments only; the rest gives or takes
/// attributes.
fn declaration(words: &[Word], text: &[u8]) -> Role {
    let len = export_len(words, text);
    let operands = &words[len.min(words.len())..];
    let readable = |w: &Word| w.target.is_some() || is_plain_name(w, text);
    if len > 0 && !operands.is_empty() && operands.iter().all(readable) {
        return Role::Exports;
    }
    match is_word(words.first(), text, b"export") && is_word(words.get(1), text, b"-n") {
        true => Role::Unsets,
        false => Role::Declares,
    }
}

/// How many words say "export": `export`, `declare -gx`. Without `-g`, `declare` in the
/// function in which direnv reads the file makes a local variable.
pub(super) fn export_len(words: &[Word], text: &[u8]) -> usize {
    match (bare(words.first(), text), bare(words.get(1), text)) {
        (Some("export"), _) => 1,
        (Some("declare" | "typeset"), Some("-gx" | "-xg")) => 2,
        _ => 0,
    }
}

/// What an operand of `export`, or a word of a bare assignment, is.
fn assignment(word: &Word, text: &[u8]) -> What {
    let Some(target) = &word.target else {
        let name = String::from_utf8_lossy(&text[word.span.clone()]);
        return EnvName::new(name).map_or(What::Stays, What::Marks);
    };
    let name = target.name.clone();
    if let Some(why) = word.dynamic {
        return What::Leaves(name, why);
    }
    if target.form == Form::Append {
        return What::Leaves(name, LeftWhy::Append);
    }
    match EnvName::new(String::from_utf8_lossy(&text[name.clone()])) {
        Ok(var) if steers_bash(var.as_str()) => What::Leaves(name, LeftWhy::Reserved),
        Ok(var) => What::Sets(var, target.value..word.span.end),
        Err(NameError::Reserved) => What::Leaves(name, LeftWhy::Reserved),
        Err(_) => What::Leaves(name, LeftWhy::BadName),
    }
}

/// Variables that bash itself gives a meaning, so that a line in another place is another.
fn steers_bash(var: &str) -> bool {
    const STEER: &[&str] = &[
        "_",
        "GROUPS",
        "DIRSTACK",
        "HISTCMD",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "SRANDOM",
        "LANG",
        "LANGUAGE",
        "POSIXLY_CORRECT",
        "EXECIGNORE",
        "TMOUT",
    ];
    STEER.contains(&var) || var.starts_with("LC_") || var.starts_with("COMP_")
}

/// Why the assignments among the words of a command that stays are left.
fn opaque_why(read: &Read, words: &[Word], text: &[u8]) -> LeftWhy {
    let mark = read.command.span.start == 0 && text.starts_with(b"\xef\xbb\xbf");
    match bare(words.first(), text) {
        _ if mark => LeftWhy::ByteOrderMark,
        _ if read.conditional => LeftWhy::Conditional,
        Some("declare" | "typeset") if is_word(words.get(1), text, b"-x") => LeftWhy::Local,
        Some("declare" | "typeset" | "readonly" | "local") => LeftWhy::Declared,
        Some("export") => LeftWhy::Unclear,
        _ => LeftWhy::Command,
    }
}

/// The assignment in a word of a command that stays, if it is one, a mark or a quote before
/// it notwithstanding.
fn leaves(word: &Word, text: &[u8], why: LeftWhy) -> Option<Part> {
    if let Some(Target { name, .. }) = &word.target {
        let why = if sets(word) { why } else { LeftWhy::Array };
        return Some(Part { span: word.span.clone(), what: What::Leaves(name.clone(), why) });
    }
    let raw = &text[word.span.clone()];
    let inner = [&b"\xef\xbb\xbf"[..], b"\"", b"'"].iter().find_map(|p| raw.strip_prefix(*p))?;
    let len = name_len(inner);
    if len == 0 || inner.get(len) != Some(&b'=') {
        return None;
    }
    let start = word.span.end - inner.len();
    Some(Part { span: word.span.clone(), what: What::Leaves(start..start + len, why) })
}
