//! What goes to stderr: errors, hints, notes. The one place that prints them.
//!
//! Nothing here may reach a value: a failure is made of our own words, of names, and of
//! bytes from outside that went through `escape`.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// What went wrong, in the classes that the exit code tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It did not work.
    Failed,
    /// It was asked for in the wrong way.
    Usage,
    /// It is not allowed.
    Refused,
    /// The vault is locked.
    Locked,
    /// There is no agent, and none could be started.
    NoAgent,
    /// No such secret.
    NoSuchSecret,
    /// `exec`: the command is there and cannot be run, as env(1) has it.
    NotRunnable,
    /// `exec`: there is no such command, as env(1) has it.
    NotFound,
    /// The human pressed ^C at a prompt, as a shell reports it.
    Cancelled,
}

/// An error: its class, its text, and commands that help.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The class, which is the exit code.
    pub(crate) kind: Kind,
    /// One line, lower case, no full stop.
    pub(crate) text: String,
    /// What to do next, each with a command that can be pasted.
    pub(crate) hints: Vec<String>,
    /// Whether hints go on the line of the error, as direnv's readers want it.
    pub(crate) one_line: bool,
}

impl Kind {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Locked => 4,
            Self::NoAgent => 5,
            Self::NoSuchSecret => 6,
            Self::NotRunnable => 126,
            Self::NotFound => 127,
            Self::Cancelled => 130,
        }
    }
}

impl Failure {
    /// A failure of that class.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hints: Vec::new(), one_line: false }
    }

    /// A plain failure.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Kind::Failed, text)
    }

    /// A failure in what was asked.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts error and hints on one line.
    pub(crate) fn on_one_line(mut self) -> Self {
        self.one_line = true;
        self
    }
}

/// A failed system call, without the number that `io::Error` puts behind its text.
pub(crate) fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => errno_text(number),
        None => lower_first(&error.to_string()),
    }
}

/// The text of an errno(3), in our case.
pub(crate) fn errno_text(number: i32) -> String {
    lower_first(nix::errno::Errno::from_raw(number).desc())
}

/// Prints a failure and gives its exit code.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    // A closed stderr is no reason for another exit code.
    let _ = write!(io::stderr().lock(), "{failure}");
    ExitCode::from(failure.kind.code())
}

/// Says something that is no error: `keyagent: TEXT`.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "keyagent: {text}");
}

/// Says what to do next: `keyagent: hint: TEXT`.
pub(crate) fn hint(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "keyagent: hint: {text}");
}

/// Warns: `keyagent: warning: TEXT`.
pub(crate) fn warning(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "keyagent: warning: {text}");
}

/// Prints the answer on stdout, once and whole.
pub(crate) fn answer(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = unbuffered_stdout()?;
    stdout
        .write_all(bytes)
        .map_err(|e| Failure::failed(format!("cannot write to stdout: {}", cause(&e))))
}

/// Whether stdout is a terminal.
pub(crate) fn stdout_is_tty() -> bool {
    io::stdout().is_terminal()
}

/// The buffer of `io::stdout` would keep a copy of a value: write past it.
fn unbuffered_stdout() -> Result<std::fs::File, Failure> {
    use std::os::fd::AsFd;
    let copy = io::stdout().as_fd().try_clone_to_owned();
    copy.map(Into::into)
        .map_err(|e| Failure::failed(format!("cannot write to stdout: {}", cause(&e))))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation stays as it is.
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keyagent: error: {}", self.text)?;
        if self.one_line {
            for hint in &self.hints {
                write!(f, " ({hint})")?;
            }
            return writeln!(f);
        }
        writeln!(f)?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "keyagent: hint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_its_hints_follow() {
        let failure = Failure::new(Kind::Locked, "the vault is locked").hint("`keyagent unlock`");
        assert_eq!(
            failure.to_string(),
            "keyagent: error: the vault is locked\nkeyagent: hint: `keyagent unlock`\n"
        );
        assert_eq!(
            failure.on_one_line().to_string(),
            "keyagent: error: the vault is locked (`keyagent unlock`)\n"
        );
    }

    #[test]
    fn causes_are_lower_case_and_have_no_number() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(cause(&error), "no such file or directory");
        assert_eq!(lower_first("RPC failed"), "RPC failed");
    }
}
