//! One region of protected memory between two guard pages: out of reach of the kernel's own
//! map where it has `memfd_secret`, else locked, else ordinary. It is never given back.
//!
//! It knows nothing of what is kept in it. What cannot be had is reported, not insisted on.

use super::arena::Protection;
use nix::errno::Errno;
use nix::libc;
use std::ptr;

/// Readable and writable memory, and how well it is protected.
pub struct Region {
    pub bytes: &'static mut [u8],
    pub protection: Protection,
}

impl Region {
    /// Maps whole pages, of that many bytes at least. Before and behind them lies a page that
    /// nobody can read or write.
    pub fn map(bytes_min: usize) -> Result<Self, Errno> {
        let page = page_bytes();
        let len = bytes_min.next_multiple_of(page);
        // SAFETY: the kernel chooses where, so nothing of ours is mapped over.
        let whole = unsafe { map(ptr::null_mut(), len + 2 * page, libc::PROT_NONE, 0, -1)? };
        // SAFETY: one page into a mapping of `len` bytes and two pages.
        let inner = unsafe { whole.byte_add(page) };
        // SAFETY: `inner` begins `len` bytes that were reserved above, and that nobody has seen.
        let protection = match unsafe { map_secret(inner, len) } {
            true => Protection::Secret,
            // SAFETY: as above; what failed has left nothing there that is in use.
            false => unsafe { map_locked(inner, len)? },
        };
        // SAFETY: `inner` is `len` bytes, mapped readable and writable, all zero, never unmapped,
        // and this is the one reference to them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(inner.cast(), len) };
        Ok(Self { bytes, protection })
    }
}

/// The size of a page, in bytes.
pub fn page_bytes() -> usize {
    // SAFETY: sysconf takes an integer and touches no memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// # Safety
///
/// With `MAP_FIXED`, whatever is mapped in that range is gone: it must be the caller's.
unsafe fn map(
    at: *mut libc::c_void,
    len: usize,
    access: libc::c_int,
    flags: libc::c_int,
    fd: libc::c_int,
) -> Result<*mut libc::c_void, Errno> {
    let source = if fd < 0 { libc::MAP_PRIVATE | libc::MAP_ANON } else { libc::MAP_SHARED };
    // SAFETY: the caller owns the range, if it names one; without MAP_FIXED none is replaced.
    let found = unsafe { libc::mmap(at, len, access, source | flags, fd, 0) };
    if found == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(found) }
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Memory that the kernel itself has no map of (memfd_secret(2)): no other process, debugger
/// or core file reads it, and it is never swapped. False where there is none, or no more.
///
/// # Safety
///
/// As for [`map`] with `MAP_FIXED`.
#[cfg(target_os = "linux")]
unsafe fn map_secret(at: *mut libc::c_void, len: usize) -> bool {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: memfd_secret takes flags and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let Ok(fd) = Errno::result(fd) else { return false };
    // SAFETY: the kernel has just opened it for us, and nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
    if nix::unistd::ftruncate(&fd, len as libc::off_t).is_err() {
        return false;
    }
    // SAFETY: the caller owns the range.
    let mapped = unsafe { map(at, len, READ_WRITE, libc::MAP_FIXED, fd.as_raw_fd()) };
    // SAFETY: the range was mapped a line above. A child that shared it could read it.
    mapped.is_ok() && unsafe { libc::madvise(at, len, libc::MADV_DONTFORK) } == 0
}

/// # Safety
///
/// None is needed: it maps nothing.
#[cfg(not(target_os = "linux"))]
unsafe fn map_secret(_: *mut libc::c_void, _: usize) -> bool {
    false
}

/// Memory that is not swapped, dumped or inherited, as far as the system grants it.
///
/// # Safety
///
/// As for [`map`] with `MAP_FIXED`.
unsafe fn map_locked(at: *mut libc::c_void, len: usize) -> Result<Protection, Errno> {
    #[cfg(target_os = "linux")]
    const ADVICE: [libc::c_int; 3] =
        [libc::MADV_DONTDUMP, libc::MADV_DONTFORK, libc::MADV_WIPEONFORK];
    #[cfg(not(target_os = "linux"))]
    const ADVICE: [libc::c_int; 0] = [];
    // SAFETY: the caller owns the range.
    let at = unsafe { map(at, len, READ_WRITE, libc::MAP_FIXED, -1)? };
    for advice in ADVICE {
        // SAFETY: the range was mapped above; none of these changes what is in it here.
        unsafe { libc::madvise(at, len, advice) };
    }
    // SAFETY: as above.
    let locked = unsafe { libc::mlock(at, len) } == 0;
    Ok(if locked { Protection::Locked } else { Protection::Ordinary })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    /// What becomes of a child that does this, and then exits with 0.
    fn child(act: impl FnOnce()) -> WaitStatus {
        // SAFETY: the child maps memory, writes to it and exits: it takes no lock that another
        // thread of this test may have held.
        match unsafe { fork() }.expect("there is room for a child") {
            ForkResult::Parent { child } => waitpid(child, None).expect("it is ours"),
            ForkResult::Child => {
                act();
                // SAFETY: _exit runs nothing of ours.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Maps a region, and writes one byte at that distance from its beginning, or its end.
    fn poke(from_end: bool, distance: isize) -> WaitStatus {
        child(|| {
            let region = Region::map(1).unwrap_or_else(|_| std::process::abort());
            let from = if from_end { region.bytes.len() } else { 0 };
            let at = region.bytes.as_mut_ptr().wrapping_add(from).wrapping_offset(distance);
            // SAFETY: inside, or one beyond, where it must fault: that is what is tested.
            unsafe { at.write_volatile(1) };
        })
    }

    #[test]
    fn t33_one_byte_beyond_either_edge_is_a_fault() {
        let is_fault = |status| matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _));
        for (from_end, inside, beyond) in [(false, 0, -1), (true, -1, 0)] {
            let status = poke(from_end, inside);
            assert!(matches!(status, WaitStatus::Exited(_, 0)), "inside: {status:?}");
            let status = poke(from_end, beyond);
            assert!(is_fault(status), "beyond: {status:?}");
        }
    }

    #[test]
    fn t32_a_child_has_no_region() {
        let region = Region::map(1).expect("there is memory");
        region.bytes[0] = 1;
        let status = child(|| {
            // SAFETY: mapped in the parent; here it must fault, or be without its content.
            let seen = unsafe { region.bytes.as_ptr().read_volatile() };
            // SAFETY: _exit runs nothing of ours.
            unsafe { libc::_exit(i32::from(seen)) }
        });
        let faults = matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _));
        assert!(faults, "a child sees the region: {status:?}");
        assert_eq!(region.bytes[0], 1);
    }

    #[test]
    fn what_cannot_be_secret_is_locked_or_ordinary() {
        let page = page_bytes();
        // SAFETY: the kernel chooses where.
        let at = unsafe { map(ptr::null_mut(), page, libc::PROT_NONE, 0, -1) };
        let at = at.expect("there is memory");
        // SAFETY: mapped above, for this.
        let protection = unsafe { map_locked(at, page) }.expect("it is mapped again");
        assert_ne!(protection, Protection::Secret);
        // SAFETY: one byte of a page that is readable and writable.
        unsafe { at.cast::<u8>().write_volatile(1) };
    }
}
