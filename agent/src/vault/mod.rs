//! The vault: secrets with their versions, grants, and the originals of imported files.
//!
//! In memory it is a value: a change makes a new one, and the old one goes on being served
//! until the new one is on disk. Values are sealed, and leave through [`Vault::reveal`] alone,
//! which wants a [`Permit`]; nothing here reads a clock or decides who may have what.

pub mod change;
pub mod difference;
pub mod file;
pub mod foreign;
pub mod format;
pub mod rekeying;
pub mod seal;
pub mod sealed;
pub mod store;
pub mod unsealing;
pub mod watch;

use crate::gate::Permit;
use crate::grant::Grant;
use keyagent_wire::reply::{Fact, VersionFact, VersionState};
use keyagent_wire::request::Binding;
use keyagent_wire::{Confirm, Note, Refusal, SecretName};
use seal::Recipient;
use sealed::Sealed;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many versions of a secret are kept; the oldest goes first.
pub const VERSIONS_MAX: usize = 32;

/// All that a vault file holds. A clone shares the values.
#[derive(Clone)]
pub struct Vault {
    /// 16 random bytes in hex, so that two vaults are told apart.
    pub(crate) id: String,
    /// How often it has been written.
    pub(crate) generation: u64,
    /// Who can read the file, the identity's own recipient first.
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) secrets: BTreeMap<SecretName, Arc<Secret>>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) originals: BTreeMap<Vec<u8>, Arc<Original>>,
}

/// One secret: at least one version, oldest first, of which one is active.
pub struct Secret {
    pub(crate) versions: Vec<Arc<Version>>,
    pub(crate) exec_only: bool,
    pub(crate) confirm: Confirm,
    pub(crate) note: Option<Note>,
}

/// One version of a secret.
pub struct Version {
    pub(crate) number: u32,
    pub(crate) value: Sealed,
    /// Seconds since 1970, UTC.
    pub(crate) created: u64,
    pub(crate) state: VersionState,
}

/// A file as it was before an import rewrote it.
pub struct Original {
    pub(crate) parts: Vec<Sealed>,
    /// A fingerprint of the file as the import left it.
    pub(crate) after: [u8; 32],
}

impl Vault {
    /// A vault with nothing in it, never written.
    pub fn new(id: String, recipients: Vec<Recipient>) -> Self {
        let (secrets, grants, originals) = Default::default();
        Self { id, generation: 0, recipients, secrets, grants, originals }
    }

    /// How many secrets there are.
    pub fn secret_count(&self) -> usize {
        self.secrets.len()
    }

    /// How often it has been written.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Who can read the file, the identity's own recipient first, as age writes them.
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.iter().map(Recipient::text).collect()
    }

    /// Whether there is a secret of that name.
    pub fn has(&self, name: &SecretName) -> bool {
        self.secrets.contains_key(name)
    }

    /// The secret of that name.
    pub fn secret(&self, name: &SecretName) -> Result<&Secret, Refusal> {
        let found = self.secrets.get(name).map(Arc::as_ref);
        found.ok_or_else(|| Refusal::NoSuchSecret(vec![name.clone()]))
    }

    /// The facts of at most `count` secrets after that name, and whether there are more.
    pub fn page(&self, after: Option<&SecretName>, count: usize) -> (Vec<Fact>, bool) {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |name| Excluded(name.clone()));
        let mut rest = self.secrets.range((from, Unbounded));
        let page = rest.by_ref().take(count).map(|(name, secret)| secret.fact(name)).collect();
        (page, rest.next().is_some())
    }

    /// The grants, for the gate to judge by.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether there is that part of that original.
    pub fn has_original(&self, path: &[u8], part: u32) -> bool {
        self.originals.get(path).is_some_and(|original| part < original.part_count())
    }

    /// The env that a permit stands for: which variable is made of which version. The one
    /// way by which values leave.
    pub fn reveal<'a>(
        &'a self,
        permit: &'a Permit,
    ) -> Result<Vec<(&'a Binding, &'a Version)>, Refusal> {
        permit.bindings().iter().map(|b| Ok((b, self.secret(&b.secret)?.active()))).collect()
    }

    /// The one value that a permit stands for.
    pub fn reveal_one(&self, permit: &Permit) -> Result<&Sealed, Refusal> {
        let (name, version) = permit.one().ok_or(Refusal::Malformed)?;
        let secret = self.secret(name)?;
        match version {
            None => Ok(&secret.active().value),
            Some(n) => secret.version(n).map(|v| &v.value).ok_or(Refusal::NoSuchVersion(n)),
        }
    }

    /// The part of an original that a permit stands for.
    pub fn reveal_original(&self, permit: &Permit) -> Result<(&Original, &Sealed), Refusal> {
        let (path, part) = permit.original().ok_or(Refusal::Malformed)?;
        let original = self.originals.get(path).ok_or(Refusal::NoOriginal)?;
        Ok((original, original.parts.get(part as usize).ok_or(Refusal::NoOriginal)?))
    }
}

impl Secret {
    /// The version that is handed out.
    pub(crate) fn active(&self) -> &Version {
        let active = self.versions.iter().rev().find(|v| v.state == VersionState::Active);
        active.or(self.versions.last()).expect("a secret has at least one version")
    }

    /// The number of the version that is handed out.
    pub fn active_number(&self) -> u32 {
        self.active().number
    }

    /// The number of that version, or of the one that is handed out.
    pub fn number_of(&self, version: Option<u32>) -> Result<u32, Refusal> {
        match version {
            None => Ok(self.active_number()),
            Some(n) => self.version(n).map(|v| v.number).ok_or(Refusal::NoSuchVersion(n)),
        }
    }

    /// Whether it is never exported.
    pub fn exec_only(&self) -> bool {
        self.exec_only
    }

    /// Whether no shell gets it by itself: it is never exported, or not without a question.
    pub fn kept_from_shells(&self) -> bool {
        self.exec_only || self.confirm != Confirm::None
    }

    /// When the human is asked before it leaves.
    pub fn confirm(&self) -> Confirm {
        self.confirm
    }

    /// All but the values.
    pub fn fact(&self, name: &SecretName) -> Fact {
        let version =
            |v: &Arc<Version>| VersionFact { number: v.number, created: v.created, state: v.state };
        Fact {
            name: name.clone(),
            versions: self.versions.iter().map(version).collect(),
            exec_only: self.exec_only,
            confirm: self.confirm,
            note: self.note.clone(),
        }
    }

    fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().map(Arc::as_ref).find(|v| v.number == number)
    }
}

impl Original {
    /// How many parts there are.
    pub fn part_count(&self) -> u32 {
        self.parts.len() as u32
    }

    /// A fingerprint of the file as the import left it.
    pub fn after(&self) -> [u8; 32] {
        self.after
    }
}
