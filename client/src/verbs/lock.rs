//! `unlock`, `lock`: whether the agent may give out anything.

use crate::args::UnlockArgs;
use crate::connection::Connection;
use crate::report::{self, Failure};
use crate::session::{self, Session, accept, accept_at};
use crate::{passphrase, refusal, screen, start};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Key, Unlock};
use keyagent_wire::{Refusal, Reply, Request};

/// Opens the vault.
pub(crate) fn unlock(args: &UnlockArgs) -> Result<(), Failure> {
    let status = Session::begin_unasked()?.status()?;
    match status.vault {
        // A vault can be open while its file is another one by now.
        VaultState::Open { .. } if status.stale.is_none() || !args.accept_rollback => {
            if args.seconds.is_some() {
                return accept(ask(Key::Stored, args)?).map(drop);
            }
            report::note("the vault is open already");
            return Ok(());
        }
        VaultState::Missing => return Err(refusal::failure(&Refusal::NoVault)),
        VaultState::Open { .. } | VaultState::Locked | VaultState::Unusable(_) => {}
    }
    let passphrase = args.passphrase_fd.map(passphrase::from_descriptor).transpose()?;
    let given = passphrase.is_some();
    match ask(passphrase.map_or(Key::Stored, Key::Passphrase), args)? {
        // Only now: an identity that is not sealed needs no question.
        Reply::Refused(why) if !given && session::wants_passphrase(&why) => {
            let key = match screen::for_pinentry(args.pinentry) {
                Some(screen) => Key::Pinentry(screen),
                None => Key::Passphrase(passphrase::from_terminal()?),
            };
            accept_at(ask(key, args)?, &status.vault_path).map(drop)
        }
        reply => accept_at(reply, &status.vault_path).map(drop),
    }
}

/// Forgets every value.
pub(crate) fn lock() -> Result<(), Failure> {
    let Some(mut connection) = Connection::open()? else {
        report::note("no agent is running: nothing is unlocked");
        return Ok(());
    };
    match accept(connection.ask(&Request::Lock, &[])?)? {
        Reply::Done => Ok(()),
        _ => Err(session::unexpected()),
    }
}

/// On a connection of its own: a human may have taken longer than one is kept.
fn ask(key: Key, args: &UnlockArgs) -> Result<Reply, Failure> {
    let unlock = Unlock { key, accept_rollback: args.accept_rollback, seconds: args.seconds };
    start::connect()?.ask(&Request::Unlock(unlock), &[])
}
