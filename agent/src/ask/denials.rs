//! How often the human said no, and for how long nobody asks any more. The clock is an
//! argument.

use std::time::Duration;

/// After so many denials in a row nothing is asked for a while.
pub const DENIALS_MAX: u32 = 3;
/// How long that is, and how long a denial is remembered.
pub const MUTE_SECONDS: u64 = 5 * 60;

/// The denials in a row. They count for all askers together: a process that wants to wear the
/// human down has as many terminal sessions as it likes.
#[derive(Default)]
pub struct Denials {
    count: u32,
    last: Duration,
}

impl Denials {
    /// The human said no.
    pub fn denied(&mut self, now: Duration) {
        let is_old = now.saturating_sub(self.last).as_secs() >= MUTE_SECONDS;
        self.count = if is_old { 1 } else { self.count + 1 };
        self.last = now;
    }

    /// For how many seconds nothing is asked.
    pub fn muted(&self, now: Duration) -> Option<u64> {
        let left = MUTE_SECONDS.checked_sub(now.saturating_sub(self.last).as_secs())?;
        (self.count >= DENIALS_MAX && left > 0).then_some(left)
    }

    /// Begins anew: the human said yes, or typed the passphrase.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_denials_in_a_row_mute_for_five_minutes() {
        let mut denials = Denials::default();
        for second in 1000..1002 {
            denials.denied(at(second));
            assert_eq!(denials.muted(at(second)), None);
        }
        denials.denied(at(1002));
        assert_eq!(denials.muted(at(1002)), Some(300));
        assert_eq!(denials.muted(at(1301)), Some(1));
        assert_eq!(denials.muted(at(1302)), None);
        denials.denied(at(1303));
        assert_eq!(denials.muted(at(1303)), None, "they begin anew");
    }

    #[test]
    fn a_yes_or_a_long_while_begins_anew() {
        let mut denials = Denials::default();
        denials.denied(at(1));
        denials.denied(at(2));
        denials.clear();
        denials.denied(at(3));
        assert_eq!(denials.muted(at(3)), None);
        denials.denied(at(304));
        denials.denied(at(305));
        assert_eq!(denials.muted(at(305)), None);
        denials.denied(at(306));
        assert!(denials.muted(at(306)).is_some());
    }
}
