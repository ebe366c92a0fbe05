//! What the agent gives up before it parses its first argument.

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getegid, geteuid, getgid, getuid};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The first descriptor that is not standard input, output or error, and the one that a
/// service manager hands in (sd_listen_fds(3)).
const FIRST_INHERITED: libc::c_int = 3;

/// The layout of [`CapabilityHeader`] and of what follows it (capget(2)).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Refuses to run with rights that whoever started us has not: a set-id file, or one with
/// capabilities. Then their environment would be a stranger's.
pub fn refuse_borrowed_rights() -> io::Result<()> {
    // SAFETY: getauxval takes an integer and reads what the kernel gave this process.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    if is_secure || getuid() != geteuid() || getgid() != getegid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

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

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// Gives up every capability, which root has by default, and every way to new rights: from
/// here on, to run a set-id file gives nothing.
pub fn give_up_privileges() -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let none = [0u32; 6];
    // SAFETY: the kernel reads one header, and two sets of three words behind it, which is
    // what this version of the layout has; both outlive the call.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(prctl::set_no_new_privs()?)
}

/// Lowers what this process may have open, and how large a file it may write, in bytes.
pub fn bound(descriptors_max: u64, file_bytes_max: u64) -> io::Result<()> {
    for (what, max) in
        [(Resource::RLIMIT_NOFILE, descriptors_max), (Resource::RLIMIT_FSIZE, file_bytes_max)]
    {
        let (soft, hard) = getrlimit(what)?;
        setrlimit(what, soft.min(max), hard.min(max))?;
    }
    Ok(())
}

/// Refuses memory that is first written and then run, for good.
pub fn refuse_new_code() -> io::Result<()> {
    const PR_SET_MDWE: libc::c_int = 65;
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    let unused: libc::c_ulong = 0;
    // SAFETY: this option takes integers and touches no memory of ours.
    let set = unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, unused, unused, unused) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether what [`refuse_inspection`] has set is so.
pub fn is_closed_to_inspection() -> bool {
    prctl::get_dumpable() == Ok(false) && getrlimit(Resource::RLIMIT_CORE) == Ok((0, 0))
}

/// Asks for memory that can be run. For the self-test alone: it must be refused.
pub fn map_code() -> io::Result<()> {
    let (access, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: the kernel chooses where, so nothing of ours is mapped over; nobody uses it.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}
