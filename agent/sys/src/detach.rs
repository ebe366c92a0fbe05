//! Processes: leaving the one that started us, and forking one that is not closed in.

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, chdir, fork as nix_fork, setsid};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Where a forked process keeps its one descriptor.
const ONLY: libc::c_int = 3;

/// Goes on in a child with a session of its own, at `/`; the process that called is gone.
///
/// Must be called while there is one thread, before the runtime and the vault exist.
pub fn detach() -> io::Result<()> {
    if fork()? == Side::Parent {
        std::process::exit(0);
    }
    setsid()?;
    chdir("/")?;
    Ok(())
}

/// Which process goes on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was there before.
    Parent,
    /// The new one.
    Child,
}

/// Forks. Must be called while there is one thread.
pub fn fork() -> io::Result<Side> {
    // SAFETY: callers have one thread, so no lock can be held in the child by a thread that
    // does not exist there.
    match unsafe { nix_fork() }? {
        ForkResult::Parent { .. } => Ok(Side::Parent),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// What a fresh child does first: standard input, output and error lead nowhere, and of the
/// other descriptors it keeps this one.
pub fn keep_only(kept: OwnedFd) -> io::Result<OwnedFd> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let moved = |from: libc::c_int, to: libc::c_int, flags| {
        // SAFETY: dup3 takes integers. What `to` named before belongs to the parent's values,
        // which this child never touches again.
        from == to || unsafe { libc::dup3(from, to, flags) } == to
    };
    let std = (0..ONLY).all(|number| moved(null.as_raw_fd(), number, 0));
    if !std || !moved(kept.as_raw_fd(), ONLY, libc::O_CLOEXEC) {
        return Err(io::Error::last_os_error());
    }
    // Both are closed, or are the one that is kept, in the next line.
    std::mem::forget((kept, null));
    // SAFETY: close_range takes integers; all that it closes here belongs to nobody.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, (ONLY + 1) as libc::c_uint, libc::c_uint::MAX, 0)
    };
    if closed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(ONLY) })
}

/// Children that end leave nothing to wait for.
pub fn forget_children() -> io::Result<()> {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    Ok(())
}

/// Ends this process when the one that forked it ends; its own children can be waited for.
pub fn depend_on_parent() -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // SAFETY: the default action is no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}
