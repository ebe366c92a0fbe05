//! One connection: frames in, frames out, one at a time and in order.
//!
//! One frame is answered before the next is looked at, so there is no queue to bound.

use super::answer::{self, Session};
use super::frames::Answer;
use super::inbox::{End, Inbox};
use super::keeper::Keeper;
use super::roster::{Place, Socket};
use crate::peer::Peer;
use keyagent_wire::Refusal;
use keyagent_wire::frame::{HEADER_MILLIS_MAX, IDLE_MILLIS_MAX, REPLY_MILLIS_MAX};
use nix::sys::socket::{MsgFlags, send};
use std::io::{
    self,
    ErrorKind::{Interrupted, WouldBlock},
};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::task::yield_now;

/// Serves a connection until it ends.
pub async fn serve(socket: Socket, place: Place, peer: Peer, keeper: Rc<Keeper>) {
    let mut session = Session::new(socket.clone());
    let mut inbox = Inbox::new(socket.clone(), keeper.mounts);
    let mut patience = HEADER_MILLIS_MAX;
    loop {
        place.wait(patience);
        patience = IDLE_MILLIS_MAX;
        let frame = match inbox.next(&place).await {
            Ok(frame) => frame,
            Err(End::Closed) => return,
            Err(End::Refuse(refusal)) => {
                let _ = write(&socket, &place, answer::refuse(refusal)).await;
                return;
            }
        };
        place.work();
        let reply = answer::answer(&keeper, &mut session, &peer, frame).await;
        if write(&socket, &place, reply).await.is_err() {
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
        place.answered(inbox.has_more());
        // Everybody else has a turn before its next frame: `lock` above all.
        yield_now().await;
    }
}

/// Sends before it waits: most replies fit the socket's buffer. What the client has not taken
/// stays sealed meanwhile, and after a lock it cannot be opened any more.
async fn write(socket: &Socket, place: &Place, mut answer: Answer) -> io::Result<()> {
    let mut sent = 0;
    while sent < answer.frame_bytes() {
        let mut now = send_some(socket, &answer, sent);
        if now.as_ref().is_err_and(|error| error.kind() == WouldBlock) {
            if !place.drain(REPLY_MILLIS_MAX, answer.frame_bytes() - sent) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            socket.writable().await?;
            now = socket.try_io(Interest::WRITABLE, || send_some(socket, &answer, sent));
        }
        match now {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {}
            Err(error) if error.kind() == LOCKED && sent == 0 => {
                answer = answer::refuse(Refusal::Locked);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a lock between two sends is here; send(2) has no such error.
const LOCKED: io::ErrorKind = io::ErrorKind::InvalidData;

fn send_some(socket: &Socket, answer: &Answer, sent: usize) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let count = answer.reveal(sent, |piece| send(socket.as_raw_fd(), piece, flags));
    Ok(count.map_err(|_| LOCKED)??)
}
