//! Reads the line with clap, and says what is wrong with it without repeating it.
//!
//! A value may have been typed where none belongs (`keyagent set NAME sk-…`), so an error
//! is made of clap's own words only: of options, verbs and suggestions that we wrote.

use crate::args::{CommandLine, Verb};
use crate::report::{self, Failure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// What the line asks for; nothing if that was help, which is printed now.
pub(crate) fn parse(line: &[OsString]) -> Result<Option<Verb>, Failure> {
    let program = OsString::from("keyagent");
    let line = &without_help_verb(line);
    let error = match CommandLine::try_parse_from([&program].into_iter().chain(line)) {
        Ok(line) => return Ok(Some(line.verb)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            report::answer(error.render().to_string().as_bytes())?;
            Ok(None)
        }
        _ => {
            let failure = failure(&error, line.first().and_then(|verb| verb.to_str()));
            // A prompt has room for one line.
            let is_hook = line.iter().any(|word| word == "--hook");
            Err(if is_hook { failure.on_one_line() } else { failure })
        }
    }
}

/// `help` and `help VERB`, as many tools have it: the options do it here. clap's own verb
/// would repeat what it does not know.
fn without_help_verb(line: &[OsString]) -> Vec<OsString> {
    match line {
        [help, rest @ ..] if help == "help" => {
            rest.iter().cloned().chain([OsString::from("--help")]).collect()
        }
        _ => line.to_vec(),
    }
}

fn failure(error: &clap::Error, verb: Option<&str>) -> Failure {
    // Only a verb of ours is repeated.
    let verb = verb.filter(|verb| CommandLine::command().find_subcommand(verb).is_some());
    let failure = Failure::usage(text(error));
    let failure = match suggestion(error) {
        Some(word) => failure.hint(format!("did you mean `{word}`?")),
        None => failure,
    };
    let failure = match verb {
        Some("set") => failure.hint(
            "a value never comes from an argument: `keyagent set NAME` asks for it, \
             `keyagent set NAME <FILE` reads it",
        ),
        Some("init" | "unlock" | "passphrase" | "rekey") => failure.hint(
            "a passphrase never comes from an argument: it is asked for, or read from \
             `--passphrase-fd N`",
        ),
        _ => failure,
    };
    match verb {
        Some(verb) => failure.hint(format!("`keyagent {verb} --help` shows the usage")),
        None => failure.hint("`keyagent --help` shows all verbs"),
    }
}

fn text(error: &clap::Error) -> String {
    let about = about(error);
    match error.kind() {
        ErrorKind::UnknownArgument => "there is an argument or option that this verb has not",
        ErrorKind::InvalidSubcommand => "there is no such verb",
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "what to do? a verb is missing"
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8",
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            let why = why.unwrap_or_else(|| "it does not fit".to_owned());
            return format!("cannot take what {about} was given: {why}");
        }
        ErrorKind::InvalidValue => return format!("{about} takes {}", choices(error)),
        ErrorKind::MissingRequiredArgument => return format!("{about} is missing"),
        ErrorKind::ArgumentConflict => {
            return format!("{about} is there twice, or does not go with another option");
        }
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            return format!("{about} was given too many values, or too few");
        }
        ErrorKind::NoEquals => return format!("{about} needs an `=`"),
        _ => "the arguments make no sense",
    }
    .to_owned()
}

/// The option or argument of ours that the error is about, as help shows it.
fn about(error: &clap::Error) -> String {
    let shown = |name: &String| format!("`{name}`");
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => shown(name),
        Some(ContextValue::Strings(names)) => {
            names.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        _ => "an argument".to_owned(),
    }
}

fn choices(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("one of {}", values.join(", "))
        }
        _ => "a value".to_owned(),
    }
}

fn suggestion(error: &clap::Error) -> Option<&str> {
    [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(word) => Some(word.as_str()),
            // The most alike is the last.
            ContextValue::Strings(words) => words.last().map(String::as_str),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Kind;

    fn failure_of(line: &str) -> Failure {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        match parse(&words) {
            Err(failure) => failure,
            Ok(_) => panic!("`{line}` was taken"),
        }
    }

    #[test]
    fn no_error_repeats_what_was_typed() {
        for line in [
            "set NAME canary",
            "set NAME=canary",
            "set NAME --canary",
            "set NAME --raw=canary",
            "set NAME -- canary",
            "set NAME --note canary canary",
            "unlock canary",
            "unlock --passphrase-fd canary",
            "unlock --canary",
            "unlock --accept-rollback=canary",
            "init canary",
            "init --no-passphrase=canary",
            "get NAME canary",
            "get NAME --version canary",
            "get --reveal=canary NAME",
            "exec --env canary true",
            "exec --env A=/canary true",
            "exec --only /canary true",
            "exec -P /canary true",
            "export --format canary",
            "export canary",
            "list canary",
            "lock canary",
            "mv A B canary",
            "allow . canary",
            "hook canary",
            "hook direnv canary",
            "completions canary",
            "import a canary",
            "canary",
            "--canary",
            "canary-exec x",
        ] {
            let failure = failure_of(line);
            assert_eq!(failure.kind, Kind::Usage, "{line}");
            assert!(!failure.to_string().contains("canary"), "{line}: {failure}");
        }
    }

    #[test]
    fn a_value_as_argument_gets_its_own_hint() {
        assert!(failure_of("set NAME canary").to_string().contains("never comes from an argument"));
        assert!(failure_of("unlock canary").to_string().contains("--passphrase-fd"));
    }

    #[test]
    fn an_error_names_what_is_ours() {
        assert!(failure_of("export --format x").text.contains("bash, zsh, fish"));
        assert!(failure_of("mv A").text.contains("<NEW>"));
        assert!(failure_of("export --revea").hints[0].contains("--reveal"));
        assert!(failure_of("lst").hints[0].contains("list"));
    }
}
