//! What something costs, however busy the machine is.

use std::fs;
use std::time::Duration;

/// How long this thread has been on a processor.
pub fn time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("proc is mounted");
    let nanos = schedstat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.expect("it begins with a number"))
}
