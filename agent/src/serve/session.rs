//! Locks when the machine sleeps, the screen is locked or the session ends, as a helper
//! hears it. Without a helper the deadlines still lock.

use super::keeper::Keeper;
use crate::spawner::session::{self, Heard, LOCKED, PAUSE, PAUSE_MAX};
use keyagent_wire::event::Why;
use keyagent_wire::health::{Check, Grade};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::rc::Rc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Follows one helper after the other, if there is anything that the user wants to hear of.
pub async fn lock_with_session(keeper: Rc<Keeper>) {
    let lock = &keeper.config().lock;
    if !(lock.on_sleep || lock.on_screen_lock || lock.on_logout) {
        return;
    }
    let mut pause = PAUSE;
    loop {
        keeper.note(Check::Session, Grade::Weak);
        let begun = Instant::now();
        if let Err(error) = follow(&keeper).await {
            tracing::warn!(%error, "the helper for the session failed");
        }
        if begun.elapsed() >= PAUSE_MAX {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn follow(keeper: &Keeper) -> io::Result<()> {
    let lock = &keeper.config().lock;
    let helper = session::watch(keeper.spawner(), lock.on_sleep)?;
    // What std does for this is a call that is not let through.
    fcntl(&helper, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut helper = UnixStream::from_std(helper)?;
    loop {
        match Heard::of(helper.read_u8().await?) {
            Some(Heard::Watching) => keeper.note(Check::Session, Grade::Good),
            Some(Heard::Deaf) => keeper.note(Check::Session, Grade::Weak),
            Some(Heard::Sleep) => {
                lock_if(keeper, lock.on_sleep, Why::Sleep);
                helper.write_all(&[LOCKED]).await?;
            }
            // Had the helper been too late, it would be now that the vault is locked.
            Some(Heard::Resumed) => lock_if(keeper, lock.on_sleep, Why::Sleep),
            Some(Heard::ScreenLocked) => lock_if(keeper, lock.on_screen_lock, Why::Screen),
            Some(Heard::LoggedOut) => lock_if(keeper, lock.on_logout, Why::Logout),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Keeper {
    /// Notes how a check is by now, whatever it was before.
    fn note(&self, check: Check, grade: Grade) {
        self.findings.borrow_mut().replace(check, grade, 0);
    }
}

fn lock_if(keeper: &Keeper, wanted: bool, why: Why) {
    if wanted {
        keeper.lock_at_once(why);
    }
}
