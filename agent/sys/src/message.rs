//! Messages with descriptors beside them (`SCM_RIGHTS`, unix(7)).

use nix::errno::Errno;
use nix::libc;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How many descriptors the kernel is given room for; it keeps what is beyond.
const DESCRIPTORS_MAX: usize = 4;
/// Room for one control message of that many descriptors, and its header.
const CONTROL_WORDS: usize = 8;

/// What one receive brought.
pub struct Received {
    /// How many bytes; 0 at the end of the stream.
    pub bytes: usize,
    /// The descriptors, which close when dropped.
    pub descriptors: Vec<OwnedFd>,
    /// Whether there were more descriptors than there was room for.
    pub cut: bool,
}

/// Receives without waiting: `EAGAIN` if there is nothing. Without `room`, descriptors stay
/// with the kernel, which lets go of them as no close(2) does: without asking their file
/// systems.
///
/// nix's `recvmsg` will not list the descriptors of a message that was cut, though the
/// kernel has opened some of them: they would stay open for ever. Hence libc.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8], room: bool) -> Result<Received, Errno> {
    receive_with(socket, into, room, libc::MSG_DONTWAIT)
}

/// Receives, and waits until there is something.
pub fn receive_blocking(socket: BorrowedFd<'_>, into: &mut [u8]) -> Result<Received, Errno> {
    loop {
        match receive_with(socket, into, true, 0) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn receive_with(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    room: bool,
    flags: libc::c_int,
) -> Result<Received, Errno> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut slice = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: msghdr is plain old data, for which all zeroes is a valid, empty header.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    if room {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc_len(DESCRIPTORS_MAX) as _;
    }
    let flags = libc::MSG_CMSG_CLOEXEC | flags;
    // SAFETY: the header points at `slice`, `into` and, if at all, `control`, which outlive
    // the call, with their true lengths.
    let bytes =
        Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    let descriptors = take_descriptors(&header);
    Ok(Received {
        bytes: bytes as usize,
        descriptors,
        cut: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

fn libc_len(descriptors: usize) -> usize {
    // SAFETY: CMSG_SPACE is arithmetic.
    let space = unsafe { libc::CMSG_SPACE((descriptors * size_of::<RawFd>()) as u32) } as usize;
    debug_assert!(space <= CONTROL_WORDS * size_of::<u64>());
    space
}

/// Owns every descriptor that the kernel has opened for this message.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    // SAFETY: recvmsg has filled the header; CMSG_FIRSTHDR and CMSG_NXTHDR stay inside the
    // control buffer that it points at, which the caller still holds.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: `at` is not null, so it is a whole header inside the control buffer.
        let (level, kind, len) = unsafe { ((*at).cmsg_level, (*at).cmsg_type, (*at).cmsg_len) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: CMSG_LEN is arithmetic.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = len.saturating_sub(empty) / size_of::<RawFd>();
            // SAFETY: the data of this header begins here and holds `count` descriptors.
            let data = unsafe { libc::CMSG_DATA(at) }.cast::<RawFd>();
            for i in 0..count {
                // SAFETY: `i` is below `count`; the kernel made this descriptor for us, so
                // it is open and nobody else owns it, and it is wrapped exactly once.
                taken.push(unsafe { OwnedFd::from_raw_fd(data.add(i).read_unaligned()) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn send(to: &UnixStream, count: usize) {
        let fds = vec![to.as_raw_fd(); count];
        let control = [ControlMessage::ScmRights(&fds)];
        sendmsg::<UnixAddr>(
            to.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &control,
            MsgFlags::empty(),
            None,
        )
        .expect("the pair is open");
    }

    #[test]
    fn descriptors_arrive_and_too_many_are_cut() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let mut buffer = [0; 8];
        assert_eq!(receive(far.as_fd(), &mut buffer, true).err(), Some(Errno::EAGAIN));
        for (sent, kept, cut) in [(1, 1, false), (4, 4, false), (9, 4, true)] {
            send(&near, sent);
            let received = receive(far.as_fd(), &mut buffer, true).expect("there is a message");
            assert_eq!((received.bytes, received.descriptors.len(), received.cut), (1, kept, cut));
        }
        let open = || std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count();
        let before = open();
        // Other tests of this process open and close what they need meanwhile.
        let is_back = || (0..10_000).any(|_| open() <= before);
        send(&near, 9);
        drop(receive(far.as_fd(), &mut buffer, true).expect("there is a message"));
        assert!(is_back(), "what came with a cut message is closed");
        send(&near, 1);
        let received = receive(far.as_fd(), &mut buffer, false).expect("there is a message");
        assert_eq!((received.bytes, received.descriptors.len(), received.cut), (1, 0, true));
        assert!(is_back(), "what there was no room for is closed");
        drop(near);
        assert_eq!(receive(far.as_fd(), &mut buffer, true).expect("the end").bytes, 0);
    }
}
