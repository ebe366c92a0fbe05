//! What an import will do, decided and shown before it does anything.

use crate::envfile::{Assignment, EnvFile, Verdict};
use crate::import::keys::Chosen;
use crate::import::project_name;
use crate::import::source::Source;
use crate::import::taken;
use crate::report::{self, Failure};
use keyagent_wire::reply::Review;
use keyagent_wire::request::{Binding, Clash};
use keyagent_wire::{EnvName, ProfileName, SecretName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What decides the names: the project, and what its manifest binds already.
pub(crate) struct Names {
    project: ProfileName,
    bound: BTreeMap<EnvName, SecretName>,
}

/// The keys to seal, in the file's order.
pub(crate) struct Plan<'a> {
    /// The project's name.
    pub(crate) project: ProfileName,
    /// One for each key.
    pub(crate) steps: Vec<Step<'a>>,
}

/// One key to seal.
pub(crate) struct Step<'a> {
    /// What the file says.
    pub(crate) assignment: &'a Assignment,
    /// What the secret shall be called.
    pub(crate) name: SecretName,
    /// Whether the manifest binds the variable to that name already.
    pub(crate) bound: bool,
}

impl Names {
    /// What can be told from the directory alone.
    pub(crate) fn guess(directory: &Path) -> Self {
        Self { project: project_name::of_directory(directory), bound: BTreeMap::new() }
    }

    /// A project of that name, with what its manifest binds in its plain `[env]`.
    pub(crate) fn new(project: ProfileName, review: Option<&Review>) -> Self {
        let bindings = review.iter().flat_map(|review| &review.bindings);
        let plain = bindings.filter(|binding| binding.profile.is_none());
        let bound = plain.map(|binding| (binding.var.clone(), binding.secret.clone())).collect();
        Self { project, bound }
    }
}

impl<'a> Plan<'a> {
    /// Names every key.
    pub(crate) fn new(chosen: &[&'a Assignment], names: &Names) -> Result<Self, Failure> {
        let steps = chosen.iter().map(|assignment| step(assignment, names));
        Ok(Self { project: names.project.clone(), steps: steps.collect::<Result<_, _>>()? })
    }

    /// The variables that are sealed.
    pub(crate) fn sealed(&self) -> BTreeSet<EnvName> {
        self.steps.iter().map(|step| step.assignment.var.clone()).collect()
    }

    /// What the manifest shall bind, if the vault takes every name as it is.
    pub(crate) fn bindings(&self) -> Vec<Binding> {
        let binding = |step: &Step<'_>| Binding {
            var: step.assignment.var.clone(),
            secret: step.name.clone(),
        };
        self.steps.iter().map(binding).collect()
    }

    /// Says what goes where, what stays, and why.
    pub(crate) fn show(&self, source: &Source, file: &EnvFile, chosen: &Chosen<'_>) {
        report::note(format!("from `{}` into the vault:", source.shown()));
        for Step { assignment, name, .. } in &self.steps {
            let why = match &assignment.verdict {
                Verdict::Secret(why) => why.to_string(),
                Verdict::Plain => "as you asked".to_owned(),
            };
            let (line, var) = (assignment.line, &assignment.var);
            report::note(format!("  line {line}: {var} -> {name} ({why})"));
        }
        show_left(file, chosen);
    }
}

impl Step<'_> {
    /// A bound name gets a new version; a new one must not take another project's.
    pub(crate) fn clash(&self) -> Clash {
        if self.bound { Clash::NewVersion } else { Clash::Rename }
    }
}

/// Says that nothing is sealed, and why.
pub(crate) fn show_nothing(source: &Source, file: &EnvFile, chosen: &Chosen<'_>) {
    show_left(file, chosen);
    report::note(format!("nothing to seal in `{}`", source.shown()));
}

/// Says what stays in the file, and why.
fn show_left(file: &EnvFile, chosen: &Chosen<'_>) {
    let is_told = |var: &EnvName| {
        chosen.keys.iter().any(|key| key.var == *var)
            || chosen.left.iter().any(|left| left.var == var.as_str())
            || chosen.taken.contains(var)
    };
    for assignment in file.assignments().iter().filter(|a| !is_told(&a.var)) {
        let (line, var) = (assignment.line, &assignment.var);
        report::note(format!("  line {line}: {var} stays (`--only {var}` seals it)"));
    }
    for taken in file.assignments().iter().filter(|a| chosen.taken.contains(&a.var)) {
        report::note(format!("  line {}: {} stays: {}", taken.line, taken.var, taken::WHY));
    }
    for left in chosen.left.iter().chain(file.left()) {
        report::note(format!("  line {}: {} stays: {}", left.line, left.var, left.why));
    }
}

fn step<'a>(assignment: &'a Assignment, names: &Names) -> Result<Step<'a>, Failure> {
    if let Some(name) = names.bound.get(&assignment.var) {
        return Ok(Step { assignment, name: name.clone(), bound: true });
    }
    let name = SecretName::new(format!("{}/{}", names.project, assignment.var)).map_err(|e| {
        Failure::failed(format!("cannot name the secret of `{}`: {e}", assignment.var))
    })?;
    Ok(Step { assignment, name, bound: false })
}
