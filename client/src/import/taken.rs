//! Keys that the project has already, with another value: they stay in the file. A second
//! file of one directory (`.env.production` beside `.env.development`) sets the same
//! variables to what another place needs, and must not put that in their place.

use crate::envfile::{self, Assignment, Kind};
use crate::import::original;
use crate::import::plan::Plan;
use crate::import::source::Source;
use crate::report::Failure;
use crate::session::{Session, unexpected};
use keyagent_wire::reply::{Review, Reviewed};
use keyagent_wire::{EnvName, Reply, Request, SecretName, Value};
use std::collections::BTreeSet;

/// Why such a key stays.
pub(crate) const WHY: &str = "the project has another value for it already";

/// The variables whose secret has another value than the file, of those that this directory
/// was granted. What it was not granted is not looked at here: a manifest that came with a
/// clone would learn from what stays whether the file has another project's value.
///
/// A variable that the last import took out of this very file is none of them: what stands
/// there now is the newer word for the same thing.
pub(crate) fn find(
    session: &mut Session,
    plan: &Plan<'_>,
    review: &Review,
    source: &Source,
    kind: Kind,
) -> Result<BTreeSet<EnvName>, Failure> {
    let mut taken = BTreeSet::new();
    for step in plan.steps.iter().filter(|step| step.bound) {
        let var = &step.assignment.var;
        if is_granted(review, var) && differs(session, &step.name, step.assignment)? {
            taken.insert(var.clone());
        }
    }
    if taken.is_empty() {
        return Ok(taken);
    }
    let Some(before) = original::find(session, source.target())? else { return Ok(taken) };
    let Ok(before) = envfile::parse(kind, &before) else { return Ok(taken) };
    for step in &plan.steps {
        let var = &step.assignment.var;
        let old = before.assignments().iter().find(|old| old.var == *var);
        if let Some(old) = old.filter(|_| taken.contains(var))
            && !old.value.same_as(&step.assignment.value)
            && had(session, &step.name, &old.value)?
        {
            taken.remove(var);
        }
    }
    Ok(taken)
}

/// Whether a secret has another value than the file.
pub(crate) fn differs(
    session: &mut Session,
    secret: &SecretName,
    assignment: &Assignment,
) -> Result<bool, Failure> {
    Ok(!get(session, secret, None)?.same_as(&assignment.value))
}

/// The failure that ends an import which left some of them.
pub(crate) fn failure(
    taken: &BTreeSet<EnvName>,
    plan: &Plan<'_>,
    source: &Source,
    replace: bool,
) -> Failure {
    let mut names = Vec::new();
    let mut secrets = Vec::new();
    for step in plan.steps.iter().filter(|step| taken.contains(&step.assignment.var)) {
        names.push(step.assignment.var.as_str());
        secrets.push(format!("`keyagent set {}`", step.name));
    }
    let shown: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let (file, only) = (source.pasted(), names.join(","));
    let replace = if replace { " --replace" } else { "" };
    Failure::failed(format!("cannot seal {}: {WHY}", shown.join(", ")))
        .hint(format!("{} makes another value the project's", secrets.join(", ")))
        .hint(format!("`keyagent import {file}{replace} --only {only}` does so with the file's"))
        .hint("to have both, `keyagent set` a secret of its own and bind it in a profile")
}

/// Whether the last manifest that was allowed here could have the secret, too.
fn is_granted(review: &Review, var: &EnvName) -> bool {
    let plain = |b: &&Reviewed| b.profile.is_none() && b.var == *var;
    review.bindings.iter().find(plain).is_some_and(|b| b.present && (review.allowed || !b.new))
}

/// Whether any version of a secret has that value.
fn had(session: &mut Session, secret: &SecretName, value: &Value) -> Result<bool, Failure> {
    let show = Request::Show { name: secret.clone() };
    let Reply::Fact(fact) = session.ask(&show)? else { return Err(unexpected()) };
    for version in fact.versions.iter().rev() {
        if get(session, secret, Some(version.number))?.same_as(value) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn get(session: &mut Session, secret: &SecretName, version: Option<u32>) -> Result<Value, Failure> {
    match session.ask(&Request::Get { name: secret.clone(), version })? {
        Reply::Value(value) => Ok(value),
        _ => Err(unexpected()),
    }
}
