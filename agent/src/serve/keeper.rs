//! The keeper of the vault: closed or open, one change at a time, scrypt and disk off the
//! loop.
//!
//! Reading is from memory and never waits for a write: the old vault is served until the
//! new one is on disk. The keeper decides nothing about who may have what.

use super::asking::Asks;
use super::door::Door;
use super::mounts::{Handed, Mounts};
use super::record::Dues;
use super::roster::Socket;
use super::staging::Staging;
use super::timer::Timing;
use crate::audit::recorder::Recorder;
use crate::config::Config;
use crate::health::Findings;
use crate::manifest::own;
use crate::manifest::project::Parsed;
use crate::peer::Peer;
use crate::places::Places;
use crate::spawner::Spawner;
use crate::stamps::Stamps;
use crate::vault::Vault;
use crate::vault::change::Change;
use crate::vault::difference::Difference;
use crate::vault::sealed::{self, Opening};
use crate::vault::store::{self, Found, Open};
use keyagent_sys::stack;
use keyagent_wire::Refusal;
use keyagent_wire::event::{What, Why};
use keyagent_wire::reply::{Status, VaultState, Written};
use keyagent_wire::request::Unlock;
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_blocking;

/// What one failed unlock adds to the wait before its answer.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The longest such wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// How many may unlock at once, or wait for it: each derives a key, one after the other.
const UNLOCKS_MAX: usize = 8;
/// How many may change the vault at once, or wait for it.
const CHANGES_MAX: usize = 30;
/// How many may look at file systems that make one wait.
const LOOKS_MAX: usize = 16;
/// How many may have the audit log read.
const READINGS_MAX: usize = 2;

/// The vault of this agent.
pub struct Keeper {
    pub(super) places: Arc<Places>,
    pub(super) config: Config,
    pub(super) spawner: Arc<Spawner>,
    pub(super) findings: RefCell<Findings>,
    state: RefCell<State>,
    /// Parsed manifests.
    pub parsed: Parsed,
    /// Bytes that all connections have staged.
    staged_bytes: Rc<Cell<usize>>,
    /// What each of them has staged, to be forgotten with the rest.
    staged: RefCell<Vec<Weak<RefCell<Staging>>>>,
    failures: Cell<u32>,
    pub(super) timing: Timing,
    /// Held by whoever changes the vault's files.
    pub(super) turn: Mutex<()>,
    /// Held by whoever derives a key: one at a time, at 256 MiB each.
    pub(super) deriving: Mutex<()>,
    pub(super) unlocks: Door,
    changes: Door,
    looks: Door,
    pub(super) readings: Door,
    pub(super) stamps: Arc<Stamps>,
    /// What the human is asked, and has confirmed.
    pub asks: Asks,
    /// The audit log.
    pub audit: Recorder,
    /// What the audit log wants done.
    pub(super) dues: Rc<Dues>,
    /// Held by whoever writes an anchor.
    pub(super) anchoring: Mutex<()>,
    /// Whatever may wait for a file system of a client's choice.
    pub mounts: &'static Mounts,
    /// Told when the agent should stop.
    pub stop: Notify,
}

enum State {
    Missing,
    Locked,
    Unusable(Refusal),
    Open { open: Open, stale: Option<Refusal> },
}

impl Keeper {
    /// A keeper of what is at those places.
    pub fn new(places: Places, config: Config, spawner: Spawner, findings: Findings) -> Self {
        let stamps = Arc::new(Stamps::beside(places.socket()));
        let dues = Rc::new(Dues::default());
        let heard = dues.clone();
        let audit = Recorder::start(places.state(), move |due| heard.tell(due));
        let keeper = Self {
            places: Arc::new(places),
            config,
            spawner: Arc::new(spawner),
            findings: RefCell::new(findings),
            stamps,
            audit,
            dues,
            anchoring: Mutex::new(()),
            state: RefCell::new(State::Missing),
            parsed: Parsed::default(),
            staged_bytes: Rc::default(),
            staged: RefCell::default(),
            failures: Cell::new(0),
            timing: Timing::default(),
            turn: Mutex::new(()),
            deriving: Mutex::new(()),
            unlocks: Door::new(UNLOCKS_MAX),
            changes: Door::new(CHANGES_MAX),
            looks: Door::new(LOOKS_MAX),
            readings: Door::new(READINGS_MAX),
            asks: Asks::new(),
            mounts: Mounts::start(),
            stop: Notify::new(),
        };
        keeper.examine();
        keeper.stamps.start();
        keeper
    }

    /// Where the files are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What the user has configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What starts helpers.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Looks again at what is on disk, unless the vault is open or locked.
    pub fn examine(&self) {
        if !matches!(*self.state.borrow(), State::Missing | State::Unusable(_)) {
            return;
        }
        let found = self.found();
        let is_news = !matches!(found, State::Missing | State::Unusable(_));
        let is_open = matches!(found, State::Open { .. });
        *self.state.borrow_mut() = found;
        if is_open {
            self.begin_time(None);
            self.adopt();
            self.audit.happened(What::Unlocked, None);
        }
        if is_news {
            self.stamps.bump_all();
        }
    }

    fn found(&self) -> State {
        match store::look(&self.places) {
            Found::Nothing => State::Missing,
            Found::Sealed => State::Locked,
            Found::Unusable(refusal) => State::Unusable(refusal),
            Found::Plain => {
                let opening = Opening::begin();
                let (places, spawner) = (&self.places, &self.spawner);
                match stack::burn_deep_after(|| store::open(places, spawner, None, false, opening))
                {
                    Ok(open) => State::Open { open, stale: None },
                    Err(refusal) => State::Unusable(refusal),
                }
            }
        }
    }

    /// Whether the vault is open.
    pub fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), State::Open { .. })
    }

    /// Whether its file is another one by now, which cannot be taken.
    pub fn is_stale(&self) -> bool {
        matches!(&*self.state.borrow(), State::Open { stale: Some(_), .. })
    }

    /// The open vault, or why there is none. The one gate above every operation on it.
    pub fn open(&self) -> Result<Open, Refusal> {
        self.lock_if_over();
        self.examine();
        // After a disk error there may be none yet.
        if self.is_open() && self.audit.needs_root() {
            self.adopt();
        }
        match &*self.state.borrow() {
            State::Open { open, .. } => Ok(open.clone()),
            State::Locked => Err(Refusal::Locked),
            State::Missing => Err(Refusal::NoVault),
            State::Unusable(refusal) => Err(refusal.clone()),
        }
    }

    /// How the agent is.
    pub fn status(&self) -> Status {
        self.lock_if_over();
        self.examine();
        let (vault, stale) = match &*self.state.borrow() {
            State::Missing => (VaultState::Missing, None),
            State::Locked => (VaultState::Locked, None),
            State::Unusable(refusal) => (VaultState::Unusable(refusal.clone()), None),
            State::Open { open, stale } => {
                let secrets = open.vault.secret_count() as u64;
                (VaultState::Open { secrets, generation: open.vault.generation() }, stale.clone())
            }
        };
        Status {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: keyagent_wire::frame::VERSION,
            pid: std::process::id(),
            vault,
            vault_path: self.places.vault().as_os_str().as_bytes().to_vec(),
            log_path: self.places.log().as_os_str().as_bytes().to_vec(),
            stale,
        }
    }

    /// Opens the vault. A failure waits the longer the more there were, and nobody else does.
    pub async fn unlock(&self, ask: Unlock, client: &Socket) -> Result<(), Refusal> {
        self.lock_if_over();
        self.examine();
        let most = self.config.lock.hard();
        if ask.seconds.is_some_and(|seconds| seconds > most.as_secs()) {
            return Err(Refusal::TooLong(most.as_secs()));
        }
        if let State::Open { open, stale } = &*self.state.borrow() {
            if stale.is_none() || !ask.accept_rollback {
                return self.shorten(ask.seconds);
            }
            tracing::info!(
                generation = open.vault.generation(),
                "rollback accepted over the open vault"
            );
        }
        let _inside = self.unlocks.enter()?;
        let result = self.unlock_once(ask, client, Opening::begin()).await;
        self.hold_back(result).await
    }

    /// The vault was open already: it ends sooner, if that is wanted.
    fn shorten(&self, seconds: Option<u64>) -> Result<(), Refusal> {
        seconds.map_or(Ok(()), |seconds| self.timing.shorten(self.config.lock.hard(), seconds))
    }

    /// Lets the answer to a wrong passphrase wait.
    pub(super) async fn hold_back(&self, result: Result<(), Refusal>) -> Result<(), Refusal> {
        match &result {
            Ok(()) => self.failures.set(0),
            Err(Refusal::WrongPassphrase) => {
                let failures = self.failures.get().saturating_add(1);
                self.failures.set(failures);
                tracing::info!(failures, "unlock failed");
                tokio::time::sleep((BACK_OFF * failures).min(BACK_OFF_MAX)).await;
            }
            Err(_) => {}
        }
        result
    }

    /// Opens nothing if the vault was locked since that opening began.
    async fn unlock_once(
        &self,
        ask: Unlock,
        client: &Socket,
        opening: Opening,
    ) -> Result<(), Refusal> {
        let is_typed = self.is_typed(&ask.key).await;
        let passphrase =
            self.passphrase_of(ask.key, client, "to open it", || !self.is_open()).await?;
        let deriving = self.deriving.lock().await;
        let (places, spawner) = (self.places.clone(), self.spawner.clone());
        let known = match &*self.state.borrow() {
            State::Open { open, .. } => Some(open.clone()),
            _ => None,
        };
        if known.is_some() {
            // Another may have opened it while this one waited.
            self.shorten(ask.seconds)?;
            if !ask.accept_rollback {
                return Ok(());
            }
        }
        let is_known = known.is_some();
        let opened = blocking(move || match known {
            Some(open) => store::accept(&places, &open),
            None => store::open(&places, &spawner, passphrase, ask.accept_rollback, opening),
        });
        let opened = opened.await?;
        // `init` takes these two the other way round.
        drop(deriving);
        let _turn = self.turn.lock().await;
        // A change that was under way may have been written after this was read.
        let (places, read) = (self.places.clone(), opened.clone());
        let newer = blocking(move || store::reread(&places, &read)).await;
        if !opening.stands() {
            return Err(Refusal::Locked);
        }
        let was_open = self.is_open();
        self.install(newer.ok().flatten().unwrap_or(opened));
        if is_typed && !is_known {
            self.asks.welcome();
        }
        // Whoever accepts a rollback over an open vault has shown no passphrase.
        match (was_open, is_known) {
            (false, _) => self.begin_time(ask.seconds),
            (true, false) => self.shorten(ask.seconds)?,
            (true, true) => {}
        }
        tracing::info!("unlocked");
        self.tell_all().await;
        Ok(())
    }

    /// Forgets every value, at once. What has not been answered yet will be refused. Then
    /// it is put on record, if that can be, and shells are told.
    pub async fn lock(&self, why: Why, by: Option<&Peer>) {
        if self.forget(why) {
            self.audit.locked(why, by);
            self.tell_all().await;
        }
    }

    /// Whether there was anything to forget.
    pub(super) fn forget(&self, why: Why) -> bool {
        sealed::forget_all();
        self.asks.clear();
        for staging in self.staged.borrow().iter().filter_map(Weak::upgrade) {
            staging.borrow_mut().forget();
        }
        let mut state = self.state.borrow_mut();
        let was_open = matches!(*state, State::Open { .. });
        if was_open {
            *state = State::Locked;
            self.timing.set(None);
            tracing::info!(?why, "locked");
        }
        was_open
    }

    /// Tells every shell that it should ask again.
    pub(super) async fn tell_all(&self) {
        let stamps = self.stamps.clone();
        blocking(move || stamps.bump_all()).await;
    }

    /// Tells the shells of one project that they should ask again.
    pub async fn bump(&self, project: Vec<u8>) {
        let stamps = self.stamps.clone();
        blocking(move || stamps.bump([&project])).await;
    }

    /// Tells the shells of those projects that would get something else.
    async fn tell(&self, old: Arc<Vault>, new: Arc<Vault>) {
        let (stamps, places) = (self.stamps.clone(), self.places.clone());
        blocking(move || {
            let difference = Difference::between(&old, &new);
            stamps.bump(&difference.directories);
            if own::binds_any(&places, &difference.secrets) {
                stamps.bump(own::directory(&places).as_ref());
            }
        })
        .await;
    }

    /// A place for one connection to stage in.
    pub fn staging(&self) -> Rc<RefCell<Staging>> {
        let staging = Rc::new(RefCell::new(Staging::new(self.staged_bytes.clone())));
        let mut staged = self.staged.borrow_mut();
        staged.retain(|other| other.strong_count() > 0);
        staged.push(Rc::downgrade(&staging));
        staging
    }

    /// Changes the vault: on disk first, then here.
    pub async fn change(&self, change: Change) -> Result<Vec<Written>, Refusal> {
        let _inside = self.changes.enter()?;
        let _turn = self.turn.lock().await;
        let (open, places) = (self.open()?, self.places.clone());
        let old = open.vault.clone();
        let (now_open, written) = blocking(move || store::commit(&places, &open, &change)).await?;
        if matches!(*self.state.borrow(), State::Open { .. }) {
            let new = now_open.vault.clone();
            self.install(now_open);
            self.tell(old, new).await;
        }
        Ok(written)
    }

    /// Looks at descriptors, where that may take long.
    pub async fn look<T: Send + 'static>(
        &self,
        handed: Handed,
        look: impl FnOnce(&[OwnedFd]) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let _inside = self.looks.enter()?;
        self.mounts.look(handed, look).await
    }

    /// Reads the vault file again, if it changed. The last good one is served meanwhile,
    /// and for as long as the file cannot be read.
    pub async fn reload(&self) {
        let _turn = self.turn.lock().await;
        let Ok(open) = self.open() else { return };
        let (places, old) = (self.places.clone(), open.clone());
        let reread = blocking(move || store::reread(&places, &old)).await;
        if let Some((old, new)) = self.take_reread(reread) {
            self.tell(old, new).await;
        }
    }

    /// The vault before and after, if that is another one now.
    fn take_reread(
        &self,
        reread: Result<Option<Open>, Refusal>,
    ) -> Option<(Arc<Vault>, Arc<Vault>)> {
        let mut state = self.state.borrow_mut();
        let State::Open { open, stale } = &mut *state else { return None };
        match reread {
            Ok(None) => *stale = None,
            Ok(Some(newer)) => {
                tracing::info!(generation = newer.vault.generation(), "vault reloaded");
                let (old, new) = (open.vault.clone(), newer.vault.clone());
                (*open, *stale) = (newer, None);
                self.asks.settle(&new);
                self.audit.happened(What::Reloaded, None);
                return Some((old, new));
            }
            Err(refusal) => {
                tracing::warn!(?refusal, "the vault file changed, and cannot be used");
                *stale = Some(refusal);
            }
        }
        None
    }

    /// Waits for a write that is under way.
    pub async fn settle(&self) {
        let _turn = self.turn.lock().await;
    }

    pub(super) fn install(&self, open: Open) {
        self.asks.settle(&open.vault);
        let was_open = self.is_open();
        *self.state.borrow_mut() = State::Open { open, stale: None };
        if !was_open {
            self.adopt();
        }
    }
}

/// Runs it off the loop, and leaves nothing of it on that thread's stack.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(|| stack::burn_deep_after(work))
        .await
        .expect("blocking work neither panics nor is cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::asking::ASKS_MAX;

    #[test]
    fn the_doors_leave_room_for_others() {
        const {
            assert!(
                UNLOCKS_MAX + CHANGES_MAX + LOOKS_MAX + READINGS_MAX + ASKS_MAX
                    < keyagent_wire::frame::CONNECTIONS_MAX
            )
        };
    }
}
