//! The connections: how many there are, how long each may wait, and who goes first when
//! there are too many.
//!
//! A deadline is an instant in a list, looked at by one sweep, so that a request arms no
//! timer; whoever is late has its socket shut down, and its task sees the end of the stream.

use keyagent_wire::frame::CONNECTIONS_MAX;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// A socket that its task and the roster share.
pub type Socket = Rc<UnixStream>;

/// How often the sweep looks while there are connections.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// How long a connection is safe from being displaced, so that one that was just accepted
/// can send its request. Who had to wait before has sent it already.
const GRACE: Duration = Duration::from_millis(1);

/// How many answers a connection has for sure, as long as it does not let us wait: more than
/// any verb wants but an import.
const ANSWERS_SAFE: u32 = 256;

/// How many bytes of replies may wait for clients that do not read them, for all together.
const UNREAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// All connections, by number.
#[derive(Default)]
pub struct Roster {
    entries: RefCell<BTreeMap<u64, Entry>>,
    arrived: Notify,
}

struct Entry {
    socket: Socket,
    since: Instant,
    deadline: Option<Instant>,
    displaceable: bool,
    unread_bytes: usize,
    /// How often it was answered.
    answers: u32,
    /// Whether it has asked again before it was answered.
    is_hasty: bool,
}

impl Roster {
    /// Makes room for one more: a connection that asks before it was answered goes, else the
    /// one that has kept us waiting longest, else the one that was answered most. False if all
    /// are at work, came a moment ago, or have sent what we have not looked at: when we are
    /// late ourselves, nobody pays for it.
    pub fn make_room(&self) -> bool {
        let mut entries = self.entries.borrow_mut();
        if entries.len() < CONNECTIONS_MAX {
            return true;
        }
        let Some(number) = hasty(&entries).or_else(|| late(&entries)).or_else(|| busy(&entries))
        else {
            return false;
        };
        if let Some(entry) = entries.remove(&number) {
            entry.shut();
        }
        true
    }

    /// Adds a connection.
    pub fn add(self: &Rc<Self>, number: u64, socket: Socket) -> Place {
        let entry = Entry {
            socket,
            since: Instant::now(),
            deadline: None,
            displaceable: false,
            unread_bytes: 0,
            answers: 0,
            is_hasty: false,
        };
        self.entries.borrow_mut().insert(number, entry);
        self.arrived.notify_one();
        Place { roster: self.clone(), number }
    }

    /// Shuts down whoever is late, for as long as the agent lives. Sleeps while there are
    /// no connections.
    pub async fn sweep(&self) {
        loop {
            if self.entries.borrow().is_empty() {
                self.arrived.notified().await;
            }
            tokio::time::sleep(SWEEP_EVERY).await;
            let now = Instant::now();
            let entries = self.entries.borrow();
            entries.values().filter(|e| e.deadline.is_some_and(|d| d <= now)).for_each(Entry::shut);
        }
    }
}
/// Our clients never do that.
fn hasty(entries: &BTreeMap<u64, Entry>) -> Option<u64> {
    entries.iter().find(|(_, e)| e.displaceable && e.is_hasty).map(|(number, _)| *number)
}

fn late(entries: &BTreeMap<u64, Entry>) -> Option<u64> {
    let waiting = entries.iter().filter(|(_, e)| e.displaceable && e.since.elapsed() > GRACE);
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_by_key(|(_, e)| e.since);
    waiting.iter().find(|(_, e)| e.keeps_us_waiting()).map(|(number, _)| **number)
}

fn busy(entries: &BTreeMap<u64, Entry>) -> Option<u64> {
    let busy = entries.iter().filter(|(_, e)| e.displaceable && e.answers >= ANSWERS_SAFE);
    busy.max_by_key(|(_, e)| e.answers).map(|(number, _)| *number)
}

impl Entry {
    /// Whoever does not read its replies does, whatever it has sent.
    fn keeps_us_waiting(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        self.unread_bytes > 0
            || recv(self.socket.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
    }

    fn shut(&self) {
        // It may be gone already, which is what we want.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// A connection's place in the roster; dropping it leaves.
pub struct Place {
    roster: Rc<Roster>,
    number: u64,
}

impl Place {
    /// The client has that long to do its part, and may be displaced meanwhile.
    pub fn wait(&self, millis: u64) {
        self.set(|entry, now| {
            entry.since = now;
            entry.deadline = Some(now + Duration::from_millis(millis));
            entry.displaceable = true;
            entry.unread_bytes = 0;
        });
    }

    /// The client has that long to drain its reply, all of it, and may be displaced meanwhile,
    /// too: who does not read must not keep out who does. False if too much waits already.
    pub fn drain(&self, millis: u64, bytes: usize) -> bool {
        if !self.drains() {
            self.wait(millis);
        }
        self.set(|entry, _| entry.unread_bytes = bytes);
        let entries = self.roster.entries.borrow();
        entries.values().map(|entry| entry.unread_bytes).sum::<usize>() <= UNREAD_BYTES_MAX
    }

    /// It was answered, and had asked again before if it is hasty.
    pub fn answered(&self, is_hasty: bool) {
        self.set(|entry, _| {
            entry.answers = entry.answers.saturating_add(1);
            entry.is_hasty |= is_hasty;
            entry.displaceable = true;
        });
    }

    fn drains(&self) -> bool {
        let entries = self.roster.entries.borrow();
        entries.get(&self.number).is_some_and(|entry| entry.unread_bytes > 0)
    }

    /// It is our turn now.
    pub fn work(&self) {
        self.set(|entry, _| {
            entry.deadline = None;
            entry.displaceable = false;
            entry.unread_bytes = 0;
        });
    }

    fn set(&self, change: impl Fn(&mut Entry, Instant)) {
        if let Some(entry) = self.roster.entries.borrow_mut().get_mut(&self.number) {
            change(entry, Instant::now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.entries.borrow_mut().remove(&self.number);
    }
}
