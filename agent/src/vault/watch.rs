//! Notices that a directory changed: the vault's, or the socket's. A hint, no more: the
//! content decides.
//!
//! The directory is watched and not the file, because a rename loses a watch on the file.

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;

/// Watches until it is dropped.
pub struct Watch(
    #[expect(dead_code, reason = "held for its Drop, which ends the watching")] RecommendedWatcher,
);

impl Watch {
    /// Calls `changed`, from a thread of its own, whenever something in one of the directories
    /// may have changed. None where the system gives no watch; requests still read what is new.
    pub fn start(directories: &[&Path], changed: impl Fn() + Send + 'static) -> Option<Self> {
        let heard = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                changed();
            }
        };
        let watch = notify::recommended_watcher(heard).and_then(|mut watcher| {
            for directory in directories {
                watcher.watch(directory, RecursiveMode::NonRecursive)?;
            }
            Ok(Self(watcher))
        });
        watch.inspect_err(|error| tracing::warn!(%error, "cannot watch the vault's directory")).ok()
    }
}

/// Reading must not count, or our own reading would wake us for ever.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
