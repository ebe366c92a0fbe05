//! The `.envrc` beside a file that is no `.envrc`: direnv may load the file by it, and does
//! not get the keys any more. It is looked at as text, never run; this only makes a hint.

use crate::import::source::{self, Source};
use std::os::unix::ffi::OsStrExt;

/// The commands of a `.envrc` that load another file.
const LOADERS: &[&str] =
    &["dotenv", "dotenv_if_exists", "source_env", "source_env_if_exists", "source", "."];

/// What to do, if the neighbour loads this file and does not use keyagent yet.
pub(crate) fn hint(source: &Source) -> Option<String> {
    let path = source.directory().join(".envrc");
    // What cannot be read loads nothing.
    let (bytes, _) = source::read(&path).ok()?;
    let word = loader(&bytes, source.name().as_bytes())?;
    Some(format!("`.envrc` loads this file by `{word}`: add `use keyagent` to it"))
}

/// By which word the script loads the file of that name; nothing if it uses keyagent.
fn loader(script: &[u8], name: &[u8]) -> Option<&'static str> {
    let commands: Vec<Vec<&[u8]>> =
        script.split(|byte| *byte == b'\n').flat_map(commands).collect();
    let uses = |words: &Vec<&[u8]>| {
        words.windows(2).any(|pair| pair == [&b"use"[..], b"keyagent"])
            || words.contains(&&b"use_keyagent"[..])
    };
    if commands.iter().any(uses) {
        return None;
    }
    commands.iter().find_map(|words| {
        let at =
            |word: &'static str| Some((words.iter().position(|w| *w == word.as_bytes())?, word));
        let (at, word) = LOADERS.iter().copied().find_map(at)?;
        loads(word, words.get(at + 1).copied(), name).then_some(word)
    })
}

/// The commands of a line, as words, up to a comment.
fn commands(line: &[u8]) -> Vec<Vec<&[u8]>> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<_> = words.take_while(|word| !word.starts_with(b"#")).collect();
    let mut commands = vec![Vec::new()];
    for word in words {
        for (nth, part) in word.split(|byte| b";&|(){}".contains(byte)).enumerate() {
            if nth > 0 {
                commands.push(Vec::new());
            }
            if let Some(last) = commands.last_mut().filter(|_| !part.is_empty()) {
                last.push(part);
            }
        }
    }
    commands
}

/// Whether a loader with this argument means the file of that name.
fn loads(word: &str, argument: Option<&[u8]>, name: &[u8]) -> bool {
    let Some(argument) = argument else { return word.starts_with("dotenv") && name == b".env" };
    let quoted = |byte: &u8| b"'\"".contains(byte);
    let end = argument.iter().rposition(|byte| !quoted(byte)).map_or(0, |at| at + 1);
    let last = argument[..end].rsplit(|byte| *byte == b'/' || quoted(byte)).next();
    last == Some(name) || (word.starts_with("dotenv") && last == Some(b".") && name == b".env")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_the_file_is_found() {
        for (script, word) in [
            ("dotenv", Some("dotenv")),
            ("layout go; dotenv_if_exists", Some("dotenv_if_exists")),
            ("dotenv .", Some("dotenv")),
            ("if x; then\n\tdotenv '.env' # y\nfi", Some("dotenv")),
            ("[[ -f .env ]] && source_env \"$PWD/.env\"", Some("source_env")),
            ("set -a; . ./.env; set +a", Some(".")),
            ("dotenv .env.local", None),
            ("dotenv # .env", Some("dotenv")),
            ("# dotenv .env", None),
            ("watch_file .env", None),
            ("source_up", None),
            ("use keyagent\ndotenv", None),
            ("dotenv; use_keyagent", None),
            ("# use keyagent\ndotenv", Some("dotenv")),
            ("", None),
        ] {
            assert_eq!(loader(script.as_bytes(), b".env"), word, "{script}");
        }
    }
}
