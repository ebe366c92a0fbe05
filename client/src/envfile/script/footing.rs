//! What `use keyagent` stands on: the directory, where programs, the agent and the vault are
//! found, and the functions themselves. A line that takes one of these away must stay below.

use crate::envfile::script::inert::bare;
use crate::envfile::script::read::Read;
use crate::envfile::script::scan::{Form, Target, Word};

/// Where keyagent looks for the agent and the vault.
const PLACES: &[&[u8]] = &[
    b"HOME",
    b"KEYAGENT_SOCK",
    b"XDG_CONFIG_HOME",
    b"XDG_DATA_HOME",
    b"XDG_RUNTIME_DIR",
    b"XDG_STATE_HOME",
];

const FUNCTIONS: &[&str] = &["use", "use_keyagent"];

/// The first command after which `use keyagent` may not find what it needs.
pub(super) fn lost(reads: &[Read], text: &[u8]) -> Option<usize> {
    reads.iter().position(|read| takes_away(read, text))
}

fn takes_away(read: &Read, text: &[u8]) -> bool {
    let words = read.command.words.as_deref().unwrap_or_default();
    // `HOME=/x cmd` moves nothing but for that command.
    let lasting = words.iter().all(|w| w.target.is_some()) || words[0].target.is_none();
    let assigns = lasting
        && words.iter().any(|word| {
            word.target.as_ref().is_some_and(|target| moves(target, &text[word.span.clone()], text))
        });
    assigns
        || match bare(words.first(), text) {
            Some("cd" | "pushd" | "popd") => true,
            Some("unset") => words.iter().any(|word| is_needed(word, text)),
            _ => false,
        }
}

/// A PATH that keeps what was in it is no loss.
fn moves(target: &Target, word: &[u8], text: &[u8]) -> bool {
    match &text[target.name.clone()] {
        b"PATH" => {
            let keeps = [&b"$PATH"[..], b"${PATH"];
            target.form == Form::Set
                && !keeps.iter().any(|path| word.windows(path.len()).any(|part| part == *path))
        }
        name => PLACES.contains(&name),
    }
}

fn is_needed(word: &Word, text: &[u8]) -> bool {
    bare(Some(word), text)
        .is_some_and(|name| FUNCTIONS.contains(&name) || PLACES.contains(&name.as_bytes()))
}
