//! What the kernel tells of a process.

use std::fs;
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

/// Whether it runs: neither gone nor a zombie. A zombie of which threads are left still
/// holds its locks and sockets, and so counts as running.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_some_and(|state| state != "X" && (state != "Z" || threads() > 1))
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

/// Who holds the flock(2) on a file, as /proc/locks has it.
pub fn lock_holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = path.metadata().ok()?.ino().to_string();
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        (place.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())?
    })
}
