//! Work on file systems that may not answer: off the loop, given up after a deadline, and
//! bounded for each device and for all of them.
//!
//! On a hung mount (FUSE, NFS) fstat, read and even close wait, and no signal ends that.
//! So nothing here can be undone, only waited for no longer: a thread counts until it is
//! back. The loop itself never looks at, nor closes, what could make it wait.

use keyagent_sys::cached;
use keyagent_wire::Refusal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// How long a file system may take to show a project.
pub const MANIFEST_MILLIS_MAX: u64 = 2000;
/// How many threads may wait for file systems at once.
pub const THREADS_MAX: usize = 16;
/// How many of them for one device, so that one hung mount leaves room for the others.
const THREADS_PER_DEVICE_MAX: usize = 4;
/// How many descriptors may be left to close; past that, none are received.
const UNCLOSED_MAX: usize = 128;

/// The threads that wait for file systems, and what is left for them to close.
pub struct Mounts {
    runtime: Handle,
    held: Mutex<Held>,
    freed: Notify,
}

/// Descriptors of a client. Dropping them closes them, off the loop.
pub struct Handed {
    descriptors: Vec<OwnedFd>,
    mounts: &'static Mounts,
}

#[derive(Default)]
struct Held {
    /// One for each thread.
    waits: Vec<Wait>,
    unclosed: Vec<(u64, OwnedFd)>,
}

/// A thread's wait for a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wait {
    device: u64,
    since: Instant,
}

impl Mounts {
    /// No waits yet. It lives as long as the process: a thread may be back when everything
    /// else is gone. Called on the runtime.
    pub fn start() -> &'static Self {
        let (runtime, held, freed) = (Handle::current(), Mutex::default(), Notify::new());
        Box::leak(Box::new(Self { runtime, held, freed }))
    }

    /// Looks at descriptors on a thread of its own, and closes them there.
    pub async fn look<T: Send + 'static>(
        &'static self,
        handed: Handed,
        look: impl FnOnce(&[OwnedFd]) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let deadline = Duration::from_millis(MANIFEST_MILLIS_MAX);
        let seen = tokio::time::timeout(deadline, self.see(handed, look)).await;
        seen.unwrap_or(Err(Refusal::NoAnswer))
    }

    /// Whether more descriptors may be received.
    pub fn has_room(&self) -> bool {
        self.held().unclosed.len() < UNCLOSED_MAX
    }

    async fn see<T: Send + 'static>(
        &'static self,
        mut handed: Handed,
        look: impl FnOnce(&[OwnedFd]) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let wait = self.begin(handed.descriptors.last().map_or(0, device)).await?;
        let descriptors = std::mem::take(&mut handed.descriptors);
        let (tell, told) = oneshot::channel();
        self.runtime.spawn_blocking(move || {
            // Nobody listens any more if this took too long.
            let _ = tell.send(look(&descriptors));
            drop(descriptors);
            self.end(wait);
        });
        told.await.map_err(|_| Refusal::NoAnswer)
    }

    /// Waits for a thread.
    async fn begin(&self, device: u64) -> Result<Wait, Refusal> {
        loop {
            let freed = self.freed.notified();
            if let Some(wait) = self.held().begin(device, Instant::now())? {
                return Ok(wait);
            }
            freed.await;
        }
    }

    /// Closes what was left meanwhile, and gives the thread back.
    fn end(&self, mut wait: Wait) {
        loop {
            let next = {
                let mut held = self.held();
                held.end(wait);
                held.begin_to_close(Instant::now())
            };
            self.freed.notify_waiters();
            match next {
                Some((began, descriptor)) => {
                    drop(descriptor);
                    wait = began;
                }
                None => return,
            }
        }
    }

    fn close(&'static self, descriptors: Vec<OwnedFd>) {
        let mut held = self.held();
        held.unclosed.extend(descriptors.into_iter().map(|fd| (device(&fd), fd)));
        let Some((wait, descriptor)) = held.begin_to_close(Instant::now()) else { return };
        drop(held);
        self.runtime.spawn_blocking(move || {
            drop(descriptor);
            self.end(wait);
        });
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A thread for a device; none while there is no room. Refuses where as many as may wait
    /// have waited too long: one more would learn nothing.
    fn begin(&mut self, device: u64, now: Instant) -> Result<Option<Wait>, Refusal> {
        let late = Duration::from_millis(MANIFEST_MILLIS_MAX);
        let here = self.waits.iter().filter(|wait| wait.device == device);
        if here.clone().filter(|wait| now - wait.since >= late).count() >= THREADS_PER_DEVICE_MAX {
            return Err(Refusal::NoAnswer);
        }
        if here.count() >= THREADS_PER_DEVICE_MAX || self.waits.len() >= THREADS_MAX {
            return Ok(None);
        }
        let wait = Wait { device, since: now };
        self.waits.push(wait);
        Ok(Some(wait))
    }

    fn end(&mut self, wait: Wait) {
        if let Some(at) = self.waits.iter().position(|other| *other == wait) {
            self.waits.swap_remove(at);
        }
    }

    /// The next descriptor to close, of a device that has room for a thread.
    fn begin_to_close(&mut self, now: Instant) -> Option<(Wait, OwnedFd)> {
        for at in 0..self.unclosed.len() {
            if let Ok(Some(wait)) = self.begin(self.unclosed[at].0, now) {
                return Some((wait, self.unclosed.swap_remove(at).1));
            }
        }
        None
    }
}

impl Handed {
    /// None yet.
    pub fn none(mounts: &'static Mounts) -> Self {
        Self { descriptors: Vec::new(), mounts }
    }

    /// Adds what came.
    pub fn extend(&mut self, descriptors: Vec<OwnedFd>) {
        self.descriptors.extend(descriptors);
    }

    /// All of them, and leaves none.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::none(self.mounts))
    }

    /// To look at without waiting.
    pub fn as_slice(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    /// Closes them here and now: they were read without waiting, and so they close.
    pub fn close_at_once(mut self) {
        self.descriptors.clear();
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.descriptors.is_empty() {
            self.mounts.close(std::mem::take(&mut self.descriptors));
        }
    }
}

/// The device, for counting; what has none shares one.
fn device(descriptor: &OwnedFd) -> u64 {
    cached::stat(descriptor.as_fd()).map_or(0, |facts| facts.st_dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_leaves_room_for_others_and_all_have_an_end() {
        let (mut held, now) = (Held::default(), Instant::now());
        let threads: Vec<_> = (0..64).filter_map(|_| held.begin(1, now).ok().flatten()).collect();
        assert_eq!(threads.len(), THREADS_PER_DEVICE_MAX);
        assert!(matches!(held.begin(2, now), Ok(Some(_))));
        held.end(threads[0]);
        assert!(matches!(held.begin(1, now), Ok(Some(_))));
        let others = (3..64).filter_map(|device| held.begin(device, now).ok().flatten()).count();
        assert_eq!(others, THREADS_MAX - THREADS_PER_DEVICE_MAX - 1);
    }

    #[test]
    fn a_device_that_keeps_its_threads_too_long_is_refused_until_one_is_back() {
        let (mut held, then) = (Held::default(), Instant::now());
        let threads: Vec<_> = (0..64).filter_map(|_| held.begin(1, then).ok().flatten()).collect();
        let now = then + Duration::from_millis(MANIFEST_MILLIS_MAX);
        assert_eq!(held.begin(1, now), Err(Refusal::NoAnswer));
        assert!(matches!(held.begin(2, now), Ok(Some(_))));
        held.end(threads[0]);
        assert!(matches!(held.begin(1, now), Ok(Some(_))));
    }
}
