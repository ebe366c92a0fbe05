//! The arena: the one place of this process where keys lie, and where values are open.
//!
//! Two regions: small keys, kept, and scratch, which is wiped whenever its guard goes. What
//! is in them never leaves but through a guard, and a canary that was written over ends the
//! process. It decides nothing: which keys there are, and when they go, is the agent's.

use super::layout::{self, Canary, bytes_for, fields};
use super::region::Region;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The longest value that scratch has room for, in bytes.
pub const VALUE_BYTES: usize = 64 * 1024;
/// The least that the window holds, in bytes: another such value.
pub const WINDOW_BYTES: usize = 64 * 1024;
/// A key for symmetric cryptography, in bytes.
const KEY_BYTES: usize = 32;
/// The longest text of an identity, in bytes.
const IDENTITY_BYTES: usize = 2048;

const KEYS: [usize; 3] = [KEY_BYTES, KEY_BYTES, IDENTITY_BYTES];
const SCRATCH: [usize; 2] = [VALUE_BYTES, WINDOW_BYTES];

/// How well the arena is protected, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Out of the kernel's own map: root's debugger cannot read it either.
    Secret,
    /// Never swapped, dumped or inherited; root can read it.
    Locked,
    /// Not dumped or inherited where the system grants that, and it may be swapped.
    Ordinary,
}

/// A place for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// What values are sealed under in memory: 32 bytes.
    DataKey,
    /// What the audit log is chained with: 32 bytes.
    AuditKey,
    /// The text of the vault's identity.
    Identity,
}

struct Arena {
    keys: Mutex<Keys>,
    scratch: Mutex<Scratch>,
    protection: Protection,
}

/// The keys. They stay until they are cleared.
pub struct Keys {
    room: Room<3>,
    filled: [Option<usize>; 3],
}

/// Room in which to open values.
pub struct Scratch {
    room: Room<2>,
    used: [usize; 2],
}

static ARENA: OnceLock<Arena> = OnceLock::new();

/// Makes the arena, and tells how well it is protected. Must run after the last fork that
/// goes on as this agent: a child has no arena.
pub fn start() -> io::Result<Protection> {
    if ARENA.get().is_none() {
        let _ = ARENA.set(Arena::map()?);
    }
    Ok(protection())
}

/// How well the arena is protected: keys and scratch, the weaker of both.
pub fn protection() -> Protection {
    arena().protection
}

/// The keys, for as long as the guard is held. Taken after scratch, where both are.
pub fn keys() -> KeysGuard {
    let keys = arena().keys.lock().unwrap_or_else(PoisonError::into_inner);
    keys.room.check();
    KeysGuard(keys)
}

/// Scratch, for as long as the guard is held; then it is wiped.
pub fn scratch() -> ScratchGuard {
    let scratch = arena().scratch.lock().unwrap_or_else(PoisonError::into_inner);
    scratch.room.check();
    ScratchGuard(scratch)
}

fn arena() -> &'static Arena {
    ARENA.get_or_init(|| Arena::map().expect("a process can map a few pages when it starts"))
}

impl Arena {
    fn map() -> io::Result<Self> {
        let (keys, scratch) = (Room::map(KEYS)?, Room::map(SCRATCH)?);
        let protection = keys.region.protection.max(scratch.region.protection);
        Ok(Self {
            keys: Mutex::new(Keys { room: keys, filled: [None; 3] }),
            scratch: Mutex::new(Scratch { room: scratch, used: [0; 2] }),
            protection,
        })
    }
}

impl Keys {
    /// The key in that slot, if there is one.
    pub fn get(&self, slot: Slot) -> Option<&[u8]> {
        let bytes = self.filled[slot as usize]?;
        self.room.field(slot as usize).get(..bytes)
    }

    /// Puts a key there, in place of what there was. False if there is no room for it.
    pub fn put(&mut self, slot: Slot, key: &[u8]) -> bool {
        self.clear(slot);
        let Some(place) = self.room.field_mut(slot as usize).get_mut(..key.len()) else {
            return false;
        };
        place.copy_from_slice(key);
        self.filled[slot as usize] = Some(key.len());
        true
    }

    /// Wipes that slot.
    pub fn clear(&mut self, slot: Slot) {
        self.filled[slot as usize] = None;
        layout::wipe(self.room.field_mut(slot as usize));
    }
}

impl Scratch {
    /// Room for a value and for what is made of it. No more than [`VALUE_BYTES`] and
    /// [`WINDOW_BYTES`] are given.
    pub fn take(&mut self, value: usize, window: usize) -> (&mut [u8], &mut [u8]) {
        let (value, window) = (value.min(VALUE_BYTES), window.min(WINDOW_BYTES));
        self.used = [self.used[0].max(value), self.used[1].max(window)];
        let [first, second] = self.room.both();
        (&mut first[..value], &mut second[..window])
    }

    fn wipe(&mut self) {
        let used = std::mem::take(&mut self.used);
        let both = self.room.both();
        both.into_iter().zip(used).for_each(|(field, used)| layout::wipe(&mut field[..used]));
    }
}

/// A region, its fields, and what stands between them.
struct Room<const N: usize> {
    region: Region,
    fields: [Range<usize>; N],
    canary: Canary,
}

impl<const N: usize> Room<N> {
    fn map(sizes: [usize; N]) -> io::Result<Self> {
        let region = Region::map(bytes_for(sizes))?;
        let fields = fields(sizes, region.bytes.len());
        let canary = random_canary()?;
        layout::plant(region.bytes, &fields, &canary);
        Ok(Self { region, fields, canary })
    }

    fn field(&self, at: usize) -> &[u8] {
        &self.region.bytes[self.fields[at].clone()]
    }

    fn field_mut(&mut self, at: usize) -> &mut [u8] {
        &mut self.region.bytes[self.fields[at].clone()]
    }

    /// Something wrote where it must not: nothing that this process knows is sure any more.
    fn check(&self) {
        if !layout::is_intact(self.region.bytes, &self.fields, &self.canary) {
            std::process::abort();
        }
    }
}

impl Room<2> {
    fn both(&mut self) -> [&mut [u8]; 2] {
        let (first, second) = self.region.bytes.split_at_mut(self.fields[1].start);
        [&mut first[self.fields[0].clone()], second]
    }
}

fn random_canary() -> io::Result<Canary> {
    use std::io::Read;
    let mut canary = Canary::default();
    std::fs::File::open("/dev/urandom")?.read_exact(&mut canary)?;
    Ok(canary)
}

/// Holds the keys.
pub struct KeysGuard(MutexGuard<'static, Keys>);

/// Holds scratch, and wipes what of it was used.
pub struct ScratchGuard(MutexGuard<'static, Scratch>);

impl Deref for KeysGuard {
    type Target = Keys;
    fn deref(&self) -> &Keys {
        &self.0
    }
}

impl DerefMut for KeysGuard {
    fn deref_mut(&mut self) -> &mut Keys {
        &mut self.0
    }
}

impl Drop for KeysGuard {
    fn drop(&mut self) {
        self.0.room.check();
    }
}

impl Deref for ScratchGuard {
    type Target = Scratch;
    fn deref(&self) -> &Scratch {
        &self.0
    }
}

impl DerefMut for ScratchGuard {
    fn deref_mut(&mut self) -> &mut Scratch {
        &mut self.0
    }
}

impl Drop for ScratchGuard {
    fn drop(&mut self) {
        self.0.wipe();
        self.0.room.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    #[test]
    fn a_key_stays_until_it_is_cleared() {
        let arena = Arena::map().expect("there is memory");
        let mut keys = arena.keys.lock().expect("nobody else has it");
        assert!(keys.put(Slot::DataKey, &[1; 32]) && keys.put(Slot::Identity, b"text"));
        assert!(!keys.put(Slot::AuditKey, &[1; 33]), "there is no room for it");
        assert_eq!(keys.get(Slot::DataKey), Some([1; 32].as_slice()));
        assert_eq!(keys.get(Slot::AuditKey), None);
        keys.clear(Slot::DataKey);
        assert_eq!(keys.get(Slot::DataKey), None);
        assert_eq!(keys.room.field(0), [0; 32]);
        assert_eq!(keys.get(Slot::Identity), Some(b"text".as_slice()));
        keys.room.check();
    }

    #[test]
    fn scratch_is_wiped_when_its_guard_goes() {
        let mut guard = scratch();
        let (value, window) = guard.take(VALUE_BYTES + 1, 10);
        assert_eq!((value.len(), window.len()), (VALUE_BYTES, 10));
        value.fill(1);
        window.fill(2);
        drop(guard);
        let mut guard = scratch();
        assert!(guard.room.both().iter().all(|field| field.iter().all(|byte| *byte == 0)));
    }

    #[test]
    fn t33_a_damaged_canary_ends_the_process() {
        for (at, is_damage) in [(31, false), (32, true), (80, true), (96, false)] {
            // SAFETY: the child maps memory, writes to it and ends: it takes no lock that
            // another thread of this test may have held.
            let status = match unsafe { fork() }.expect("there is room for a child") {
                ForkResult::Parent { child } => waitpid(child, None).expect("it is ours"),
                ForkResult::Child => {
                    let keys = Room::map(KEYS).unwrap_or_else(|_| std::process::exit(1));
                    keys.region.bytes[at] ^= 1;
                    keys.check();
                    // SAFETY: _exit runs nothing of ours.
                    unsafe { nix::libc::_exit(0) }
                }
            };
            let aborted = matches!(status, WaitStatus::Signaled(_, Signal::SIGABRT, _));
            assert_eq!(aborted, is_damage, "byte {at}: {status:?}");
        }
    }
}
