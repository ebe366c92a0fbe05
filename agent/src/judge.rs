//! The judgement: may this be handed out? Pure: no clock, no file, no network.
//!
//! It answers and does nothing; [`crate::gate`] acts on it.

use crate::grant::{self, Directory, Grant};
use crate::vault::{Secret, Vault};
use keyagent_wire::{Channel, Confirm, Refusal, SecretName};
use std::collections::BTreeSet;

/// What a manifest is worth where it stands.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// The human's own word (`get NAME`, `--env VAR=NAME`): no manifest is asked.
    Own,
    /// The user's own manifest, which is always allowed.
    UsersManifest,
    /// A project's manifest: this directory, with this hash.
    Project(&'a Directory, &'a [u8; 32]),
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// By whose word.
    pub standing: Standing<'a>,
    /// By which way.
    pub channel: Channel,
    /// Which secrets, all or none.
    pub secrets: &'a [&'a SecretName],
    /// Which of them the human has confirmed.
    pub confirmed: &'a BTreeSet<SecretName>,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// Hand it out.
    Allow,
    /// Do not, and say why.
    Deny(Refusal),
    /// Not before the human has confirmed these.
    Ask(Vec<SecretName>),
}

/// Judges by the vault's grants and the secrets' own constraints.
pub fn judge(question: &Question<'_>, vault: &Vault) -> Judgement {
    match refusal(question, vault) {
        Some(refusal) => Judgement::Deny(refusal),
        None => match unconfirmed(question, vault) {
            names if names.is_empty() => Judgement::Allow,
            names => Judgement::Ask(names),
        },
    }
}

fn unconfirmed(question: &Question<'_>, vault: &Vault) -> Vec<SecretName> {
    let is_open = |name: &&SecretName| {
        let asked = vault.secret(name).map_or(Confirm::Always, Secret::confirm);
        asked != Confirm::None && !question.confirmed.contains(*name)
    };
    question.secrets.iter().copied().filter(is_open).cloned().collect()
}

fn refusal(question: &Question<'_>, vault: &Vault) -> Option<Refusal> {
    let grant = match question.standing {
        Standing::Own | Standing::UsersManifest => None,
        Standing::Project(directory, hash) => match granted(vault.grants(), directory, hash) {
            Ok(grant) => Some(grant),
            Err(refusal) => return Some(refusal),
        },
    };
    let named = || question.secrets.iter().copied();
    let absent: Vec<_> = named().filter(|name| !vault.has(name)).cloned().collect();
    if !absent.is_empty() {
        return Some(Refusal::NoSuchSecret(absent));
    }
    let covers = |grant: &Grant| {
        grant.channels.contains(&question.channel) && named().all(|n| grant.secrets.contains(n))
    };
    if grant.is_some_and(|grant| !covers(grant)) {
        return Some(Refusal::NotAllowed);
    }
    let held = exec_only(question, vault);
    (!held.is_empty()).then_some(Refusal::ExecOnly(held))
}

fn granted<'a>(
    grants: &'a [Grant],
    directory: &Directory,
    hash: &[u8; 32],
) -> Result<&'a Grant, Refusal> {
    grant::matching(grants, directory, hash).ok_or_else(|| {
        let known = grant::latest(grants, directory).is_some();
        if known { Refusal::Changed } else { Refusal::NotAllowed }
    })
}

fn exec_only(question: &Question<'_>, vault: &Vault) -> Vec<SecretName> {
    if question.channel == Channel::Exec {
        return Vec::new();
    }
    let held = |name: &&SecretName| vault.secret(name).is_ok_and(|secret| secret.exec_only());
    question.secrets.iter().copied().filter(held).cloned().collect()
}
