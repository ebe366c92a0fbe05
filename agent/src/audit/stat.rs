//! What /proc/PID/stat says of a process, read and parsed. It keeps nothing of it.

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

/// How much of it is read: what is needed comes long before.
const STAT_BYTES_MAX: usize = 1024;

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

/// What there is to say of that process; none if it is gone. To go from a directory held open
/// was measured, and saves nothing: the kernel's own work is all of it.
pub fn of(pid: i32) -> Option<Stat> {
    read(File::open(format!("/proc/{pid}/stat")).ok()?)
}

/// The same of a process whose directory is open: no other comes into its place.
pub fn of_open(directory: impl AsFd) -> Option<Stat> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    read(openat(directory, "stat", flags, Mode::empty()).ok()?.into())
}

fn read(mut file: File) -> Option<Stat> {
    let mut text = [0; STAT_BYTES_MAX];
    let count = file.read(&mut text).ok()?;
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
        let own = of(std::process::id() as i32).expect("this one lives");
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        let open = File::open("/proc/self").expect("there is a /proc");
        assert_eq!(of_open(open), Some(own));
        for gone in [i32::MAX, i32::MIN] {
            assert_eq!(of(gone), None);
        }
    }
}
