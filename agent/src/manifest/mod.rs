//! The manifest, `keyagent.toml`: which variable is made of which secret. It names secrets
//! and holds no value, template, include, command or path.
//!
//! What a manifest says grants nothing; nothing in it is resolved or run here.

pub mod edit;
pub mod own;
mod parse;
pub mod project;

use keyagent_wire::request::Binding;
use keyagent_wire::{EnvName, ManifestFault, ProfileName, Refusal, SecretName};
use std::collections::BTreeSet;

pub use parse::parse;

/// The largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// A manifest that obeys every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What the project calls itself.
    pub project: Option<ProfileName>,
    /// The plain `[env]`.
    pub env: Vec<Entry>,
    /// Each profile, which adds to `[env]` and overrides it.
    pub profiles: Vec<(ProfileName, Vec<Entry>)>,
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The variable and its secret.
    pub binding: Binding,
    /// Whether the command runs without it.
    pub optional: bool,
}

/// Where a manifest breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes.
    pub offset: usize,
    /// What.
    pub fault: ManifestFault,
}

impl Fault {
    /// As the client is told: by line and column, from 1.
    pub fn refusal(self, text: &[u8]) -> Refusal {
        let before = &text[..self.offset.min(text.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() as u32 + 1;
        Refusal::Manifest { line, column, fault: self.fault }
    }
}

impl Manifest {
    /// What `[env]` and a profile bind, in the order of the file; only these variables, if
    /// any are named.
    pub fn resolve(
        &self,
        profile: Option<&ProfileName>,
        only: &[EnvName],
    ) -> Result<Vec<Entry>, Refusal> {
        let mut entries = self.env.clone();
        for entry in self.profile(profile)? {
            match entries.iter_mut().find(|e| e.binding.var == entry.binding.var) {
                Some(old) => *old = entry.clone(),
                None => entries.push(entry.clone()),
            }
        }
        if let Some(unbound) =
            only.iter().find(|var| entries.iter().all(|e| e.binding.var != **var))
        {
            return Err(Refusal::Unbound(unbound.clone()));
        }
        entries.retain(|e| only.is_empty() || only.contains(&e.binding.var));
        Ok(entries)
    }

    /// Every secret that any profile names.
    pub fn secrets(&self) -> BTreeSet<SecretName> {
        self.entries().map(|(_, entry)| entry.binding.secret.clone()).collect()
    }

    /// Every entry, with its profile.
    pub fn entries(&self) -> impl Iterator<Item = (Option<&ProfileName>, &Entry)> {
        let plain = self.env.iter().map(|entry| (None, entry));
        plain.chain(
            self.profiles
                .iter()
                .flat_map(|(name, entries)| entries.iter().map(move |e| (Some(name), e))),
        )
    }

    fn profile(&self, name: Option<&ProfileName>) -> Result<&[Entry], Refusal> {
        let Some(name) = name else { return Ok(&[]) };
        let found = self.profiles.iter().find(|(known, _)| known == name);
        found
            .map(|(_, entries)| entries.as_slice())
            .ok_or_else(|| Refusal::NoSuchProfile(name.clone()))
    }
}

#[cfg(test)]
mod tests;
