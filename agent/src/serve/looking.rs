//! Has the processes behind a request looked at from outside the sandbox, where the log has
//! not met them before: by one helper, behind the answer, so many times in a second.
//!
//! No request waits for it. What it finds is a label for the log.

use super::keeper::Keeper;
use crate::audit::ancestry::{Detail, Key};
use crate::spawner::Spawner;
use crate::spawner::inspect::{self, ANSWER_BYTES_MAX, LOOK_SECONDS_MAX};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How many lines of processes are looked at in a second, each of them once.
const LOOKS_PER_SECOND_MAX: u32 = 32;
/// For how long a helper is kept that nobody asks: what comes in a burst needs one.
const KEPT: Duration = Duration::from_secs(1);
/// How long a helper is waited for. It ends itself before that.
const ANSWER: Duration = Duration::from_secs(LOOK_SECONDS_MAX as u64 + 1);
/// How long after one that failed the next is started.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks whenever there is something to look at.
pub async fn look_behind(keeper: Rc<Keeper>) {
    loop {
        keeper.dues.look.notified().await;
        while let Err(error) = look(&keeper).await {
            tracing::warn!(%error, "the helper that looks at processes failed");
            sleep(PAUSE).await;
        }
    }
}

/// Looks by one helper, until there has been nothing for a while. A line that a helper fails
/// over is not looked at again.
async fn look(keeper: &Keeper) -> io::Result<()> {
    let mut helper = None;
    let (mut begun, mut looks) = (Instant::now(), 0);
    loop {
        while let Some(who) = keeper.audit.next_unseen() {
            let helper = match &mut helper {
                Some(helper) => helper,
                none => none.insert(Helper::start(keeper.spawner())?),
            };
            let seen = timeout(ANSWER, helper.look(&who.lineage.unseen)).await??;
            keeper.audit.saw(who, seen);
            looks += 1;
            if looks == LOOKS_PER_SECOND_MAX {
                sleep_until(begun + Duration::from_secs(1)).await;
                (begun, looks) = (Instant::now(), 0);
            }
        }
        if timeout(KEPT, keeper.dues.look.notified()).await.is_err() {
            return Ok(());
        }
    }
}

struct Helper(UnixStream);

impl Helper {
    fn start(spawner: &Spawner) -> io::Result<Self> {
        let stream = inspect::start(spawner)?;
        // What std does for this is a call that is not let through.
        fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self(UnixStream::from_std(stream)?))
    }

    async fn look(&mut self, at: &[Key]) -> io::Result<Vec<(Key, Detail)>> {
        self.0.write_all(&inspect::question(at)).await?;
        let length = self.0.read_u32_le().await? as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await?;
        inspect::answer(&answer)
    }
}
