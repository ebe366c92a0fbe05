//! `init`: makes identity and vault.

use crate::args::InitArgs;
use crate::passphrase;
use crate::refusal;
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Init, Seal};
use keyagent_wire::{Refusal, Reply, Request, VaultFault, VaultFile};

/// Makes them, with a passphrase unless that was refused outright.
pub(crate) fn run(args: InitArgs) -> Result<(), Failure> {
    // Before a human thinks up a passphrase for nothing.
    if !may_make(&Session::begin_unasked()?.status()?.vault) {
        return Err(refusal::failure(&Refusal::VaultExists));
    }
    let seal = seal(&args)?;
    if matches!(seal, Seal::Nothing) {
        report::warning(
            "the identity is not sealed: whoever can read its file has every key of the vault",
        );
    }
    let init = Init { seal, recipients: args.recipients };
    match Session::begin_unasked()?.ask(&Request::Init(init))? {
        Reply::Done => {}
        _ => return Err(unexpected()),
    }
    report::note("the vault is made, and open");
    report::hint("`keyagent import .envrc` seals the keys of a project");
    Ok(())
}

/// None is there; or an init was cut off behind the identity, which the next one keeps.
fn may_make(vault: &VaultState) -> bool {
    let (file, fault) = (VaultFile::Vault, VaultFault::Missing);
    *vault == VaultState::Missing
        || *vault == VaultState::Unusable(Refusal::Vault { file, fault, backup: None })
}

fn seal(args: &InitArgs) -> Result<Seal, Failure> {
    let passphrase = match args.passphrase_fd {
        _ if args.no_passphrase => return Ok(Seal::Nothing),
        Some(fd) => passphrase::not_empty(passphrase::from_descriptor(fd)?)?,
        None => passphrase::new_from_terminal()?,
    };
    Ok(Seal::Passphrase(passphrase))
}
