//! What is put on record of a request, and what is told of the log: its events, its check,
//! its anchors. It decides nothing, and waits for the disk on the loop only where a log begins
//! or goes on in another file.

use super::frames::{Answer, encode};
use super::keeper::{Keeper, blocking};
use crate::audit::chain::{EPOCH_MILLIS_MAX, Root};
use crate::audit::event::Named;
use crate::audit::recorder::Due;
use crate::audit::verify::{Verdict, verify};
use crate::audit::witness::Witness;
use crate::audit::{read, words};
use crate::vault::change::{Change, Staged};
use crate::vault::seal::Identity;
use keyagent_sys::stack;
use keyagent_wire::event::{Bad, Deed, Verified, Way, What};
use keyagent_wire::reply::{Outcome, Reply, Written};
use keyagent_wire::request::Audit;
use keyagent_wire::{Channel, Refusal, Request, SecretName};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// What the audit log wants done, each told as it comes.
#[derive(Default)]
pub struct Dues {
    /// An anchor.
    pub anchor: Notify,
    /// A look at processes.
    pub look: Notify,
    /// A look at whether its place is still the same.
    pub doubt: Notify,
}

impl Dues {
    /// Tells whoever does that.
    pub fn tell(&self, due: Due) {
        match due {
            Due::Anchor => self.anchor.notify_one(),
            Due::Look => self.look.notify_one(),
            Due::Doubt => self.doubt.notify_one(),
        }
    }
}

/// By which way values would leave, if a request were granted.
pub fn way_of(request: &Request) -> Option<Way> {
    match request {
        Request::Resolve(ask) if ask.channel == Channel::Exec => Some(Way::Exec),
        Request::Resolve(_) => Some(Way::Export),
        Request::Load { .. } => Some(Way::Load),
        Request::Get { .. } => Some(Way::Get),
        Request::Original { .. } => Some(Way::Original),
        _ => None,
    }
}

/// Changes the vault, and puts that on record.
pub async fn change(
    keeper: &Keeper,
    witness: &Witness<'_>,
    change: Change,
) -> Result<Vec<Written>, Refusal> {
    let (deed, path, names) = summary(&change);
    let written = keeper.change(change).await?;
    let unversioned = names.iter().map(|name| Named { name, version: None });
    let versioned = written.iter().filter_map(|written| {
        let version = match written.outcome {
            Outcome::Created => Some(1),
            Outcome::Updated(version) => Some(version),
            Outcome::Altered => None,
            Outcome::Same => return None,
        };
        Some(Named { name: &written.name, version })
    });
    let secrets: Vec<_> = unversioned.chain(versioned).collect();
    // A value that was there already changes nothing.
    if deed != Deed::Set || path.is_some() || !secrets.is_empty() {
        witness.changes(deed, path.as_deref(), &secrets);
    }
    Ok(written)
}

/// What a change is, of which directory or file, and of which secrets, as far as it says.
fn summary(change: &Change) -> (Deed, Option<Vec<u8>>, Vec<SecretName>) {
    match change {
        Change::Put(staged) => {
            let original = staged.iter().find_map(|one| match one {
                Staged::Original(path, _) => Some(path.clone()),
                Staged::Put(_) => None,
            });
            (Deed::Set, original, Vec::new())
        }
        Change::Remove(names) => (Deed::Removed, None, names.clone()),
        Change::Move(old, new) => (Deed::Moved, None, vec![old.clone(), new.clone()]),
        Change::Allow(grant) => {
            let secrets = grant.secrets.iter().cloned().collect();
            (Deed::Allowed, Some(grant.directory.path.clone()), secrets)
        }
        Change::AddRecipient(_) => (Deed::RecipientAdded, None, Vec::new()),
        Change::RemoveRecipient(_) => (Deed::RecipientRemoved, None, Vec::new()),
        Change::Deny(directory) => (Deed::Denied, Some(directory.path.clone()), Vec::new()),
    }
}

/// The names that a refusal is about.
pub fn names_of(refusal: &Refusal) -> Vec<&SecretName> {
    match refusal {
        Refusal::NoSuchSecret(names) | Refusal::ExecOnly(names) | Refusal::NeedsAnswer(names) => {
            names.iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether somebody tried to open the vault, and could not.
pub fn is_failed_unlock(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::WrongPassphrase
            | Refusal::Vault { .. }
            | Refusal::Unsealer(_)
            | Refusal::Denied
            | Refusal::PinentryFailed
            | Refusal::Helper
    )
}

/// A page of the log.
pub async fn page(keeper: &Keeper, ask: Audit) -> Result<Answer, Refusal> {
    let _inside = keeper.readings.enter()?;
    let files = keeper.audit.files();
    let (events, more) = blocking(move || read::page(&files.kept(), &ask)).await;
    encode(&Reply::Events { events, more })
}

/// Checks the log, as it is now.
pub async fn check(keeper: &Keeper) -> Result<Answer, Refusal> {
    let _inside = keeper.readings.enter()?;
    let snapshot = keeper.audit.snapshot();
    let verdict = blocking(move || {
        let identity = Identity::kept()?;
        Ok::<_, Refusal>(verify(&snapshot, &Root::of(&identity)))
    });
    encode(&Reply::Verified(told(&verdict.await?)))
}

fn told(verdict: &Verdict) -> Verified {
    let bad = verdict.bad.first();
    Verified {
        good: verdict.good,
        unanchored: verdict.unanchored,
        bad: bad.map(|bad| Bad { seq: bad.seq, fault: words::told_fault(bad.fault) }),
    }
}

impl Keeper {
    /// Has the audit log begin, or go on, as the identity's own.
    pub fn adopt(&self) {
        stack::burn_deep_after(|| {
            if let Ok(identity) = Identity::kept() {
                self.audit.adopt(&Root::of(&identity));
            }
        });
    }

    /// Writes the anchor of the audit log that is due. An older one never comes after a newer.
    pub async fn write_anchor(&self) {
        let _anchoring = self.anchoring.lock().await;
        let Some(anchor) = self.audit.anchor() else { return };
        if let Err(error) = blocking(move || anchor.write()).await {
            tracing::warn!(%error, "cannot write the state of the audit log");
        }
    }
}

/// Writes anchors as they come due, one after the other.
pub async fn write_anchors(keeper: Rc<Keeper>) {
    loop {
        keeper.dues.anchor.notified().await;
        keeper.write_anchor().await;
    }
}

/// Ends an epoch that lasts although nothing happens any more.
pub async fn end_epochs(keeper: Rc<Keeper>) {
    loop {
        tokio::time::sleep(Duration::from_millis(EPOCH_MILLIS_MAX)).await;
        keeper.audit.seal();
    }
}

/// Puts the end of the agent on record, and on disk.
pub async fn end(keeper: &Keeper) {
    keeper.audit.happened(What::Stopped, None);
    keeper.audit.seal();
    keeper.write_anchor().await;
}
