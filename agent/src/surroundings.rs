//! What the agent takes over from whoever started it: its rights, and a few variables.
//!
//! It runs with nobody's borrowed rights, and no library that a variable would load.

use keyagent_sys::harden;
use std::env::{args_os, vars_os};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// All variables that an agent has any use for.
const KEPT: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "KEYAGENT_SOCK",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LOGNAME",
    "PATH",
    "USER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_ID",
    "XDG_STATE_HOME",
];

/// Begins anew if there is a variable that is not kept. To take it out of the environment
/// would be too late: the loader has read `LD_PRELOAD` already, and the C library its own.
///
/// Must be called first in main: what was open stays open, and nothing else is kept.
pub fn begin_anew() -> io::Result<()> {
    harden::refuse_borrowed_rights()?;
    let is_kept = |name: &std::ffi::OsStr| KEPT.iter().any(|kept| *kept == name);
    if vars_os().all(|(name, _)| is_kept(&name)) {
        return Ok(());
    }
    let mut anew = Command::new("/proc/self/exe");
    let mut arguments = args_os();
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    let kept = vars_os().filter(|(name, _)| is_kept(name));
    Err(anew.args(arguments).env_clear().envs(kept).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_sorted_and_loads_nothing() {
        assert!(KEPT.windows(2).all(|pair| pair[0] < pair[1]));
        for bad in ["LD_", "MALLOC_", "GLIBC_", "RUST_", "TMPDIR", "GCONV_PATH", "LOCPATH"] {
            assert!(!KEPT.iter().any(|kept| kept.starts_with(bad)), "{bad}");
        }
    }
}
