//! Our sessions as logind has them: which there are, and what has come over them since the
//! last look. Tells nobody: that is for whoever looks.

use super::{Heard, LOGIND, PROPERTIES, SESSION, ask};
use crate::vault::watch::Watch;
use std::collections::HashMap;
use std::path::Path;
use zbus::blocking::Connection;
use zbus::message::Message;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

/// Where logind writes its sessions down, each by a rename: what sd_login_monitor(3) watches.
const RECORDS: &str = "/run/systemd/sessions";

type Properties = HashMap<String, OwnedValue>;

/// A session that a human sits at.
struct Session {
    path: OwnedObjectPath,
    is_locked: bool,
}

/// Our sessions as they were at the last look, whichever connection that was over. A logout
/// that nobody heard is noticed by the next.
#[derive(Default)]
pub(super) struct Ours {
    seen: Option<Vec<Session>>,
}

impl Ours {
    /// Looks, and says what is new. The first look finds nothing new.
    pub(super) fn look(&mut self, bus: &Connection) -> zbus::Result<Option<Heard>> {
        let now = list(bus)?;
        let before = self.seen.replace(now).zip(self.seen.as_deref());
        Ok(before.and_then(|(before, now)| difference(&before, now)))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.seen.iter().flatten().any(|session| session.path.as_str() == path)
    }

    /// Notes what `message` says of the screen of the session at `path`. Whether it is one
    /// that was not locked before.
    pub(super) fn locks_one(&mut self, path: &str, message: &Message) -> bool {
        let session = self.seen.iter_mut().flatten().find(|seen| seen.path.as_str() == path);
        let Some((session, hint)) = session.zip(hint(message)) else { return false };
        !std::mem::replace(&mut session.is_locked, hint) && hint
    }
}

fn difference(before: &[Session], now: &[Session]) -> Option<Heard> {
    if now.is_empty() {
        return (!before.is_empty()).then_some(Heard::LoggedOut);
    }
    let was_locked = |now: &Session| before.iter().any(|s| s.path == now.path && s.is_locked);
    let locks = now.iter().any(|session| session.is_locked && !was_locked(session));
    locks.then_some(Heard::ScreenLocked)
}

/// Our sessions, less those that no human sits at.
fn list(bus: &Connection) -> zbus::Result<Vec<Session>> {
    let ours = nix::unistd::geteuid().as_raw();
    let listed = ask(bus, "ListSessions", &())?;
    let all: Vec<(String, u32, String, String, OwnedObjectPath)> = listed.body().deserialize()?;
    let ours = all.into_iter().filter(|session| session.1 == ours).map(|session| session.4);
    Ok(ours.filter_map(|path| session(bus, path)).collect())
}

/// The session at `path`, if a human sits at it. One of which logind tells nothing counts.
fn session(bus: &Connection, path: OwnedObjectPath) -> Option<Session> {
    let properties = bus
        .call_method(Some(LOGIND), path.as_str(), Some(PROPERTIES), "GetAll", &SESSION)
        .and_then(|reply| reply.body().deserialize::<Properties>())
        .unwrap_or_default();
    let is_locked = is_locked(&properties).unwrap_or(false);
    is_of_a_human(&properties).then_some(Session { path, is_locked })
}

/// Neither one of a timer's job, nor the user's service manager, which may outlive every
/// login. One whose human has left stays listed as `closing` while anything runs in it, and
/// so does the agent itself where that login has started it.
fn is_of_a_human(properties: &Properties) -> bool {
    let text = |name| properties.get(name).and_then(|value| <&str>::try_from(value).ok());
    let is_a_users = text("Class").is_none_or(|class| class.starts_with("user"));
    is_a_users && text("State") != Some("closing")
}

fn is_locked(properties: &Properties) -> Option<bool> {
    properties.get("LockedHint").and_then(|hint| bool::try_from(hint).ok())
}

/// What a message that properties have changed says of the screen.
fn hint(message: &Message) -> Option<bool> {
    let changed = message.body().deserialize::<(String, Properties, Vec<String>)>().ok()?;
    is_locked(&changed.1)
}

/// Calls `changed` when logind has written a session down anew. To that one is `closing` now
/// it sends no signal.
pub(super) fn watch(changed: impl Fn() + Send + 'static) -> Option<Watch> {
    Watch::start(&[Path::new(RECORDS)], changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::zvariant::Value;

    fn properties(values: &[(&str, Value<'_>)]) -> Properties {
        let owned = |value: &Value<'_>| value.try_to_owned().expect("it has no descriptor");
        values.iter().map(|(name, value)| ((*name).to_owned(), owned(value))).collect()
    }

    fn sessions(all: &[(&str, bool)]) -> Vec<Session> {
        let session = |(path, is_locked): &(&str, bool)| Session {
            path: OwnedObjectPath::try_from(*path).expect("it is one"),
            is_locked: *is_locked,
        };
        all.iter().map(session).collect()
    }

    #[test]
    fn the_screen_is_locked_by_its_own_hint_alone_and_once() {
        let changed = |name: &str, value: bool| {
            Message::signal("/a", PROPERTIES, "PropertiesChanged")
                .and_then(|signal| {
                    let values = properties(&[(name, value.into())]);
                    signal.build(&(SESSION, values, Vec::<&str>::new()))
                })
                .expect("it is a signal")
        };
        let mut ours = Ours { seen: Some(sessions(&[("/a", false)])) };
        assert!(!ours.locks_one("/a", &changed("IdleHint", true)));
        assert!(!ours.locks_one("/b", &changed("LockedHint", true)), "it is not ours");
        assert!(ours.locks_one("/a", &changed("LockedHint", true)));
        assert!(!ours.locks_one("/a", &changed("LockedHint", true)), "it was locked");
        assert!(!ours.locks_one("/a", &changed("LockedHint", false)));
        assert!(ours.locks_one("/a", &changed("LockedHint", true)));
    }

    #[test]
    fn a_session_that_closes_or_is_no_humans_does_not_count() {
        let counts = |class: &str, state: &str| {
            is_of_a_human(&properties(&[("Class", class.into()), ("State", state.into())]))
        };
        assert!(counts("user", "active") && counts("user-early", "online"));
        assert!(!counts("user", "closing"));
        assert!(!counts("manager", "active") && !counts("background", "active"));
        assert!(is_of_a_human(&properties(&[])), "of which nothing is known");
    }

    #[test]
    fn what_has_come_over_them_is_told() {
        let told = |before, now| difference(&sessions(before), &sessions(now));
        assert_eq!(told(&[("/a", false)], &[]), Some(Heard::LoggedOut));
        assert_eq!(told(&[], &[]), None);
        assert_eq!(told(&[("/a", false), ("/b", false)], &[("/b", false)]), None);
        assert_eq!(told(&[("/a", false)], &[("/a", true)]), Some(Heard::ScreenLocked));
        assert_eq!(told(&[("/a", true)], &[("/a", true), ("/b", false)]), None);
        assert_eq!(
            told(&[("/a", true)], &[("/a", false), ("/b", true)]),
            Some(Heard::ScreenLocked)
        );
    }
}
