//! A new identity for a vault: made, sealed as the old one is, and put in its place.
//!
//! The new one lies beside the old one as `identity.age.next` before the vault is sealed to
//! it, and takes its place when the vault and its backups are. Whichever of the two opens the
//! vault is the one: the next unlock finishes what was cut off. All of it blocks.

use super::file::{self, BACKUPS};
use super::format::{self, Unread};
use super::seal::{self, Identity};
use super::sealed::{Locked, Opening};
use super::store::{self, Open};
use super::unsealing::{self, Opened, Passphrase};
use crate::places::Places;
use crate::spawner::Spawner;
use keyagent_wire::Refusal;
use std::io;
use std::path::Path;

/// Gives the open vault a new identity.
pub fn rekey(
    places: &Places,
    spawner: &Spawner,
    passphrase: Option<Passphrase>,
    open: &Open,
    opening: Opening,
) -> Result<Open, Refusal> {
    let opened = unsealing::open(places, spawner, passphrase)?;
    let old = store::identity_of(&opened.text)?;
    let new = Identity::generate();
    let sealed = unsealing::seal(spawner, &new.text(), &opened.way)?;
    let _lock = file::lock(&places.lock()).map_err(store::not_written)?;
    opened.is_in_place(places)?;
    if old.recipient().text() != Identity::kept()?.recipient().text() {
        return Err(Refusal::Conflict);
    }
    let base = store::reread(places, open)?.unwrap_or_else(|| open.clone());
    let mut vault = (*base.vault).clone();
    let own = old.recipient().text();
    vault.recipients.retain(|other| other.text() != own);
    vault.recipients.insert(0, new.recipient());
    vault.generation += 1;
    file::replace(&places.next_identity(), &sealed, 0, |_| true).map_err(store::not_written)?;
    let saved = store::save(places, &new, vault).inspect_err(|_| {
        // It stays if the vault is its own nevertheless: the next unlock looks again.
        if !store::is_sealed_to(places, &new) {
            forget_next(places);
        }
    })?;
    // The vault is the new identity's: what is cut off from here on is finished later.
    finish(places, &old, &new)?;
    new.keep(opening)?;
    Ok(saved)
}

/// Finishes a rekeying that was cut off, if the next identity is what opens the vault: what was
/// opened is that one then. The vault's lock is not held.
pub fn resume(places: &Places, spawner: &Spawner, opened: &mut Opened) -> Result<bool, Refusal> {
    let Ok(bytes) = unsealing::read(&places.next_identity()) else { return Ok(false) };
    let text = unsealing::unseal(spawner, &bytes, &opened.way)?;
    let (old, next) = (store::identity_of(&opened.text)?, store::identity_of(&text)?);
    if !store::is_sealed_to(places, &next) {
        return Ok(false);
    }
    let _lock = file::lock(&places.lock()).map_err(store::not_written)?;
    // Else another agent has finished it meanwhile.
    if unsealing::read(&places.next_identity()).is_ok_and(|now| now == bytes) {
        finish(places, &old, &next)?;
        tracing::info!("a rekeying that was cut off is finished");
    }
    (opened.bytes, opened.text) = (bytes, text);
    Ok(true)
}

/// Takes away a next identity that the vault was never sealed to, unless another agent is
/// about to seal it so. Waits for nobody.
pub fn forget_unused_next(places: &Places, identity: &Identity) {
    if places.next_identity().symlink_metadata().is_err() {
        return;
    }
    let Ok(_lock) = file::try_lock(&places.lock()) else { return };
    if store::is_sealed_to(places, identity) {
        forget_next(places);
    }
}

/// Takes away a next identity. The vault's lock is held.
pub fn forget_next(places: &Places) {
    if let Err(error) = file::remove(&places.next_identity()) {
        tracing::warn!(%error, "cannot take identity.age.next away");
    }
}

/// Seals the backups to the new identity, so that they stay good, and stay closed to the old
/// one; then puts the new one in its place. A lock meanwhile leaves that for the next unlock.
fn finish(places: &Places, old: &Identity, new: &Identity) -> Result<(), Locked> {
    for number in 1..=BACKUPS {
        let path = file::backup_path(&places.vault(), number);
        if let Err(error) = reseal_backup(&path, old, new)? {
            tracing::warn!(%error, number, "cannot seal a backup to the new identity");
        }
    }
    if let Err(error) = file::rename(&places.next_identity(), &places.identity()) {
        tracing::warn!(%error, "cannot put the new identity in its place yet");
    }
    Ok(())
}

/// What is no vault of the old identity is left as it is.
fn reseal_backup(path: &Path, old: &Identity, new: &Identity) -> Result<io::Result<()>, Locked> {
    let Ok(bytes) = file::read_guarded(path) else { return Ok(Ok(())) };
    let Ok(plain) = seal::unseal(&bytes, old) else { return Ok(Ok(())) };
    let mut vault = match format::read(&plain, old) {
        Ok(vault) => vault,
        Err(Unread::Locked) => return Err(Locked),
        Err(Unread::Fault(_)) => return Ok(Ok(())),
    };
    let own = old.recipient().text();
    vault.recipients.retain(|other| other.text() != own);
    vault.recipients.insert(0, new.recipient());
    let plain = format::write(&vault, new)?;
    Ok(file::replace(path, &seal::seal(&plain, &vault.recipients), 0, |_| true))
}
