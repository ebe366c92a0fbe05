//! `__complete`: what may come next on a line, for the scripts in `shell/`.
//!
//! The first line of the answer says who completes: `words` (they follow, `WORD<TAB>ABOUT`,
//! a line each), or the shell by its own means: `files`, `directories`, or `command N`, a
//! program's own line from word N on. Verbs, options and their values are those that clap
//! knows; there is no second list. It never fails and never says why: nobody has asked.

mod agent;
mod cursor;

use crate::args::CommandLine;
use crate::report;
use clap::{Arg, Command, CommandFactory, ValueHint};
use cursor::{Cursor, Wanted};
use keyagent_wire::request::Binding;
use keyagent_wire::{EnvName, ProfileName, SecretName};
use std::any::TypeId;
use std::ffi::OsString;

/// How many words are offered at most.
const CANDIDATES_MAX: usize = 1_000;

/// A word that may come next, and a line on it.
struct Candidate {
    word: String,
    about: String,
}

impl Candidate {
    fn new(word: impl Into<String>, about: impl Into<String>) -> Self {
        Self { word: word.into(), about: about.into() }
    }
}

/// Who completes.
enum Answer {
    Words(Vec<Candidate>),
    Files,
    Directories,
    Program(usize),
}

/// Prints what may come next, if there is anything. These are the words after `keyagent`, up
/// to the cursor; the last is the one to complete.
pub(crate) fn run(words: &[OsString]) {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into()).collect();
    let mut root = CommandLine::command();
    root.build();
    if let Some(cursor) = cursor::find(&root, &words)
        && let Some(answer) = answer(&cursor)
    {
        // Who has stopped listening wants no error either.
        let _ = report::answer(text(answer, &cursor).as_bytes());
    }
}

fn answer(cursor: &Cursor<'_>) -> Option<Answer> {
    match cursor.wanted {
        Wanted::Verb(command) => Some(Answer::Words(verbs(command))),
        Wanted::Flag(command) => Some(Answer::Words(flags(command))),
        Wanted::Value(arg) => value(arg, cursor),
        Wanted::Line(start) => Some(Answer::Program(start)),
        Wanted::Nothing => None,
    }
}

fn text(answer: Answer, cursor: &Cursor<'_>) -> String {
    let words = match answer {
        Answer::Words(words) => words,
        Answer::Files => return "files\n".to_owned(),
        Answer::Directories => return "directories\n".to_owned(),
        Answer::Program(start) => return format!("command {start}\n"),
    };
    let fit = words.into_iter().filter(|candidate| candidate.word.starts_with(cursor.typed));
    let mut text = "words\n".to_owned();
    for Candidate { word, about } in few(fit.collect()) {
        text.push_str(&format!("{}{word}\t{about}\n", cursor.kept));
    }
    text
}

/// Not more than a human looks through. The last is among them: a shell types what all words
/// have in common, and in a sorted list that is what the first and the last have.
fn few(mut words: Vec<Candidate>) -> Vec<Candidate> {
    if words.len() > CANDIDATES_MAX {
        words.drain(CANDIDATES_MAX - 1..words.len() - 1);
    }
    words
}

fn verbs(command: &Command) -> Vec<Candidate> {
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let named = |verb: &Command| {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let names = verb.get_name_and_visible_aliases().into_iter();
        names.map(|name| Candidate::new(name, &about)).collect::<Vec<_>>()
    };
    shown.flat_map(named).collect()
}

fn flags(command: &Command) -> Vec<Candidate> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let named = |arg: &Arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        long.into_iter().chain(short).map(|word| Candidate::new(word, &about)).collect::<Vec<_>>()
    };
    shown.flat_map(named).collect()
}

/// What an argument says of its values, or else what their type does.
fn value(arg: &Arg, cursor: &Cursor<'_>) -> Option<Answer> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        let words = shown.map(|value| Candidate::new(value.get_name(), ""));
        return Some(Answer::Words(words.collect()));
    }
    match arg.get_value_hint() {
        ValueHint::AnyPath => return Some(Answer::Files),
        ValueHint::DirPath => return Some(Answer::Directories),
        ValueHint::Other => return None,
        _ => {}
    }
    let kind = arg.get_value_parser().type_id();
    let words = if kind == TypeId::of::<SecretName>() {
        agent::secrets(cursor.typed)
    } else if kind == TypeId::of::<ProfileName>() {
        agent::profiles()
    } else if kind == TypeId::of::<EnvName>() {
        agent::variables(cursor.profile)
    } else if kind == TypeId::of::<Binding>() {
        bound(cursor.typed)
    } else {
        None
    };
    words.map(Answer::Words)
}

/// `VAR=NAME`, once `VAR=` is there.
fn bound(typed: &str) -> Option<Vec<Candidate>> {
    let (var, name) = typed.split_once('=')?;
    let whole = |secret: Candidate| Candidate::new(format!("{var}={}", secret.word), secret.about);
    Some(agent::secrets(name)?.into_iter().map(whole).collect())
}
