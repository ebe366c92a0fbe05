//! `rekey`: a new identity for the vault.

use crate::args::RekeyArgs;
use crate::report::{self, Failure};
use crate::session::{Session, accept_at, unexpected};
use crate::{passphrase, start};
use keyagent_wire::request::Key;
use keyagent_wire::{Reply, Request};

/// Makes it. What opens the old one is wanted, and seals the new one.
pub(crate) fn run(args: &RekeyArgs) -> Result<(), Failure> {
    let mut session = Session::begin()?;
    let path = session.status()?.vault_path;
    let key = match args.passphrase_fd {
        Some(fd) => session.open_by(Key::Passphrase(passphrase::from_descriptor(fd)?))?,
        None => {
            session.need_open_vault()?;
            passphrase::current_key(None)?
        }
    };
    // On a connection of its own: a human may have taken longer than one is kept.
    let reply = start::connect()?.ask(&Request::Rekey { key }, &[])?;
    match accept_at(passphrase::answered(reply)?, &path)? {
        Reply::Done => {}
        _ => return Err(unexpected()),
    }
    report::note("the vault and its backups have a new identity");
    report::note("the audit log begins anew: the one before lies beside it, as audit-NAME.log");
    report::hint(
        "copies made before open with the old one: rotate what they hold if it leaked, and \
         back up identity.age anew",
    );
    Ok(())
}
