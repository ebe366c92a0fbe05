//! `passphrase`: what opens the vault from now on. The vault's keys stay the same.

use crate::args::PassphraseArgs;
use crate::passphrase::{self, Sealing};
use crate::report::{self, Failure};
use crate::session::{accept_at, unexpected};
use crate::{refusal, start};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Reseal, Seal};
use keyagent_wire::{Refusal, Reply, Request};

/// Changes it. What opens the vault now is wanted first, though it be open.
pub(crate) fn run(args: PassphraseArgs) -> Result<(), Failure> {
    // Opened anew, one file would be read twice: the old one would stay, without a word.
    if args.passphrase_fd.is_some() && args.passphrase_fd == args.new_passphrase_fd {
        return Err(Failure::usage("old and new need a descriptor each")
            .hint("`--passphrase-fd 3 --new-passphrase-fd 4 3<OLD 4<NEW`"));
    }
    let status = crate::session::status(&mut start::connect()?)?;
    if status.vault == VaultState::Missing {
        return Err(refusal::failure(&Refusal::NoVault));
    }
    let key = passphrase::current_key(args.passphrase_fd)?;
    let sealing = Sealing {
        none: args.none,
        keyring: args.keyring,
        identity: args.identity.as_deref(),
        passphrase_fd: args.new_passphrase_fd,
        without: "`keyagent passphrase --none` has the vault need none",
    };
    let seal = sealing.seal()?;
    let said = match &seal {
        Seal::Nothing => "nothing seals the identity any more",
        Seal::Passphrase(_) => "the passphrase is changed",
        Seal::Keyring(_) => "the passphrase is changed, and the OS keyring has a copy",
        Seal::Identity(_) => "that identity opens the vault from now on",
    };
    // On a connection of its own: a human may have taken longer than one is kept.
    let reply = start::connect()?.ask(&Request::Reseal(Reseal { key, seal }), &[])?;
    match accept_at(passphrase::answered(reply)?, &status.vault_path)? {
        Reply::Done => {}
        _ => return Err(unexpected()),
    }
    report::note(said);
    report::hint(
        "a copy of identity.age from before opens as before: `keyagent rekey` makes it worthless",
    );
    Ok(())
}
