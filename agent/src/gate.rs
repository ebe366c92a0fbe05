//! The gate: the one place where a [`Permit`] is made, and so the one way to a value.
//!
//! Each door judges first, writes the audit event second (that log comes with its own
//! issue, and has its place here), and makes the permit last.

use crate::ask::{Answers, Holder, Wanted};
use crate::judge::{Judgement, Question, Standing, judge};
use crate::manifest::project::Project;
use crate::peer::Peer;
use crate::vault::{Secret, Vault};
use keyagent_wire::request::{Binding, Resolve};
use keyagent_wire::{Channel, Confirm, EnvName, ProfileName, Refusal, SecretName};
use std::collections::BTreeSet;

/// Proof, for one request, that the gate admitted it. Only this file can make one.
pub struct Permit {
    admitted: Admitted,
}

enum Admitted {
    Env(Vec<Binding>),
    One(SecretName, Option<u32>),
    Original(Vec<u8>, u32),
}

impl Permit {
    /// The env that was admitted.
    pub fn bindings(&self) -> &[Binding] {
        match &self.admitted {
            Admitted::Env(bindings) => bindings,
            _ => &[],
        }
    }

    /// The one value that was admitted.
    pub fn one(&self) -> Option<(&SecretName, Option<u32>)> {
        match &self.admitted {
            Admitted::One(name, version) => Some((name, *version)),
            _ => None,
        }
    }

    /// The part of an original that was admitted.
    pub fn original(&self) -> Option<(&[u8], u32)> {
        match &self.admitted {
            Admitted::Original(path, part) => Some((path, *part)),
            _ => None,
        }
    }
}

/// Whose manifest it is that a client stands in.
pub enum Stand<'a> {
    /// None was found.
    Nowhere,
    /// The user's own.
    User(&'a Project),
    /// A project's.
    Project(&'a Project),
}

impl<'a> Stand<'a> {
    /// The manifest that counts, and what it is worth.
    pub fn manifest(&self) -> Option<(&'a Project, Standing<'a>)> {
        match self {
            Self::Nowhere => None,
            Self::User(project) => Some((project, Standing::UsersManifest)),
            Self::Project(project) => {
                Some((project, Standing::Project(&project.directory, &project.hash)))
            }
        }
    }
}

/// Admits the env of a command, or of a tool.
pub fn admit_env(
    vault: &Vault,
    peer: &Peer,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    let (bindings, wanted) = weigh_env(vault, peer, stand, ask, answers)?;
    need_no_answer(wanted)?;
    Ok(Permit { admitted: Admitted::Env(bindings) })
}

/// What the human would be asked about before that env is admitted.
pub fn wanted_for_env(
    vault: &Vault,
    peer: &Peer,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    weigh_env(vault, peer, stand, ask, answers).map(|(_, wanted)| wanted)
}

/// The env, and what of it needs an answer first.
fn weigh_env(
    vault: &Vault,
    peer: &Peer,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
) -> Result<(Vec<Binding>, Vec<Wanted>), Refusal> {
    let (mut bindings, mut wanted) = (Vec::new(), Vec::new());
    if let Some((project, standing)) = stand.manifest() {
        bindings = manifest_bindings(vault, project, ask.profile.as_ref(), &ask.only)?;
        bindings.retain(|b| ask.extra.iter().all(|extra| extra.var != b.var));
        wanted = pass(vault, peer, standing, ask.channel, &secrets(&bindings), answers)?;
    } else if let Some(var) = ask.only.first() {
        return Err(Refusal::Unbound(var.clone()));
    }
    wanted.extend(pass(vault, peer, Standing::Own, ask.channel, &secrets(&ask.extra), answers)?);
    for extra in &ask.extra {
        bindings.retain(|b| b.var != extra.var);
        bindings.push(extra.clone());
    }
    Ok((bindings, wanted))
}

/// Admits the env of a shell. What is never exported is left out rather than refused, and so
/// is what the human is asked about, since a prompt asks nobody and a shell keeps what it has:
/// the shell gets the rest, and `exec` all.
pub fn admit_load(
    vault: &Vault,
    peer: &Peer,
    stand: &Stand<'_>,
    profile: Option<&ProfileName>,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    let held = |b: &Binding| vault.secret(&b.secret).is_ok_and(Secret::kept_from_shells);
    let mut bindings = Vec::new();
    if let Some((project, standing)) = stand.manifest() {
        bindings = manifest_bindings(vault, project, profile, &[])?;
        bindings.retain(|b| !held(b));
        let wanted = pass(vault, peer, standing, Channel::Export, &secrets(&bindings), answers)?;
        need_no_answer(wanted)?;
    }
    Ok(Permit { admitted: Admitted::Env(bindings) })
}

/// Admits one value, at the human's own word.
pub fn admit_one(
    vault: &Vault,
    peer: &Peer,
    name: &SecretName,
    version: Option<u32>,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    need_no_answer(wanted_for_one(vault, peer, name, answers)?)?;
    Ok(Permit { admitted: Admitted::One(name.clone(), version) })
}

/// What the human would be asked about before that value is admitted.
pub fn wanted_for_one(
    vault: &Vault,
    peer: &Peer,
    name: &SecretName,
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    // `get` hands the value to the human who asked for this name, as exec would.
    pass(vault, peer, Standing::Own, Channel::Exec, &[name], answers)
}

/// Admits a part of a file as it was before an import: it goes back where it came from.
pub fn admit_original(peer: &Peer, path: &[u8], part: u32) -> Permit {
    tracing::debug!(pid = peer.pid(), part, "original");
    Permit { admitted: Admitted::Original(path.to_vec(), part) }
}

fn secrets(bindings: &[Binding]) -> Vec<&SecretName> {
    bindings.iter().map(|b| &b.secret).collect()
}

/// Nothing may leave that needs an answer.
fn need_no_answer(wanted: Vec<Wanted>) -> Result<(), Refusal> {
    let names: BTreeSet<_> = wanted.into_iter().map(|wanted| wanted.secret).collect();
    if names.is_empty() { Ok(()) } else { Err(Refusal::NeedsAnswer(names.into_iter().collect())) }
}

/// What of these needs an answer of the human first, if they may be had at all.
fn pass(
    vault: &Vault,
    peer: &Peer,
    standing: Standing<'_>,
    channel: Channel,
    secrets: &[&SecretName],
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    let confirmed = &answers.confirmed(vault, standing, secrets);
    match judge(&Question { standing, channel, secrets, confirmed }, vault) {
        Judgement::Allow => {
            tracing::debug!(pid = peer.pid(), names = secrets.len(), "admitted");
            Ok(Vec::new())
        }
        Judgement::Ask(names) => {
            tracing::debug!(pid = peer.pid(), names = names.len(), "to be asked");
            let level =
                |name: &SecretName| vault.secret(name).map_or(Confirm::Always, Secret::confirm);
            let wanted = |secret: SecretName| Wanted {
                holder: Holder::of(standing),
                confirm: level(&secret),
                secret,
            };
            Ok(names.into_iter().map(wanted).collect())
        }
        Judgement::Deny(refusal) => {
            tracing::debug!(pid = peer.pid(), ?refusal, "refused");
            Err(refusal)
        }
    }
}

/// What the manifest binds, less what is optional and absent.
fn manifest_bindings(
    vault: &Vault,
    project: &Project,
    profile: Option<&ProfileName>,
    only: &[EnvName],
) -> Result<Vec<Binding>, Refusal> {
    let entries = project.manifest.resolve(profile, only)?;
    let wanted = entries.into_iter().filter(|e| !e.optional || vault.has(&e.binding.secret));
    Ok(wanted.map(|e| e.binding).collect())
}
