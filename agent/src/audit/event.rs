//! What is recorded: a closed set of events, and who, where and which secrets they are of.
//!
//! Names and numbers alone: no event has room for a value, or for a hash of one.

use super::ancestry::{Ancestor, Lineage};
use super::chain::Fault;
use keyagent_wire::SecretName;
use keyagent_wire::frame::NAMES_MAX;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// The longest path in a record, in bytes. What is longer loses its end.
pub const PATH_BYTES_MAX: usize = 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The agent began to serve.
    Started,
    /// The agent stopped.
    Stopped,
    /// Identity and vault were made.
    Init,
    /// The vault was opened.
    Unlocked,
    /// It was not: the passphrase was another.
    UnlockFailed,
    /// The vault was closed.
    Locked(Cause),
    /// Values were handed out.
    Release(Way),
    /// A request was refused, and why.
    Refused(&'static str),
    /// The vault was changed.
    Changed(Change),
    /// The human was asked, and said yes or no.
    Asked(bool),
    /// The vault file was changed by another, and is served now.
    Reloaded,
    /// The vault file was changed by another, and cannot be used.
    ReloadFailed,
    /// A process of another user tried to connect.
    Stranger,
    /// The agent runs with less protection than it could.
    Degraded(&'static str),
    /// A log begins. Its first record.
    Began,
    /// The log goes on in a new file. Its first record.
    Rotated,
    /// The log goes on in a new file, because the old one was tampered with. Its first record.
    Broken(Fault),
    /// An epoch ends. Its last record.
    Sealed,
    /// A record that a crash had cut short was taken away: so many bytes.
    Repaired,
    /// So many events could not be written before this one.
    Lost,
}

/// Why the vault was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A client asked.
    Asked,
    /// Nobody used it for a while.
    Idle,
    /// It was open for as long as it may be.
    Limit,
    /// The machine goes to sleep.
    Sleep,
    /// The screen was locked.
    Screen,
    /// The human logged out.
    Logout,
    /// A signal.
    Signal,
    /// The agent's memory was tampered with.
    Tampered,
}

/// The way by which values leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To a command.
    Exec,
    /// To a shell or a file.
    Export,
    /// One value, by its name.
    Get,
    /// A file as it was before an import.
    Original,
}

/// What was done to the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Values or files were sealed.
    Set,
    /// Secrets were removed.
    Remove,
    /// A secret was renamed.
    Move,
    /// A manifest was allowed.
    Allow,
    /// A directory's trust was taken back.
    Deny,
    /// Others may read the vault, or no longer may.
    Recipients,
    /// The passphrase is another.
    Passphrase,
    /// The vault was sealed anew.
    Rekey,
}

/// Who asked: the kernel's word for uid and pid, and the rest as far as it could be seen.
#[derive(Debug, Clone)]
pub struct Who {
    /// The uid that connected.
    pub uid: u32,
    /// The process that connected. It may be another program by now.
    pub pid: i32,
    /// What is around it, unverified.
    pub lineage: Lineage,
}

/// A secret, and which version of it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// Its name.
    pub name: &'a SecretName,
    /// Its version, if it is of one.
    pub version: Option<u32>,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What happened.
    pub what: What,
    /// Who asked for it, if somebody did.
    pub who: Option<&'a Who>,
    /// The directory of the project, or the path of the original.
    pub path: Option<&'a [u8]>,
    /// Which secrets it is of.
    pub secrets: &'a [Named<'a>],
    /// How many, where something is counted.
    pub count: Option<u64>,
}

impl Event<'_> {
    /// An event of the agent itself.
    pub fn of(what: What) -> Self {
        Self { what, who: None, path: None, secrets: &[], count: None }
    }
}

impl What {
    /// Its word, and the word of its reason or its way.
    pub fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Started => ("started", None),
            Self::Stopped => ("stopped", None),
            Self::Init => ("init", None),
            Self::Unlocked => ("unlocked", None),
            Self::UnlockFailed => ("unlock-failed", None),
            Self::Locked(cause) => ("locked", Some(cause.word())),
            Self::Release(way) => ("release", Some(way.word())),
            Self::Refused(why) => ("refused", Some(why)),
            Self::Changed(change) => ("changed", Some(change.word())),
            Self::Asked(_) => ("asked", None),
            Self::Reloaded => ("reloaded", None),
            Self::ReloadFailed => ("reload-failed", None),
            Self::Stranger => ("stranger", None),
            Self::Degraded(what) => ("degraded", Some(what)),
            Self::Began => ("began", None),
            Self::Rotated => ("rotated", None),
            Self::Broken(fault) => ("broken", Some(fault.word())),
            Self::Sealed => (super::record::SEALED, None),
            Self::Repaired => ("repaired", None),
            Self::Lost => ("lost", None),
        }
    }

    fn decision(self) -> Option<&'static str> {
        match self {
            Self::Release(_) | Self::Asked(true) => Some("allow"),
            Self::Refused(_) | Self::Asked(false) | Self::Stranger => Some("deny"),
            _ => None,
        }
    }
}

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Sleep => "sleep",
            Self::Screen => "screen",
            Self::Logout => "logout",
            Self::Signal => "signal",
            Self::Tampered => "tampered",
        }
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Export => "export",
            Self::Get => "get",
            Self::Original => "original",
        }
    }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Remove => "remove",
            Self::Move => "move",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Recipients => "recipients",
            Self::Passphrase => "passphrase",
            Self::Rekey => "rekey",
        }
    }
}

impl Fault {
    /// Its word, in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Reordered => "reordered",
            Self::Duplicate => "duplicate",
            Self::WrongEpoch => "wrong-epoch",
            Self::Torn => "torn",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::Found => "found",
            Self::Restarted => "restarted",
            Self::Foreign => "foreign",
            Self::State => "state",
        }
    }
}

/// Where a record stands: the part of it that the log adds.
pub struct Place<'a> {
    /// Its number.
    pub seq: u64,
    /// Its epoch.
    pub epoch: u64,
    /// When.
    pub moment: super::moment::Moment,
    /// How far the wall clock was set since the record before, in seconds.
    pub jump: Option<i64>,
    /// In the first record of a file: which log it is.
    pub log: Option<&'a str>,
    /// In the first record of a file: the MAC of the record before, in hex.
    pub prev: Option<&'a str>,
}

/// The members of a record, in order. Only the first three have a fixed place.
#[derive(Serialize)]
pub struct Body<'a> {
    seq: u64,
    epoch: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    wall: u64,
    boot: u64,
    boot_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assistant: Option<&'static str>,
    /// Unverified, as its name says: a process can be another program than it was.
    #[serde(skip_serializing_if = "<[Ancestor]>::is_empty", rename = "unverified")]
    ancestry: &'a [Ancestor],
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "<[Named]>::is_empty")]
    secrets: &'a [Named<'a>],
}

impl<'a> Body<'a> {
    /// The record of an event at its place.
    pub fn new(event: &Event<'a>, place: &Place<'a>) -> Self {
        let (word, why) = event.what.words();
        let lineage = event.who.map(|who| &who.lineage);
        Self {
            seq: place.seq,
            epoch: place.epoch,
            event: word,
            why,
            decision: event.what.decision(),
            wall: place.moment.wall_millis / 1000,
            boot: place.moment.boot_millis,
            boot_id: super::moment::boot_id(),
            jump: place.jump,
            log: place.log,
            prev: place.prev,
            count: event.count,
            uid: event.who.map(|who| who.uid),
            pid: event.who.map(|who| who.pid),
            sid: lineage.and_then(|l| l.session),
            tty: lineage.and_then(|l| l.tty.as_deref()),
            assistant: lineage.and_then(|l| l.assistant),
            ancestry: lineage.map_or(&[], |l| &l.processes),
            path: event.path.map(bounded),
            secrets: &event.secrets[..event.secrets.len().min(NAMES_MAX)],
        }
    }
}

/// At most that many bytes of a path, as text.
pub fn bounded(path: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(&path[..path.len().min(PATH_BYTES_MAX)]);
    if path.len() > PATH_BYTES_MAX { Cow::Owned(format!("{text}…")) } else { text }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// `name@version`: no name has an `@`.
impl Serialize for Named<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
