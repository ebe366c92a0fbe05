//! A moment, by both clocks: the one on the wall, which can be set, and the one since boot,
//! which counts through sleep and cannot.

use nix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// How far the wall clock may drift against the other before a record says that it jumped.
const JUMP_MILLIS_MIN: i64 = 5_000;

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970, UTC.
    pub wall_millis: u64,
    /// Milliseconds since boot, asleep or not (CLOCK_BOOTTIME).
    pub boot_millis: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
        let millis = |t: nix::sys::time::TimeSpec| t.tv_sec() * 1000 + t.tv_nsec() / 1_000_000;
        Self {
            wall_millis: wall.as_millis() as u64,
            boot_millis: boot.map_or(0, |time| millis(time).unsigned_abs()),
        }
    }

    /// How far the wall clock was set, in seconds, since another moment of this boot.
    pub fn jump_since(&self, earlier: &Self) -> Option<i64> {
        let offset = |m: &Self| m.wall_millis as i64 - m.boot_millis as i64;
        let millis = offset(self) - offset(earlier);
        (millis.abs() >= JUMP_MILLIS_MIN).then_some(millis / 1000)
    }
}

/// Which boot of the machine this is: 32 digits of hex, or nothing where none is told.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.chars().filter(char::is_ascii_hexdigit).take(32).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_runs_is_not() {
        let start = Moment { wall_millis: 1_000_000, boot_millis: 500 };
        let later = Moment { wall_millis: 1_600_000, boot_millis: 600_500 };
        assert_eq!(later.jump_since(&start), None);
        let set = Moment { wall_millis: 0, ..later };
        assert_eq!(set.jump_since(&start), Some(-1_600));
    }

    #[test]
    fn both_clocks_run() {
        let now = Moment::now();
        assert!(now.wall_millis > 1_600_000_000_000 && now.boot_millis > 0);
        assert_eq!(boot_id().len(), 32);
    }
}
