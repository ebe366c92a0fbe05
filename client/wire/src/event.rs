//! Events of the audit log, as they are told to a human. Names and numbers, never a value.

use crate::SecretName;
use bincode::{
    Decode, Encode, de::Decoder, enc::Encoder, error::DecodeError, error::EncodeError,
    impl_borrow_decode,
};
use std::fmt;

/// The longest name of a refusal, in bytes.
pub const REASON_BYTES_MAX: usize = 32;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Event {
    /// Its number, from 1, across all files of the log.
    pub seq: u64,
    /// When, in seconds since 1970 (UTC), by the wall clock.
    pub time: u64,
    /// What happened.
    pub what: What,
    /// Who asked, as far as the kernel tells; none where the agent did it by itself.
    pub by: Option<Process>,
    /// The directory of the project that it was for, as bytes.
    pub project: Option<Vec<u8>>,
    /// The secrets that it was about, with their versions where that makes sense.
    pub secrets: Vec<(SecretName, Option<u32>)>,
}

/// A process and what started it. All but the uid is unverified.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Process {
    /// The kernel's word.
    pub uid: u32,
    /// As it was at connect(2).
    pub pid: i32,
    /// Its session.
    pub sid: i32,
    /// Its terminal, if it has one.
    pub tty: Option<String>,
    /// It and what started it, nearest first: pid and program.
    pub ancestry: Vec<(i32, String)>,
    /// The coding assistant among them.
    pub assistant: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum What {
    /// The agent began.
    Started,
    /// The agent ended.
    Stopped,
    /// Identity and vault were made.
    Made,
    /// The vault was opened.
    Unlocked,
    /// It was not.
    UnlockFailed,
    /// Every value was forgotten.
    Locked(Why),
    /// Values were handed out.
    Released(Way),
    /// They were not.
    Refused(Way),
    /// The human was asked, and allowed it.
    Allowed,
    /// The human was asked, and did not allow it.
    Denied,
    /// The vault was changed.
    Changed(Deed),
    /// The vault file was changed by somebody else, and read again.
    Reloaded,
    /// The log itself was tampered with, or cut off by a crash.
    Broken,
    /// So many events could not be written.
    Lost(u64),
    /// A process of another user connected, and was turned away.
    Stranger,
    /// A coding assistant was seen behind a process that had asked, by what could only be
    /// looked at after its event was written.
    Assistant,
    /// They were not handed out, as `Refused`, and for that reason.
    RefusedFor(Way, Reason),
}

/// Why the vault was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Why {
    /// Somebody asked for it.
    Asked,
    /// The agent ended.
    Stopped,
    /// A hang-up signal.
    Signal,
    /// Nothing was handed out for too long.
    Idle,
    /// It was open for long enough.
    Deadline,
    /// The machine went to sleep.
    Sleep,
    /// The screen was locked.
    Screen,
    /// The session ended.
    Logout,
    /// Our socket was taken from us.
    Usurped,
}

/// By which way values leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Way {
    /// Into the environment of one command.
    Exec,
    /// As text, into a tool.
    Export,
    /// Into a shell, by its hook or direnv.
    Load,
    /// One value, to the human.
    Get,
    /// A file as it was before an import.
    Original,
}

/// The name of a refusal, such as `exec-only`: `[a-z][a-z0-9-]{0,31}`, and nothing of what is
/// in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Filled up with zeros.
    bytes: [u8; REASON_BYTES_MAX],
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Deed {
    /// Values were set.
    Set,
    /// Secrets were removed.
    Removed,
    /// A secret was renamed.
    Moved,
    /// A manifest was allowed.
    Allowed,
    /// A directory was denied.
    Denied,
    /// The identity was sealed anew.
    Resealed,
    /// Another recipient can read the vault.
    RecipientAdded,
    /// One can no longer.
    RecipientRemoved,
    /// There is a new identity.
    Rekeyed,
}

/// What the check of the log found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Verified {
    /// How many events are good, from the oldest that is kept.
    pub good: u64,
    /// How many of the newest are behind the last anchor: whoever can write the log could
    /// have cut some more from its end, unless the agent runs since.
    pub unanchored: u64,
    /// The first that is not good.
    pub bad: Option<Bad>,
}

/// The first event that is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Bad {
    /// The number that it should have.
    pub seq: u64,
    /// What is wrong there.
    pub fault: LogFault,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LogFault {
    /// It was changed, or is not ours.
    Changed,
    /// It is not there.
    Missing,
    /// It is at the wrong place.
    Order,
    /// It was sealed by the key of another epoch.
    Epoch,
    /// The log cannot be read.
    Unreadable,
}

impl Reason {
    /// Takes the name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let is_plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= REASON_BYTES_MAX
            && name.bytes().all(is_plain);
        let mut bytes = [0; REASON_BYTES_MAX];
        is_name.then(|| {
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            Self { bytes }
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes).expect("its alphabet is ASCII");
        text.trim_end_matches('\0')
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Encode for Reason {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_str().encode(encoder)
    }
}

impl<C> Decode<C> for Reason {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::new(&String::decode(decoder)?).ok_or(DecodeError::Other("not a reason"))
    }
}

impl_borrow_decode!(Reason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_short_plain_word() {
        for name in ["a", "exec-only", &"a".repeat(REASON_BYTES_MAX)] {
            assert_eq!(Reason::new(name).expect("a name").as_str(), name);
        }
        let long = "a".repeat(REASON_BYTES_MAX + 1);
        for name in ["", "-a", "7", "Locked", "a b", "a\0", "a\u{1b}", "é", &long] {
            assert_eq!(Reason::new(name), None, "{name:?}");
        }
    }
}
