//! Where the cursor stands on a line, and what clap's definitions let come there.
//!
//! It reads words and nothing else: no file, no agent. A line is not judged here: what clap
//! would refuse leads to few candidates, or to none.

use clap::builder::ArgAction;
use clap::{Arg, Command};
use keyagent_wire::ProfileName;
use std::any::TypeId;

/// What may come where the cursor is.
pub(super) enum Wanted<'a> {
    /// A verb of this command.
    Verb(&'a Command),
    /// An option of this command.
    Flag(&'a Command),
    /// A value of this argument.
    Value(&'a Arg),
    /// Another program's line, which begins at this word.
    Line(usize),
    /// Nothing that can be told.
    Nothing,
}

/// The word that is completed.
pub(super) struct Cursor<'a> {
    /// What it may become.
    pub(super) wanted: Wanted<'a>,
    /// What of it stays as it is: `--profile=`, `A,`.
    pub(super) kept: &'a str,
    /// What of it is the beginning of a candidate.
    pub(super) typed: &'a str,
    /// The profile that the line names.
    pub(super) profile: Option<&'a str>,
}

/// Reads the words up to the cursor. The last is the one to complete.
pub(super) fn find<'a>(root: &'a Command, words: &'a [String]) -> Option<Cursor<'a>> {
    let (last, before) = words.split_last()?;
    let mut line = Line::new(root);
    for (at, word) in before.iter().enumerate() {
        line.read(at, word);
    }
    let (wanted, start) = line.wanted(before.len(), last);
    let start = match wanted {
        Wanted::Value(arg) => start + item_start(arg, &last[start..]),
        _ => start,
    };
    let (kept, typed) = last.split_at(start);
    Some(Cursor { wanted, kept, typed, profile: line.profile })
}

/// What the words so far have come to.
struct Line<'a> {
    command: &'a Command,
    /// How many positional arguments the command has been given.
    given: usize,
    /// The option whose value is the next word.
    open: Option<&'a Arg>,
    /// Whether `--` has ended the options.
    ended: bool,
    /// Where another program's line began.
    program: Option<usize>,
    profile: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(command: &'a Command) -> Self {
        Self { command, given: 0, open: None, ended: false, program: None, profile: None }
    }

    fn read(&mut self, at: usize, word: &'a str) {
        if self.program.is_some() {
            return;
        }
        if let Some(arg) = self.open.take() {
            return self.note(arg, word);
        }
        if self.ended || !is_option(word) {
            return self.read_positional(at, word);
        }
        match option(self.command, word) {
            Some((arg, Some(start))) => self.note(arg, &word[start..]),
            Some((arg, None)) => self.open = Some(arg),
            None => self.ended = word == "--",
        }
    }

    fn read_positional(&mut self, at: usize, word: &str) {
        match self.command.find_subcommand(word) {
            Some(verb) if !self.ended => self.command = verb,
            _ if self.is_program() => self.program = Some(at),
            // `help` is none of clap's verbs: what follows is taken as if it was not there.
            _ => self.given += 1,
        }
    }

    fn note(&mut self, arg: &Arg, value: &'a str) {
        if arg.get_value_parser().type_id() == TypeId::of::<ProfileName>() {
            self.profile = Some(value);
        }
    }

    /// What the word may become, and where in it that begins.
    fn wanted(&self, at: usize, word: &str) -> (Wanted<'a>, usize) {
        if let Some(arg) = self.open {
            return (Wanted::Value(arg), 0);
        }
        let wanted = if let Some(start) = self.program {
            Wanted::Line(start)
        } else if !self.ended && word.starts_with('-') {
            match option(self.command, word) {
                Some((arg, Some(start))) => return (Wanted::Value(arg), start),
                _ => Wanted::Flag(self.command),
            }
        } else if self.command.has_subcommands() {
            Wanted::Verb(self.command)
        } else if self.is_program() {
            Wanted::Line(at)
        } else {
            match self.positional() {
                Some(arg) => Wanted::Value(arg),
                None if !self.ended => Wanted::Flag(self.command),
                None => Wanted::Nothing,
            }
        };
        (wanted, 0)
    }

    /// The argument that the next word is, if it is no option.
    fn positional(&self) -> Option<&'a Arg> {
        let mut all = self.command.get_positionals();
        let takes_more = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
        all.nth(self.given).or_else(|| self.command.get_positionals().last().filter(takes_more))
    }

    fn is_program(&self) -> bool {
        self.positional().is_some_and(Arg::is_trailing_var_arg_set)
    }
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// The option of that word that takes a value, and where in the word the value begins; the
/// next word has it if it does not.
fn option<'a>(command: &'a Command, word: &str) -> Option<(&'a Arg, Option<usize>)> {
    let find = |is: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|arg| is(arg));
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        let arg = find(&|arg| arg.get_long() == Some(name)).filter(|arg| takes_value(arg))?;
        return Some((arg, value.map(|value| word.len() - value.len())));
    }
    let shorts = word.strip_prefix('-')?;
    for (at, short) in shorts.char_indices() {
        let arg = find(&|arg| arg.get_short() == Some(short))?;
        if takes_value(arg) {
            let rest = &shorts[at + short.len_utf8()..];
            let value = rest.strip_prefix('=').unwrap_or(rest);
            return Some((arg, (!rest.is_empty()).then(|| word.len() - value.len())));
        }
    }
    None
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// Where the last item of a list begins.
fn item_start(arg: &Arg, value: &str) -> usize {
    let delimiter = arg.get_value_delimiter();
    delimiter.and_then(|delimiter| value.rfind(delimiter)).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CommandLine;
    use clap::CommandFactory;

    /// What the cursor wants at the end of a line, in words.
    fn at(line: &str) -> String {
        let mut root = CommandLine::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let cursor = find(&root, &words).expect("there is a word");
        let wanted = match cursor.wanted {
            Wanted::Verb(command) => format!("verb of {}", command.get_name()),
            Wanted::Flag(command) => format!("flag of {}", command.get_name()),
            Wanted::Value(arg) => format!("value of {}", arg.get_id()),
            Wanted::Line(start) => format!("line from {start}"),
            Wanted::Nothing => "nothing".to_owned(),
        };
        let profile = cursor.profile.map(|name| format!(" in {name}")).unwrap_or_default();
        format!("{wanted}: {}|{}{profile}", cursor.kept, cursor.typed)
    }

    #[test]
    fn the_cursor_is_found() {
        for (line, expected) in [
            ("", "verb of keyagent: |"),
            ("ge", "verb of keyagent: |ge"),
            ("help ge", "verb of keyagent: |ge"),
            ("hook ", "verb of hook: |"),
            ("-", "flag of keyagent: |-"),
            ("get ", "value of name: |"),
            ("get --reveal a/b", "value of name: |a/b"),
            ("get a --re", "flag of get: |--re"),
            ("get a ", "flag of get: |"),
            ("get -- a ", "nothing: |"),
            ("get -- -", "value of name: |-"),
            ("rm a b c", "value of names: |c"),
            ("mv a ", "value of new: |"),
            ("exec -P pr", "value of profile: |pr"),
            ("exec -Ppr", "value of profile: -P|pr"),
            ("exec -P=pr", "value of profile: -P=|pr"),
            ("exec -P", "flag of exec: |-P"),
            ("x --profile=pr", "value of profile: --profile=|pr"),
            ("run --only A,B", "value of only: A,|B"),
            ("exec --only=A,B,", "value of only: --only=A,B,|"),
            ("exec -P prod --only ", "value of only: | in prod"),
            ("exec --profile=prod --only ", "value of only: | in prod"),
            ("exec --env A=b", "value of env: |A=b"),
            ("exec ", "line from 1: |"),
            ("exec ca", "line from 1: |ca"),
            ("exec -", "flag of exec: |-"),
            ("exec -- -", "line from 2: |-"),
            ("exec -P prod --pristine -- cargo test --", "line from 5: |-- in prod"),
            ("exec cargo -P", "line from 1: |-P"),
            ("export --format ", "value of format: |"),
            ("export ", "flag of export: |"),
        ] {
            assert_eq!(at(line), expected, "{line}");
        }
    }
}
