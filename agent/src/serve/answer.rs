//! One request, one answer. The only file that knows every request.
//!
//! What needs the open vault asks the keeper for it first, and values come out of the
//! vault by way of the gate.

use super::asking::{self, Ticket};
use super::frames::{self, Answer, encode};
use super::inbox::Frame;
use super::keeper::Keeper;
use super::mounts::Handed;
use super::projects;
use super::record;
use super::roster::Socket;
use super::staging::Staging;
use crate::ask::Answers;
use crate::ask::process::Asker;
use crate::audit::witness::Witness;
use crate::gate;
use crate::peer::Peer;
use crate::vault::change::Change;
use crate::vault::seal::Recipient;
use keyagent_wire::codec::{self, CodecError};
use keyagent_wire::event::{Deed, What, Why};
use keyagent_wire::frame::{NAMES_MAX, VERSION};
use keyagent_wire::reply::Reply;
use keyagent_wire::request::Unlock;
use keyagent_wire::{Limit, Refusal, Request, SecretName};
use std::cell::{RefCell, RefMut};
use std::os::fd::AsFd;
use std::rc::Rc;

/// What one connection has begun and not finished.
pub struct Session {
    socket: Socket,
    /// What the human has allowed for the request that is being answered.
    ticket: Ticket,
    /// And for the one after it.
    next_ticket: Ticket,
    staging: Option<Rc<RefCell<Staging>>>,
    /// The project whose shell asked last, by the path of its directory.
    loading: Option<Vec<u8>>,
    over: bool,
}

impl Session {
    /// A connection that has just begun.
    pub fn new(socket: Socket) -> Self {
        let (ticket, next_ticket) = Default::default();
        Self { socket, ticket, next_ticket, staging: None, loading: None, over: false }
    }

    /// Its socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The process that asks.
    pub fn asker(&self, peer: &Peer) -> Asker<'_> {
        Asker { pid: peer.pid(), socket: self.socket.as_fd() }
    }

    /// What its requests can build on.
    pub fn answers<'a>(&'a self, keeper: &'a Keeper, peer: &Peer) -> Answers<'a> {
        Answers {
            leases: &keeper.asks.leases,
            ticket: keeper.asks.holds(&self.ticket),
            asker: self.asker(peer),
        }
    }

    /// Keeps for the next request what the human has allowed for this one.
    pub fn keep_ticket(&mut self) {
        self.next_ticket = std::mem::take(&mut self.ticket);
    }

    /// Takes what the human has allowed, for the next request.
    pub fn take_ticket(&mut self, ticket: Ticket) {
        self.next_ticket = ticket;
    }

    /// Whether the connection ends after this answer.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The project whose shell waits for this answer, if one does.
    pub fn loading(&self) -> Option<&Vec<u8>> {
        self.loading.as_ref()
    }

    /// Made when it is first used: most connections stage nothing.
    fn staging(&mut self, keeper: &Keeper) -> RefMut<'_, Staging> {
        self.staging.get_or_insert_with(|| keeper.staging()).borrow_mut()
    }
}

/// Answers one frame.
pub async fn answer(keeper: &Keeper, session: &mut Session, peer: &Peer, frame: Frame) -> Answer {
    // A ticket is good for one request, whatever that is.
    session.ticket = std::mem::take(&mut session.next_ticket);
    let request = request_of(&frame);
    // A value may be in it, which is sealed before anything is waited for.
    drop(frame.body);
    let answered = match request {
        Ok(request) => {
            let (way, witness) = (record::way_of(&request), Witness::new(&keeper.audit, peer));
            let answered = dispatch(keeper, session, &witness, request, frame.descriptors).await;
            if let (Err(refusal), Some(way)) = (&answered, way) {
                witness.refuses(way, refusal, None, &record::names_of(refusal));
            }
            answered
        }
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
        Request::Resolve(_) | Request::Bind(_) | Request::Ask(_) => matches!(descriptors, 0 | 2),
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
    witness: &Witness<'_>,
    request: Request,
    fds: Handed,
) -> Result<Answer, Refusal> {
    let by = Some(witness.peer());
    match request {
        Request::Status => return encode(&Reply::Status(keeper.status())),
        Request::Health => return encode(&Reply::Health(keeper.health())),
        Request::Audit(ask) => return record::page(keeper, ask).await,
        Request::Init(ask) => {
            keeper.init(ask).await?;
            keeper.audit.happened(What::Made, by);
        }
        Request::Unlock(ask) => unlock(keeper, session, witness, ask).await?,
        Request::Reseal(ask) => {
            tried(keeper, witness, keeper.reseal(ask, session.socket()).await)?;
            witness.changes(Deed::Resealed, None, &[]);
        }
        Request::Lock => keeper.lock(Why::Asked, by).await,
        Request::Stop => {
            session.over = true;
            keeper.lock(Why::Stopped, by).await;
            keeper.stop.notify_one();
        }
        open => {
            let answer = dispatch_open(keeper, session, witness, open, fds).await?;
            // Who is refused keeps no vault open, and neither does who gets nothing of it.
            if answer.has_values() {
                keeper.timing().slide();
            }
            return Ok(answer);
        }
    }
    encode(&Reply::Done)
}

async fn unlock(
    keeper: &Keeper,
    session: &Session,
    witness: &Witness<'_>,
    ask: Unlock,
) -> Result<(), Refusal> {
    let (was_open, was_stale) = (keeper.is_open(), keeper.is_stale());
    let takes_older = ask.accept_rollback && was_stale;
    tried(keeper, witness, keeper.unlock(ask, session.socket()).await)?;
    if !was_open {
        keeper.audit.happened(What::Unlocked, Some(witness.peer()));
    } else if takes_older {
        keeper.audit.happened(What::Reloaded, Some(witness.peer()));
    }
    Ok(())
}

/// Records an attempt to open the identity that failed.
fn tried(
    keeper: &Keeper,
    witness: &Witness<'_>,
    result: Result<(), Refusal>,
) -> Result<(), Refusal> {
    if result.as_ref().is_err_and(record::is_failed_unlock) {
        keeper.audit.happened(What::UnlockFailed, Some(witness.peer()));
    }
    result
}

/// Everything that a closed vault refuses.
async fn dispatch_open(
    keeper: &Keeper,
    session: &mut Session,
    witness: &Witness<'_>,
    request: Request,
    fds: Handed,
) -> Result<Answer, Refusal> {
    keeper.open()?;
    // Taken when it is used, and held over no wait: a lock meanwhile leaves no value behind.
    let vault = || keeper.open().map(|open| open.vault);
    match request {
        Request::Resolve(ask) => {
            return projects::resolve(keeper, witness, &ask, fds, session).await;
        }
        Request::Get { name, version } => {
            let vault = vault()?;
            let answers = session.answers(keeper, witness.peer());
            let permit = gate::admit_one(&vault, witness, &name, version, &answers)?;
            return frames::value(vault.reveal_one(&permit)?);
        }
        Request::Original { path, part } => {
            let vault = vault()?;
            let permit = gate::admit_original(&vault, witness, &path, part)?;
            let (original, part) = vault.reveal_original(&permit)?;
            return frames::original(original, part);
        }
        Request::List { after } => {
            let (secrets, more) = vault()?.page(after.as_ref(), NAMES_MAX);
            return encode(&Reply::Page { secrets, more });
        }
        Request::Show { name } => return encode(&Reply::Fact(vault()?.secret(&name)?.fact(&name))),
        Request::Load { profile } => {
            let project = projects::project(keeper, fds).await?;
            session.loading = Some(project.directory.path.clone());
            let answers = session.answers(keeper, witness.peer());
            return projects::load(keeper, witness, profile.as_ref(), &project, &answers);
        }
        Request::Bindings { profile } => {
            return projects::bindings(keeper, profile.as_ref(), fds).await;
        }
        Request::Review => return projects::review(keeper, fds).await,
        Request::Bind(ask) => return projects::bind(keeper, &ask, fds).await,
        Request::Put(put) => session.staging(keeper).put(put)?,
        Request::PutOriginal(part) => session.staging(keeper).put_original(part)?,
        Request::Commit => {
            let change = Change::Put(session.staging(keeper).take()?);
            let written = record::change(keeper, witness, change).await?;
            return encode(&Reply::Committed(written));
        }
        Request::Remove { names } => {
            record::change(keeper, witness, Change::Remove(bounded(names)?)).await?;
        }
        Request::Move { old, new } => {
            record::change(keeper, witness, Change::Move(old, new)).await?;
        }
        Request::Allow { manifest } => projects::allow(keeper, witness, manifest, fds).await?,
        Request::Deny => projects::deny(keeper, witness, fds).await?,
        rare => return dispatch_rare(keeper, session, witness, rare, fds).await,
    }
    encode(&Reply::Done)
}

/// What a human asks once in a while.
async fn dispatch_rare(
    keeper: &Keeper,
    session: &mut Session,
    witness: &Witness<'_>,
    request: Request,
    fds: Handed,
) -> Result<Answer, Refusal> {
    match request {
        Request::Ask(ask) => asking::ask(keeper, session, witness, ask, fds).await?,
        Request::VerifyAudit => return record::check(keeper).await,
        Request::Recipients => {
            return encode(&Reply::Recipients(keeper.open()?.vault.recipients()));
        }
        Request::AddRecipient { recipient } => {
            let change = Change::AddRecipient(read_recipient(&recipient)?);
            record::change(keeper, witness, change).await?;
        }
        Request::RemoveRecipient { recipient } => {
            let change = Change::RemoveRecipient(read_recipient(&recipient)?);
            record::change(keeper, witness, change).await?;
        }
        Request::Rekey { key } => {
            tried(keeper, witness, keeper.rekey(key, session.socket()).await)?;
            witness.changes(Deed::Rekeyed, None, &[]);
        }
        _ => return Err(Refusal::UnknownOp),
    }
    encode(&Reply::Done)
}

fn read_recipient(text: &str) -> Result<Recipient, Refusal> {
    Recipient::parse(text).ok_or(Refusal::BadRecipient)
}

fn bounded(names: Vec<SecretName>) -> Result<Vec<SecretName>, Refusal> {
    if names.len() > NAMES_MAX { Err(Refusal::TooLarge(Limit::Names)) } else { Ok(names) }
}
