//! What the kernel tells of a process.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Its resident memory, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.expect("a process that runs has VmRSS").trim_end_matches("kB").trim();
    text.parse().expect("VmRSS is a number")
}

/// How many descriptors it has open; none where we may not look.
pub fn descriptor_count(pid: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count)
}

/// Its children.
pub fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.unwrap_or_default().split_whitespace().filter_map(|w| w.parse().ok()).collect()
}

/// Whether a signal has halted all of it.
pub fn is_halted(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| state(&thread.path())).all(|state| state.as_deref() == Some("T"))
}

/// Whether it runs: neither gone nor a zombie. A zombie of which threads are left still
/// holds its locks and sockets, and so counts as running.
pub fn is_alive(pid: u32) -> bool {
    let state = state(Path::new(&format!("/proc/{pid}")));
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_some_and(|state| state != "X" && (state != "Z" || threads() > 1))
}

/// The letter of proc(5), of a process or a thread.
fn state(place: &Path) -> Option<String> {
    let stat = fs::read_to_string(place.join("stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().next().map(str::to_owned)
}

/// When it started, in ticks since boot: with its number, this is one process for ever.
/// Numbers alone are given again, and often where there are but 32768 of them.
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The 22nd field of proc(5), and the 20th behind the name, which may have any bytes.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

/// The processes in whose environment that path is, of those that we may look into.
pub fn with_in_environment(path: &Path) -> Vec<u32> {
    let needle = path.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.windows(needle.len()).any(|window| window == needle)
    };
    pids.filter(has).collect()
}

/// How much of /proc/locks is read at once. The kernel gives a page at most, which is some
/// eighty locks.
const LOCKS_BYTES: usize = 64 * 1024;

/// All locks, with as few reads as there are pages: between two reads, locks of others come
/// and go, and the one that is looked for would move out of sight.
fn locks() -> Option<String> {
    let mut file = File::open("/proc/locks").ok()?;
    let (mut text, mut piece) = (Vec::new(), vec![0; LOCKS_BYTES]);
    loop {
        match file.read(&mut piece).ok()? {
            0 => return String::from_utf8(text).ok(),
            count => text.extend_from_slice(&piece[..count]),
        }
    }
}

/// Who holds the flock(2) on a file, as /proc/locks has it.
pub fn lock_holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = path.metadata().ok()?.ino().to_string();
    locks()?.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        (place.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())?
    })
}
