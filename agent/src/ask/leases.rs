//! Leases: what a human has confirmed for a terminal session. In memory only; the clock is an
//! argument.

use super::process::TerminalSession;
use super::{Holder, Wanted};
use crate::grant;
use crate::vault::Vault;
use keyagent_wire::{Confirm, SecretName};
use std::time::Duration;

/// How long a lease lasts that is not used.
pub const LEASE_IDLE_SECONDS_MAX: u64 = 10 * 60;
/// How long it lasts at most.
pub const LEASE_HARD_SECONDS_MAX: u64 = 12 * 3600;
/// How many there are at once; the oldest goes first.
pub const LEASES_MAX: usize = 1024;

/// All leases, oldest first.
#[derive(Default)]
pub struct Leases(Vec<Lease>);

struct Lease {
    holder: Holder,
    secret: SecretName,
    session: TerminalSession,
    given: Duration,
    used: Duration,
}

impl Lease {
    fn lasts(&self, now: Duration) -> bool {
        let since = |then: Duration| now.saturating_sub(then).as_secs();
        since(self.used) < LEASE_IDLE_SECONDS_MAX && since(self.given) < LEASE_HARD_SECONDS_MAX
    }
}

impl Leases {
    /// Gives a lease for each secret that is confirmed by session.
    pub fn give(&mut self, wanted: &[Wanted], session: TerminalSession, now: Duration) {
        self.0.retain(|lease| lease.lasts(now));
        for wanted in wanted.iter().filter(|wanted| wanted.confirm == Confirm::Session) {
            let (holder, secret) = (wanted.holder.clone(), wanted.secret.clone());
            self.0.retain(|l| !(l.secret == secret && l.session == session && l.holder == holder));
            if self.0.len() >= LEASES_MAX {
                self.0.remove(0);
            }
            self.0.push(Lease { holder, secret, session, given: now, used: now });
        }
    }

    /// Whether there is one, which then lasts anew.
    pub fn hold(
        &mut self,
        holder: &Holder,
        secret: &SecretName,
        session: TerminalSession,
        now: Duration,
    ) -> bool {
        let is_it = |l: &Lease| l.secret == *secret && l.session == session && l.holder == *holder;
        match self.0.iter_mut().find(|lease| is_it(lease) && lease.lasts(now)) {
            Some(lease) => {
                lease.used = now;
                true
            }
            None => false,
        }
    }

    /// Ends all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Ends those that this vault gives no ground for: the secret is gone, or the human is
    /// asked about it more often or no more; the project is denied.
    pub fn settle(&mut self, vault: &Vault) {
        self.0.retain(|lease| {
            let by_session =
                vault.secret(&lease.secret).is_ok_and(|s| s.confirm() == Confirm::Session);
            by_session && is_granted(&lease.holder, &lease.secret, vault)
        });
    }
}

fn is_granted(holder: &Holder, secret: &SecretName, vault: &Vault) -> bool {
    match holder {
        Holder::Own | Holder::UsersManifest => true,
        Holder::Project(directory, hash) => grant::matching(vault.grants(), directory, hash)
            .is_some_and(|grant| grant.secrets.contains(secret)),
    }
}

#[cfg(test)]
mod tests;
