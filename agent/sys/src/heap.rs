//! How the C library's heap behaves: what is freed goes back to the system.

use nix::libc;

/// Blocks of this size and more get a mapping of their own, in bytes.
const MAPPED_BYTES_MIN: libc::c_int = 128 * 1024;

/// One arena for all threads, and large blocks on their own. By default glibc keeps an
/// arena a thread, and learns from the first large block that is freed to keep such blocks
/// (mallopt(3)): after one write of a large vault the agent would hold its size for ever.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)] {
        // SAFETY: mallopt takes two integers; main calls this while there is one thread. A
        // refusal (0) leaves the default, which is only larger.
        unsafe { libc::mallopt(parameter, value) };
    }
}
