//! What lies in the memory of a process, as root reads it. Needs root where the process
//! refuses to be looked at.

use crate::leak::Needles;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// How much is read at once, in bytes.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// More than any spelling of a value that is looked for, so that none is cut by a step.
const OVERLAP_BYTES: usize = 1024;

/// One mapping of a process.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Where it begins and ends.
    pub range: (u64, u64),
    /// `rwxp` of proc(5).
    pub access: String,
    /// The path or the name of it; empty for memory that nothing names.
    pub name: String,
}

impl Mapping {
    /// Whether a program can have written something there.
    pub fn is_own(&self) -> bool {
        self.access.contains('w')
    }
}

/// The mappings of a process.
pub fn mappings(pid: u32) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may look");
    text.lines().filter_map(mapping).collect()
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (from, to) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let access = words.next()?.to_owned();
    let name = words.nth(3).unwrap_or_default().trim().to_owned();
    Some(Mapping { range: (address(from)?, address(to)?), access, name })
}

/// The mappings, of those that `is_asked` names, in which any of these values is, however it
/// is spelled; and how many bytes could be read.
pub fn scan(
    pid: u32,
    values: &[Vec<u8>],
    is_asked: impl Fn(&Mapping) -> bool,
) -> (Vec<Mapping>, u64) {
    let needles = Needles::of(values);
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let (mut found, mut read_bytes) = (Vec::new(), 0);
    for mapping in mappings(pid).into_iter().filter(|m| m.access.starts_with('r') && is_asked(m)) {
        let (mut at, to) = mapping.range;
        let mut bytes = vec![0; STEP_BYTES + OVERLAP_BYTES];
        while at < to {
            let want = bytes.len().min((to - at) as usize);
            // Secret memory, and the kernel's own pages, cannot be read: EIO.
            let count = memory.read_at(&mut bytes[..want], at).unwrap_or(0);
            read_bytes += count as u64;
            if needles.are_in(&bytes[..count]) {
                found.push(mapping.clone());
                break;
            }
            at += STEP_BYTES as u64;
        }
    }
    (found, read_bytes)
}

/// The flags of the mapping at that address, as smaps has them (`lo`, `dd`, …).
pub fn flags(pid: u32, from: u64) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("root may look");
    let head = format!("{from:x}-");
    let mut lines =
        text.lines().skip_while(|line| !line.trim_start_matches('0').starts_with(&head));
    let flags = lines.find_map(|line| line.strip_prefix("VmFlags:"));
    flags.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}
