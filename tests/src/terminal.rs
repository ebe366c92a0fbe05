//! A program at a terminal of its own, and a human who reads and types there.
//!
//! setsid(1) gives the program its terminal, so that no unsafe code has to.

use crate::home::Home;
use crate::invocation::Output;
use crate::{PATIENCE, eventually};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};

/// What no program prints: it stands behind all that one has printed.
const END: &[u8] = b"\x1d the end of the screen \x1d";
/// The question where the cursor is.
const CURSOR: &[u8] = b"\x1b[6n";

/// A program that runs at a terminal.
pub struct Terminal<'a> {
    home: &'a Home,
    human: PtyMaster,
    program: File,
    child: Child,
    screen: Vec<u8>,
    seen: usize,
    asked: usize,
    shown: String,
}

impl<'a> Terminal<'a> {
    /// Runs the client at a terminal.
    pub fn keyagent(home: &'a Home, args: &[&str]) -> Self {
        Self::run(home, home.program("keyagent"), args, &[])
    }

    /// Runs any program at a terminal, with these variables, our own programs on its `PATH`.
    pub fn run(
        home: &'a Home,
        program: impl AsRef<OsStr>,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let human = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC);
        let human = human.expect("a terminal can be had");
        grantpt(&human).and_then(|()| unlockpt(&human)).expect("it is ours");
        let path = ptsname_r(&human).expect("it has a name");
        let no_tty = OFlag::O_NOCTTY.bits();
        let ours = OpenOptions::new().read(true).write(true).custom_flags(no_tty).open(path);
        let ours = ours.expect("the other end can be opened");
        let end = || ours.try_clone().expect("a descriptor can be shared");
        let shown = format!("{} {}", program.as_ref().display(), args.join(" "));
        let mut command = Command::new("setsid");
        home.surround(&mut command);
        let child = command
            .env("PATH", home.path_with_programs())
            .arg("--ctty")
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid can be run");
        Self { home, human, program: ours, child, screen: Vec::new(), seen: 0, asked: 0, shown }
    }

    /// Waits until that is shown, after all that was waited for before.
    pub fn expect(&mut self, text: &str) {
        loop {
            let new = &self.screen[self.seen..];
            let at = new.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = at {
                self.seen += at + text.len();
                return;
            }
            assert!(self.read(), "`{}` never showed `{text}`:\n{}", self.shown, self.text());
        }
    }

    /// Types a line, and Enter.
    pub fn line(&mut self, text: &str) {
        self.keys(&format!("{text}\r"));
    }

    /// Types just that.
    pub fn keys(&mut self, text: &str) {
        self.human.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is there");
    }

    /// Whether the terminal shows what is typed, and edits lines, and knows ^C.
    pub fn is_as_usual(&self) -> bool {
        let usual = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG;
        tcgetattr(&self.program).expect("it is a terminal").local_flags.contains(usual)
    }

    /// Waits for its end. Its screen is stdout, and is searched for values.
    pub fn end(mut self) -> Output {
        let output = self.finish();
        self.home.keep_stderr(&output.shown, &output.stdout);
        output
    }

    /// The same, with a look at the terminal that it left.
    pub fn end_and_look(mut self, look: impl FnOnce(&Self)) -> Output {
        let output = self.finish();
        look(&self);
        self.home.keep_stderr(&output.shown, &output.stdout);
        output
    }

    /// The same, where a value may be shown.
    pub fn end_with_value(mut self) -> Output {
        self.finish()
    }

    fn finish(&mut self) -> Output {
        let child = &mut self.child;
        let status = eventually("the program at the terminal ends", || {
            child.try_wait().expect("it is our child")
        });
        self.program.write_all(END).expect("the terminal takes it");
        while !self.screen.ends_with(END) {
            assert!(self.read(), "the screen of `{}` has no end", self.shown);
        }
        let end = self.screen.len() - END.len();
        Output {
            shown: self.shown.clone(),
            code: status.code(),
            stdout: self.screen[..end].to_vec(),
            stderr: Vec::new(),
        }
    }

    /// Reads what there is; false when nothing comes any more.
    fn read(&mut self) -> bool {
        let patience = PollTimeout::try_from(PATIENCE).expect("patience is short");
        let mut ready = [PollFd::new(self.human.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, patience).expect("a terminal can be waited for") == 0 {
            return false;
        }
        let mut piece = [0; 4096];
        let count = self.human.read(&mut piece).expect("we hold the other end, too");
        self.screen.extend_from_slice(&piece[..count]);
        self.tell_cursor();
        count > 0
    }

    /// Answers those who ask where the cursor is: they wait long for a terminal that does not.
    fn tell_cursor(&mut self) {
        let new = &self.screen[self.asked..];
        let Some(at) = new.windows(CURSOR.len()).position(|window| window == CURSOR) else {
            return;
        };
        self.asked += at + CURSOR.len();
        self.keys("\x1b[1;1R");
        self.tell_cursor();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
