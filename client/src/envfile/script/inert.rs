//! Which commands cannot set a variable that their text does not mention, and do not look
//! at keys in their environment. All others are a barrier: no key moves past them.

use crate::envfile::script::grammar::is_plain_name;
use crate::envfile::script::scan::{Form, Word};

/// Builtins, direnv's own functions and everyday programs that look at no key.
const INERT: &[&str] = &[
    ":",
    "[",
    "basename",
    "cat",
    "cd",
    "command",
    "cut",
    "date",
    "dirname",
    "direnv_version",
    "echo",
    "env_vars_required",
    "expand_path",
    "false",
    "find_up",
    "git",
    "grep",
    "has",
    "head",
    "hostname",
    "id",
    "log_error",
    "log_status",
    "ls",
    "MANPATH_add",
    "mkdir",
    "nproc",
    "path_add",
    "PATH_add",
    "PATH_rm",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "sed",
    "sleep",
    "sort",
    "strict_env",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "type",
    "umask",
    "uname",
    "uniq",
    "unstrict_env",
    "user_rel_path",
    "watch_dir",
    "watch_file",
    "wc",
    "which",
    "whoami",
];

/// `layout` runs the user's own functions too; these come with direnv.
const INERT_LAYOUTS: &[&str] =
    &["go", "node", "php", "perl", "python", "python2", "python3", "ruby", "pipenv", "poetry"];

/// Declarations: harmless where every name is spelled out, since then their text mentions it.
const DECLARATIONS: &[&str] = &["export", "unset", "readonly", "declare", "typeset", "local"];

/// Whether a simple command is inert.
pub(super) fn is_inert(words: &[Word], text: &[u8]) -> bool {
    let Some(first) = words.iter().position(|w| w.target.is_none()) else {
        return words.iter().all(|w| w.target.as_ref().is_some_and(|t| t.form != Form::Element));
    };
    if first > 0 {
        // `A=1 cmd` hands variables to a command, and some of them steer it.
        return false;
    }
    let Some(command) = bare(words.first(), text) else { return false };
    let arguments = &words[1..];
    let argument = bare(arguments.first(), text);
    match command {
        "export" if arguments.is_empty() => false,
        _ if DECLARATIONS.contains(&command) => arguments.iter().all(|w| is_declared(w, text)),
        "set" => argument.is_some_and(|a| a.starts_with(['-', '+'])),
        "layout" => argument.is_some_and(|a| INERT_LAYOUTS.contains(&a)),
        "command" => argument == Some("-v"),
        "printf" => argument.is_none_or(|a| !a.starts_with('-')) && starts_safe(arguments, text),
        "git" => argument.is_some_and(|a| ["rev-parse", "describe", "log", "branch"].contains(&a)),
        _ => INERT.contains(&command),
    }
}

/// A word of a declaration whose name can be read off: `-x`, `A`, `A=…`.
fn is_declared(word: &Word, text: &[u8]) -> bool {
    let raw = &text[word.span.clone()];
    let option = raw.first() == Some(&b'-') && !word.quoted && word.dynamic.is_none();
    option
        || is_plain_name(word, text)
        || word.target.as_ref().is_some_and(|t| t.form != Form::Element)
}

/// `printf "$x"` could be `printf -v NAME`.
fn starts_safe(arguments: &[Word], text: &[u8]) -> bool {
    arguments.first().is_none_or(|w| {
        let raw = &text[w.span.clone()];
        let inner = raw.strip_prefix(b"'").or(raw.strip_prefix(b"\"")).unwrap_or(raw);
        !matches!(inner.first(), None | Some(b'-' | b'$' | b'\'' | b'"' | b'`'))
            && !matches!(raw.first(), Some(b'\\'))
    })
}

/// Whether a word is exactly this, unquoted.
pub(super) fn is_word(word: Option<&Word>, text: &[u8], wanted: &[u8]) -> bool {
    word.is_some_and(|w| !w.quoted && &text[w.span.clone()] == wanted)
}

/// A word as text, if nothing in it is quoted or expands.
pub(super) fn bare<'a>(word: Option<&Word>, text: &'a [u8]) -> Option<&'a str> {
    let word = word.filter(|w| !w.quoted && w.dynamic.is_none())?;
    str::from_utf8(&text[word.span.clone()]).ok()
}

/// Whether a function of this name would change what a command of the tables does.
pub(super) fn is_known(name: &[u8]) -> bool {
    let tables = [INERT, DECLARATIONS, &["set", "use", "layout", "use_keyagent"]];
    tables.iter().any(|table| table.iter().any(|known| known.as_bytes() == name))
}
