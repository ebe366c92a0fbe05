//! Where the human sits, for a pinentry that the agent starts: our terminal, if we are in its
//! foreground, and the variables that say where a display is.

use crate::tty::Tty;
use keyagent_wire::request::{Screen, ScreenVar};
use keyagent_wire::terminal;
use std::env;
use std::os::unix::ffi::OsStringExt;

/// The longest variable that is told, in bytes.
const VARIABLE_BYTES_MAX: usize = 512;

/// The screen of this process.
pub(crate) fn ours() -> Screen {
    let stat = std::fs::read("/proc/self/stat").unwrap_or_default();
    let var = |var: ScreenVar| {
        let value = env::var_os(var.name())?.into_vec();
        (1..=VARIABLE_BYTES_MAX).contains(&value.len()).then_some((var, value))
    };
    Screen {
        tty: foreground_tty(&stat).map(String::into_bytes),
        env: ScreenVar::ALL.into_iter().filter_map(var).collect(),
    }
}

/// The screen for a pinentry, if one is to ask for a passphrase: because the line says so, or
/// because there is no terminal, but a display.
pub(crate) fn for_pinentry(wanted: bool) -> Option<Screen> {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"];
    let has_display =
        || display.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    (wanted || (Tty::open().is_none() && has_display())).then(ours)
}

/// From the background, a question would be drawn over what runs in front of it.
fn foreground_tty(stat: &[u8]) -> Option<String> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    // state ppid pgrp session tty_nr tpgid (proc_pid_stat(5)).
    let mut fields = rest.split_ascii_whitespace().skip(2);
    let group = fields.next()?;
    let tty_nr = fields.nth(1)?.parse().ok()?;
    let foreground = fields.next()?;
    if group == foreground { terminal::device(tty_nr) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_ours_in_its_foreground() {
        let tty = |line: &str| foreground_tty(line.as_bytes());
        assert_eq!(tty("9 (a) b) S 1 77 70 34817 77 0 0"), Some("/dev/pts/1".to_owned()));
        assert_eq!(tty("9 (a) S 1 77 70 34817 78 0 0"), None, "in the background");
        assert_eq!(tty("9 (a) S 1 77 70 0 -1 0 0"), None, "no terminal");
        assert_eq!(tty(""), None);
    }
}
