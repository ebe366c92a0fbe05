//! What is recorded: a closed set of events, and who, where and which secrets they are of.
//!
//! Names and numbers alone: no event has room for a value, or for a hash of one.

use super::ancestry::Lineage;
use super::chain::Fault;
use keyagent_wire::event::What as Told;
use keyagent_wire::{Refusal, SecretName};
use std::fmt;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What a human is told of.
    Told(Told),
    /// A log begins. Its first record.
    Began,
    /// The log goes on in a new file. Its first record.
    Rotated,
    /// The log goes on in a new file, because the old one was tampered with. Its first record.
    Broken(Fault),
    /// An epoch ends. Its last record.
    Sealed,
    /// So many bytes of a record that a crash had cut short were taken away.
    Repaired(u64),
}

/// Who asked: the kernel's word for uid and pid, and the rest as far as it could be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Why it was refused, if it was.
    pub refusal: Option<&'a Refusal>,
    /// Who asked for it, if somebody did.
    pub who: Option<&'a Who>,
    /// The directory of the project, or the path of the original.
    pub path: Option<&'a [u8]>,
    /// Which secrets it is of.
    pub secrets: &'a [Named<'a>],
}

impl Event<'_> {
    /// An event of the agent itself.
    pub fn of(what: What) -> Self {
        Self { what, refusal: None, who: None, path: None, secrets: &[] }
    }

    /// An event that a human is told of.
    pub fn told(what: Told) -> Self {
        Self::of(What::Told(what))
    }
}

/// `name@version`: no name has an `@`.
impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// Reads what that wrote.
pub fn parse_named(text: &str) -> Option<(SecretName, Option<u32>)> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version.parse().ok()?)),
        None => (text, None),
    };
    Some((SecretName::new(name).ok()?, version))
}
