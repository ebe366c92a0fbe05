//! What the kernel has of an open file at hand: told at once, or not at all.
//!
//! Nothing here waits for a disk, a server or a daemon. Facts may be stale where a file
//! system has a server; the bytes never are older than what read(2) would give.

use nix::errno::Errno;
use nix::libc;
use std::os::fd::BorrowedFd;

/// As fstat(2), less the times, and without asking a server.
#[cfg(target_os = "linux")]
pub fn stat(fd: BorrowedFd<'_>) -> Result<libc::stat, Errno> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;
    const FLAGS: libc::c_int = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    const MASK: libc::c_uint = libc::STATX_TYPE
        | libc::STATX_MODE
        | libc::STATX_NLINK
        | libc::STATX_UID
        | libc::STATX_GID
        | libc::STATX_INO
        | libc::STATX_SIZE;
    // SAFETY: statx is plain old data, for which all zeroes is valid.
    let mut found: libc::statx = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the path is an empty string, the descriptor is open, and `found` outlives the
    // call, which writes one statx into it.
    let asked = unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), FLAGS, MASK, &raw mut found) };
    Errno::result(asked)?;
    if found.stx_mask & MASK != MASK {
        return Err(Errno::EOPNOTSUPP);
    }
    // SAFETY: as for statx.
    let mut facts: libc::stat = unsafe { MaybeUninit::zeroed().assume_init() };
    facts.st_dev = libc::makedev(found.stx_dev_major, found.stx_dev_minor);
    facts.st_ino = found.stx_ino;
    facts.st_mode = found.stx_mode.into();
    facts.st_nlink = found.stx_nlink.into();
    facts.st_uid = found.stx_uid;
    facts.st_gid = found.stx_gid;
    facts.st_size = found.stx_size.cast_signed();
    Ok(facts)
}

/// As pread(2), of what is in memory: `EAGAIN` where it would wait, `EOPNOTSUPP` where the
/// file system cannot promise that it does not. Short where only the first part is there.
#[cfg(target_os = "linux")]
pub fn pread(fd: BorrowedFd<'_>, into: &mut [u8], offset: i64) -> Result<usize, Errno> {
    use std::os::fd::AsRawFd;
    let slice = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: the one slice is `into`, with its true length, and both outlive the call.
    let read =
        unsafe { libc::preadv2(fd.as_raw_fd(), &raw const slice, 1, offset, libc::RWF_NOWAIT) };
    Errno::result(read).map(isize::cast_unsigned)
}

/// Where the kernel has no such question, it has no answer.
#[cfg(not(target_os = "linux"))]
pub fn stat(_: BorrowedFd<'_>) -> Result<libc::stat, Errno> {
    Err(Errno::EOPNOTSUPP)
}

/// Where the kernel has no such question, it has no answer.
#[cfg(not(target_os = "linux"))]
pub fn pread(_: BorrowedFd<'_>, _: &mut [u8], _: i64) -> Result<usize, Errno> {
    Err(Errno::EOPNOTSUPP)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use nix::sys::stat::fstat;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_facts_are_those_of_fstat() {
        let own = File::open("/proc/self/exe").expect("we run from a file");
        let (cached, sure) = (stat(own.as_fd()).expect("open"), fstat(&own).expect("open"));
        assert_eq!((cached.st_dev, cached.st_ino), (sure.st_dev, sure.st_ino));
        assert_eq!((cached.st_mode, cached.st_nlink), (sure.st_mode, sure.st_nlink));
        assert_eq!((cached.st_uid, cached.st_gid), (sure.st_uid, sure.st_gid));
        assert_eq!(cached.st_size, sure.st_size);
    }

    #[test]
    fn what_cannot_be_had_at_once_is_an_error() {
        let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(pread(near.as_fd(), &mut [0; 8], 0).is_err(), "a socket has no offset");
        let proc = File::open("/proc/self/stat").expect("proc is mounted");
        assert_eq!(pread(proc.as_fd(), &mut [0; 8], 0), Err(Errno::EOPNOTSUPP));
    }
}
