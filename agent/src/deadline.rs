//! When the vault locks by itself. Pure: whoever asks says what time it is.
//!
//! Time is CLOCK_BOOTTIME, which goes on while the machine sleeps and which nobody can set.
//! Nothing here can make a hard deadline later.

use keyagent_wire::event::Why;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// A moment: the time since boot, sleep included.
pub type Moment = Duration;

/// What time it is. Without a clock every deadline is over.
pub fn now() -> Moment {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Moment::MAX, Duration::from)
}

/// The deadlines of a vault that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    idle: Duration,
    idle_at: Moment,
    hard_at: Moment,
}

impl Deadline {
    /// From now on: so long without a release, so long come what may.
    pub fn new(now: Moment, idle: Duration, hard: Duration) -> Self {
        Self { idle, idle_at: now.saturating_add(idle), hard_at: now.saturating_add(hard) }
    }

    /// Something was handed out. What is over stays so.
    pub fn slide(&mut self, now: Moment) {
        if self.over(now).is_none() {
            self.idle_at = now.saturating_add(self.idle);
        }
    }

    /// Ends after so long at the latest, if that is sooner; otherwise the time that is left.
    pub fn shorten(&mut self, now: Moment, hard: Duration) -> Result<(), Duration> {
        let hard_at = now.saturating_add(hard);
        if hard_at > self.hard_at {
            return Err(self.hard_at.saturating_sub(now));
        }
        self.hard_at = hard_at;
        Ok(())
    }

    /// Why the vault must be locked by now; none while it need not.
    pub fn over(&self, now: Moment) -> Option<Why> {
        if now >= self.hard_at {
            Some(Why::Deadline)
        } else if now >= self.idle_at {
            Some(Why::Idle)
        } else {
            None
        }
    }

    /// When to look again, unless something is handed out meanwhile.
    pub fn next(&self) -> Moment {
        self.idle_at.min(self.hard_at)
    }

    /// What is left: until it was idle for too long, and at the latest.
    pub fn left(&self, now: Moment) -> (Duration, Duration) {
        (self.next().saturating_sub(now), self.hard_at.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);
    const START: Moment = Duration::from_secs(1_000);

    fn deadline() -> Deadline {
        Deadline::new(START, 15 * MINUTE, 8 * HOUR)
    }

    #[test]
    fn t53_a_release_slides_the_idle_deadline_and_never_the_hard_one() {
        let mut deadline = deadline();
        assert_eq!(deadline.over(START + 15 * MINUTE - SECOND), None);
        assert_eq!(deadline.over(START + 15 * MINUTE), Some(Why::Idle));
        let mut now = START;
        while now + 10 * MINUTE < START + 8 * HOUR {
            now += 10 * MINUTE;
            deadline.slide(now);
            assert_eq!(deadline.over(now), None);
            assert!(deadline.next() <= START + 8 * HOUR, "never past the hard deadline");
        }
        assert_eq!(deadline.over(START + 8 * HOUR - SECOND), None);
        assert_eq!(deadline.over(START + 8 * HOUR), Some(Why::Deadline));
    }

    #[test]
    fn t53_looking_at_a_deadline_changes_nothing() {
        let deadline = deadline();
        for minute in 0..20 {
            let _ = (deadline.over(START + minute * MINUTE), deadline.left(START), deadline.next());
        }
        assert_eq!(deadline, super::tests::deadline());
        assert_eq!(deadline.left(START + 5 * MINUTE), (10 * MINUTE, 8 * HOUR - 5 * MINUTE));
    }

    #[test]
    fn t54_after_a_suspend_it_is_over_though_no_timer_fired() {
        let mut deadline = deadline();
        let resumed = START + MINUTE + 8 * HOUR;
        assert_eq!(deadline.over(resumed), Some(Why::Deadline));
        deadline.slide(resumed);
        assert_eq!(deadline.over(resumed), Some(Why::Deadline), "nothing revives it");
        assert_eq!(deadline.over(START + HOUR), Some(Why::Idle), "a nap is idle time, too");
        deadline.slide(START + HOUR);
        assert_eq!(deadline.over(START + HOUR), Some(Why::Idle));
    }

    #[test]
    fn t56_the_wall_clock_is_never_asked() {
        // `now` is the time since boot: whatever the wall clock says, it is not before it,
        // and it goes on.
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).expect("a clock");
        let (first, second) = (now(), now());
        assert!(boot <= first && first <= second && second < boot + MINUTE);
        assert_ne!(first.as_secs(), wall().as_secs(), "not the wall clock");
    }

    fn wall() -> Duration {
        clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).expect("a clock")
    }

    #[test]
    fn a_hard_deadline_only_ever_comes_sooner() {
        let mut deadline = deadline();
        assert_eq!(deadline.shorten(START, 9 * HOUR), Err(8 * HOUR));
        assert_eq!(deadline.shorten(START, 2 * HOUR), Ok(()));
        assert_eq!(deadline.shorten(START + HOUR, 2 * HOUR), Err(HOUR));
        assert_eq!(deadline.over(START + 2 * HOUR), Some(Why::Deadline));
    }

    #[test]
    fn a_clock_at_its_end_locks() {
        let deadline = Deadline::new(Moment::MAX, MINUTE, HOUR);
        assert_eq!(deadline.over(Moment::MAX), Some(Why::Deadline));
    }
}
