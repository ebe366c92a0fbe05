//! How long clients waited for their answers: told by percentile, and bounded generously,
//! because a machine of tests is slow and busy. The benchmarks measure.

use std::io::Write;
use std::time::{Duration, Instant};

/// The waits of one client, in any order.
#[derive(Default)]
pub struct Waits(Vec<Duration>);

impl Waits {
    /// Does something that is waited for.
    pub fn time<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = wait();
        self.0.push(start.elapsed());
        done
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Prints what they came to, and fails if 99 of 100 were not below that bound.
    pub fn are_below(mut self, bound: Duration, what: &str) {
        self.0.sort();
        let of_hundred = |percent: usize| self.0[(self.0.len() - 1) * percent / 100];
        let (half, most, last) = (of_hundred(50), of_hundred(99), of_hundred(100));
        let told =
            format!("{what}: {} waits, p50 {half:?}, p99 {most:?}, max {last:?}", self.0.len());
        let _ = writeln!(std::io::stderr(), "{told}");
        assert!(most < bound, "{what}: p99 {most:?}, not below {bound:?}");
    }
}
