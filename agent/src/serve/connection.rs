//! One connection: frames in, frames out, one at a time and in order.
//!
//! One frame is answered before the next is looked at, so there is no queue to bound.

use super::answer::{self, Session};
use super::inbox::{End, Inbox};
use super::keeper::Keeper;
use super::roster::{Place, Socket};
use crate::peer::Peer;
use keyagent_wire::frame::{HEADER_MILLIS_MAX, IDLE_MILLIS_MAX, REPLY_MILLIS_MAX};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use tokio::io::Interest;

/// Serves a connection until it ends.
pub async fn serve(socket: Socket, place: Place, peer: Peer, keeper: Rc<Keeper>) {
    let mut session = Session::default();
    let mut inbox = Inbox::new(socket.clone(), keeper.mounts);
    let mut patience = HEADER_MILLIS_MAX;
    loop {
        place.wait(patience);
        patience = IDLE_MILLIS_MAX;
        let frame = match inbox.next(&place).await {
            Ok(frame) => frame,
            Err(End::Closed) => return,
            Err(End::Refuse(refusal)) => {
                let _ = write(&socket, &place, &answer::refuse(refusal)).await;
                return;
            }
        };
        place.work();
        let reply = answer::answer(&keeper, &mut session, &peer, frame).await;
        if write(&socket, &place, &reply).await.is_err() {
            // A prompt does not wait for ever. The next one is to ask again.
            if let Some(project) = session.loading() {
                keeper.bump(project.clone()).await;
            }
            return;
        }
        if session.is_over() {
            // The end of this connection is the end of the agent, and says so.
            std::future::pending::<()>().await;
        }
    }
}

/// Sends before it waits: most replies fit the socket's buffer.
async fn write(socket: &Socket, place: &Place, frame: &[u8]) -> io::Result<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        match send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if !place.drain(REPLY_MILLIS_MAX, rest.len()) {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                rest = &rest[send_some(socket, rest).await?..];
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

async fn send_some(socket: &Socket, rest: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        socket.writable().await?;
        match socket.try_io(Interest::WRITABLE, || Ok(send(socket.as_raw_fd(), rest, flags)?)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}
