//! What the agent gives up before it parses its first argument.

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The first descriptor that is not standard input, output or error, and the one that a
/// service manager hands in (sd_listen_fds(3)).
const FIRST_INHERITED: libc::c_int = 3;

/// Closes every descriptor but the first three, so that no pipe of a shell is held open
/// (direnv waits for ever on one), and makes those three close on exec. With `handed`, the
/// one that a service manager hands in is kept, and given back if it is open.
///
/// Must be called once, first in main.
pub fn close_inherited(handed: bool) -> io::Result<Option<OwnedFd>> {
    let first = FIRST_INHERITED + libc::c_int::from(handed);
    // SAFETY: close_range takes three integers and touches no memory. Nothing in this
    // process owns a descriptor yet: this runs first in main, before any thread.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0)
    };
    if closed != 0 {
        return Err(io::Error::last_os_error());
    }
    for number in 0..FIRST_INHERITED {
        close_on_exec(number)?;
    }
    if !handed || close_on_exec(FIRST_INHERITED).is_err() {
        return Ok(None);
    }
    // SAFETY: it is open, as fcntl has just shown, it was handed to this process, and
    // nobody else owns it: this function is called once.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(FIRST_INHERITED) }))
}

fn close_on_exec(number: libc::c_int) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer; on a number that is not open it fails with EBADF.
    let set = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Refuses core files and ptrace, and makes new files ours alone.
///
/// `PR_SET_DUMPABLE 0` also closes `/proc/self/{mem,environ,fd}` to other processes of this
/// user; core(5) names it as the one switch that a piped `core_pattern` obeys.
pub fn refuse_inspection() -> io::Result<()> {
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    umask(Mode::from_bits_truncate(0o077));
    Ok(())
}

/// Turns the signals of a full pipe and of a file-size limit into errors of the call.
pub fn ignore_write_signals() -> io::Result<()> {
    for name in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: ignoring a signal installs no handler, so nothing runs asynchronously.
        unsafe { signal(name, SigHandler::SigIgn) }?;
    }
    Ok(())
}
