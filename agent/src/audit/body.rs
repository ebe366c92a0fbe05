//! The members of a record, as they are written and as they are read back for a human.

use super::ancestry::Ancestor;
use super::event::{Event, Named, parse_named};
use super::moment::{Moment, boot_id};
use super::words;
use keyagent_wire::SecretName;
use keyagent_wire::event::{Event as Told, Process};
use keyagent_wire::frame::NAMES_MAX;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// The longest path in a record, in bytes. What is longer loses its end.
pub const PATH_BYTES_MAX: usize = 1024;

/// Where a record stands: the part of it that the log adds.
pub struct Place<'a> {
    /// Its number.
    pub seq: u64,
    /// Its epoch.
    pub epoch: u64,
    /// When.
    pub moment: Moment,
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
    how: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
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
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assistant: Option<&'static str>,
    /// As its name says: a process can be another program than it was.
    #[serde(skip_serializing_if = "<[Ancestor]>::is_empty")]
    unverified: &'a [Ancestor],
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "<[Named]>::is_empty")]
    secrets: &'a [Named<'a>],
}

impl<'a> Body<'a> {
    /// The record of an event at its place.
    pub fn new(event: &Event<'a>, place: &Place<'a>) -> Self {
        let (word, how, count) = words::of(event.what);
        let lineage = event.who.map(|who| &who.lineage);
        Self {
            seq: place.seq,
            epoch: place.epoch,
            event: word,
            how,
            decision: words::decision(event.what),
            refusal: event.refusal.map(words::refusal),
            count,
            wall: place.moment.wall_millis / 1000,
            boot: place.moment.boot_millis,
            boot_id: boot_id(),
            jump: place.jump,
            log: place.log,
            prev: place.prev,
            uid: event.who.map(|who| who.uid),
            pid: event.who.map(|who| who.pid),
            sid: lineage.and_then(|l| l.session),
            tty: lineage.and_then(|l| l.tty.as_deref()),
            assistant: lineage.and_then(|l| l.assistant),
            unverified: lineage.map_or(&[], |l| &l.processes),
            path: event.path.map(bounded),
            secrets: &event.secrets[..event.secrets.len().min(NAMES_MAX)],
        }
    }
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// At most that many bytes of a path, as text.
pub fn bounded(path: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(&path[..path.len().min(PATH_BYTES_MAX)]);
    if path.len() > PATH_BYTES_MAX { Cow::Owned(format!("{text}…")) } else { text }
}

/// The members that a human is told of. What is not there is not told.
#[derive(Deserialize)]
struct Read<'a> {
    seq: u64,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    how: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    count: Option<u64>,
    wall: u64,
    uid: Option<u32>,
    pid: Option<i32>,
    #[serde(default)]
    sid: i32,
    tty: Option<String>,
    assistant: Option<String>,
    #[serde(default)]
    unverified: Vec<ReadAncestor>,
    path: Option<String>,
    #[serde(default, borrow)]
    secrets: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ReadAncestor {
    pid: i32,
    name: String,
    exe: Option<String>,
}

/// The event of a line, if a human is told of it, and if it has that secret, where one is
/// asked for.
pub fn told(json: &[u8], secret: Option<&SecretName>) -> Option<Told> {
    let read: Read<'_> = serde_json::from_slice(json).ok()?;
    let what = words::meaning(&read.event, read.how.as_deref(), read.count)?;
    let what = words::because(what, read.refusal.as_deref());
    let secrets: Vec<_> = read.secrets.iter().filter_map(|text| parse_named(text)).collect();
    if secret.is_some_and(|wanted| secrets.iter().all(|(name, _)| name != wanted)) {
        return None;
    }
    let program = |of: ReadAncestor| (of.pid, of.exe.unwrap_or(of.name));
    let by = read.uid.zip(read.pid).map(|(uid, pid)| Process {
        uid,
        pid,
        sid: read.sid,
        tty: read.tty,
        ancestry: read.unverified.into_iter().map(program).collect(),
        assistant: read.assistant,
    });
    let project = read.path.map(String::into_bytes);
    Some(Told { seq: read.seq, time: read.wall, what, by, project, secrets })
}
