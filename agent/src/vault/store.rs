//! The vault on disk: make, open, save, and the state that remembers what was seen.
//!
//! All of it blocks, and scrypt takes a second: callers run it off the loop. Nothing here
//! writes over a file that it could not read, whatever it is.

use super::change::{Change, RECIPIENTS_MAX};
use super::file::{self, BACKUPS};
use super::format::Unread;
use super::seal::{self, Identity, Recipient};
use super::sealed::Opening;
use super::unsealing::{self, Passphrase, Sealing};
use super::{Vault, format, rekeying};
use crate::places::Places;
use crate::spawner::Spawner;
use keyagent_wire::reply::Written;
use keyagent_wire::{Limit, Refusal, VaultFault, VaultFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// SHA-256 of a vault file as it lies on disk.
pub type FileDigest = [u8; 32];

/// A vault that is open: what is in it, and which file it was. What opens and writes it is
/// in the arena.
#[derive(Clone)]
pub struct Open {
    /// What it holds.
    pub vault: Arc<Vault>,
    /// The file that it was read from, or written to.
    pub digest: FileDigest,
}

/// What lies on disk, as far as one can tell without a passphrase.
pub enum Found {
    /// No identity and no vault.
    Nothing,
    /// An identity that is sealed by passphrase.
    Sealed,
    /// An identity that opens by itself.
    Plain,
    /// Something that cannot be opened.
    Unusable(Refusal),
}

/// The newest vault that was seen here, so that an older one is noticed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    vault: String,
    generation: u64,
}

/// Looks what there is.
pub fn look(places: &Places) -> Found {
    let vault = places.vault().symlink_metadata().is_ok();
    match file::read_guarded(&places.identity()) {
        Err(VaultFault::Missing) if !vault => Found::Nothing,
        Err(fault) => Found::Unusable(refusal(VaultFile::Identity, fault)),
        Ok(_) if !vault => Found::Unusable(missing_vault(places)),
        Ok(bytes) if seal::is_age(&bytes) => Found::Sealed,
        Ok(_) => Found::Plain,
    }
}

/// Makes identity and vault. An identity that is there already is kept and used; a vault
/// that is there already is never touched.
pub fn init(
    places: &Places,
    spawner: &Spawner,
    sealing: Sealing,
    recipients: &[String],
    opening: Opening,
) -> Result<Open, Refusal> {
    if recipients.len() > RECIPIENTS_MAX {
        return Err(Refusal::TooLarge(Limit::Recipients));
    }
    let mut others = Vec::new();
    for text in recipients {
        others.push(Recipient::parse(text).ok_or(Refusal::BadRecipient)?);
    }
    file::make_directory(places.data()).map_err(not_written)?;
    file::make_directory(places.state()).map_err(not_written)?;
    let _lock = file::lock(&places.lock()).map_err(not_written)?;
    if places.vault().symlink_metadata().is_ok() || has_backups(places) {
        return Err(Refusal::VaultExists);
    }
    let identity = identity_for_init(places, spawner, sealing)?;
    let mut all = vec![identity.recipient()];
    all.extend(others);
    let mut vault = Vault::new(random_id()?, all);
    vault.generation = 1;
    let open = save(places, &identity, vault)?;
    identity.keep(opening)?;
    Ok(open)
}

/// Opens the vault. With `accept_rollback` an older vault than was seen is taken as it is.
pub fn open(
    places: &Places,
    spawner: &Spawner,
    passphrase: Option<Passphrase>,
    accept_rollback: bool,
    opening: Opening,
) -> Result<Open, Refusal> {
    let mut opened = unsealing::open(places, spawner, passphrase)?;
    let mut identity = identity_of(&opened.text)?;
    let mut found = read(places, &identity);
    if found.is_ok() {
        rekeying::forget_unused_next(places, &identity);
    }
    let is_of_another =
        matches!(found, Err(Unread::Fault(VaultFault::NotForUs | VaultFault::Forged)));
    if is_of_another && rekeying::resume(places, spawner, &mut opened)? {
        identity = identity_of(&opened.text)?;
        found = read(places, &identity);
    }
    let open = found.map_err(|why| vault_refusal(places, &identity, why))?;
    if let Err(fault) = check_state(places, &open.vault) {
        let backup = newest_backup(places, &identity, open.vault.generation + 1);
        if !accept_rollback {
            return Err(Refusal::Vault { file: VaultFile::State, fault, backup });
        }
    }
    note_seen(places, &open.vault, accept_rollback);
    identity.keep(opening)?;
    Ok(open)
}

/// Remembers that this vault was seen, unless somebody is writing a newer one: they remember
/// that. One that is accepted is remembered whatever there was.
fn note_seen(places: &Places, vault: &Vault, is_accepted: bool) {
    let path = places.lock();
    let lock = if is_accepted { file::lock(&path) } else { file::try_lock(&path) };
    let is_held = lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    if is_accepted || (!is_held && check_state(places, vault).is_ok()) {
        write_state(places, vault);
    }
}

/// Seals the identity anew.
pub fn reseal(
    places: &Places,
    spawner: &Spawner,
    passphrase: Option<Passphrase>,
    sealing: Sealing,
) -> Result<(), Refusal> {
    let mut opened = unsealing::open(places, spawner, passphrase)?;
    if !is_sealed_to(places, &identity_of(&opened.text)?) {
        // A rekeying that was cut off is finished first: what opens the backups is not lost.
        // They are sealed under a data key meanwhile, which a locked vault has not.
        Opening::begin();
        rekeying::resume(places, spawner, &mut opened)?;
    }
    let sealed = sealing.seal(spawner, &opened.text)?;
    let _lock = file::lock(&places.lock()).map_err(not_written)?;
    opened.is_in_place(places)?;
    let is_ours = is_sealed_to(places, &identity_of(&opened.text)?);
    unsealing::place(places, &sealed, sealing)?;
    if is_ours {
        rekeying::forget_next(places);
    }
    Ok(())
}

/// Whether that identity opens the vault. It needs no data key.
pub(super) fn is_sealed_to(places: &Places, identity: &Identity) -> bool {
    let bytes = file::read_guarded(&places.vault());
    bytes.is_ok_and(|bytes| {
        let plain = seal::unseal(&bytes, identity);
        plain.is_ok_and(|plain| format::check(&plain, identity).is_ok())
    })
}

/// Reads the vault file again; none if it is the one that is open.
pub fn reread(places: &Places, open: &Open) -> Result<Option<Open>, Refusal> {
    let bytes =
        file::read_guarded(&places.vault()).map_err(|fault| refusal(VaultFile::Vault, fault))?;
    if digest(&bytes) == open.digest {
        return Ok(None);
    }
    let found = parse(&bytes, &Identity::kept()?).map_err(unread)?;
    let newer = found.vault.id == open.vault.id && found.vault.generation > open.vault.generation;
    if newer { Ok(Some(found)) } else { Err(Refusal::Conflict) }
}

/// Takes the vault file as it is, over an open vault that it is not a successor of. What was
/// open is kept as the newest backup.
pub fn accept(places: &Places, open: &Open) -> Result<Open, Refusal> {
    let _lock = file::lock(&places.lock()).map_err(not_written)?;
    let identity = Identity::kept()?;
    let found = read(places, &identity).map_err(|why| vault_refusal(places, &identity, why))?;
    if found.digest != open.digest {
        let bytes = seal::seal(&format::write(&open.vault, &identity)?, &open.vault.recipients);
        file::add_backup(&places.vault(), BACKUPS, &bytes).map_err(not_written)?;
    }
    write_state(places, &found.vault);
    Ok(found)
}

/// Applies a change to what is on disk, and writes it. On an error the vault is as it was.
/// What comes back is what is on disk now.
pub fn commit(
    places: &Places,
    open: &Open,
    change: &Change,
) -> Result<(Open, Vec<Written>), Refusal> {
    let _lock = file::lock(&places.lock()).map_err(not_written)?;
    let base = match reread(places, open) {
        // What is gone is not written over: the open vault is all that is left of it.
        Err(Refusal::Vault { fault: VaultFault::Missing, .. }) => None,
        reread => reread?,
    };
    let base = base.unwrap_or_else(|| open.clone());
    let (next, written) = change.apply(&base.vault, now())?;
    match next {
        Some(vault) => Ok((save(places, &Identity::kept()?, vault)?, written)),
        None => Ok((base, written)),
    }
}

/// Takes away what writes that were cut off have left.
pub fn tidy(places: &Places) -> io::Result<()> {
    if !places.data().try_exists()? {
        return Ok(());
    }
    let _lock = file::lock(&places.lock())?;
    let backups = (1..=BACKUPS).map(|number| file::backup_path(&places.vault(), number));
    [places.vault(), places.identity(), places.next_identity(), places.unlock_file()]
        .into_iter()
        .chain([places.state_file()])
        .chain(backups)
        .try_for_each(|path| file::remove_leftover(&path))
}

/// Writes a vault, for that identity.
pub(super) fn save(places: &Places, identity: &Identity, vault: Vault) -> Result<Open, Refusal> {
    let bytes = seal::seal(&format::write(&vault, identity)?, &vault.recipients);
    if bytes.len() as u64 > file::FILE_BYTES_MAX {
        return Err(Refusal::TooLarge(Limit::Vault));
    }
    let verifies = |back: &[u8]| {
        let plain = seal::unseal(back, identity);
        plain.and_then(|plain| format::check(&plain, identity)) == Ok(vault.generation)
    };
    file::replace(&places.vault(), &bytes, BACKUPS, verifies).map_err(not_written)?;
    write_state(places, &vault);
    Ok(Open { digest: digest(&bytes), vault: Arc::new(vault) })
}

/// Reads the vault file.
pub(super) fn read(places: &Places, identity: &Identity) -> Result<Open, Unread> {
    parse(&file::read_guarded(&places.vault())?, identity)
}

fn parse(bytes: &[u8], identity: &Identity) -> Result<Open, Unread> {
    let vault = format::read(&seal::unseal(bytes, identity)?, identity)?;
    Ok(Open { vault: Arc::new(vault), digest: digest(bytes) })
}

fn identity_for_init(
    places: &Places,
    spawner: &Spawner,
    sealing: Sealing,
) -> Result<Identity, Refusal> {
    match unsealing::read(&places.identity()) {
        Err(Refusal::Vault { fault: VaultFault::Missing, .. }) => {}
        // One that an init which was cut off has left.
        known => {
            known?;
            return identity_of(&unsealing::take_over(places, spawner, sealing)?);
        }
    }
    let identity = Identity::generate();
    let sealed = sealing.seal(spawner, &identity.text())?;
    unsealing::place(places, &sealed, sealing)?;
    Ok(identity)
}

/// The identity of a file's plain text.
pub(super) fn identity_of(text: &[u8]) -> Result<Identity, Refusal> {
    Identity::parse(text).map_err(|fault| refusal(VaultFile::Identity, fault))
}

fn check_state(places: &Places, vault: &Vault) -> Result<(), VaultFault> {
    let bytes = match file::read_guarded(&places.state_file()) {
        Err(VaultFault::Missing) => return Ok(()),
        read => read?,
    };
    let state: State = serde_json::from_slice(&bytes).map_err(|_| VaultFault::Malformed)?;
    if state.vault != vault.id || state.generation <= vault.generation {
        return Ok(());
    }
    Err(VaultFault::Rollback { found: vault.generation, seen: state.generation })
}

/// The vault is durable before this runs, so a failure only weakens the check for older
/// vaults: it is logged, and the change stands.
fn write_state(places: &Places, vault: &Vault) {
    let state = State { vault: vault.id.clone(), generation: vault.generation };
    let bytes = serde_json::to_vec(&state).expect("a string and a number are JSON");
    let path = places.state_file();
    if file::read_guarded(&path).is_ok_and(|old| old == bytes) {
        return;
    }
    if let Err(error) = file::make_directory(places.state())
        .and_then(|()| file::replace(&path, &bytes, 0, |_| true))
    {
        tracing::warn!(%error, "cannot write the state: an older vault may go unnoticed");
    }
}

fn vault_refusal(places: &Places, identity: &Identity, why: Unread) -> Refusal {
    match why {
        Unread::Locked => Refusal::Locked,
        Unread::Fault(fault) => {
            let backup = newest_backup(places, identity, 0);
            Refusal::Vault { file: VaultFile::Vault, fault, backup }
        }
    }
}

/// Without its identity's passphrase no backup can be tried, so the newest file is named.
fn missing_vault(places: &Places) -> Refusal {
    let there = |n: &u8| file::backup_path(&places.vault(), *n).is_file();
    let backup = (1..=BACKUPS).find(there);
    Refusal::Vault { file: VaultFile::Vault, fault: VaultFault::Missing, backup }
}

/// The newest backup that opens, and is of that generation at least.
fn newest_backup(places: &Places, identity: &Identity, generation: u64) -> Option<u8> {
    let opens = |path: &Path| {
        let bytes = file::read_guarded(path).ok()?;
        let plain = seal::unseal(&bytes, identity).ok()?;
        format::check(&plain, identity).ok().filter(|found| *found >= generation)
    };
    (1..=BACKUPS).find(|n| opens(&file::backup_path(&places.vault(), *n)).is_some())
}

fn has_backups(places: &Places) -> bool {
    (1..=BACKUPS).any(|n| file::backup_path(&places.vault(), n).symlink_metadata().is_ok())
}

fn unread(why: Unread) -> Refusal {
    match why {
        Unread::Locked => Refusal::Locked,
        Unread::Fault(fault) => refusal(VaultFile::Vault, fault),
    }
}

fn refusal(file: VaultFile, fault: VaultFault) -> Refusal {
    Refusal::Vault { file, fault, backup: None }
}

/// The refusal of a write that failed.
pub(super) fn not_written(error: io::Error) -> Refusal {
    tracing::warn!(%error, "cannot write the vault");
    Refusal::NotWritten { errno: error.raw_os_error().unwrap_or(nix::libc::EIO) }
}

fn digest(bytes: &[u8]) -> FileDigest {
    Sha256::digest(bytes).into()
}

/// 16 random bytes, in hex.
pub(super) fn random_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes).map_err(|_| Refusal::NotWritten { errno: nix::libc::EIO })?;
    Ok(format::hex(&bytes))
}

/// The clock of all that is written: seconds since 1970, UTC.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
