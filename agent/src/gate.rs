//! The gate: the one place where a [`Permit`] is made, and so the one way to a value.
//!
//! Each door judges first, writes the audit event second, and makes the permit last: what
//! cannot be put on record is not handed out.

use crate::ask::{Answers, Holder, Wanted};
use crate::audit::event::Named;
use crate::audit::witness::Witness;
use crate::judge::{Judgement, Question, Standing, judge};
use crate::manifest::project::Project;
use crate::vault::{Secret, Vault};
use keyagent_wire::event::Way;
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

    /// The directory of the manifest.
    fn path(&self) -> Option<&'a [u8]> {
        self.manifest().map(|(project, _)| project.directory.path.as_slice())
    }
}

/// Admits the env of a command, or of a tool.
pub fn admit_env(
    vault: &Vault,
    witness: &Witness<'_>,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    let way = if ask.channel == Channel::Exec { Way::Exec } else { Way::Export };
    let mut bindings = Vec::new();
    let judged = weigh_env(vault, stand, ask, answers, &mut bindings).and_then(need_no_answer);
    record(vault, witness, way, stand, judged, &bindings)?;
    Ok(Permit { admitted: Admitted::Env(bindings) })
}

/// What the human would be asked about before that env is admitted.
pub fn wanted_for_env(
    vault: &Vault,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    weigh_env(vault, stand, ask, answers, &mut Vec::new())
}

/// What of the env needs an answer first. What is asked for is in `bindings`, however it is
/// judged.
fn weigh_env(
    vault: &Vault,
    stand: &Stand<'_>,
    ask: &Resolve,
    answers: &Answers<'_>,
    bindings: &mut Vec<Binding>,
) -> Result<Vec<Wanted>, Refusal> {
    let judged = bound_for(vault, stand, ask).and_then(|bound| {
        *bindings = bound;
        let Some((_, standing)) = stand.manifest() else { return Ok(Vec::new()) };
        pass(vault, standing, ask.channel, &secrets(bindings), answers)
    });
    for extra in &ask.extra {
        bindings.retain(|b| b.var != extra.var);
        bindings.push(extra.clone());
    }
    let mut wanted = judged?;
    wanted.extend(pass(vault, Standing::Own, ask.channel, &secrets(&ask.extra), answers)?);
    Ok(wanted)
}

/// What the manifest binds of it, less what the human has named otherwise.
fn bound_for(vault: &Vault, stand: &Stand<'_>, ask: &Resolve) -> Result<Vec<Binding>, Refusal> {
    let Some((project, _)) = stand.manifest() else {
        return ask.only.first().map_or(Ok(Vec::new()), |var| Err(Refusal::Unbound(var.clone())));
    };
    let mut bound = manifest_bindings(vault, project, ask.profile.as_ref(), &ask.only)?;
    bound.retain(|b| ask.extra.iter().all(|extra| extra.var != b.var));
    Ok(bound)
}

/// Admits the env of a shell. What is never exported is left out rather than refused, and so
/// is what the human is asked about, since a prompt asks nobody and a shell keeps what it has:
/// the shell gets the rest, and `exec` all.
pub fn admit_load(
    vault: &Vault,
    witness: &Witness<'_>,
    stand: &Stand<'_>,
    profile: Option<&ProfileName>,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    let mut bindings = Vec::new();
    let judged = weigh_load(vault, stand, profile, answers, &mut bindings).and_then(need_no_answer);
    record(vault, witness, Way::Load, stand, judged, &bindings)?;
    Ok(Permit { admitted: Admitted::Env(bindings) })
}

fn weigh_load(
    vault: &Vault,
    stand: &Stand<'_>,
    profile: Option<&ProfileName>,
    answers: &Answers<'_>,
    bindings: &mut Vec<Binding>,
) -> Result<Vec<Wanted>, Refusal> {
    let held = |b: &Binding| vault.secret(&b.secret).is_ok_and(Secret::kept_from_shells);
    let Some((project, standing)) = stand.manifest() else { return Ok(Vec::new()) };
    *bindings = manifest_bindings(vault, project, profile, &[])?;
    bindings.retain(|b| !held(b));
    pass(vault, standing, Channel::Export, &secrets(bindings), answers)
}

/// Admits one value, at the human's own word.
pub fn admit_one(
    vault: &Vault,
    witness: &Witness<'_>,
    name: &SecretName,
    version: Option<u32>,
    answers: &Answers<'_>,
) -> Result<Permit, Refusal> {
    let judged = wanted_for_one(vault, name, answers)
        .and_then(need_no_answer)
        .and_then(|()| vault.secret(name)?.number_of(version));
    match judged {
        Ok(number) => {
            let secret = Named { name, version: Some(number) };
            witness.releases(Way::Get, None, &[secret])?;
            Ok(Permit { admitted: Admitted::One(name.clone(), version) })
        }
        Err(refusal) => {
            witness.refuses(Way::Get, &refusal, None, &[name]);
            Err(refusal)
        }
    }
}

/// What the human would be asked about before that value is admitted.
pub fn wanted_for_one(
    vault: &Vault,
    name: &SecretName,
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    // `get` hands the value to the human who asked for this name, as exec would.
    pass(vault, Standing::Own, Channel::Exec, &[name], answers)
}

/// Admits a part of a file as it was before an import: it goes back where it came from.
pub fn admit_original(
    vault: &Vault,
    witness: &Witness<'_>,
    path: &[u8],
    part: u32,
) -> Result<Permit, Refusal> {
    if !vault.has_original(path, part) {
        witness.refuses(Way::Original, &Refusal::NoOriginal, Some(path), &[]);
        return Err(Refusal::NoOriginal);
    }
    witness.releases(Way::Original, Some(path), &[])?;
    Ok(Permit { admitted: Admitted::Original(path.to_vec(), part) })
}

/// Puts a judgement on record: what it is of, whatever it is.
fn record(
    vault: &Vault,
    witness: &Witness<'_>,
    way: Way,
    stand: &Stand<'_>,
    judged: Result<(), Refusal>,
    bindings: &[Binding],
) -> Result<(), Refusal> {
    if let Err(refusal) = judged {
        witness.refuses(way, &refusal, stand.path(), &secrets(bindings));
        return Err(refusal);
    }
    let version = |name| vault.secret(name).ok().map(Secret::active_number);
    let names: BTreeSet<_> = secrets(bindings).into_iter().collect();
    let named: Vec<_> =
        names.into_iter().map(|name| Named { name, version: version(name) }).collect();
    // Where nothing is bound, nothing is handed out.
    if named.is_empty() { Ok(()) } else { witness.releases(way, stand.path(), &named) }
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
    standing: Standing<'_>,
    channel: Channel,
    secrets: &[&SecretName],
    answers: &Answers<'_>,
) -> Result<Vec<Wanted>, Refusal> {
    let confirmed = &answers.confirmed(vault, standing, secrets);
    match judge(&Question { standing, channel, secrets, confirmed }, vault) {
        Judgement::Allow => Ok(Vec::new()),
        Judgement::Ask(names) => {
            let level =
                |name: &SecretName| vault.secret(name).map_or(Confirm::Always, Secret::confirm);
            let wanted = |secret: SecretName| Wanted {
                holder: Holder::of(standing),
                confirm: level(&secret),
                secret,
            };
            Ok(names.into_iter().map(wanted).collect())
        }
        Judgement::Deny(refusal) => Err(refusal),
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
