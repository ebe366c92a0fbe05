//! The chain: what each record's MAC is made of, and how its key moves forward.
//!
//! A key makes the next one and cannot be had back from it, so whoever steals today's key
//! can write what comes, and not what was. Each epoch ends with a seal under its own key:
//! without it, a thief could cut an epoch short and go on from there (CVE-2023-31439 was
//! the same neglect in journald: an old record is proved by its old key, or not at all).

use super::record::Line;
use crate::vault::seal::Identity;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use keyagent_sys::arena::{self, Slot};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The most records of one epoch, its seal among them.
pub const EPOCH_RECORDS_MAX: u32 = 256;
/// The longest that one epoch lasts once it has a record.
pub const EPOCH_MILLIS_MAX: u64 = 15 * 60 * 1000;
/// The last epoch of a log: one a quarter of an hour lasts for eleven years. Deriving its key
/// from the first takes part of a second, and whoever makes up a state has us do it.
pub const EPOCHS_MAX: u64 = 400_000;

/// The number of a log's first record.
pub const SEQ_FIRST: u64 = 1;

/// The MAC of one record.
pub type Mac = [u8; 32];

/// What every log of one identity begins from. It lies nowhere: who has the identity, has it.
pub struct Root(Zeroizing<[u8; 32]>);

/// The key of one epoch.
pub struct EpochKey(Place);

/// Where a key lies.
enum Place {
    /// In ordinary memory, wiped when it goes.
    Here(Zeroizing<[u8; 32]>),
    /// In the arena, which has room for one: that of the log that is written. There it is
    /// never swapped, so that none that is over is left behind.
    Arena,
}

/// Which log it is: 16 random bytes in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogId(String);

/// Where a chain stands: what its next record must be.
pub struct Chain {
    key: EpochKey,
    /// The epoch of the next record.
    pub epoch: u64,
    /// How many records this epoch has.
    pub in_epoch: u32,
    /// The number of the next record.
    pub seq: u64,
    /// The MAC of the last one.
    pub prev: Mac,
}

/// What is wrong with a record, where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not what was written.
    Changed,
    /// It is not there, and what follows is.
    Missing,
    /// It comes later.
    Reordered,
    /// It stands there twice.
    Duplicate,
    /// It claims an epoch that is not its place's.
    WrongEpoch,
    /// It breaks off.
    Torn,
    /// The log ends before it, though its end was seen.
    Truncated,
    /// The file that it should be in cannot be read, or is not ours alone.
    Unreadable,
    /// The agent itself found that the log had been tampered with.
    Found,
    /// Another log begins here: the state of the one before was lost.
    Restarted,
    /// It is of another identity, whose key we do not have.
    Foreign,
    /// What the state remembers is not what the log says.
    State,
}

impl Root {
    /// The root of an identity's logs.
    pub fn of(identity: &Identity) -> Self {
        Self(Zeroizing::new(identity.mac(&[b"keyagent audit 1"]).finalize().into_bytes().into()))
    }

    /// The first key of a log.
    pub fn first_key(&self, log: &LogId) -> EpochKey {
        let mut first = Zeroizing::new([0; 32]);
        derive(&self.0, &[b"keyagent audit 1 log ", log.0.as_bytes()], &mut first);
        EpochKey(Place::Here(first))
    }

    /// The key of some epoch of a log, unless no log gets that far.
    pub fn key_at(&self, log: &LogId, epoch: u64) -> Option<EpochKey> {
        if epoch > EPOCHS_MAX {
            return None;
        }
        let mut key = self.first_key(log);
        (0..epoch).for_each(|_| key.advance());
        Some(key)
    }
}

impl EpochKey {
    /// The key of these bytes, for the state that keeps it.
    pub(super) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(Place::Here(bytes))
    }

    /// Looks at its bytes. What looks must not look at another key.
    pub(super) fn with<T>(&self, look: impl FnOnce(&[u8; 32]) -> T) -> T {
        match &self.0 {
            Place::Here(bytes) => look(bytes),
            Place::Arena => {
                let keys = arena::keys();
                let bytes = keys.get(Slot::AuditKey).and_then(|bytes| bytes.try_into().ok());
                look(bytes.expect("it lies there for as long as this is"))
            }
        }
    }

    /// The same key, for the state that keeps it.
    pub(super) fn duplicate(&self) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        self.with(|key| bytes.copy_from_slice(key));
        Self(Place::Here(bytes))
    }

    /// Whether both are one.
    pub(super) fn is(&self, other: &Self) -> bool {
        let other = other.duplicate();
        self.with(|key| other.with(|other| key == other))
    }

    /// Becomes the key of the next epoch. The old one is gone.
    fn advance(&mut self) {
        let mut next = Zeroizing::new([0; 32]);
        self.with(|key| derive(key, &[b"keyagent audit 1 epoch"], &mut next));
        match &mut self.0 {
            Place::Here(bytes) => bytes.copy_from_slice(&*next),
            Place::Arena => put(&next),
        }
    }

    /// Moves to the arena.
    fn guard(&mut self) {
        if let Place::Here(bytes) = &self.0 {
            put(bytes);
            self.0 = Place::Arena;
        }
    }

    fn mac(&self, epoch: u64, prev: &Mac, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self
            .with(|key| <Hmac<Sha256> as hmac::Mac>::new_from_slice(key))
            .expect("HMAC takes a key of any length");
        mac.update(&epoch.to_le_bytes());
        mac.update(prev);
        mac.update(body);
        mac
    }
}

impl Drop for EpochKey {
    fn drop(&mut self) {
        if matches!(self.0, Place::Arena) {
            arena::keys().clear(Slot::AuditKey);
        }
    }
}

fn put(key: &[u8; 32]) {
    assert!(arena::keys().put(Slot::AuditKey, key), "the arena has room for 32 bytes");
}

impl LogId {
    /// A new one, from the system's randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::getrandom(&mut bytes).ok()?;
        Some(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Reads 32 digits of hex.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Chain {
    /// A chain that stands somewhere, at the beginning of an epoch.
    pub fn at(key: EpochKey, epoch: u64, seq: u64, prev: Mac) -> Self {
        Self { key, epoch, in_epoch: 0, seq, prev }
    }

    /// Keeps its key in the arena from now on. One chain at a time can.
    pub(super) fn guard_key(&mut self) {
        self.key.guard();
    }

    /// The key of this epoch.
    pub(super) fn key(&self) -> &EpochKey {
        &self.key
    }

    /// The MAC of the next record, if this is its body. Nothing moves.
    pub fn mac(&self, body: &[u8]) -> Mac {
        self.key.mac(self.epoch, &self.prev, body).finalize().into_bytes().into()
    }

    /// Moves past a record that was written.
    pub fn pass(&mut self, mac: Mac, is_seal: bool) {
        (self.prev, self.seq, self.in_epoch) = (mac, self.seq + 1, self.in_epoch + 1);
        if is_seal {
            self.key.advance();
            (self.epoch, self.in_epoch) = (self.epoch + 1, 0);
        }
    }

    /// Moves past a record, if it is the next one.
    pub fn accept(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        match line.seq {
            seq if seq > self.seq => return Err(Fault::Missing),
            seq if seq < self.seq => return Err(Fault::Duplicate),
            _ => {}
        }
        let is_over = self.in_epoch + 1 == EPOCH_RECORDS_MAX && !line.is_seal;
        if line.epoch != self.epoch || is_over {
            return Err(Fault::WrongEpoch);
        }
        let mac = self.key.mac(self.epoch, &self.prev, line.body);
        mac.verify_slice(&line.mac).map_err(|_| Fault::Changed)?;
        self.pass(line.mac, line.is_seal);
        Ok(())
    }
}

fn derive(key: &[u8; 32], info: &[&[u8]], next: &mut [u8; 32]) {
    Hkdf::<Sha256>::from_prk(key)
        .expect("32 bytes are enough for HKDF")
        .expand_multi_info(info, next)
        .expect("32 bytes are within what HKDF gives");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_epoch_is_not_derived() {
        let root = Root(Zeroizing::new([7; 32]));
        let log = LogId::random().expect("the system has randomness");
        for epoch in [EPOCHS_MAX + 1, 4_000_000, u64::MAX] {
            assert!(root.key_at(&log, epoch).is_none(), "{epoch}");
        }
    }

    #[test]
    fn a_key_in_the_arena_is_the_same_and_leaves_with_its_chain() {
        let root = Root(Zeroizing::new([7; 32]));
        let log = LogId::random().expect("the system has randomness");
        let chain = || Chain::at(root.first_key(&log), 0, SEQ_FIRST, [0; 32]);
        let (mut here, mut guarded) = (chain(), chain());
        guarded.guard_key();
        for seals in 0..4 {
            let mac = here.mac(b"body");
            assert_eq!(guarded.mac(b"body"), mac);
            assert!(root.key_at(&log, seals).expect("it gets that far").is(guarded.key()));
            here.pass(mac, true);
            guarded.pass(mac, true);
        }
        assert!(guarded.key().is(&guarded.key().duplicate()) && here.key().is(guarded.key()));
        assert!(arena::keys().get(Slot::AuditKey).is_some());
        drop(guarded);
        assert!(arena::keys().get(Slot::AuditKey).is_none());
    }
}
