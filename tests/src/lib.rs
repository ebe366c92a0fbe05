//! The kit of the black-box tests: a home of their own for real processes, the wire spoken
//! directly, and the search for leaked values that ends every test.
//!
//! It never looks at the user's own directories, and never waits for a fixed time where an
//! event can be waited for.

mod agent;
mod home;
mod invocation;
mod leak;
pub mod memory;
pub mod process;
mod random;
mod terminal;
pub mod wire;

pub use agent::{Agent, Halted};
pub use home::{Home, binary, copy_program};
pub use invocation::{Invocation, Output};
pub use leak::Needles;
pub use random::{Random, unique};
pub use terminal::Terminal;
pub use wire::{Wire, describe};

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it: only what hangs takes as long,
/// however slow and busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Set to `full`, the sweeps that a test shortens run at their full length.
const ROUNDS: &str = "KEYAGENT_TEST_ROUNDS";
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until `look` finds something, and fails with `what` when patience ends.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until `look` finds something, for that long at most.
pub fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How often a sweep is made: as often as every run can afford, or in full if that is asked
/// for by `KEYAGENT_TEST_ROUNDS=full`.
pub fn rounds(affordable: usize, full: usize) -> usize {
    if std::env::var_os(ROUNDS).is_some_and(|text| text == "full") { full } else { affordable }
}
