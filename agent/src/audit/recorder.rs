//! The recorder: the one log of this agent, whatever state it is in, for all who record.
//!
//! Before there is a vault there is no log, and after a disk error there may be none for a
//! while: then nothing that has to be recorded is done, and what happens all the same is
//! counted, and told first once there is a log again.

use super::ancestry::{Ancestry, Detail, Key};
use super::chain::Root;
use super::event::{Event, Who};
use super::files::Files;
use super::log::{Anchor, Head, Log, NotLogged};
use super::moment::Moment;
use super::verify::{Snapshot, verify};
use crate::peer::Peer;
use keyagent_wire::Refusal;
use keyagent_wire::event::{Deed, What, Why};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

/// How long one stranger is told of for all: they cannot fill the log.
const STRANGER_MILLIS_MIN: u64 = 60_000;
/// How many lines of processes may wait to be looked at. Others go without.
const UNSEEN_MAX: usize = 64;

/// What is to be done behind an event, off the loop or outside the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// An anchor is to be written.
    Anchor,
    /// A line of processes is to be looked at.
    Look,
    /// It cannot be written: its place may be another now.
    Doubt,
}

/// The log, or why there is none.
pub struct Recorder {
    files: RefCell<Files>,
    /// Keeps other agents from the same files. Without it nothing is written.
    claim: RefCell<Option<File>>,
    log: RefCell<Option<Log>>,
    /// Why there is no log, if one was expected: errno(3).
    missing: Cell<Option<i32>>,
    lost: Cell<u64>,
    /// Whether this agent's start is in the log.
    has_started: Cell<bool>,
    ancestry: RefCell<Ancestry>,
    /// Who asked from under a parent that was not met before.
    unseen: RefCell<VecDeque<Who>>,
    /// When a stranger was told of last, by the clock since boot.
    stranger_told: Cell<Option<u64>>,
    wake: Box<dyn Fn(Due)>,
}

impl Recorder {
    /// The log in that directory, gone on with if there is one.
    pub fn start(state: &Path, wake: impl Fn(Due) + 'static) -> Self {
        let recorder = Self {
            files: RefCell::new(Files::new(state)),
            claim: RefCell::default(),
            log: RefCell::new(None),
            missing: Cell::new(None),
            lost: Cell::new(0),
            has_started: Cell::new(false),
            ancestry: RefCell::default(),
            unseen: RefCell::default(),
            stranger_told: Cell::new(None),
            wake: Box::new(wake),
        };
        recorder.resume();
        recorder
    }

    /// Whether it has no log, though the identity that one begins from may be at hand.
    pub fn needs_root(&self) -> bool {
        self.log.borrow().is_none()
    }

    /// Takes the identity's word for the log: begins one where there is none, or where the
    /// one that is there is of another identity. The new one says so.
    pub fn adopt(&self, root: &Root) {
        self.resume();
        if self.log.borrow().as_ref().is_some_and(|log| log.is_of(root)) {
            return;
        }
        let is_rekeyed = self.is_of_another(root);
        if is_rekeyed {
            self.retire();
        }
        *self.log.borrow_mut() = None;
        if !self.has_claim() {
            return;
        }
        match Log::begin(self.files(), root, Moment::now()) {
            Ok(log) => self.take(log),
            Err(error) => return self.miss(&error),
        }
        if is_rekeyed {
            self.happened(What::Changed(Deed::Rekeyed), None);
        }
    }

    /// Whether no record of the log is this identity's. It is the one from before a rekeying
    /// that was cut off, or that another agent did. One record of ours, and the log is ours
    /// and was tampered with: it stays for the verifier to find.
    fn is_of_another(&self, root: &Root) -> bool {
        !self.needs_root() && verify(&self.snapshot(), root).good == 0
    }

    /// Ends the log, and puts it aside: the identity is about to be another one, which could not
    /// check it. Waits for the disk.
    pub fn retire(&self) {
        self.seal();
        let Some(mut log) = self.log.borrow_mut().take() else { return };
        let written = log.anchor().map_or(Ok(()), |anchor| anchor.write());
        let aside = written.and_then(|()| self.files().put_aside(log.head().log.text()));
        if let Err(error) = aside {
            tracing::warn!(%error, "cannot put the audit log aside");
        }
    }

    /// Records what somebody asked for and must not be done unless this is written.
    pub(super) fn record(&self, event: &Event<'_>) -> Result<(), Refusal> {
        self.resume();
        let mut log = self.log.borrow_mut();
        let Some(log) = &mut *log else {
            let errno = self.missing.get();
            if errno.is_some() {
                self.lost.set(self.lost.get() + 1);
                (self.wake)(Due::Doubt);
            }
            return Err(Refusal::NotRecorded(errno.unwrap_or(nix::libc::ENOENT)));
        };
        let written = log.record(event, Moment::now());
        if log.has_anchor() {
            (self.wake)(Due::Anchor);
        }
        written.map_err(|NotLogged(errno)| {
            tracing::warn!(errno, "cannot write the audit log");
            (self.wake)(Due::Doubt);
            Refusal::NotRecorded(errno)
        })
    }

    /// Records what has happened. What cannot be written is counted, and told later.
    pub(super) fn note(&self, event: &Event<'_>) {
        let _ = self.record(event);
    }

    /// Records what the agent did by itself, or a human by it.
    pub fn happened(&self, what: What, peer: Option<&Peer>) {
        let who = peer.map(|peer| self.who(peer));
        self.note(&Event { who: who.as_ref(), ..Event::told(what) });
    }

    /// Records a lock, and that no record up to here can be made up any more.
    pub fn locked(&self, why: Why, peer: Option<&Peer>) {
        self.happened(What::Locked(why), peer);
        self.seal();
    }

    /// Records that a process of another user tried to connect, once a minute.
    pub fn stranger(&self, uid: u32, pid: i32) {
        let now = Moment::now().boot_millis;
        let told = self.stranger_told.get();
        if told.is_some_and(|told| now.saturating_sub(told) < STRANGER_MILLIS_MIN) {
            return;
        }
        let who = self.who_is(uid, pid);
        let event = Event { who: Some(&who), ..Event::told(What::Stranger) };
        if self.record(&event).is_ok() {
            self.stranger_told.set(Some(now));
        }
    }

    /// Whether it can be written: what could not be is tried again. None where no log is
    /// expected yet.
    pub fn is_written(&self) -> Option<Result<(), i32>> {
        self.resume();
        match &mut *self.log.borrow_mut() {
            Some(log) => {
                let caught_up = log.catch_up(Moment::now());
                if log.has_anchor() {
                    (self.wake)(Due::Anchor);
                }
                Some(caught_up.map_err(|NotLogged(errno)| errno))
            }
            None => self.missing.get().map(Err),
        }
    }

    /// Ends the epoch.
    pub fn seal(&self) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            if let Err(NotLogged(errno)) = log.seal(Moment::now()) {
                tracing::warn!(errno, "cannot seal the audit log");
            }
            if log.has_anchor() {
                (self.wake)(Due::Anchor);
            }
        }
    }

    /// The anchor that is to be written, if one is.
    pub fn anchor(&self) -> Option<Anchor> {
        self.log.borrow_mut().as_mut()?.anchor()
    }

    /// All that is kept, as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let head: Option<Head> = self.log.borrow().as_ref().map(Log::head);
        Snapshot::take(&self.files(), head)
    }

    /// Who that is, as far as can be seen.
    pub(super) fn who(&self, peer: &Peer) -> Who {
        let who = self.who_is(nix::unistd::geteuid().as_raw(), peer.pid());
        let mut unseen = self.unseen.borrow_mut();
        if !who.lineage.unseen.is_empty() && unseen.len() < UNSEEN_MAX {
            unseen.push_back(who.clone());
            (self.wake)(Due::Look);
        }
        who
    }

    /// Whose line is to be looked at next, if there is one.
    pub fn next_unseen(&self) -> Option<Who> {
        self.unseen.borrow_mut().pop_front()
    }

    /// Takes what was seen of such a line, and records an assistant that its event could not
    /// name yet.
    pub fn saw(&self, who: Who, seen: Vec<(Key, Detail)>) {
        let named = who.lineage.assistant;
        let lineage = self.ancestry.borrow_mut().learn(who.lineage, seen);
        if lineage.assistant != named {
            let who = Who { lineage, ..who };
            self.note(&Event { who: Some(&who), ..Event::told(What::Assistant) });
        }
    }

    fn who_is(&self, uid: u32, pid: i32) -> Who {
        Who { uid, pid, lineage: self.ancestry.borrow_mut().of(pid) }
    }

    /// Goes on with the log on disk, if there is one and none is at hand.
    fn resume(&self) {
        if !self.needs_root() || !self.has_claim() {
            return;
        }
        match Log::resume(self.files(), Moment::now()) {
            Ok(Some(log)) => self.take(log),
            Ok(None) => {}
            Err(error) => self.miss(&error),
        }
    }

    fn take(&self, mut log: Log) {
        log.guard_key();
        log.lose(self.lost.take());
        self.missing.set(None);
        *self.log.borrow_mut() = Some(log);
        if !self.has_started.replace(true) {
            self.happened(What::Started, None);
        }
        (self.wake)(Due::Anchor);
    }

    /// Where the log is.
    pub fn files(&self) -> Files {
        self.files.borrow().clone()
    }

    /// Claims files that no other agent writes, unless it has some. False if there are none.
    fn has_claim(&self) -> bool {
        if self.claim.borrow().is_some() {
            return true;
        }
        let claimed = self.files.borrow().claim();
        match claimed {
            Ok((files, claim)) => {
                *self.files.borrow_mut() = files;
                *self.claim.borrow_mut() = Some(claim);
                true
            }
            Err(error) => {
                self.miss(&error);
                false
            }
        }
    }

    fn miss(&self, error: &std::io::Error) {
        tracing::warn!(%error, "cannot open the audit log");
        self.missing.set(Some(error.raw_os_error().unwrap_or(nix::libc::EIO)));
    }
}
