//! Asking the human: what is asked, which answers still hold, and the words of the question.
//!
//! It shows nothing and waits for nothing: `serve/asking.rs` does. It decides nothing: the
//! judgement is told which secrets were confirmed.

pub mod assuan;
pub mod denials;
pub mod leases;
pub mod pinentry;
pub mod process;
pub mod question;

use crate::grant::Directory;
use crate::judge::Standing;
use crate::vault::{Secret, Vault};
use keyagent_wire::{Confirm, SecretName};
use leases::Leases;
use nix::time::{ClockId, clock_gettime};
use process::{Asker, TerminalSession};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// By whose word a secret is wanted: what a [`Standing`] says, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The human's own word.
    Own,
    /// The user's own manifest.
    UsersManifest,
    /// A project's manifest: this directory, with this hash.
    Project(Directory, [u8; 32]),
}

impl Holder {
    /// Keeps a standing.
    pub fn of(standing: Standing<'_>) -> Self {
        match standing {
            Standing::Own => Self::Own,
            Standing::UsersManifest => Self::UsersManifest,
            Standing::Project(directory, hash) => Self::Project(directory.clone(), *hash),
        }
    }
}

/// One secret that needs an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// By whose word.
    pub holder: Holder,
    /// Which.
    pub secret: SecretName,
    /// How often the human is asked about it.
    pub confirm: Confirm,
}

/// The answers that a request can build on. Looks at the process that asks only if some
/// secret needs that: most do not.
pub struct Answers<'a> {
    /// What was confirmed for whole terminal sessions.
    pub leases: &'a RefCell<Leases>,
    /// What was confirmed for this very request.
    pub ticket: &'a [Wanted],
    /// Who asks.
    pub asker: Asker<'a>,
}

impl Answers<'_> {
    /// Which of these secrets the human has confirmed.
    pub fn confirmed(
        &self,
        vault: &Vault,
        standing: Standing<'_>,
        secrets: &[&SecretName],
    ) -> BTreeSet<SecretName> {
        let level = |name: &SecretName| vault.secret(name).map(Secret::confirm);
        let asked = |name: &&&SecretName| level(name).is_ok_and(|c| c != Confirm::None);
        let mut asked = secrets.iter().filter(asked).peekable();
        if asked.peek().is_none() {
            return BTreeSet::new();
        }
        let holder = Holder::of(standing);
        let (session, now) = (self.asker.session(), now());
        let is_confirmed = |name: &SecretName| {
            let has = |w: &Wanted| w.secret == *name && w.holder == holder;
            self.ticket.iter().any(has)
                || level(name) == Ok(Confirm::Session) && self.leased(&holder, name, session, now)
        };
        asked.filter(|name| is_confirmed(name)).map(|name| (*name).clone()).collect()
    }

    fn leased(
        &self,
        holder: &Holder,
        secret: &SecretName,
        session: Option<TerminalSession>,
        now: Duration,
    ) -> bool {
        session.is_some_and(|session| self.leases.borrow_mut().hold(holder, secret, session, now))
    }
}

/// Now, by a clock that goes on while the machine sleeps and that nobody can set.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}
