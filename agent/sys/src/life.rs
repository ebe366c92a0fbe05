//! Whether the process that connected is still there (`SO_PEERPIDFD`, Linux 6.5).
//!
//! Its pid may have gone to another process since; its pidfd never does.

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `SO_PEERPIDFD` of asm-generic/socket.h: not in libc for every target.
const SO_PEERPIDFD: libc::c_int = 77;

/// What the kernel says of the process at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It lives, so its pid is its own.
    Alive,
    /// It has ended.
    Gone,
    /// This kernel does not tell.
    Unknown,
}

/// Looks at the process that connected this socket.
pub fn of_peer(socket: BorrowedFd<'_>) -> Life {
    match pidfd(socket) {
        Ok(pidfd) if has_ended(&pidfd) == Ok(false) => Life::Alive,
        Ok(_) => Life::Gone,
        Err(Errno::ENOPROTOOPT) => Life::Unknown,
        Err(_) => Life::Gone,
    }
}

/// A pidfd can be read once its process has ended. By epoll, which the agent's sandbox lets be
/// called for the loop anyway.
fn has_ended(pidfd: &OwnedFd) -> nix::Result<bool> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(pidfd, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    Ok(epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO)? > 0)
}

fn pidfd(socket: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let mut found: libc::c_int = -1;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let into = (&raw mut found).cast();
    // SAFETY: the kernel writes at most `size` bytes, which is what `found` has.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PEERPIDFD, into, &raw mut size)
    };
    Errno::result(result)?;
    // SAFETY: the kernel has made this descriptor for us, close-on-exec, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn we_are_alive() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_ne!(of_peer(one.as_fd()), Life::Gone);
    }
}
