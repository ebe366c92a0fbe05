//! T70: real shells read back what is written for them, a thousand values at a time.
//!
//! `KEYAGENT_QUOTE_BATCHES` sets how many times; 1,000 make a million values for each shell,
//! and the default keeps the suite short. `KEYAGENT_SEED` runs a failure again.

use crate::quote::{fish, posix};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::process::Command;

/// How many values one shell reads.
const BATCH: usize = 1_000;
/// How many times, unless more are asked for.
const BATCHES: usize = 10;
/// The bytes that a shell, or its reader of characters, may take for more than themselves.
const SPECIAL: &[u8] = b"'\\\"$`!\n\r\t #;&|()<>*?[]{}~=%^-+:,@/a0\x01\x1b\x7f\x80\xa9\xc3\xe2\xff";

type Quote = fn(&mut Vec<u8>, &[u8]);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// Any bytes, or special ones, or both.
    fn value(&mut self) -> Vec<u8> {
        let (kind, length) = (self.below(3), self.below(24));
        let special = |random: &mut Self| SPECIAL[random.below(SPECIAL.len())];
        let any = |random: &mut Self| random.below(255) as u8 + 1;
        (0..length)
            .map(|_| match kind {
                0 => any(self),
                1 => special(self),
                _ if self.below(2) == 0 => any(self),
                _ => special(self),
            })
            .collect()
    }
}

/// A script that makes each value a variable, as `export` writes it, and prints that.
fn script(values: &[Vec<u8>], assign: &str, quote: Quote) -> Vec<u8> {
    let mut script = Vec::new();
    for value in values {
        script.extend_from_slice(assign.as_bytes());
        quote(&mut script, value);
        script.extend_from_slice(b"\nprintf '%s\\0' \"$QUOTED\"\n");
    }
    script
}

fn reads_back(shell: &str, arguments: &[&str], assign: &str, quote: Quote) {
    let seed = number("KEYAGENT_SEED").unwrap_or_else(|| RandomState::new().hash_one(shell));
    let batches = number("KEYAGENT_QUOTE_BATCHES").unwrap_or(BATCHES as u64);
    let mut random = Random(seed);
    let path = std::env::temp_dir().join(format!("keyagent-t70-{}-{shell}", std::process::id()));
    for _ in 0..batches {
        let values: Vec<_> = (0..BATCH).map(|_| random.value()).collect();
        fs::write(&path, script(&values, assign, quote)).expect("the directory is ours");
        let run = Command::new(shell).args(arguments).arg(&path).env("LC_ALL", "C.UTF-8").output();
        let run = run.expect("the shell is installed");
        assert!(run.stderr.is_empty(), "{shell}, KEYAGENT_SEED={seed}: it complains");
        let mut read = run.stdout.split(|byte| *byte == 0);
        for value in &values {
            assert_eq!(read.next(), Some(value.as_slice()), "{shell}, KEYAGENT_SEED={seed}");
        }
        assert_eq!((read.next(), read.next()), (Some(&b""[..]), None), "nothing else is printed");
    }
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn needs_bash_t70_any_value_comes_back() {
    reads_back("bash", &["--norc", "--noprofile"], "export QUOTED=", posix);
}

#[test]
fn needs_dash_t70_any_value_comes_back() {
    reads_back("dash", &[], "export QUOTED=", posix);
}

#[test]
fn needs_zsh_t70_any_value_comes_back() {
    reads_back("zsh", &["-f"], "export QUOTED=", posix);
}

#[test]
fn needs_fish_t70_any_value_comes_back() {
    reads_back("fish", &["--no-config"], "set -gx QUOTED ", fish);
}
