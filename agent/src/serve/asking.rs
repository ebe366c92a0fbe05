//! Asking the human on behalf of a request: one question at a time on the screen, one dialog
//! for all who ask the same, and an end to it when they are gone or the vault is locked.
//!
//! It decides nothing: the gate says what is wanted, and judges again once there is an answer.

use super::answer::Session;
use super::door::Door;
use super::keeper::Keeper;
use super::mounts::Handed;
use super::pinentry::{Said, Way};
use super::projects;
use super::roster::Socket;
use crate::ask::denials::Denials;
use crate::ask::leases::Leases;
use crate::ask::process::{Asker, TerminalSession};
use crate::ask::{Wanted, now, question};
use crate::audit::witness::Witness;
use crate::gate;
use crate::peer::Peer;
use crate::vault::Vault;
use keyagent_wire::request::{Ask, Asked};
use keyagent_wire::{Confirm, Refusal};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::sync::{Mutex, Notify, watch};

/// How many may wait for a human at once. A client that finds no room tries again.
pub const ASKS_MAX: usize = 7;

/// The questions of this agent, and the answers that still hold.
pub struct Asks {
    /// What was confirmed for whole terminal sessions.
    pub leases: RefCell<Leases>,
    denials: RefCell<Denials>,
    dialogs: RefCell<Vec<Rc<Dialog>>>,
    door: Door,
    /// Held by whoever has a dialog on the screen.
    pub(super) screen: Mutex<()>,
    /// Told when the vault is locked, and how often it was.
    locks: watch::Sender<u64>,
}

/// What the human has allowed for one request, the next of its connection.
#[derive(Default)]
pub struct Ticket {
    /// What was confirmed.
    wanted: Vec<Wanted>,
    locks: u64,
}

/// A question, on the screen or waiting for it.
struct Dialog {
    session: Option<TerminalSession>,
    wanted: Vec<Wanted>,
    /// How many wait for it.
    waiting: Cell<usize>,
    deserted: Notify,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    /// Refused without a word of the human, who was shown nothing.
    Unasked,
    Muted(u64),
    Locked,
}

impl Asks {
    /// None are open.
    pub fn new() -> Self {
        Self {
            leases: RefCell::default(),
            denials: RefCell::default(),
            dialogs: RefCell::default(),
            door: Door::new(ASKS_MAX),
            screen: Mutex::new(()),
            locks: watch::Sender::new(0),
        }
    }

    /// Ends every lease and every question, as a lock does. What the human has denied stays so:
    /// any program can lock, and where no passphrase is typed it can unlock, too.
    pub fn clear(&self) {
        self.leases.borrow_mut().clear();
        self.locks.send_modify(|locks| *locks += 1);
    }

    /// The human is there and wants the vault open: their denials begin anew.
    pub fn welcome(&self) {
        self.denials.borrow_mut().clear();
    }

    /// Ends the leases that this vault gives no ground for.
    pub fn settle(&self, vault: &Vault) {
        self.leases.borrow_mut().settle(vault);
    }

    /// What a ticket is still good for.
    pub fn holds<'a>(&self, ticket: &'a Ticket) -> &'a [Wanted] {
        if ticket.locks == *self.locks.borrow() { &ticket.wanted } else { &[] }
    }

    /// The human said no.
    pub(super) fn denied(&self) {
        self.denials.borrow_mut().denied(now());
    }

    /// Refuses for as long as nothing is asked.
    pub(super) fn muted(&self) -> Result<(), Refusal> {
        self.denials.borrow().muted(now()).map_or(Ok(()), |left| Err(Refusal::Muted(left)))
    }

    /// The same question, if it can be shared: one yes is then a lease for all of them.
    fn same(&self, session: Option<TerminalSession>, wanted: &[Wanted]) -> Option<Rc<Dialog>> {
        let can_be_shared =
            session.is_some() && wanted.iter().all(|wanted| wanted.confirm == Confirm::Session);
        let dialogs = self.dialogs.borrow();
        dialogs.iter().find(|d| can_be_shared && d.is_about(session, wanted)).cloned()
    }

    /// A no is for all who ask the same, shared or not.
    fn deny_alike(&self, dialog: &Dialog) {
        for other in self.dialogs.borrow().iter() {
            if other.is_about(dialog.session, &dialog.wanted) {
                other.outcome.send_replace(Some(Outcome::Denied));
            }
        }
    }
}

impl Dialog {
    fn new(session: Option<TerminalSession>, wanted: Vec<Wanted>) -> Rc<Self> {
        Rc::new(Self {
            session,
            wanted,
            waiting: Cell::new(1),
            deserted: Notify::new(),
            outcome: watch::Sender::new(None),
        })
    }

    fn is_about(&self, session: Option<TerminalSession>, wanted: &[Wanted]) -> bool {
        self.session == session && self.wanted == wanted
    }

    fn leave(&self) {
        self.waiting.set(self.waiting.get() - 1);
        if self.waiting.get() == 0 {
            self.deserted.notify_one();
        }
    }

    async fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let told = outcome.wait_for(Option::is_some).await;
        told.ok().and_then(|told| *told).unwrap_or(Outcome::Unasked)
    }
}

/// Asks, and leaves a ticket for the next request of the connection.
pub async fn ask(
    keeper: &Keeper,
    session: &mut Session,
    witness: &Witness<'_>,
    ask: Ask,
    fds: Handed,
) -> Result<(), Refusal> {
    let locks = *keeper.asks.locks.borrow();
    let wanted = wanted(keeper, session, witness.peer(), &ask.about, fds).await?;
    if wanted.is_empty() {
        // An answer that is there already stays for what it was asked for.
        session.keep_ticket();
        return Ok(());
    }
    let asker = session.asker(witness.peer());
    if !asker.lives() {
        return Err(Refusal::Denied);
    }
    keeper.asks.muted()?;
    let way = Way::find(&keeper.config().ask, &ask.screen)?;
    let _inside = keeper.asks.door.enter()?;
    let terminal = asker.session();
    let outcome = match keeper.asks.same(terminal, &wanted) {
        Some(dialog) => follow(&dialog, session.socket()).await,
        None => {
            let dialog = Dialog::new(terminal, wanted.clone());
            keeper.asks.dialogs.borrow_mut().push(dialog.clone());
            let outcome = lead(keeper, &dialog, &way, asker, session.socket()).await;
            keeper.asks.dialogs.borrow_mut().retain(|other| !Rc::ptr_eq(other, &dialog));
            dialog.outcome.send_replace(Some(outcome));
            outcome
        }
    };
    if matches!(outcome, Outcome::Allowed | Outcome::Denied) {
        let names: Vec<_> = wanted.iter().map(|wanted| &wanted.secret).collect();
        witness.answers(outcome == Outcome::Allowed, &names);
    }
    match outcome {
        Outcome::Allowed => {
            session.take_ticket(Ticket { wanted, locks });
            Ok(())
        }
        Outcome::Denied => Err(Refusal::Denied),
        Outcome::Unasked => Err(Refusal::PinentryFailed),
        Outcome::Muted(left) => Err(Refusal::Muted(left)),
        Outcome::Locked => Err(Refusal::Locked),
    }
}

/// What the gate would refuse for want of an answer.
async fn wanted(
    keeper: &Keeper,
    session: &Session,
    peer: &Peer,
    about: &Asked,
    fds: Handed,
) -> Result<Vec<Wanted>, Refusal> {
    match about {
        Asked::Env(resolve) => projects::wanted(keeper, resolve, fds, session, peer).await,
        Asked::One { .. } if !fds.as_slice().is_empty() => Err(Refusal::Malformed),
        Asked::One { name, .. } => {
            let answers = session.answers(keeper, peer);
            gate::wanted_for_one(&keeper.open()?.vault, name, &answers)
        }
    }
}

/// Waits for the answer that another has asked for.
async fn follow(dialog: &Dialog, socket: &Socket) -> Outcome {
    dialog.waiting.set(dialog.waiting.get() + 1);
    let outcome = tokio::select! {
        outcome = dialog.outcome() => outcome,
        () = hung_up(socket) => Outcome::Unasked,
    };
    dialog.leave();
    outcome
}

/// Asks, for as long as somebody waits for it.
async fn lead(
    keeper: &Keeper,
    dialog: &Dialog,
    way: &Way,
    asker: Asker<'_>,
    socket: &Socket,
) -> Outcome {
    let asks = &keeper.asks;
    let mut locks = asks.locks.subscribe();
    let was_shown = Cell::new(false);
    let deserted = async {
        hung_up(socket).await;
        dialog.leave();
        dialog.deserted.notified().await;
    };
    let said = tokio::select! {
        said = show(keeper, dialog, way, asker, &was_shown) => said,
        outcome = dialog.outcome() => return outcome,
        _ = locks.changed() => return Outcome::Locked,
        // A dialog that flickers wears a human down, too.
        () = deserted => Ok(if was_shown.get() { Said::No } else { Said::Nothing }),
    };
    match said {
        Ok(Said::Yes) => allow(keeper, dialog),
        Ok(Said::No) => {
            asks.denied();
            asks.deny_alike(dialog);
            Outcome::Denied
        }
        Ok(Said::Nothing) => Outcome::Unasked,
        Err(outcome) => outcome,
    }
}

/// Puts the question on the screen, when it is free.
async fn show(
    keeper: &Keeper,
    dialog: &Dialog,
    way: &Way,
    asker: Asker<'_>,
    was_shown: &Cell<bool>,
) -> Result<Said, Outcome> {
    let _screen = keeper.asks.screen.lock().await;
    if let Err(Refusal::Muted(left)) = keeper.asks.muted() {
        return Err(Outcome::Muted(left));
    }
    let vault = keeper.open().map_err(|_| Outcome::Locked)?.vault;
    let text = question::text(&dialog.wanted, &vault, asker);
    drop(vault);
    was_shown.set(true);
    Ok(way.confirm(keeper.spawner(), &text).await)
}

fn allow(keeper: &Keeper, dialog: &Dialog) -> Outcome {
    let Ok(open) = keeper.open() else { return Outcome::Locked };
    keeper.asks.denials.borrow_mut().clear();
    if let Some(session) = dialog.session {
        let mut leases = keeper.asks.leases.borrow_mut();
        leases.give(&dialog.wanted, session, now());
        // The vault may have changed while the human made up their mind.
        leases.settle(&open.vault);
    }
    Outcome::Allowed
}

/// Waits until the client has closed its end. What it has sent meanwhile is left for later, and
/// hides nothing: the end is asked for alone, without what there is to read.
pub async fn hung_up(socket: &Socket) {
    while let Ok(ready) = socket.ready(Interest::PRIORITY).await {
        if ready.is_read_closed() {
            return;
        }
    }
}
