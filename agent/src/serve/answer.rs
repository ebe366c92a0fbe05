//! One request, one answer. The only file that knows every request.
//!
//! What needs the open vault asks the keeper for it first, and values come out of the
//! vault by way of the gate.

use super::inbox::Frame;
use super::keeper::Keeper;
use super::mounts::Handed;
use super::staging::Staging;
use crate::gate::{self, Stand};
use crate::grant::{self, Grant};
use crate::manifest::project::{Project, glance, look, look_at_directory};
use crate::manifest::{Entry, edit};
use crate::peer::Peer;
use crate::review::review;
use crate::vault::change::Change;
use crate::vault::store;
use crate::vault::{Secret, Vault};
use keyagent_wire::codec::{self, CodecError};
use keyagent_wire::frame::{NAMES_MAX, VERSION};
use keyagent_wire::reply::{self, Bound, Reply};
use keyagent_wire::request::{Bind, Request, Resolve};
use keyagent_wire::{Channel, Limit, ProfileName, Refusal, SecretName};
use nix::sys::stat::stat;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use zeroize::Zeroizing;

/// A reply, as a whole frame.
pub type Answer = Zeroizing<Vec<u8>>;

/// What one connection has begun and not finished.
#[derive(Default)]
pub struct Session {
    staging: Option<Rc<RefCell<Staging>>>,
    over: bool,
}

impl Session {
    /// Whether the connection ends after this answer.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Made when it is first used: most connections stage nothing.
    fn staging(&mut self, keeper: &Keeper) -> RefMut<'_, Staging> {
        self.staging.get_or_insert_with(|| keeper.staging()).borrow_mut()
    }
}

/// Answers one frame.
pub async fn answer(keeper: &Keeper, session: &mut Session, peer: &Peer, frame: Frame) -> Answer {
    let answered = match request_of(&frame) {
        Ok(request) => dispatch(keeper, session, peer, request, frame.descriptors).await,
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(refuse)
}

/// A refusal.
pub fn refuse(refusal: Refusal) -> Answer {
    encode(&Reply::Refused(refusal)).unwrap_or_default()
}

/// `Status` is understood whatever version asks: how else would it learn ours?
fn request_of(frame: &Frame) -> Result<Request, Refusal> {
    let request = codec::decode_request(&frame.body);
    if frame.version != VERSION && !matches!(request, Ok(Request::Status)) {
        return Err(Refusal::Version {
            protocol: VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        });
    }
    let request = request.map_err(|error| match error {
        CodecError::UnknownOp => Refusal::UnknownOp,
        CodecError::Malformed | CodecError::TrailingBytes => Refusal::Malformed,
        CodecError::TooLarge => Refusal::TooLarge(Limit::Request),
    })?;
    if takes(&request, frame.descriptors.as_slice().len()) {
        Ok(request)
    } else {
        Err(Refusal::Malformed)
    }
}

/// Whether a request has use for that many descriptors.
fn takes(request: &Request, descriptors: usize) -> bool {
    match request {
        Request::Resolve(_) | Request::Bind(_) => matches!(descriptors, 0 | 2),
        Request::Review
        | Request::Allow { .. }
        | Request::Load { .. }
        | Request::Bindings { .. } => descriptors == 2,
        Request::Deny => descriptors == 1,
        _ => descriptors == 0,
    }
}

async fn dispatch(
    keeper: &Keeper,
    session: &mut Session,
    peer: &Peer,
    request: Request,
    fds: Handed,
) -> Result<Answer, Refusal> {
    match request {
        Request::Status => return encode(&Reply::Status(keeper.status())),
        Request::Init(ask) => keeper.init(ask).await?,
        Request::Unlock(ask) => keeper.unlock(ask).await?,
        Request::Lock => keeper.lock().await,
        Request::Stop => {
            session.over = true;
            keeper.lock().await;
            keeper.stop.notify_one();
        }
        open => return dispatch_open(keeper, session, peer, open, fds).await,
    }
    encode(&Reply::Done)
}

/// Everything that a closed vault refuses.
async fn dispatch_open(
    keeper: &Keeper,
    session: &mut Session,
    peer: &Peer,
    request: Request,
    fds: Handed,
) -> Result<Answer, Refusal> {
    keeper.open()?;
    // Taken when it is used, and held over no wait: a lock meanwhile leaves no value behind.
    let vault = || keeper.open().map(|open| open.vault);
    match request {
        Request::Resolve(ask) => return resolve(keeper, peer, &ask, fds).await,
        Request::Get { name, version } => {
            let vault = vault()?;
            let permit = gate::admit_one(&vault, peer, &name, version)?;
            return fits(reply::frame_value(vault.reveal_one(&permit)?));
        }
        Request::Original { path, part } => {
            let permit = gate::admit_original(peer, &path, part);
            let vault = vault()?;
            let (original, bytes) = vault.reveal_original(&permit)?;
            return encode(&Reply::Original {
                parts: original.part_count(),
                after: original.after(),
                bytes: bytes.duplicate(),
            });
        }
        Request::List { after } => {
            let (secrets, more) = vault()?.page(after.as_ref(), NAMES_MAX);
            return encode(&Reply::Page { secrets, more });
        }
        Request::Show { name } => return encode(&Reply::Fact(vault()?.secret(&name)?.fact(&name))),
        Request::Review => {
            let project = project(keeper, fds).await?;
            let vault = vault()?;
            return encode(&Reply::Review(review(&project, &vault)));
        }
        Request::Bind(ask) => return bind(keeper, &ask, fds).await,
        Request::Load { profile } => return load(keeper, peer, profile.as_ref(), fds).await,
        Request::Bindings { profile } => return bindings(keeper, profile.as_ref(), fds).await,
        Request::Put(put) => session.staging(keeper).put(put)?,
        Request::PutOriginal(part) => session.staging(keeper).put_original(part)?,
        Request::Commit => {
            let change = Change::Put(session.staging(keeper).take()?);
            return encode(&Reply::Committed(keeper.change(change).await?));
        }
        Request::Remove { names } => drop(keeper.change(Change::Remove(bounded(names)?)).await?),
        Request::Move { old, new } => drop(keeper.change(Change::Move(old, new)).await?),
        Request::Allow { manifest } => allow(keeper, manifest, fds).await?,
        Request::Deny => {
            let directory = keeper.look(fds, |fds| look_at_directory(&fds[0])).await??;
            keeper.change(Change::Deny(directory)).await?;
        }
        Request::Status | Request::Init(_) | Request::Unlock(_) | Request::Lock | Request::Stop => {
            unreachable!("dispatch has answered these")
        }
    }
    encode(&Reply::Done)
}

async fn resolve(
    keeper: &Keeper,
    peer: &Peer,
    ask: &Resolve,
    fds: Handed,
) -> Result<Answer, Refusal> {
    if ask.only.len() + ask.extra.len() > NAMES_MAX {
        return Err(Refusal::TooLarge(Limit::Names));
    }
    let project = optional_project(keeper, fds).await?;
    // It may have been locked while a file system took its time.
    let vault = keeper.open()?.vault;
    let permit = gate::admit_env(&vault, peer, &stand(keeper, project.as_ref()), ask)?;
    let env = vault.reveal(&permit)?;
    fits(reply::frame_env(env.into_iter().map(|(binding, version)| (&binding.var, &version.value))))
}

async fn load(
    keeper: &Keeper,
    peer: &Peer,
    profile: Option<&ProfileName>,
    fds: Handed,
) -> Result<Answer, Refusal> {
    let project = project(keeper, fds).await?;
    let vault = keeper.open()?.vault;
    let permit = gate::admit_load(&vault, peer, &stand(keeper, Some(&project)), profile)?;
    let env = vault.reveal(&permit)?;
    let loaded =
        env.into_iter().map(|(binding, version)| (binding, version.number, &version.value));
    fits(reply::frame_loaded(loaded))
}

async fn bindings(
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
            binding: entry.binding,
        }
    };
    encode(&Reply::Bindings {
        allowed: is_users(keeper, &project) || is_allowed(&vault, &project),
        bound: project.manifest.resolve(profile, &[])?.into_iter().map(bound).collect(),
    })
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

async fn allow(keeper: &Keeper, shown: [u8; 32], fds: Handed) -> Result<(), Refusal> {
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
    keeper.change(Change::Allow(grant)).await.map(drop)
}

async fn bind(keeper: &Keeper, ask: &Bind, fds: Handed) -> Result<Answer, Refusal> {
    if ask.bindings.len() > NAMES_MAX {
        return Err(Refusal::TooLarge(Limit::Names));
    }
    let old = optional_project(keeper, fds).await?.map(|project| project.text);
    let text = edit::bind(old.as_deref(), ask).ok_or(Refusal::Malformed)?;
    crate::manifest::parse(text.as_bytes()).map_err(|fault| fault.refusal(text.as_bytes()))?;
    encode(&Reply::Manifest(text))
}

async fn optional_project(keeper: &Keeper, fds: Handed) -> Result<Option<Project>, Refusal> {
    if fds.as_slice().is_empty() { Ok(None) } else { project(keeper, fds).await.map(Some) }
}

/// Read here if that takes no waiting, else where it keeps nobody waiting but who asked.
async fn project(keeper: &Keeper, fds: Handed) -> Result<Project, Refusal> {
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

/// The user's own manifest lies in the user's own config directory.
fn is_users(keeper: &Keeper, project: &Project) -> bool {
    let (device, inode) = (project.directory.device, project.directory.inode);
    stat(keeper.places().config())
        .is_ok_and(|facts| facts.st_dev == device && facts.st_ino == inode)
}

fn bounded(names: Vec<SecretName>) -> Result<Vec<SecretName>, Refusal> {
    if names.len() > NAMES_MAX { Err(Refusal::TooLarge(Limit::Names)) } else { Ok(names) }
}

fn encode(reply: &Reply) -> Result<Answer, Refusal> {
    fits(codec::frame_reply(reply))
}

fn fits(body: Result<Answer, CodecError>) -> Result<Answer, Refusal> {
    body.map_err(|_| Refusal::TooLarge(Limit::Reply))
}
