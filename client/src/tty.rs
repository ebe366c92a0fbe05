//! The terminal: hidden prompts, questions, and a line that says that work is going on.
//!
//! Echo is put back on every way out, a signal's too. Nothing that was typed leaves but in
//! a wiped buffer.

use crate::report::{Failure, Kind, cause};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use nix::sys::termios::{tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use zeroize::Zeroizing;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// The human's terminal, with us in its foreground.
pub(crate) struct Tty {
    file: File,
}

impl Tty {
    /// The terminal, if a human sits there and looks at us.
    pub(crate) fn open() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        (tcgetpgrp(&file).ok()? == getpgrp()).then_some(Self { file })
    }

    /// Asks for a line without showing it; at most `bytes_max` bytes.
    pub(crate) fn hidden(
        &mut self,
        prompt: &str,
        bytes_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut line = Zeroizing::new(Vec::with_capacity(bytes_max));
        let outcome = {
            let quiet = Quiet::new(&self.file).map_err(|e| cannot_ask(&e.into()))?;
            let outcome = write!(&self.file, "{prompt}")
                .and_then(|()| quiet.read_line(&self.file, &mut line, bytes_max));
            // The human's Enter was not shown either.
            let _ = writeln!(&self.file);
            outcome
        };
        match outcome.map_err(|e| cannot_ask(&e))? {
            End::Line => Ok(line),
            End::Cancelled => Err(Failure::new(Kind::Cancelled, "cancelled")),
            End::TooLong => {
                Err(Failure::failed(format!("what was typed is longer than {bytes_max} bytes")))
            }
            End::MoreLines => Err(Failure::failed("more than one line was pasted")
                .hint("a value of several lines comes from stdin: `keyagent set NAME <FILE`")),
        }
    }

    /// Asks a question that only `y` or `yes` answers with yes.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        write!(self.file, "{question} [y/N] ").map_err(|e| cannot_ask(&e))?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while self.file.read(&mut byte).map_err(|e| cannot_ask(&e))? == 1 && byte != *b"\n" {
            answer.extend_from_slice(&byte);
        }
        Ok(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes" | b"Yes" | b"YES"))
    }
}

/// A line on the terminal that is there while something takes long.
pub(crate) struct Progress {
    doing: &'static str,
    tty: Option<Tty>,
    shown: bool,
}

impl Progress {
    /// Shows nothing yet, and nothing ever if nothing is being done.
    pub(crate) fn new(doing: &'static str) -> Self {
        Self { doing, tty: None, shown: false }
    }

    /// Shows the line, if it is not there and there is a terminal for it.
    pub(crate) fn tick(&mut self) {
        if self.shown || self.doing.is_empty() {
            return;
        }
        self.shown = true;
        self.tty = Tty::open();
        if let Some(tty) = &mut self.tty {
            let _ = write!(tty.file, "keyagent: {}", self.doing);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(tty) = &mut self.tty {
            // Back to the first column, and erase to the end of the line.
            let _ = write!(tty.file, "\r\x1b[K");
        }
    }
}

/// How a line ended.
enum End {
    Line,
    Cancelled,
    TooLong,
    MoreLines,
}

/// A terminal without echo, line editing and signals, for as long as this lives.
struct Quiet<'a> {
    file: &'a File,
    before: Termios,
    mask: SigSet,
    signals: SignalFd,
}

impl<'a> Quiet<'a> {
    fn new(file: &'a File) -> nix::Result<Self> {
        let ending: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
            .into_iter()
            .collect();
        let signals = SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC)?;
        let before = tcgetattr(file)?;
        let mask = SigSet::thread_get_mask()?;
        ending.thread_block()?;
        let quiet = Self { file, before, mask, signals };
        let mut now = quiet.before.clone();
        // Without ICANON the kernel's limit of 4 KiB a line does not hold for keys.
        now.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        now.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        now.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(file, SetArg::TCSAFLUSH, &now)?;
        Ok(quiet)
    }

    fn read_line(&self, from: &File, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<End> {
        let mut byte = Zeroizing::new([0]);
        loop {
            if self.signalled()? || (&*from).read(byte.as_mut_slice())? == 0 {
                return Ok(End::Cancelled);
            }
            match byte[0] {
                // A key of several lines must not be cut at its first one.
                b'\n' | b'\r' if self.more()? => return Ok(End::MoreLines),
                b'\n' | b'\r' => return Ok(End::Line),
                CTRL_D if !line.is_empty() => return Ok(End::Line),
                CTRL_C | CTRL_D => return Ok(End::Cancelled),
                BACKSPACE | DELETE => erase_character(line),
                CTRL_U => line.clear(),
                _ if line.len() == bytes_max => return Ok(End::TooLong),
                other => line.push(other),
            }
        }
    }

    /// Whether there is more to read already.
    fn more(&self) -> io::Result<bool> {
        let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut ready, PollTimeout::ZERO)? > 0)
    }

    /// Waits for a byte; true if a signal came first, which ends us once it is let through.
    fn signalled(&self) -> io::Result<bool> {
        let mut ready = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.file.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => return Ok(ready[0].any().unwrap_or(false)),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // What is left of a line that was too long is thrown away, not given to the shell.
        let _ = tcsetattr(self.file, SetArg::TCSAFLUSH, &self.before);
        let _ = self.mask.thread_set_mask();
    }
}

/// Takes back the last character: its last byte, and what UTF-8 put before it.
fn erase_character(line: &mut Vec<u8>) {
    while let Some(byte) = line.pop() {
        if byte & 0b1100_0000 != 0b1000_0000 {
            return;
        }
    }
}

fn cannot_ask(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot ask on the terminal: {}", cause(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_erased_whole() {
        let mut line = "aé".as_bytes().to_vec();
        erase_character(&mut line);
        assert_eq!(line, b"a");
        erase_character(&mut line);
        erase_character(&mut line);
        assert!(line.is_empty());
    }
}
