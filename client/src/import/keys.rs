//! Which assignments of a file are sealed.

use crate::args::ImportArgs;
use crate::envfile::{Assignment, EnvFile, Left, Verdict};
use crate::report::Failure;
use keyagent_wire::EnvName;
use keyagent_wire::frame::NAMES_MAX;
use std::collections::BTreeSet;

/// What was chosen.
pub(crate) struct Chosen<'a> {
    /// The keys to seal, in the file's order.
    pub(crate) keys: Vec<&'a Assignment>,
    /// What was wanted, too, and cannot go together with them.
    pub(crate) left: Vec<Left>,
    /// What was wanted, too, and has another value in the vault.
    pub(crate) taken: BTreeSet<EnvName>,
    /// What was named, and the file has not.
    pub(crate) absent: Vec<EnvName>,
}

impl<'a> Chosen<'a> {
    /// The same without these, and without what cannot go if they stay.
    pub(crate) fn without(&self, file: &EnvFile, taken: BTreeSet<EnvName>) -> Self {
        let keys = self.keys.iter().map(|key| key.var.clone());
        let wanted = keys.filter(|var| !taken.contains(var)).collect();
        let (settled, left) = file.settle(&wanted);
        let keys = self.keys.iter().copied().filter(|key| settled.contains(&key.var)).collect();
        let left = [&self.left[..], &left].concat();
        Self { keys, left, taken, absent: self.absent.clone() }
    }
}

/// `--only`: exactly these; `--all`: all that can be; else what looks like a secret.
pub(crate) fn choose<'a>(file: &'a EnvFile, args: &ImportArgs) -> Result<Chosen<'a>, Failure> {
    let is_set = |var: &&EnvName| file.assignments().iter().any(|set| set.var == **var);
    let absent: Vec<_> = args.only.iter().filter(|var| !is_set(var)).cloned().collect();
    let is_absent = |left: &&Left| absent.iter().any(|var| var.as_str() == left.var);
    if let Some(left) = file.left().iter().find(is_absent) {
        return Err(cannot_seal(left));
    }
    let wanted = |assignment: &&Assignment| match &assignment.verdict {
        _ if !args.only.is_empty() => args.only.contains(&assignment.var),
        Verdict::Secret(_) => true,
        Verdict::Plain => args.all,
    };
    let wanted: BTreeSet<_> =
        file.assignments().iter().filter(wanted).map(|key| key.var.clone()).collect();
    let (settled, left) = file.settle(&wanted);
    // Who names a key wants that key, and not the others without it.
    if let Some(left) = left.first().filter(|_| !args.only.is_empty()) {
        return Err(cannot_seal(left));
    }
    let keys: Vec<_> = file.assignments().iter().filter(|key| settled.contains(&key.var)).collect();
    if keys.len() > NAMES_MAX {
        return Err(too_many(keys.len()));
    }
    Ok(Chosen { keys, left, taken: BTreeSet::new(), absent })
}

/// The failure of more keys than a manifest may bind.
pub(crate) fn too_many(count: usize) -> Failure {
    Failure::failed(format!("{count} keys are more than one project may have ({NAMES_MAX})"))
        .hint("`--only A,B` takes some of them")
}

fn cannot_seal(left: &Left) -> Failure {
    Failure::usage(format!("cannot seal `{}`, line {}: {}", left.var, left.line, left.why))
}

/// The failure of a name that the file has not.
pub(crate) fn not_set(var: &EnvName) -> Failure {
    Failure::usage(format!("the file does not set `{var}`"))
}
