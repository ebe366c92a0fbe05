//! The log that is written: one record a call, whole or not at all, before what it records
//! is done.
//!
//! A record that cannot be written is an error for the caller, who then refuses, and is
//! counted: the next one that can be written says how many there were. A log that was
//! tampered with goes on in a new file that says so. Nothing that was written is changed.

use super::body::{Body, Place};
use super::chain::{
    Chain, EPOCH_MILLIS_MAX, EPOCH_RECORDS_MAX, Fault, LogId, Mac, Root, SEQ_FIRST,
};
use super::event::{Event, What};
use super::files::{Files, Seen};
use super::moment::Moment;
use super::record::{self, push_hex};
use super::state::State;
use super::tail::{self, End};
use keyagent_wire::VaultFault;
use keyagent_wire::event::What as Told;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// An epoch ends with this many records, so that the first records of new files, which end
/// none, still find room in it.
const EPOCH_RECORDS_FULL: u32 = EPOCH_RECORDS_MAX - 4;

/// The log, and where its chain stands.
pub struct Log {
    files: Files,
    id: LogId,
    chain: Chain,
    current: Current,
    /// When the last record was written.
    last: Option<Moment>,
    /// When this epoch had its first record, by the clock since boot.
    epoch_began: u64,
    /// How many events could not be written since the last that was.
    lost: u64,
    /// How many bytes a crash had left of a record.
    repaired: u64,
    /// Where the last epoch ended, until that is on disk.
    ended: Option<State>,
}

enum Current {
    Open(File, Seen),
    /// The next record begins a file, with this event.
    Next(What),
}

/// It was not written: errno(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLogged(pub i32);

/// Where the log stands, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log.
    pub log: LogId,
    /// The number of the next record.
    pub seq: u64,
    /// The MAC of the last one.
    pub mac: Mac,
}

/// An anchor that is to be put on disk. It waits for the disk: write it off the loop.
pub struct Anchor {
    state: State,
    path: PathBuf,
    log: File,
}

impl Anchor {
    /// Makes what was logged durable, then the state that says so.
    pub fn write(&self) -> io::Result<()> {
        self.log.sync_all()?;
        self.state.write(&self.path)
    }
}

impl Log {
    /// Begins a new log. Its first key never lies on disk. Waits for the disk.
    pub fn begin(files: Files, root: &Root, now: Moment) -> io::Result<Self> {
        files.make_directory()?;
        let id = LogId::random().ok_or(io::ErrorKind::Unsupported)?;
        let chain = Chain::at(root.first_key(&id), 0, SEQ_FIRST, [0; 32]);
        if files.seen().is_ok() {
            files.shift()?;
        }
        let mut log = Self::standing(files, id, chain, Current::Next(What::Began), now);
        log.settle(now).inspect_err(|_| {
            // The next attempt would move it aside, and an older one out.
            let _ = log.files.remove();
        })?;
        Ok(log)
    }

    /// Writes its first records, and the state that says so.
    fn settle(&mut self, now: Moment) -> io::Result<()> {
        self.catch_up(now).and_then(|()| self.seal(now)).map_err(|e| e.io())?;
        self.anchor().map_or(Ok(()), |anchor| anchor.write())
    }

    /// Goes on with the log that is there. None if there is none, or its state is lost: then
    /// a new one has to begin, which takes the identity.
    pub fn resume(files: Files, now: Moment) -> io::Result<Option<Self>> {
        let state = match State::read(&files.state()) {
            Ok(Some(state)) => state,
            // It may be read yet. To begin anew now would look like a log that was replaced.
            Err(VaultFault::Unreadable(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Ok(None) | Err(_) => return Ok(None),
        };
        let (chain, end) = tail::walk(&files, &state);
        let (mut repaired, mut current) = (0, Current::Next(What::Rotated));
        match end {
            End::NoFile => {}
            End::Whole { bytes: 0 } => files.remove()?,
            End::Whole { .. } => current = Current::open(&files)?,
            End::Torn { good, bytes } => {
                repaired = bytes - good;
                if good == 0 {
                    files.remove()?;
                } else {
                    files.open()?.set_len(good)?;
                    current = Current::open(&files)?;
                }
            }
            End::Bad(fault) => {
                files.shift()?;
                current = Current::Next(What::Broken(fault));
            }
        }
        let mut log = Self::standing(files, state.log, chain, current, now);
        log.repaired = repaired;
        Ok(Some(log))
    }

    fn standing(files: Files, id: LogId, chain: Chain, current: Current, now: Moment) -> Self {
        let (epoch_began, last, ended) = (now.boot_millis, None, None);
        Self { files, id, chain, current, last, epoch_began, lost: 0, repaired: 0, ended }
    }

    /// Whether it is a log of that identity. A state that somebody made up is of none.
    pub fn is_of(&self, root: &Root) -> bool {
        let key = root.key_at(&self.id, self.chain.epoch);
        key.is_some_and(|key| key.is(self.chain.key()))
    }

    /// Keeps its key in the arena from now on. One log at a time can.
    pub fn guard_key(&mut self) {
        self.chain.guard_key();
    }

    /// Counts events that could not be written while there was no log.
    pub fn lose(&mut self, count: u64) {
        self.lost += count;
    }

    /// Whether there is an anchor to be written.
    pub fn has_anchor(&self) -> bool {
        self.ended.is_some()
    }

    /// Writes one event. If it was not written, what it is of must not be done.
    pub fn record(&mut self, event: &Event<'_>, now: Moment) -> Result<(), NotLogged> {
        let written = self.catch_up(now).and_then(|()| {
            if self.due_in(now).is_some_and(|due| due.is_zero()) {
                self.seal(now)?;
            }
            self.put(event, now)
        });
        if written.is_err() {
            self.lost += 1;
        }
        written
    }

    /// Ends the epoch, if it has a record: what was written cannot be made up any more.
    pub fn seal(&mut self, now: Moment) -> Result<(), NotLogged> {
        if self.chain.in_epoch == 0 {
            return Ok(());
        }
        self.catch_up(now)?;
        self.put_sealed(now)
    }

    /// In what time the epoch ends by itself; none while it has no record.
    pub fn due_in(&self, now: Moment) -> Option<Duration> {
        let age = now.boot_millis.saturating_sub(self.epoch_began);
        let rest = Duration::from_millis(EPOCH_MILLIS_MAX.saturating_sub(age));
        (self.chain.in_epoch > 0).then_some(rest)
    }

    /// The anchor that is to be written, if one is.
    pub fn anchor(&mut self) -> Option<Anchor> {
        let Current::Open(file, _) = &self.current else { return None };
        self.ended.as_ref()?;
        let (log, path) = (file.try_clone().ok()?, self.files.state());
        self.ended.take().map(|state| Anchor { state, path, log })
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        Head { log: self.id.clone(), seq: self.chain.seq, mac: self.chain.prev }
    }

    /// Where it lies.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Looks whether the file is as it was left, and writes what has to come first: how many
    /// events could not be written, too.
    pub fn catch_up(&mut self, now: Moment) -> Result<(), NotLogged> {
        if let Current::Open(file, seen) = &self.current
            && let Some(fault) = self.found(*seen)?
        {
            let _ = file.sync_all();
            self.next_file(What::Broken(fault))?;
        }
        if let Current::Next(what) = self.current {
            self.begin_file(what, now)?;
            // An anchor behind the bad place, so that it is not found at each start.
            if matches!(what, What::Broken(_)) {
                self.put_sealed(now)?;
            }
        }
        if self.repaired > 0 {
            self.put(&Event::of(What::Repaired(self.repaired)), now)?;
            self.repaired = 0;
        }
        if self.lost > 0 {
            self.put(&Event::told(Told::Lost(self.lost)), now)?;
            self.lost = 0;
        }
        Ok(())
    }

    /// What was done to the file since the last record.
    fn found(&self, left: Seen) -> Result<Option<Fault>, NotLogged> {
        let seen = match self.files.seen() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Fault::Missing));
            }
            seen => seen.map_err(NotLogged::of)?,
        };
        let is_shorter = seen.inode == left.inode && seen.bytes < left.bytes;
        let fault = if is_shorter { Fault::Truncated } else { Fault::Changed };
        // A second name is none of ours, even if it was there when the log was opened.
        Ok((seen != left || seen.names > 1).then_some(fault))
    }

    fn put_sealed(&mut self, now: Moment) -> Result<(), NotLogged> {
        self.append(&Event::of(What::Sealed), now)?;
        self.ended = State::of(&self.chain, &self.id);
        Ok(())
    }

    fn put(&mut self, event: &Event<'_>, now: Moment) -> Result<(), NotLogged> {
        if self.chain.in_epoch >= EPOCH_RECORDS_FULL {
            self.put_sealed(now)?;
        }
        self.append(event, now)
    }

    fn append(&mut self, event: &Event<'_>, now: Moment) -> Result<(), NotLogged> {
        let (line, mac) = self.line(event, now, false);
        let Current::Open(file, seen) = &mut self.current else {
            return Err(NotLogged(nix::libc::EIO));
        };
        if seen.bytes + line.len() as u64 > self.files.bytes_max {
            let _ = file.sync_all();
            self.next_file(What::Rotated)?;
            self.begin_file(What::Rotated, now)?;
            return self.append(event, now);
        }
        write_whole(file, seen, &line)?;
        self.pass(mac, event.what, now);
        Ok(())
    }

    fn next_file(&mut self, what: What) -> Result<(), NotLogged> {
        self.files.shift().map_err(NotLogged::of)?;
        self.current = Current::Next(what);
        Ok(())
    }

    /// Makes a file with its first record, or none.
    fn begin_file(&mut self, mut what: What, now: Moment) -> Result<(), NotLogged> {
        let mut file = match self.files.create() {
            // Somebody has put one there: it is moved out of the way as any other.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                what = What::Broken(Fault::Changed);
                self.next_file(what)?;
                self.files.create()
            }
            created => created,
        }
        .map_err(NotLogged::of)?;
        let (line, mac) = self.line(&Event::of(what), now, true);
        let written = file
            .metadata()
            .map_err(NotLogged::of)
            .map(|facts| Seen::of(&facts))
            .and_then(|mut seen| write_whole(&mut file, &mut seen, &line).map(|()| seen));
        match written {
            Ok(seen) => {
                self.current = Current::Open(file, seen);
                self.pass(mac, what, now);
                Ok(())
            }
            Err(error) => {
                let _ = self.files.remove();
                Err(error)
            }
        }
    }

    fn line(&self, event: &Event<'_>, now: Moment, is_first: bool) -> (Vec<u8>, Mac) {
        let mut prev = Vec::new();
        push_hex(&mut prev, &self.chain.prev);
        let place = Place {
            seq: self.chain.seq,
            epoch: self.chain.epoch,
            moment: now,
            jump: self.last.and_then(|last| now.jump_since(&last)),
            log: is_first.then(|| self.id.text()),
            prev: std::str::from_utf8(&prev).ok().filter(|_| is_first),
        };
        let mut line = record::body(&Body::new(event, &place));
        let mac = self.chain.mac(&line);
        record::finish(&mut line, &mac);
        (line, mac)
    }

    fn pass(&mut self, mac: Mac, what: What, now: Moment) {
        if self.chain.in_epoch == 0 {
            self.epoch_began = now.boot_millis;
        }
        self.chain.pass(mac, what == What::Sealed);
        self.last = Some(now);
    }
}

impl Current {
    fn open(files: &Files) -> io::Result<Self> {
        let file = files.open()?;
        let seen = Seen::of(&file.metadata()?);
        Ok(Self::Open(file, seen))
    }
}

impl NotLogged {
    fn of(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(nix::libc::EIO))
    }

    fn io(self) -> io::Error {
        io::Error::from_raw_os_error(self.0)
    }
}

/// Writes a line, or takes back what was written of it. If even that fails, the file is not
/// as it was left, and the next record finds it so.
fn write_whole(file: &mut File, seen: &mut Seen, line: &[u8]) -> Result<(), NotLogged> {
    let written = loop {
        match file.write(line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => break written,
        }
    };
    let error = match written {
        Ok(count) if count == line.len() => {
            seen.bytes += count as u64;
            return Ok(());
        }
        Ok(_) => NotLogged(nix::libc::ENOSPC),
        Err(error) => NotLogged::of(error),
    };
    let _ = file.set_len(seen.bytes);
    Err(error)
}
