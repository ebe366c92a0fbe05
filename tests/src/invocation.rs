//! One run of a program in a home: what it is given, and what came of it.
//!
//! Its stderr is kept, so that the leak check can search it.

use crate::PATIENCE;
use crate::home::Home;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, spawn};

/// A program about to run, in the environment of a home.
pub struct Invocation<'a> {
    home: &'a Home,
    command: Command,
    stdin: Vec<u8>,
    shown: String,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// What was run, for messages.
    pub shown: String,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
}

impl<'a> Invocation<'a> {
    pub(crate) fn new(home: &'a Home, program: &Path) -> Self {
        let mut command = Command::new(program);
        home.surround(&mut command);
        let shown = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { home, command, stdin: Vec::new(), shown }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let _ = write!(self.shown, " {}", arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, |invocation, arg| invocation.arg(arg))
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in that directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Gives it these bytes on stdin; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs as another user (and no group but theirs), which only root can.
    pub fn uid(mut self, uid: u32) -> Self {
        use std::os::unix::process::CommandExt;
        self.command.uid(uid).gid(uid);
        self
    }

    /// Runs it to its end, which must come.
    pub fn run(mut self) -> Output {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run `{}`: {error}", self.shown));
        let mut to = child.stdin.take().expect("stdin is piped");
        let given = std::mem::take(&mut self.stdin);
        // A program that ends without reading has a closed pipe, which is no error here.
        let writer = spawn(move || drop(to.write_all(&given)));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        let code = wait(&mut child, &self.shown);
        drop(writer.join());
        let output = Output {
            shown: self.shown,
            code,
            stdout: stdout.join().expect("the reader does not panic"),
            stderr: stderr.join().expect("the reader does not panic"),
        };
        self.home.keep_stderr(&output.shown, &output.stderr);
        output
    }
}

impl Output {
    /// Fails unless it ended with that code; shows both streams if not.
    pub fn code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}, got {}", self.report());
        self
    }

    /// Fails unless it ended well and said nothing on stderr.
    pub fn quietly(self) -> Self {
        let output = self.code(0);
        assert!(output.stderr.is_empty(), "expected no stderr, got {}", output.report());
        output
    }

    /// Fails unless it ended with that code, printed nothing, and said why as all of ours
    /// do: one error, the hints for it, and whatever was said before.
    pub fn fails(self, code: i32) -> Self {
        let output = self.code(code);
        let text = output.stderr_text();
        assert!(output.stdout.is_empty(), "a failure prints nothing: {}", output.report());
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{}", output.report());
        let errors = text.lines().filter(|line| line.starts_with("keyagent: error: "));
        assert_eq!(errors.count(), 1, "one error: {}", output.report());
        for line in text.lines() {
            assert!(line.starts_with("keyagent: "), "whose line is `{line}`?");
            assert!(!line.ends_with('.'), "no full stop: `{line}`");
        }
        output
    }

    /// Fails unless stdout is just that.
    pub fn prints(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = expected.as_ref();
        let shown = String::from_utf8_lossy(expected);
        assert!(self.stdout == expected, "expected stdout\n{shown}\ngot {}", self.report());
        self
    }

    /// Fails unless stderr has that in it.
    pub fn complains(self, of: &str) -> Self {
        assert!(self.stderr_text().contains(of), "expected `{of}` in {}", self.report());
        self
    }

    /// Stdout as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stderr as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// All of it, for a message.
    pub fn report(&self) -> String {
        let (stdout, stderr) = (self.stdout_text(), self.stderr_text());
        format!(
            "`{}`: code {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---",
            self.shown, self.code
        )
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

fn wait(child: &mut Child, shown: &str) -> Option<i32> {
    let ended = crate::within(PATIENCE, || child.try_wait().expect("it is our child"));
    let Some(status) = ended else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("`{shown}` did not end within {PATIENCE:?}");
    };
    status.code()
}
