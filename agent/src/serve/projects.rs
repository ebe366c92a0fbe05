//! What a project may ask: its env, its review, its trust. A project is two descriptors, and
//! what they are is looked at before anything is judged.
//!
//! It decides nothing: the gate does.

use super::answer::Session;
use super::frames::{self, Answer, encode};
use super::keeper::Keeper;
use super::mounts::Handed;
use super::record;
use crate::ask::{Answers, Wanted};
use crate::audit::witness::Witness;
use crate::gate::{self, Stand};
use crate::grant::{self, Grant};
use crate::manifest::project::{Project, glance, look, look_at_directory};
use crate::manifest::{Entry, edit, parse};
use crate::peer::Peer;
use crate::review::review as review_of;
use crate::vault::change::Change;
use crate::vault::store;
use crate::vault::{Secret, Vault};
use keyagent_wire::frame::NAMES_MAX;
use keyagent_wire::reply::{Bound, Reply};
use keyagent_wire::request::{Bind, Resolve};
use keyagent_wire::{Channel, Limit, ProfileName, Refusal};
use nix::sys::stat::stat;

/// The env of a command, or of a tool.
pub async fn resolve(
    keeper: &Keeper,
    witness: &Witness<'_>,
    ask: &Resolve,
    fds: Handed,
    session: &Session,
) -> Result<Answer, Refusal> {
    let project = asking_project(keeper, ask, fds).await?;
    // It may have been locked while a file system took its time, and what was answered ended.
    let vault = keeper.open()?.vault;
    let (answers, stand) =
        (session.answers(keeper, witness.peer()), stand(keeper, project.as_ref()));
    let permit = gate::admit_env(&vault, witness, &stand, ask, &answers)?;
    frames::env(&vault.reveal(&permit)?)
}

/// What the human would be asked about before that env is handed out.
pub async fn wanted(
    keeper: &Keeper,
    ask: &Resolve,
    fds: Handed,
    session: &Session,
    peer: &Peer,
) -> Result<Vec<Wanted>, Refusal> {
    let project = asking_project(keeper, ask, fds).await?;
    let vault = keeper.open()?.vault;
    let answers = session.answers(keeper, peer);
    gate::wanted_for_env(&vault, &stand(keeper, project.as_ref()), ask, &answers)
}

async fn asking_project(
    keeper: &Keeper,
    ask: &Resolve,
    fds: Handed,
) -> Result<Option<Project>, Refusal> {
    if ask.only.len() + ask.extra.len() > NAMES_MAX {
        return Err(Refusal::TooLarge(Limit::Names));
    }
    optional_project(keeper, fds).await
}

/// The env of a shell.
pub fn load(
    keeper: &Keeper,
    witness: &Witness<'_>,
    profile: Option<&ProfileName>,
    project: &Project,
    answers: &Answers<'_>,
) -> Result<Answer, Refusal> {
    let vault = keeper.open()?.vault;
    let permit =
        gate::admit_load(&vault, witness, &stand(keeper, Some(project)), profile, answers)?;
    frames::loaded(&vault.reveal(&permit)?)
}

/// What the manifest binds, less the values.
pub async fn bindings(
    keeper: &Keeper,
    profile: Option<&ProfileName>,
    fds: Handed,
) -> Result<Answer, Refusal> {
    let project = project(keeper, fds).await?;
    let vault = keeper.open()?.vault;
    let bound = |entry: Entry| {
        let secret = vault.secret(&entry.binding.secret).ok();
        Bound {
            version: secret.map(Secret::active_number),
            exec_only: secret.is_some_and(Secret::exec_only),
            confirm: secret.map(Secret::confirm).unwrap_or_default(),
            binding: entry.binding,
        }
    };
    encode(&Reply::Bindings {
        allowed: is_users(keeper, &project) || is_allowed(&vault, &project),
        bound: project.manifest.resolve(profile, &[])?.into_iter().map(bound).collect(),
    })
}

/// Trusts the manifest, if it is the one that was shown.
pub async fn allow(
    keeper: &Keeper,
    witness: &Witness<'_>,
    shown: [u8; 32],
    fds: Handed,
) -> Result<(), Refusal> {
    let project = project(keeper, fds).await?;
    if project.hash != shown {
        return Err(Refusal::Changed);
    }
    let grant = Grant {
        directory: project.directory,
        manifest: project.hash,
        secrets: project.manifest.secrets(),
        channels: [Channel::Exec, Channel::Export].into(),
        created: store::now(),
    };
    record::change(keeper, witness, Change::Allow(grant)).await.map(drop)
}

/// The text of a manifest with more bindings.
pub async fn bind(keeper: &Keeper, ask: &Bind, fds: Handed) -> Result<Answer, Refusal> {
    if ask.bindings.len() > NAMES_MAX {
        return Err(Refusal::TooLarge(Limit::Names));
    }
    let old = optional_project(keeper, fds).await?.map(|project| project.text);
    let text = edit::bind(old.as_deref(), ask).ok_or(Refusal::Malformed)?;
    parse(text.as_bytes()).map_err(|fault| fault.refusal(text.as_bytes()))?;
    encode(&Reply::Manifest(text))
}

/// What the manifest would get, for the human who is asked.
pub async fn review(keeper: &Keeper, fds: Handed) -> Result<Answer, Refusal> {
    let project = project(keeper, fds).await?;
    let vault = keeper.open()?.vault;
    encode(&Reply::Review(review_of(&project, &vault)))
}

/// Takes the trust of a directory back.
pub async fn deny(keeper: &Keeper, witness: &Witness<'_>, fds: Handed) -> Result<(), Refusal> {
    let directory = keeper.look(fds, |fds| look_at_directory(&fds[0])).await??;
    record::change(keeper, witness, Change::Deny(directory)).await.map(drop)
}

async fn optional_project(keeper: &Keeper, fds: Handed) -> Result<Option<Project>, Refusal> {
    if fds.as_slice().is_empty() { Ok(None) } else { project(keeper, fds).await.map(Some) }
}

/// Read here if that takes no waiting, else where it keeps nobody waiting but who asked.
pub async fn project(keeper: &Keeper, fds: Handed) -> Result<Project, Refusal> {
    let [directory, manifest] = fds.as_slice() else { return Err(Refusal::Malformed) };
    let seen = match glance(directory, manifest) {
        Some(seen) => {
            fds.close_at_once();
            seen
        }
        None => keeper.look(fds, |fds| look(&fds[0], &fds[1])).await??,
    };
    Project::of(seen, &keeper.parsed)
}

fn is_allowed(vault: &Vault, project: &Project) -> bool {
    grant::matching(vault.grants(), &project.directory, &project.hash).is_some()
}

fn stand<'a>(keeper: &Keeper, project: Option<&'a Project>) -> Stand<'a> {
    match project {
        None => Stand::Nowhere,
        Some(project) if is_users(keeper, project) => Stand::User(project),
        Some(project) => Stand::Project(project),
    }
}

/// The user's own manifest lies in the user's own config directory.
fn is_users(keeper: &Keeper, project: &Project) -> bool {
    let (device, inode) = (project.directory.device, project.directory.inode);
    stat(keeper.places().config())
        .is_ok_and(|facts| facts.st_dev == device && facts.st_ino == inode)
}
