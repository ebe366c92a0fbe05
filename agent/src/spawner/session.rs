//! What logind tells of sleep, screen lock and logout, heard in a helper: the agent itself
//! can open no way to any bus.
//!
//! The bus is the system's, at the place that it has everywhere. No variable says where: one
//! that did could make the agent deaf.

mod ours;

use super::{Job, Spawner};
use crate::vault::watch::Watch;
use ours::Ours;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use zbus::blocking::{Connection, MessageIterator, connection::Builder};
use zbus::message::{Message, Type};
use zbus::names::OwnedUniqueName;
use zbus::zvariant::{DynamicType, OwnedFd};

/// How long sleep is held up for the agent to lock. logind itself waits for 5 s.
const LOCK: Duration = Duration::from_secs(3);
/// How long a call over the bus may take.
const CALL: Duration = Duration::from_secs(10);
/// How many messages may wait to be looked at.
const QUEUED_MAX: usize = 256;
/// How often the sessions are looked at where what logind writes of them cannot be watched.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long without a bus, or without a helper, before the next try.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest such wait: each try is twice as late as the one before.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where the system's bus listens.
const BUSES: [&str; 2] = ["/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"];
const BUS: (&str, &str) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
const LOGIND: &str = "org.freedesktop.login1";
const MANAGER: (&str, &str) = ("org.freedesktop.login1.Manager", "/org/freedesktop/login1");
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What the bus should pass on.
const RULES: [&str; 4] = [
    "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Manager'",
    "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Session'",
    "type='signal',sender='org.freedesktop.login1',member='PropertiesChanged',\
     arg0='org.freedesktop.login1.Session'",
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',\
     arg0='org.freedesktop.login1'",
];

/// What the helper tells, one byte each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It hears logind now.
    Watching,
    /// It does not, or it cannot hold up sleep.
    Deaf,
    /// The machine is about to sleep. This alone is answered: when nothing is open any more.
    Sleep,
    /// It has slept.
    Resumed,
    /// The screen of one of our sessions was locked.
    ScreenLocked,
    /// The last of our sessions has ended.
    LoggedOut,
}

/// The agent's answer to [`Heard::Sleep`].
pub const LOCKED: u8 = b'K';

impl Heard {
    const BYTES: [(u8, Self); 6] = [
        (b'Y', Self::Watching),
        (b'N', Self::Deaf),
        (b'S', Self::Sleep),
        (b'R', Self::Resumed),
        (b'L', Self::ScreenLocked),
        (b'O', Self::LoggedOut),
    ];

    /// What a byte means.
    pub fn of(byte: u8) -> Option<Self> {
        Self::BYTES.iter().find(|(known, _)| *known == byte).map(|(_, heard)| *heard)
    }

    fn byte(self) -> u8 {
        Self::BYTES.iter().find(|(_, heard)| *heard == self).map_or(b'N', |(byte, _)| *byte)
    }
}

/// Starts the helper; it tells what it hears for as long as its socket is there.
pub fn watch(spawner: &Spawner, delays_sleep: bool) -> io::Result<UnixStream> {
    spawner.start(&Job::WatchSession { delays_sleep })
}

/// The helper's side of [`watch`].
pub(super) fn watch_here(agent: UnixStream, delays_sleep: bool) -> io::Result<()> {
    agent.set_read_timeout(Some(LOCK))?;
    let agent = Agent(agent);
    let mut ours = Ours::default();
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let logind = Logind::reach(delays_sleep, &mut ours, &agent);
        match logind.and_then(Logind::follow) {
            Err(End::Agent(error)) => return Err(error),
            Err(End::Bus) => agent.tell(Heard::Deaf)?,
        }
        if begun.elapsed() >= PAUSE_MAX {
            pause = PAUSE;
        }
        sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Which side has gone.
enum End {
    Agent(io::Error),
    Bus,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Agent(error)
    }
}

impl From<zbus::Error> for End {
    fn from(_: zbus::Error) -> Self {
        Self::Bus
    }
}

struct Agent(UnixStream);

impl Agent {
    fn tell(&self, heard: Heard) -> io::Result<()> {
        (&self.0).write_all(&[heard.byte()])
    }

    /// Waits until it has locked. One that does not answer in time gets another helper, whose
    /// socket holds no answer that is late.
    fn locks(&self) -> io::Result<()> {
        (&self.0).read_exact(&mut [0])
    }
}

/// What the helper waits for.
enum News {
    /// The bus has passed a signal on.
    Signal(Message),
    /// logind has written a session down anew.
    Written,
    /// The connection has ended.
    End,
}

/// Passes on what comes over the bus, until that ends or nobody listens any more.
fn pass_on(messages: MessageIterator, news: &SyncSender<News>) {
    for message in messages.map_while(Result::ok) {
        let is_signal = message.message_type() == Type::Signal;
        if is_signal && news.send(News::Signal(message)).is_err() {
            return;
        }
    }
    let _ = news.send(News::End);
}

/// logind, as it is reached over one connection.
struct Logind<'a> {
    agent: &'a Agent,
    bus: Connection,
    /// Who it is on the bus: to send us a signal is anybody's right.
    owner: OwnedUniqueName,
    ours: &'a mut Ours,
    news: Receiver<News>,
    /// None where there is nothing to watch.
    watch: Option<Watch>,
    delays_sleep: bool,
    /// Sleep waits for as long as this is open.
    inhibitor: Option<OwnedFd>,
}

impl<'a> Logind<'a> {
    fn reach(delays_sleep: bool, ours: &'a mut Ours, agent: &'a Agent) -> Result<Self, End> {
        let socket = BUSES.iter().find_map(|path| UnixStream::connect(path).ok());
        let builder = Builder::async_io_unix_stream(socket.ok_or(End::Bus)?);
        let bus = builder.method_timeout(CALL).max_queued(QUEUED_MAX).build()?;
        let messages = MessageIterator::from(&bus);
        for rule in RULES {
            bus.call_method(Some(BUS.0), BUS.1, Some(BUS.0), "AddMatch", &rule)?;
        }
        let (news_of_files, news) = sync_channel(QUEUED_MAX);
        let news_of_bus = news_of_files.clone();
        let watch = ours::watch(move || drop(news_of_files.send(News::Written)));
        // Where logind starts on demand, this starts it.
        if let Some(heard) = ours.look(&bus)? {
            agent.tell(heard)?;
        }
        let owner = bus.call_method(Some(BUS.0), BUS.1, Some(BUS.0), "GetNameOwner", &LOGIND)?;
        let owner = owner.body().deserialize()?;
        thread::Builder::new().spawn(move || pass_on(messages, &news_of_bus))?;
        Ok(Self { agent, bus, owner, ours, news, watch, delays_sleep, inhibitor: None })
    }

    /// Tells the agent of everything, until one of the two is gone.
    fn follow(mut self) -> Result<Infallible, End> {
        self.hold_up_sleep();
        let is_ready = self.inhibitor.is_some() || !self.delays_sleep;
        self.agent.tell(if is_ready { Heard::Watching } else { Heard::Deaf })?;
        let patience = if self.watch.is_some() { Duration::MAX } else { LOOK_EVERY };
        loop {
            match self.news.recv_timeout(patience) {
                Ok(News::Signal(message)) => self.look_at(&message)?,
                Ok(News::Written) | Err(RecvTimeoutError::Timeout) => self.look()?,
                Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return Err(End::Bus),
            }
        }
    }

    /// Tells what has come over our sessions.
    fn look(&mut self) -> Result<(), End> {
        if let Some(heard) = self.ours.look(&self.bus)? {
            self.agent.tell(heard)?;
        }
        Ok(())
    }

    /// Where this is refused, sleep is still told, though perhaps too late.
    fn hold_up_sleep(&mut self) {
        if self.delays_sleep && self.inhibitor.is_none() {
            let reason = ("sleep", "keyagent", "locks the vault", "delay");
            let held = ask(&self.bus, "Inhibit", &reason);
            self.inhibitor = held.and_then(|held| held.body().deserialize()).ok();
        }
    }

    fn look_at(&mut self, message: &Message) -> Result<(), End> {
        let header = message.header();
        let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let sender = text(header.sender().map(|name| name.as_str()));
        let interface = text(header.interface().map(|name| name.as_str()));
        let member = text(header.member().map(|name| name.as_str()));
        if sender == BUS.0 && member == "NameOwnerChanged" {
            // Another logind knows nothing of what the one before was asked for.
            let (_, _, owner): (String, String, String) = message.body().deserialize()?;
            return if owner == self.owner.as_str() { Ok(()) } else { Err(End::Bus) };
        }
        if sender != self.owner.as_str() {
            return Ok(());
        }
        let path = text(header.path().map(|path| path.as_str()));
        match (interface.as_str(), member.as_str()) {
            (manager, "PrepareForSleep") if manager == MANAGER.0 => {
                self.sleep_or_wake(message.body().deserialize()?)?;
            }
            (manager, "SessionNew" | "SessionRemoved") if manager == MANAGER.0 => self.look()?,
            (SESSION, "Lock") if self.ours.has(&path) => self.agent.tell(Heard::ScreenLocked)?,
            (PROPERTIES, "PropertiesChanged") if self.ours.locks_one(&path, message) => {
                self.agent.tell(Heard::ScreenLocked)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn sleep_or_wake(&mut self, begins: bool) -> Result<(), End> {
        if begins {
            self.agent.tell(Heard::Sleep)?;
            self.agent.locks()?;
            self.inhibitor = None;
        } else {
            self.agent.tell(Heard::Resumed)?;
            self.hold_up_sleep();
        }
        Ok(())
    }
}

impl Drop for Logind<'_> {
    /// Else the thread that waits for a signal would keep the connection until there is one.
    fn drop(&mut self) {
        let _ = self.bus.clone().close();
    }
}

fn ask(
    bus: &Connection,
    method: &str,
    with: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<Message> {
    bus.call_method(Some(LOGIND), MANAGER.1, Some(MANAGER.0), method, with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for (byte, heard) in Heard::BYTES {
            assert_eq!((heard.byte(), Heard::of(byte)), (byte, Some(heard)));
        }
        assert_eq!(Heard::of(LOCKED), None);
    }

    #[test]
    fn sleep_is_not_held_up_for_longer_than_logind_waits() {
        const { assert!(LOCK.as_secs() < 5) };
    }
}
