//! `init`: makes identity and vault.

use crate::args::InitArgs;
use crate::passphrase::Sealing;
use crate::refusal;
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::Init;
use keyagent_wire::{Refusal, Reply, Request, VaultFault, VaultFile};

/// Makes them, with a passphrase unless that was refused outright.
pub(crate) fn run(args: InitArgs) -> Result<(), Failure> {
    // Before a human thinks up a passphrase for nothing.
    if !may_make(&Session::begin_unasked()?.status()?.vault) {
        return Err(refusal::failure(&Refusal::VaultExists));
    }
    let sealing = Sealing {
        none: args.no_passphrase,
        keyring: args.keyring,
        identity: args.identity.as_deref(),
        passphrase_fd: args.passphrase_fd,
        without: "`keyagent init --no-passphrase` makes a vault that needs none",
    };
    let seal = sealing.seal()?;
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
