//! The committed corpus, and what comes of it by chance, through the functions that libFuzzer
//! calls: this needs no more than a Rust compiler. `KEYAGENT_FUZZ_RUNS` says how many are
//! tried for each target, and `KEYAGENT_SEED` runs a failure again.

use keyagent_fuzz::{audit, dotenv, frame, manifest, quote, vault};
use keyagent_tests::Random;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The longest input that is made, in bytes.
const INPUT_BYTES_MAX: usize = 4096;

/// Every file of these directories, in the order of their names.
fn files(directories: &[&str]) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in directories {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let entries = fs::read_dir(&directory).expect("the corpus is committed");
        paths.extend(entries.map(|entry| entry.expect("it is readable").path()));
    }
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Runs all files, then as many inputs that are made of them.
fn try_all(run: fn(&[u8]), directories: &[&str], runs: usize) {
    let corpus = files(directories);
    assert!(!corpus.is_empty(), "there is something to begin with");
    corpus.iter().for_each(|input| run(input));
    let given = std::env::var("KEYAGENT_FUZZ_RUNS").ok().and_then(|n| n.parse().ok());
    let mut random = Random::new();
    for _ in 0..given.unwrap_or(runs) {
        let input = mutated(&corpus, &mut random);
        let input = Shown(&input);
        run(input.0);
    }
}

/// An input that is printed if it is the last one.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the input is b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below(bytes.len() - at + 1).min(64);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, b'\'', b'"', b'\n', 0xff][random.below(6)],
            2 => bytes.insert(at, random.below(256) as u8),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at.max(1)),
            5 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                bytes.splice(at..end, other[from..].iter().take(64).copied());
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

#[test]
fn no_log_breaks_a_promise() {
    try_all(audit::run, &["corpus/audit"], 2_000);
}

#[test]
fn no_frame_breaks_a_promise() {
    try_all(frame::run, &["corpus/frame", "../tests/tests/wire"], 50_000);
}

#[test]
fn no_manifest_breaks_a_promise() {
    try_all(manifest::run, &["corpus/manifest"], 20_000);
}

#[test]
fn no_file_of_variables_breaks_a_promise() {
    try_all(dotenv::run, &["corpus/dotenv", "../tests/tests/it/corpus"], 5_000);
}

#[test]
fn no_vault_breaks_a_promise() {
    try_all(vault::run, &["corpus/vault"], 2_000);
}

#[test]
fn no_shell_reads_another_value() {
    try_all(quote::run, &["corpus/quote"], 300);
}
