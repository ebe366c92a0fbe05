//! Changes of a vault: each makes a new vault of an old one, or says why not.
//!
//! A change is applied to whatever vault is on disk when its turn comes, so it names what
//! it wants and carries no state of the vault that it was asked against.

use super::seal::Recipient;
use super::sealed::{Locked, Sealed};
use super::{Original, Secret, VERSIONS_MAX, Vault, Version};
use crate::grant::{Directory, GRANTS_PER_DIRECTORY_MAX, Grant};
use keyagent_wire::reply::{Outcome, VersionState, Written};
use keyagent_wire::request::Clash;
use keyagent_wire::{Confirm, Limit, Note, Refusal, SecretName};
use std::sync::Arc;

/// How many others may read a vault: the header of its file must stay short.
pub const RECIPIENTS_MAX: usize = 32;
/// How many names `NAME-2`, `NAME-3`, … are tried.
const RENAMES_MAX: u32 = 10_000;

/// What somebody wants of the vault.
pub enum Change {
    /// Values and originals, all or none.
    Put(Vec<Staged>),
    /// These secrets go, all or none.
    Remove(Vec<SecretName>),
    /// A secret gets another name.
    Move(SecretName, SecretName),
    /// A manifest is trusted.
    Allow(Grant),
    /// A directory is trusted no more.
    Deny(Directory),
    /// One more can read the vault file, from now on.
    AddRecipient(Recipient),
    /// One can read it no more, from now on.
    RemoveRecipient(Recipient),
}

/// One thing that waits for its commit.
pub enum Staged {
    /// A value.
    Put(Put),
    /// A whole original, by path.
    Original(Vec<u8>, Arc<Original>),
}

/// A value that is to be put, as a client asked, but for the value, which is sealed.
pub struct Put {
    /// The name that is asked for.
    pub name: SecretName,
    /// The value.
    pub value: Sealed,
    /// What to do when that name is taken.
    pub clash: Clash,
    /// Never export it. Kept as it is if absent.
    pub exec_only: Option<bool>,
    /// When to ask the human. Kept as it is if absent.
    pub confirm: Option<Confirm>,
    /// A line for humans. Kept as it is if absent.
    pub note: Option<Note>,
}

impl Change {
    /// The vault after the change (none if nothing changes), and what became of each put.
    /// `now` is in seconds since 1970.
    pub fn apply(&self, vault: &Vault, now: u64) -> Result<(Option<Vault>, Vec<Written>), Refusal> {
        let mut next = vault.clone();
        let mut written = Vec::new();
        let changed = match self {
            Self::Put(staged) => put_all(&mut next, staged, now, &mut written)?,
            Self::Remove(names) => remove(&mut next, names)?,
            Self::Move(old, new) => rename(&mut next, old, new)?,
            Self::Allow(grant) => allow(&mut next, grant),
            Self::Deny(directory) => deny(&mut next, directory),
            Self::AddRecipient(recipient) => add_recipient(&mut next, recipient)?,
            Self::RemoveRecipient(recipient) => remove_recipient(&mut next, recipient)?,
        };
        next.generation += 1;
        Ok((changed.then_some(next), written))
    }
}

fn put_all(
    vault: &mut Vault,
    staged: &[Staged],
    now: u64,
    written: &mut Vec<Written>,
) -> Result<bool, Refusal> {
    let mut changed = false;
    for one in staged {
        changed |= match one {
            Staged::Original(path, original) => {
                vault.originals.insert(path.clone(), original.clone());
                true
            }
            Staged::Put(put) => {
                let name = free_name(vault, put)?;
                let outcome = put_one(vault, &name, put, now)?;
                written.push(Written { name, outcome });
                outcome != Outcome::Same
            }
        };
    }
    Ok(changed)
}

fn free_name(vault: &Vault, put: &Put) -> Result<SecretName, Refusal> {
    if put.clash == Clash::NewVersion || is_free(vault, &put.name) {
        return Ok(put.name.clone());
    }
    (2..RENAMES_MAX)
        .filter_map(|n| SecretName::new(format!("{}-{n}", put.name)).ok())
        .find(|name| is_free(vault, name))
        .ok_or_else(|| Refusal::Exists(put.name.clone()))
}

/// A name that a grant holds is taken although nothing has it: what gets it would go to that
/// grant's directory at once.
fn is_free(vault: &Vault, name: &SecretName) -> bool {
    !vault.has(name) && !vault.grants.iter().any(|grant| grant.secrets.contains(name))
}

fn put_one(vault: &mut Vault, name: &SecretName, put: &Put, now: u64) -> Result<Outcome, Locked> {
    let Some(old) = vault.secrets.get(name) else {
        let secret = Secret {
            versions: vec![version(1, put, now)],
            exec_only: put.exec_only.unwrap_or(false),
            confirm: put.confirm.unwrap_or_default(),
            note: put.note.clone(),
        };
        vault.secrets.insert(name.clone(), Arc::new(secret));
        return Ok(Outcome::Created);
    };
    let same = old.active().value.same_as(&put.value)?;
    // Who sets a value of their own must not get at those that a human was to be asked about.
    let is_lowered = put.confirm.is_some_and(|confirm| confirm < old.confirm);
    let secret = Secret {
        versions: match same {
            true => old.versions.clone(),
            false if is_lowered => vec![version(next_number(old), put, now)],
            false => succeed(old, put, now),
        },
        exec_only: put.exec_only.unwrap_or(old.exec_only),
        confirm: put.confirm.unwrap_or(old.confirm),
        note: put.note.clone().or_else(|| old.note.clone()),
    };
    let facts = |secret: &Secret| (secret.exec_only, secret.confirm, secret.note.clone());
    let outcome = match same {
        false => Outcome::Updated(secret.active().number),
        true if facts(&secret) != facts(old) => Outcome::Altered,
        true => Outcome::Same,
    };
    vault.secrets.insert(name.clone(), Arc::new(secret));
    Ok(outcome)
}

/// The versions with one more. What was active stays readable, in grace.
fn succeed(old: &Secret, put: &Put, now: u64) -> Vec<Arc<Version>> {
    let number = next_number(old);
    let kept = old.versions.len().min(VERSIONS_MAX - 1);
    let mut versions: Vec<_> =
        old.versions[old.versions.len() - kept..].iter().map(retire).collect();
    versions.push(version(number, put, now));
    versions
}

fn next_number(old: &Secret) -> u32 {
    old.versions.iter().map(|v| v.number).max().unwrap_or(0) + 1
}

fn retire(version: &Arc<Version>) -> Arc<Version> {
    if version.state != VersionState::Active {
        return version.clone();
    }
    Arc::new(Version { value: version.value.share(), state: VersionState::Grace, ..**version })
}

fn version(number: u32, put: &Put, now: u64) -> Arc<Version> {
    Arc::new(Version {
        number,
        value: put.value.share(),
        created: now,
        state: VersionState::Active,
    })
}

fn remove(vault: &mut Vault, names: &[SecretName]) -> Result<bool, Refusal> {
    let absent: Vec<_> = names.iter().filter(|name| !vault.has(name)).cloned().collect();
    if !absent.is_empty() {
        return Err(Refusal::NoSuchSecret(absent));
    }
    vault.secrets.retain(|name, _| !names.contains(name));
    Ok(!names.is_empty())
}

fn rename(vault: &mut Vault, old: &SecretName, new: &SecretName) -> Result<bool, Refusal> {
    vault.secret(old)?;
    if old == new {
        return Ok(false);
    }
    if vault.has(new) {
        return Err(Refusal::Exists(new.clone()));
    }
    let secret = vault.secrets.remove(old).expect("it was there a moment ago");
    vault.secrets.insert(new.clone(), secret);
    Ok(true)
}

fn allow(vault: &mut Vault, grant: &Grant) -> bool {
    let same = |g: &Grant| g.directory == grant.directory && g.manifest == grant.manifest;
    if vault
        .grants
        .iter()
        .any(|g| same(g) && g.secrets == grant.secrets && g.channels == grant.channels)
    {
        return false;
    }
    vault.grants.retain(|g| !same(g));
    let here = vault.grants.iter().filter(|g| g.directory == grant.directory).count();
    if here >= GRANTS_PER_DIRECTORY_MAX {
        let oldest = vault.grants.iter().position(|g| g.directory == grant.directory);
        oldest.map(|at| vault.grants.remove(at));
    }
    vault.grants.push(grant.clone());
    true
}

/// By inode or by path: a directory that was moved must lose its trust too.
fn deny(vault: &mut Vault, directory: &Directory) -> bool {
    let before = vault.grants.len();
    let same_inode = |d: &Directory| d.device == directory.device && d.inode == directory.inode;
    vault.grants.retain(|g| !(same_inode(&g.directory) || g.directory.path == directory.path));
    vault.grants.len() != before
}

fn add_recipient(vault: &mut Vault, recipient: &Recipient) -> Result<bool, Refusal> {
    if place_of(vault, recipient).is_some() {
        return Err(Refusal::RecipientExists);
    }
    // The first is the identity's own.
    if vault.recipients.len() > RECIPIENTS_MAX {
        return Err(Refusal::TooLarge(Limit::Recipients));
    }
    vault.recipients.push(recipient.clone());
    Ok(true)
}

fn remove_recipient(vault: &mut Vault, recipient: &Recipient) -> Result<bool, Refusal> {
    match place_of(vault, recipient) {
        None => Err(Refusal::NoSuchRecipient),
        Some(0) => Err(Refusal::OwnRecipient),
        Some(at) => {
            vault.recipients.remove(at);
            Ok(true)
        }
    }
}

fn place_of(vault: &Vault, recipient: &Recipient) -> Option<usize> {
    let text = recipient.text();
    vault.recipients.iter().position(|other| other.text() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::sealed::{Kind, Opening};
    use keyagent_wire::Value;

    #[test]
    fn an_import_takes_no_name_that_a_grant_waits_for() {
        let name = |text: &str| SecretName::new(text).expect("a name");
        Opening::begin();
        let mut vault = Vault::new(String::new(), Vec::new());
        vault.grants.push(Grant {
            directory: Directory { device: 1, inode: 2, path: b"/other".to_vec() },
            manifest: [0; 32],
            secrets: [name("p/A_KEY")].into(),
            channels: [].into(),
            created: 0,
        });
        let put = |clash| {
            let value = Value::new(b"x").expect("a value");
            let value = Sealed::of(&value, Kind::Version).expect("there is a data key");
            let name = name("p/A_KEY");
            let put = Put { name, value, clash, exec_only: None, confirm: None, note: None };
            let (_, written) =
                Change::Put(vec![Staged::Put(put)]).apply(&vault, 0).expect("there is room");
            written[0].name.to_string()
        };
        assert_eq!(put(Clash::Rename), "p/A_KEY-2");
        assert_eq!(put(Clash::NewVersion), "p/A_KEY", "a human named it");
    }
}
