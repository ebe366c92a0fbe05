//! What logind tells of sleep, screen lock and logout, heard in a helper: the agent itself
//! can open no way to any bus.
//!
//! The bus is the system's, at the place that it has everywhere. No variable says where: one
//! that did could make the agent deaf.

use super::{Job, Spawner};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};
use zbus::blocking::{Connection, MessageIterator, connection::Builder};
use zbus::message::{Message, Type};
use zbus::names::OwnedUniqueName;
use zbus::zvariant::{DynamicType, OwnedFd, OwnedObjectPath, OwnedValue};

/// How long sleep is held up for the agent to lock. logind itself waits for 5 s.
const LOCK: Duration = Duration::from_secs(3);
/// How long a call over the bus may take.
const CALL: Duration = Duration::from_secs(10);
/// How many messages may wait to be looked at.
const QUEUED_MAX: usize = 256;
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
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        match Logind::reach(delays_sleep).and_then(|logind| logind.follow(&agent)) {
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

/// logind, as it is reached over one connection.
struct Logind {
    bus: Connection,
    signals: MessageIterator,
    /// Who it is on the bus: to send us a signal is anybody's right.
    owner: OwnedUniqueName,
    /// Our sessions.
    sessions: Vec<OwnedObjectPath>,
    delays_sleep: bool,
    /// Sleep waits for as long as this is open.
    inhibitor: Option<OwnedFd>,
}

impl Logind {
    fn reach(delays_sleep: bool) -> Result<Self, End> {
        let socket = BUSES.iter().find_map(|path| UnixStream::connect(path).ok());
        let builder = Builder::async_io_unix_stream(socket.ok_or(End::Bus)?);
        let bus = builder.method_timeout(CALL).max_queued(QUEUED_MAX).build()?;
        let signals = MessageIterator::from(&bus);
        for rule in RULES {
            bus.call_method(Some(BUS.0), BUS.1, Some(BUS.0), "AddMatch", &rule)?;
        }
        // Where logind starts on demand, this starts it.
        let sessions = sessions(&bus)?;
        let owner = bus.call_method(Some(BUS.0), BUS.1, Some(BUS.0), "GetNameOwner", &LOGIND)?;
        let owner = owner.body().deserialize()?;
        Ok(Self { bus, signals, owner, sessions, delays_sleep, inhibitor: None })
    }

    /// Tells the agent of everything, until one of the two is gone.
    fn follow(mut self, agent: &Agent) -> Result<Infallible, End> {
        self.hold_up_sleep();
        let is_ready = self.inhibitor.is_some() || !self.delays_sleep;
        agent.tell(if is_ready { Heard::Watching } else { Heard::Deaf })?;
        while let Some(message) = self.signals.next() {
            let message = message?;
            if message.message_type() == Type::Signal {
                self.look_at(&message, agent)?;
            }
        }
        Err(End::Bus)
    }

    /// Where this is refused, sleep is still told, though perhaps too late.
    fn hold_up_sleep(&mut self) {
        if self.delays_sleep && self.inhibitor.is_none() {
            let reason = ("sleep", "keyagent", "locks the vault", "delay");
            let held = ask(&self.bus, "Inhibit", &reason);
            self.inhibitor = held.and_then(|held| held.body().deserialize()).ok();
        }
    }

    fn look_at(&mut self, message: &Message, agent: &Agent) -> Result<(), End> {
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
        let is_ours = || header.path().is_some_and(|path| self.has(path.as_str()));
        match (interface.as_str(), member.as_str()) {
            (manager, "PrepareForSleep") if manager == MANAGER.0 => {
                self.sleep_or_wake(message.body().deserialize()?, agent)?;
            }
            (manager, "SessionNew" | "SessionRemoved") if manager == MANAGER.0 => {
                let had_any = !self.sessions.is_empty();
                self.sessions = sessions(&self.bus)?;
                if had_any && self.sessions.is_empty() {
                    agent.tell(Heard::LoggedOut)?;
                }
            }
            (SESSION, "Lock") if is_ours() => agent.tell(Heard::ScreenLocked)?,
            (PROPERTIES, "PropertiesChanged") if is_ours() && is_locked_now(message) => {
                agent.tell(Heard::ScreenLocked)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        self.sessions.iter().any(|session| session.as_str() == path)
    }

    fn sleep_or_wake(&mut self, begins: bool, agent: &Agent) -> Result<(), End> {
        if begins {
            agent.tell(Heard::Sleep)?;
            agent.locks()?;
            self.inhibitor = None;
        } else {
            agent.tell(Heard::Resumed)?;
            self.hold_up_sleep();
        }
        Ok(())
    }
}

/// Our sessions, less those that no human sits at.
fn sessions(bus: &Connection) -> zbus::Result<Vec<OwnedObjectPath>> {
    let ours = nix::unistd::geteuid().as_raw();
    let listed = ask(bus, "ListSessions", &())?;
    let all: Vec<(String, u32, String, String, OwnedObjectPath)> = listed.body().deserialize()?;
    let ours = all.into_iter().filter(|session| session.1 == ours).map(|session| session.4);
    Ok(ours.filter(|path| is_of_a_human(bus, path)).collect())
}

/// Not one of a timer's job, nor the user's service manager, which may outlive every login.
fn is_of_a_human(bus: &Connection, path: &OwnedObjectPath) -> bool {
    let asked = (SESSION, "Class");
    let class = bus
        .call_method(Some(LOGIND), path.as_str(), Some(PROPERTIES), "Get", &asked)
        .and_then(|reply| reply.body().deserialize::<OwnedValue>());
    let class = class.ok().and_then(|class| String::try_from(class).ok());
    class.is_none_or(|class| class.starts_with("user"))
}

fn is_locked_now(message: &Message) -> bool {
    type Changed = (String, std::collections::HashMap<String, OwnedValue>, Vec<String>);
    let changed = message.body().deserialize::<Changed>();
    let hint = changed.ok().and_then(|(_, mut changed, _)| changed.remove("LockedHint"));
    hint.and_then(|hint| bool::try_from(hint).ok()).unwrap_or(false)
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
    fn the_screen_is_locked_by_its_own_hint_alone() {
        let changed = |name: &str, value: bool| {
            let values =
                std::collections::HashMap::from([(name, zbus::zvariant::Value::from(value))]);
            Message::signal("/a", PROPERTIES, "PropertiesChanged")
                .and_then(|signal| signal.build(&(SESSION, values, Vec::<&str>::new())))
                .expect("it is a signal")
        };
        assert!(is_locked_now(&changed("LockedHint", true)));
        assert!(!is_locked_now(&changed("LockedHint", false)));
        assert!(!is_locked_now(&changed("IdleHint", true)));
    }

    #[test]
    fn sleep_is_not_held_up_for_longer_than_logind_waits() {
        const { assert!(LOCK.as_secs() < 5) };
    }
}
