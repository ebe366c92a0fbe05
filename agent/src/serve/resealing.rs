//! What the keeper does for the identity once in a while: sealing it anew, and replacing it.
//!
//! Both want what opens it now, though the vault be open: who finds a terminal unattended
//! changes neither.

use super::keeper::{Keeper, blocking};
use super::pinentry::Way;
use crate::vault::sealed::Opening;
use crate::vault::{rekeying, store};
use keyagent_wire::request::{Key, Reseal};
use keyagent_wire::{Refusal, Value};

impl Keeper {
    /// Seals the identity anew; the vault stays as it is, open or locked.
    pub async fn reseal(&self, ask: Reseal) -> Result<(), Refusal> {
        let _inside = self.unlocks.enter()?;
        let done = self.reseal_once(ask).await;
        self.hold_back(done).await?;
        tracing::info!("identity sealed anew");
        Ok(())
    }

    /// What a key has for the identity; nothing if that needs no human.
    pub(super) async fn passphrase_of(&self, key: Key) -> Result<Option<Value>, Refusal> {
        match key {
            Key::Stored => Ok(None),
            Key::Passphrase(passphrase) => Ok(Some(passphrase)),
            Key::Pinentry(screen) => {
                let way = Way::find(&self.config().ask, &screen)?;
                way.passphrase(&self.spawner, "Passphrase of the vault", None).await.map(Some)
            }
        }
    }

    async fn reseal_once(&self, ask: Reseal) -> Result<(), Refusal> {
        let passphrase = self.passphrase_of(ask.key).await?;
        let _deriving = self.deriving.lock().await;
        let (places, spawner) = (self.places.clone(), self.spawner.clone());
        blocking(move || store::reseal(&places, &spawner, passphrase, ask.seal)).await
    }

    /// Gives the vault a new identity.
    pub async fn rekey(&self, key: Key) -> Result<(), Refusal> {
        let _inside = self.unlocks.enter()?;
        let done = self.rekey_once(key).await;
        self.hold_back(done).await
    }

    async fn rekey_once(&self, key: Key) -> Result<(), Refusal> {
        self.open()?;
        let passphrase = self.passphrase_of(key).await?;
        // In the order of `init`.
        let (_turn, _deriving) = (self.turn.lock().await, self.deriving.lock().await);
        let open = self.open()?;
        let (places, spawner) = (self.places.clone(), self.spawner.clone());
        let opening = Opening::begin();
        let rekeyed =
            blocking(move || rekeying::rekey(&places, &spawner, passphrase, &open, opening));
        let rekeyed = rekeyed.await?;
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
