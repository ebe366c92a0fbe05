//! Keys that a human named and the file does not set: an import took them out before.

use crate::import::{keys, seal};
use crate::project;
use crate::report::{self, Failure};
use crate::session::Session;
use keyagent_wire::EnvName;
use std::path::Path;

/// Says which are sealed already: the directory's manifest, as it is allowed, binds them to
/// secrets that are there. It is a failure if one of them is not.
pub(crate) fn tell(absent: &[EnvName], directory: &Path) -> Result<(), Failure> {
    let Some(first) = absent.first() else { return Ok(()) };
    let project = project::in_directory(directory)?;
    let Some(project) = &project else { return Err(keys::not_set(first)) };
    let review = seal::review(&mut Session::begin()?, Some(project))?;
    let bindings = review.filter(|review| review.allowed).map(|review| review.bindings);
    let bindings = bindings.unwrap_or_default();
    let is_sealed = |var: &&EnvName| {
        bindings.iter().any(|b| b.profile.is_none() && b.present && b.var == **var)
    };
    if let Some(var) = absent.iter().find(|var| !is_sealed(var)) {
        return Err(keys::not_set(var));
    }
    for var in absent {
        report::note(format!("`{var}` is sealed already"));
    }
    Ok(())
}
