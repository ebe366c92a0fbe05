//! The process at the other end of a socket, as the kernel reports it.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use std::os::fd::AsFd;

/// A peer of our own uid. There is no other kind: [`Peer::of`] makes none.
///
/// The uid is the only identity that a Unix socket gives. The pid is what it was at
/// connect(2); it is for logs, and never decides.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pid: i32,
}

impl Peer {
    /// The peer of a connection, if it has our uid. Fails closed.
    pub fn of(socket: &impl AsFd, ours: Uid) -> Option<Self> {
        let found = getsockopt(socket, PeerCredentials).ok()?;
        (found.uid() == ours.as_raw()).then_some(Self { pid: found.pid() })
    }

    /// Uid and pid of a peer that is none of ours, for the log.
    pub fn stranger(socket: &impl AsFd) -> Option<(u32, i32)> {
        let found = getsockopt(socket, PeerCredentials).ok()?;
        Some((found.uid(), found.pid()))
    }

    /// The process that connected, unverified.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}
