//! Randomness: unique names from the system, and a generator whose seed can be printed.

use std::fs::File;
use std::io::{Read, Write};

/// 16 random bytes in hex.
pub fn unique() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .expect("/dev/urandom gives bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A generator that gives the same numbers for the same seed (SplitMix64). A test that fails
/// with it says which seed it was, and `KEYAGENT_SEED` runs it again.
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// From `KEYAGENT_SEED`, or anew.
    pub fn new() -> Self {
        let given = std::env::var("KEYAGENT_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            u64::from_str_radix(&unique()[..16], 16).expect("16 digits of hex are a u64")
        });
        Self { seed, state: seed }
    }

    /// What to set `KEYAGENT_SEED` to.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// That many bytes, none of them NUL.
    pub fn value_bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(255) as u8 + 1).collect()
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "to run it again: KEYAGENT_SEED={}", self.seed);
        }
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
