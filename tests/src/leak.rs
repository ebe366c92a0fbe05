//! The search for values where none may be: raw, in base64, in hex and in UTF-16.

use std::fs;
use std::path::{Path, PathBuf};

/// Larger files are a test's own making, and have holes instead of values.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// All ways in which a value is looked for.
pub struct Needles(Vec<Vec<u8>>);

impl Needles {
    /// Of these values.
    pub fn of(values: &[Vec<u8>]) -> Self {
        Self(values.iter().flat_map(|value| spellings(value)).collect())
    }

    /// Whether any of them is in there.
    pub fn are_in(&self, hay: &[u8]) -> bool {
        self.0.iter().any(|needle| contains(hay, needle))
    }

    /// The command lines of all processes that have one.
    pub fn in_command_lines(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if self.are_in(&line) {
                found.push(format!("the command line of process {:?}", entry.file_name()));
            }
        }
        found
    }

    /// The regular files under a directory that have one, by content or by name.
    pub fn in_files(&self, directory: &Path, may_hold: &[PathBuf]) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if self.are_in(entry.file_name().as_encoded_bytes()) {
                found.push(format!("the name of {}", path.display()));
            }
            let Ok(facts) = path.symlink_metadata() else { continue };
            if may_hold.iter().any(|held| path.starts_with(held)) {
                continue;
            }
            if facts.is_dir() {
                found.extend(self.in_files(&path, may_hold));
            } else if facts.is_file() && facts.len() <= FILE_BYTES_MAX {
                let bytes = fs::read(&path).unwrap_or_default();
                if self.are_in(&bytes) {
                    found.push(format!("the file {}", path.display()));
                }
            }
        }
        found
    }

    /// The names in a directory that have one.
    pub fn in_names(&self, directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let named = entries.filter(|entry| self.are_in(entry.file_name().as_encoded_bytes()));
        named.map(|entry| format!("the name of {}", entry.path().display())).collect()
    }
}

fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = vec![value.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    spellings.push(value.iter().flat_map(|byte| [*byte, 0]).collect());
    for before in 0..3 {
        let inner = base64_inside(value, before);
        let url = inner.iter().map(|c| match c {
            b'+' => b'-',
            b'/' => b'_',
            c => *c,
        });
        spellings.push(url.collect());
        spellings.push(inner);
    }
    spellings
}

/// The characters of base64 that are the value's alone, when that many bytes stand before it.
fn base64_inside(value: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = [&vec![0; before], value].concat();
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    let digit = |at: usize| (0..6).fold(0, |digit, i| digit << 1 | bit(at * 6 + i));
    (first..last).map(|at| ALPHABET[digit(at) as usize]).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && memchr::memmem::find(hay, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_however_it_is_spelled() {
        let needles = Needles::of(&[b"KAC-0123456789".to_vec()]);
        assert!(needles.are_in(b"x=KAC-0123456789;"));
        assert!(needles.are_in(b"4b41432d30313233343536373839"));
        // `printf 'KAC-0123456789' | base64`, then with one and two bytes before it.
        assert!(needles.are_in(b"S0FDLTAxMjM0NTY3ODk="));
        assert!(needles.are_in(b"eEtBQy0wMTIzNDU2Nzg5"));
        assert!(needles.are_in(b"eHhLQUMtMDEyMzQ1Njc4OXg="));
        assert!(needles.are_in(b"K\0A\0C\0-\x000\x001\x002\x003\x004\x005\x006\x007\x008\x009\0"));
        assert!(!needles.are_in(b"KAC-012345678"));
    }
}
