//! The record of what a shell was given, in the environment of the shell and of all that it
//! starts. It tells `exec` what to take away, `status` what is stale, and a shell inside the
//! shell what is not its user's own.
//!
//! `PROFILE VAR=SECRET@VERSION,… DIRECTORY`: names and numbers, never a value. It is a claim
//! of the environment: nothing is handed out on its word.

use keyagent_wire::request::Binding;
use keyagent_wire::{EnvName, ProfileName, SecretName};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The record of the shell's own hook.
pub(crate) const BY_SHELL: &str = "KEYAGENT_LOADED";
/// The record of direnv, which takes out again what it has put in. Under its own prefix,
/// so that it does not name it among the keys.
pub(crate) const BY_DIRENV: &str = "DIRENV_KEYAGENT";
/// Where direnv keeps all that it has set, a second time, and how it tells what that is.
pub(crate) const DIRENV_STATE: [&str; 4] =
    ["DIRENV_DIFF", "DIRENV_DIR", "DIRENV_FILE", "DIRENV_WATCHES"];
/// What a variable was before, if it was exported: under this and its name.
const BEFORE: &str = "KEYAGENT_OLD_";
/// What stands where there is no profile, or no binding.
const NONE: &str = "-";

/// What a shell was given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Of which profile; the plain `[env]` if none.
    pub(crate) profile: Option<ProfileName>,
    /// Which variables, of which versions of which secrets.
    pub(crate) bindings: Vec<(Binding, u32)>,
    /// The directory of the manifest.
    pub(crate) directory: PathBuf,
}

/// What our own shell was given, if it was. direnv's keys lie over those of the hook.
pub(crate) fn of_environment() -> Vec<Record> {
    [BY_DIRENV, BY_SHELL].into_iter().filter_map(of).collect()
}

/// What is recorded in that variable.
pub(crate) fn of(variable: &str) -> Option<Record> {
    Record::parse(env::var_os(variable)?.as_bytes())
}

impl Record {
    /// The record as text.
    pub(crate) fn text(&self) -> OsString {
        let profile = self.profile.as_ref().map_or(NONE, ProfileName::as_str);
        let bindings: Vec<_> = self
            .bindings
            .iter()
            .map(|(binding, version)| format!("{}={}@{version}", binding.var, binding.secret))
            .collect();
        let bindings = if bindings.is_empty() { NONE.to_owned() } else { bindings.join(",") };
        let mut text = format!("{profile} {bindings} ").into_bytes();
        text.extend_from_slice(self.directory.as_os_str().as_bytes());
        OsString::from_vec(text)
    }

    /// Whether it is about that variable.
    pub(crate) fn names(&self, var: &EnvName) -> bool {
        self.bindings.iter().any(|(binding, _)| binding.var == *var)
    }

    /// The variables that it names, each with what it was before and is to be again.
    pub(crate) fn before(&self) -> impl Iterator<Item = (&str, Option<OsString>)> {
        let before = |var: &EnvName| env::var_os(format!("{BEFORE}{var}"));
        self.bindings.iter().map(move |(b, _)| (b.var.as_str(), before(&b.var)))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = text.splitn(3, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let profile = match field()? {
            NONE => None,
            name => Some(ProfileName::new(name).ok()?),
        };
        let bindings = match field()? {
            NONE => Vec::new(),
            list => list.split(',').map(binding).collect::<Option<_>>()?,
        };
        let directory = Path::new(OsStr::from_bytes(fields.next()?));
        directory.is_absolute().then(|| Self { profile, bindings, directory: directory.to_owned() })
    }
}

/// Whether a variable is one of those that go with a record.
pub(crate) fn belongs(variable: &OsStr) -> bool {
    variable == BY_SHELL
        || variable == BY_DIRENV
        || variable.as_bytes().starts_with(BEFORE.as_bytes())
}

fn binding(text: &str) -> Option<(Binding, u32)> {
    let (var, rest) = text.split_once('=')?;
    let (secret, version) = rest.split_once('@')?;
    let binding = Binding { var: EnvName::new(var).ok()?, secret: SecretName::new(secret).ok()? };
    Some((binding, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(directory: &[u8]) -> Record {
        let binding = |var: &str, secret: &str| Binding {
            var: EnvName::new(var).expect("a name"),
            secret: SecretName::new(secret).expect("a name"),
        };
        Record {
            profile: ProfileName::new("prod").ok(),
            bindings: vec![(binding("A_KEY", "acme/A-b.c"), 3), (binding("B", "b"), 4_000_000_000)],
            directory: PathBuf::from(OsStr::from_bytes(directory)),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for directory in [&b"/"[..], b"/a b/c=d@1,e", b"/new\nline", b"/\xff"] {
            let record = record(directory);
            let text = record.text();
            assert!(text.as_bytes().starts_with(b"prod A_KEY=acme/A-b.c@3,B=b@4000000000 /"));
            assert_eq!(Record::parse(text.as_bytes()), Some(record));
        }
        let empty = Record { profile: None, bindings: Vec::new(), ..record(b"/p") };
        assert_eq!(empty.text(), "- - /p");
        assert_eq!(Record::parse(b"- - /p"), Some(empty));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [
            "",
            "-",
            "- -",
            "- - ",
            "- - p",
            "-x - /p",
            "- A /p",
            "- A=b /p",
            "- A=b@x /p",
            "- A=b@1, /p",
            "- PATH=b@1 /p",
            "- A=/b@1 /p",
            " - - /p",
            "-  /p",
        ] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_goes_with_it_is_known_by_name() {
        assert!(belongs(OsStr::new("KEYAGENT_LOADED")) && belongs(OsStr::new("KEYAGENT_OLD_A")));
        assert!(belongs(OsStr::new("DIRENV_KEYAGENT")) && !belongs(OsStr::new("DIRENV_DIFF")));
        assert!(!belongs(OsStr::new("KEYAGENT_SOCK")) && !belongs(OsStr::new("A")));
    }
}
