//! The timer of the deadlines: it wakes for the next one and for nothing else. Wakes the
//! loop only; whether a vault may be served is decided at each request.
//!
//! A release does not touch it: it wakes at the deadline as it was, sees that it has moved,
//! and sleeps on.

use super::keeper::Keeper;
use crate::deadline::{Deadline, Moment, now};
use crate::vault::store::{self, Found};
use keyagent_wire::Refusal;
use keyagent_wire::event::Why;
use keyagent_wire::health::Health;
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// The deadlines of a vault, if it is open and has any.
#[derive(Default)]
pub struct Timing {
    deadline: Cell<Option<Deadline>>,
    changed: Notify,
}

impl Timing {
    /// Takes these deadlines, or none.
    pub fn set(&self, deadline: Option<Deadline>) {
        self.deadline.set(deadline);
        self.changed.notify_one();
    }

    /// Something was handed out.
    pub fn slide(&self) {
        let slid = self.deadline.get().map(|mut deadline| {
            deadline.slide(now());
            deadline
        });
        self.deadline.set(slid);
    }

    /// Why the vault must be locked by now.
    pub fn over(&self) -> Option<Why> {
        self.deadline.get()?.over(now())
    }

    /// Ends sooner. A vault that had no deadline has one from now on; what would be later is
    /// refused.
    pub fn shorten(&self, most: Duration, seconds: u64) -> Result<(), Refusal> {
        let wanted = Duration::from_secs(seconds);
        let mut deadline = self.deadline.get().unwrap_or_else(|| Deadline::new(now(), most, most));
        deadline.shorten(now(), wanted).map_err(|left| Refusal::TooLong(left.as_secs()))?;
        self.set(Some(deadline));
        Ok(())
    }

    /// Tells a human what is left.
    pub fn tell(&self, health: &mut Health) {
        let left = self.deadline.get().map(|deadline| deadline.left(now()));
        health.idle_seconds = left.map(|(idle, _)| idle.as_secs());
        health.hard_seconds = left.map(|(_, hard)| hard.as_secs());
    }
}

impl Keeper {
    /// Forgets every value if the time of the vault is over, however late any timer is.
    pub fn lock_if_over(&self) {
        if let Some(why) = self.timing.over() {
            self.lock_at_once(why);
        }
    }

    /// Forgets every value before this returns. Shells are told when there is time for it.
    pub(super) fn lock_at_once(&self, why: Why) {
        if self.forget(why) {
            self.audit.locked(why, None);
            let stamps = self.stamps.clone();
            drop(spawn_blocking(move || stamps.bump_all()));
        }
    }

    /// From now on it is open, and for how long. An identity that is not sealed opens without
    /// a human: it would only be in the way to lock it for being idle.
    pub(super) fn begin_time(&self, seconds: Option<u64>) {
        let lock = &self.config.lock;
        let hard = seconds.map(Duration::from_secs);
        let limits = match store::look(&self.places) {
            Found::Plain => lock.unsealed().or(hard.map(|hard| (hard, hard))),
            _ => Some((lock.idle(), lock.hard())),
        };
        self.timing
            .set(limits.map(|(idle, most)| Deadline::new(now(), idle, hard.unwrap_or(most))));
    }

    /// When it locks by itself.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}

/// Locks the vault when its time is over.
pub async fn lock_in_time(keeper: Rc<Keeper>) {
    let timer = match Timer::new() {
        Ok(timer) => timer,
        // Each request still looks at the clock.
        Err(error) => return tracing::warn!(%error, "no timer: an idle agent locks late"),
    };
    loop {
        let timing = keeper.timing();
        let due = async {
            match timing.deadline.get() {
                Some(deadline) => timer.sleep_until(deadline.next()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            slept = due => if let Err(error) = slept {
                return tracing::warn!(%error, "the timer failed: an idle agent locks late");
            },
            () = timing.changed.notified() => {}
        }
        keeper.lock_if_over();
    }
}

/// A timer on CLOCK_BOOTTIME: those of the runtime stand still while the machine sleeps.
struct Timer(AsyncFd<Descriptor>);

struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Timer {
    #[expect(deprecated, reason = "its successor asks for a promise that only sys may give")]
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        Ok(Self(AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?))
    }

    async fn sleep_until(&self, moment: Moment) -> io::Result<()> {
        let nanoseconds = i64::try_from(moment.as_nanos()).unwrap_or(i64::MAX);
        let at = Expiration::OneShot(TimeSpec::nanoseconds(nanoseconds));
        self.0.get_ref().0.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        loop {
            let mut ready = self.0.readable().await?;
            let fired = ready.try_io(|timer| {
                let read = nix::unistd::read(timer.get_ref(), &mut [0; 8])?;
                if read == 8 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            });
            if let Ok(fired) = fired {
                return fired;
            }
        }
    }
}
