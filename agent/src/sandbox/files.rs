//! Landlock: which files can be reached. No way to TCP, to a signal for others, or to an
//! abstract socket either, where the kernel knows how to refuse them.

use super::{other, stamps};
use crate::health::Findings;
use crate::places::Places;
use keyagent_wire::health::{Check, Grade};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::io;
use std::path::PathBuf;

/// All that is refused, where the kernel can: what Linux 6.12 has.
const WANTED: ABI = ABI::V6;

/// Lets go of all other files.
pub fn close(places: &Places, findings: &mut Findings) {
    match restrict(places) {
        Ok(status) => {
            let grade = match status.ruleset {
                RulesetStatus::FullyEnforced => Grade::Good,
                RulesetStatus::PartiallyEnforced => Grade::Weak,
                RulesetStatus::NotEnforced => Grade::Bad,
            };
            findings.note(Check::Files, grade, abi(&status));
        }
        Err(error) => {
            tracing::warn!(%error, "landlock");
            findings.note(Check::Files, Grade::Bad, 0);
        }
    }
}

fn restrict(places: &Places) -> io::Result<RestrictionStatus> {
    let all = AccessFs::from_all(WANTED);
    let mut rules = Ruleset::default()
        .handle_access(all)
        .and_then(|rules| rules.handle_access(AccessNet::from_all(WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)))
        .and_then(Ruleset::create)
        .map_err(other)?;
    for (path, access) in reach(places) {
        let place = match PathFd::new(&path) {
            Ok(place) => place,
            // Closed in without it, the agent could not do its work.
            Err(error) if path.try_exists().unwrap_or(true) => return Err(other(error)),
            // What is not there cannot be reached.
            Err(_) => continue,
        };
        rules = rules.add_rule(PathBeneath::new(place, access)).map_err(other)?;
    }
    rules.restrict_self().map_err(other)
}

/// Every place, and what is done there.
fn reach(places: &Places) -> [(PathBuf, BitFlags<AccessFs>); 6] {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg;
    let keep = read | write | AccessFs::RemoveFile;
    [
        (places.data().to_owned(), keep),
        (places.state().to_owned(), keep),
        (stamps(places), keep),
        // The socket goes when the agent does. It may lie anywhere: nothing is read there.
        (places.socket().directory.clone(), AccessFs::RemoveFile.into()),
        (places.config().to_owned(), read),
        (PathBuf::from("/proc"), read),
    ]
}

fn abi(status: &RestrictionStatus) -> i32 {
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    }
}
