//! What the keeper does for the identity once in a while: making it, sealing it anew, and
//! replacing it.
//!
//! The last two want what opens it now, though the vault be open: who finds a terminal
//! unattended changes neither.

use super::asking::hung_up;
use super::keeper::{Keeper, blocking};
use super::keyring;
use super::pinentry::Way;
use super::roster::Socket;
use crate::vault::sealed::Opening;
use crate::vault::unsealing::{self, Passphrase, Sealing};
use crate::vault::{rekeying, seal, store};
use keyagent_wire::request::{Init, Key, Reseal, Screen, Seal};
use keyagent_wire::{Refusal, Value};
use std::cell::Cell;

impl Keeper {
    /// Makes identity and vault, and opens it.
    pub async fn init(&self, ask: Init) -> Result<(), Refusal> {
        let _inside = self.unlocks.enter()?;
        self.seal(ask.seal, async |sealing| self.init_once(sealing, ask.recipients).await).await
    }

    async fn init_once(&self, sealing: Sealing, recipients: Vec<String>) -> Result<(), Refusal> {
        let (_turn, _deriving) = (self.turn.lock().await, self.deriving.lock().await);
        let (places, spawner) = (self.places.clone(), self.spawner.clone());
        let opening = Opening::begin();
        let made = blocking(move || store::init(&places, &spawner, sealing, &recipients, opening));
        let made = made.await?;
        if !opening.stands() {
            return Err(Refusal::Locked);
        }
        tracing::info!("vault made");
        self.install(made);
        self.begin_time(None);
        self.tell_all().await;
        Ok(())
    }

    /// Seals the identity anew; the vault stays as it is, open or locked.
    pub async fn reseal(&self, ask: Reseal, client: &Socket) -> Result<(), Refusal> {
        let _inside = self.unlocks.enter()?;
        let done = self.reseal_once(ask, client).await;
        self.hold_back(done).await?;
        tracing::info!("identity sealed anew");
        Ok(())
    }

    async fn reseal_once(&self, ask: Reseal, client: &Socket) -> Result<(), Refusal> {
        let passphrase =
            self.passphrase_of(ask.key, client, "to change what opens it", || true).await?;
        let reseal = async |sealing| {
            let _deriving = self.deriving.lock().await;
            let (places, spawner) = (self.places.clone(), self.spawner.clone());
            blocking(move || store::reseal(&places, &spawner, passphrase, sealing)).await
        };
        self.seal(ask.seal, reseal).await
    }

    /// What a key has for the identity; nothing if that needs no human, or if it is not wanted
    /// any more when the screen is free for a pinentry. `purpose` is shown there: who types it to
    /// open the vault does not change it. No dialog outlives the client.
    pub(super) async fn passphrase_of(
        &self,
        key: Key,
        client: &Socket,
        purpose: &str,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Option<Passphrase>, Refusal> {
        let passphrase = match key {
            Key::Stored => {
                let Some(entry) = self.entry().await? else { return Ok(None) };
                Passphrase::copy(keyring::get(&self.spawner, &entry).await?)
            }
            Key::Passphrase(passphrase) => Passphrase::typed(passphrase),
            Key::Pinentry(screen) => {
                let was_shown = Cell::new(false);
                let asked = tokio::select! {
                    asked = self.ask_passphrase(&screen, purpose, is_wanted, &was_shown) => asked,
                    () = hung_up(client) => Err(Refusal::Denied),
                };
                if was_shown.get() && matches!(asked, Err(Refusal::Denied)) {
                    self.asks.denied();
                }
                return asked.map(|typed| typed.map(Passphrase::typed));
            }
        };
        Ok(Some(passphrase))
    }

    /// Asks by a pinentry, once the screen is free; not if that is not wanted by then.
    async fn ask_passphrase(
        &self,
        screen: &Screen,
        purpose: &str,
        is_wanted: impl Fn() -> bool,
        was_shown: &Cell<bool>,
    ) -> Result<Option<Value>, Refusal> {
        let way = Way::find(&self.config().ask, screen)?;
        let _screen = self.asks.screen.lock().await;
        if !is_wanted() {
            return Ok(None);
        }
        self.asks.muted()?;
        was_shown.set(true);
        let text = format!("Passphrase of the vault, {purpose}");
        way.passphrase(&self.spawner, &text).await?.ok_or(Refusal::Denied).map(Some)
    }

    /// Whether a key is a human's, and the identity opens by nothing else.
    pub(super) async fn is_typed(&self, key: &Key) -> bool {
        let places = self.places.clone();
        let wants_one = move || {
            unsealing::read(&places.identity()).is_ok_and(|file| seal::wants_passphrase(&file))
        };
        !matches!(key, Key::Stored) && blocking(wants_one).await
    }

    /// Under which name the OS keyring has the passphrase by now.
    async fn entry(&self) -> Result<Option<String>, Refusal> {
        let places = self.places.clone();
        blocking(move || unsealing::entry(&places)).await
    }

    /// Seals by what that says. The OS keyring has its copy before the seal is in force, and
    /// none that is not. No lock is held while it is asked.
    async fn seal(
        &self,
        by: Seal,
        seal: impl AsyncFnOnce(Sealing) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let sealing = Sealing::by(by)?;
        let mut entries: Vec<_> = self.entry().await.ok().flatten().into_iter().collect();
        if let Some((entry, passphrase)) = sealing.copy() {
            keyring::keep(&self.spawner, entry, passphrase).await?;
            entries.push(entry.to_owned());
        }
        let done = seal(sealing).await;
        let Ok(in_force) = self.entry().await else {
            tracing::warn!("cannot tell which passphrase of the OS keyring is in force");
            return done;
        };
        for entry in entries.iter().filter(|entry| Some(*entry) != in_force.as_ref()) {
            if keyring::forget(&self.spawner, entry).await.is_err() {
                tracing::warn!("cannot take a passphrase out of the OS keyring");
            }
        }
        done
    }

    /// Gives the vault a new identity.
    pub async fn rekey(&self, key: Key, client: &Socket) -> Result<(), Refusal> {
        let _inside = self.unlocks.enter()?;
        let done = self.rekey_once(key, client).await;
        self.hold_back(done).await
    }

    async fn rekey_once(&self, key: Key, client: &Socket) -> Result<(), Refusal> {
        self.open()?;
        let passphrase =
            self.passphrase_of(key, client, "to give it a new identity", || true).await?;
        // In the order of `init`.
        let (_turn, _deriving) = (self.turn.lock().await, self.deriving.lock().await);
        let open = self.open()?;
        let (places, spawner) = (self.places.clone(), self.spawner.clone());
        let opening = Opening::begin();
        let rekeyed =
            blocking(move || rekeying::rekey(&places, &spawner, passphrase, &open, opening));
        let rekeyed = rekeyed.await?;
        // An anchor of the log until now must not come after the first of the next.
        let _anchoring = self.anchoring.lock().await;
        if !opening.stands() {
            return Err(Refusal::Locked);
        }
        tracing::info!("vault rekeyed");
        self.install(rekeyed);
        // Its log is another one: who has the old identity must not be believed in it.
        self.audit.retire();
        self.adopt();
        Ok(())
    }
}
