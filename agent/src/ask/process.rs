//! The process that asks, as `/proc` shows it: its terminal session, and what started it.
//!
//! None of it is proof of anything: the uid alone decides. A terminal session keeps an answer
//! from serving other terminals; against a process that means harm it is a guard-rail.

use keyagent_sys::life::{self, Life};
use keyagent_wire::{escape, terminal};
use std::os::fd::BorrowedFd;

/// How many programs of an ancestry are named.
const ANCESTORS_MAX: usize = 4;

/// A terminal session: numbers are used again, so when its leader started is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSession {
    sid: i32,
    leader_started: u64,
    tty_nr: i32,
}

/// What `/proc/PID/stat` says that is used here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    program: Vec<u8>,
    parent: i32,
    sid: i32,
    tty_nr: i32,
    started: u64,
}

/// The process that connected.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Its pid, at connect(2).
    pub pid: i32,
    /// Its socket.
    pub socket: BorrowedFd<'a>,
}

impl Asker<'_> {
    /// Its terminal session; none if it has ended, or if its session has no leader any more.
    pub fn session(&self) -> Option<TerminalSession> {
        let stat = Stat::of(self.pid)?;
        let leader = Stat::of(stat.sid)?;
        // What was read is its own only if it lives now.
        let session =
            TerminalSession { sid: stat.sid, leader_started: leader.started, tty_nr: stat.tty_nr };
        self.lives().then_some(session)
    }

    /// Whether it lives, as far as the kernel tells.
    pub fn lives(&self) -> bool {
        life::of_peer(self.socket) != Life::Gone
    }

    /// Its terminal.
    pub fn tty(&self) -> Option<String> {
        terminal::device(Stat::of(self.pid)?.tty_nr)
    }

    /// It and what started it, nearest first, as text.
    pub fn ancestry(&self) -> String {
        let mut names = Vec::new();
        let mut next = self.pid;
        while names.len() < ANCESTORS_MAX
            && next > 1
            && let Some(stat) = Stat::of(next)
        {
            names.push(escape(&stat.program));
            next = stat.parent;
        }
        names.join(", by ")
    }
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The program's name is in brackets and may have any byte, brackets, too.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        // Fields from the third on (proc_pid_stat(5)).
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            program: bytes.get(open + 1..close)?.to_vec(),
            parent: fields.get(1)?.parse().ok()?,
            sid: fields.get(3)?.parse().ok()?,
            tty_nr: fields.get(4)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
impl TerminalSession {
    /// One for tests.
    pub(crate) fn new(sid: i32, leader_started: u64, tty_nr: i32) -> Self {
        Self { sid, leader_started, tty_nr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let line = b"7 (a) 9 (b) S 2 3 4 34817 5 0 1 2 3 4 5 6 7 8 9 10 11 12 4242 13 14\n";
        let stat = Stat::parse(line).expect("it is a line");
        let program = b"a) 9 (b".to_vec();
        assert_eq!(stat, Stat { program, parent: 2, sid: 4, tty_nr: 34817, started: 4242 });
        assert_eq!(Stat::parse(b"7 (a) S 2"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    /// In a session of its own, because that of whoever runs the tests may have no leader here.
    #[test]
    fn a_process_has_a_session_and_an_ancestry() {
        use std::io::Read;
        use std::os::fd::AsFd;
        use std::process::{Command, Stdio};
        let mut child = Command::new("setsid")
            .args(["sh", "-c", "echo; read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setsid(1) is there");
        child.stdout.take().expect("a pipe").read_exact(&mut [0]).expect("it runs");
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let asker = Asker { pid: child.id() as i32, socket: one.as_fd() };
        assert_eq!(asker.session().map(|session| session.sid), Some(asker.pid));
        assert!(asker.ancestry().starts_with("sh, by "), "{}", asker.ancestry());
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!(asker.session(), None, "a session without a leader is none");
        assert_eq!(asker.ancestry(), "");
    }
}
