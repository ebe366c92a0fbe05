//! What /proc/PID/stat says of a process, read and parsed. It keeps nothing of it.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

/// How much of it is read: what is needed comes long before.
const STAT_BYTES_MAX: usize = 1024;
/// The longest path from /proc: a pid, `/stat` and NUL.
const PATH_BYTES_MAX: usize = 20;

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// How it calls itself: at most 15 bytes, any but NUL.
    pub comm: String,
    /// Who started it, or took it over.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// The number of its terminal's device, or 0.
    pub tty: u32,
    /// When it was started, in ticks since boot: with the pid, it is one process.
    pub start: u64,
}

/// The directory of all processes, held open: from there the way to one is short.
pub struct Processes(OwnedFd);

impl Processes {
    /// Opens it.
    pub fn open() -> Result<Self, Errno> {
        directory("/proc").map(Self)
    }

    /// What there is to say of that one; none if it is gone.
    pub fn stat(&self, pid: i32) -> Option<Stat> {
        let mut path = [0; PATH_BYTES_MAX];
        write!(&mut path[..], "{pid}/stat\0").ok()?;
        stat_at(&self.0, std::ffi::CStr::from_bytes_until_nul(&path).ok()?)
    }
}

/// Opens a directory to go on from, and for nothing else.
pub fn directory(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Reads the one at that place.
pub fn stat_at(directory: impl AsFd, path: &std::ffi::CStr) -> Option<Stat> {
    let file = openat(directory, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0; STAT_BYTES_MAX];
    let count = read(&file, &mut text).ok()?;
    parse(&text[..count])
}

/// Reads the text (proc_pid_stat(5)). The name may hold anything, spaces and parentheses
/// too, so it ends at the last one of the line: all after it are numbers.
pub fn parse(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let mut rest = std::str::from_utf8(&text[close + 1..]).ok()?.split_ascii_whitespace();
    // Fields are counted from 1 there, and the state, right behind the name, is the third:
    // each is so many behind the one before.
    let mut field = |skipped: usize| rest.nth(skipped);
    Some(Stat {
        comm,
        parent: field(1)?.parse().ok()?,
        session: field(1)?.parse().ok()?,
        tty: field(0)?.parse::<i32>().ok()?.cast_unsigned(),
        start: field(14)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(comm: &str, parent: i32) -> String {
        format!("42 ({comm}) S {parent} 42 41 34817 42 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n")
    }

    #[test]
    fn names_may_hold_anything() {
        for comm in ["bash", "a) S 1 2 (b", ") (", "", "tmux: server", "a\n\u{1b}[2J", "(sd-pam)"] {
            let stat = parse(text(comm, 7).as_bytes()).expect(comm);
            assert_eq!((stat.comm.as_str(), stat.parent, stat.session), (comm, 7, 41));
            assert_eq!((stat.start, stat.tty), (777, 34817));
        }
        let mut raw = text("XY", 7).into_bytes();
        raw[4..6].copy_from_slice(&[0xff, 0xfe]);
        assert_eq!(parse(&raw).map(|stat| stat.comm), Some("\u{fffd}\u{fffd}".to_owned()));
    }

    #[test]
    fn what_is_no_stat_is_none() {
        let whole = text("bash", 7);
        for bad in ["", "1", "1 (", "1 )a(", "1 (a)", "1 (a) S x", &whole[..30]] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn processes_are_found_by_their_numbers() {
        let processes = Processes::open().expect("there is a /proc");
        let own = processes.stat(std::process::id() as i32).expect("this one lives");
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        for gone in [i32::MAX, i32::MIN] {
            assert_eq!(processes.stat(gone), None);
        }
    }
}
