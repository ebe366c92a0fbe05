//! The import itself, step by step, each before the next: room, vault, manifest, grant,
//! read back, and only then the file.

use crate::atomic::{Look, Workplace};
use crate::envfile::{self, Assignment, EnvFile, Kind};
use crate::import::keys::{self, Chosen};
use crate::import::places::Places;
use crate::import::plan::{self, Names, Plan};
use crate::import::source::Source;
use crate::import::{neighbour, original, project_name, remains, taken, trust};
use crate::project::{self, MANIFEST, Project};
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use keyagent_wire::frame::NAMES_MAX;
use keyagent_wire::reply::{Outcome, Review, Written};
use keyagent_wire::request::{Bind, Binding, Put, Resolve};
use keyagent_wire::{Channel, EnvName, ProfileName, Reply, Request, SecretName, fingerprint};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// How many projects of one name are told apart.
const NUMBERED_MAX: u32 = 1_000;

/// What to import, from where.
pub(crate) struct Job<'a> {
    /// The file.
    pub(crate) source: &'a Source,
    /// What kind of file it is.
    pub(crate) kind: Kind,
    /// The file, read.
    pub(crate) file: &'a EnvFile,
    /// The keys to seal.
    pub(crate) chosen: Chosen<'a>,
    /// Whether a human named each of them.
    pub(crate) named: bool,
    /// Whether to take them out of the file.
    pub(crate) replace: bool,
}

/// Seals the keys, and takes them out of the file if that was asked for.
pub(crate) fn run(job: &Job<'_>) -> Result<(), Failure> {
    job.source.warn_of_other_names();
    let places = Places::claim(job.source, job.replace)?;
    let mut session = Session::begin()?;
    session.need_open_vault()?;
    let project = project::in_directory(job.source.directory())?;
    let review = review(&mut session, project.as_ref())?;
    check_count(job, review.as_ref())?;
    let names = name(&mut session, job, review.as_ref())?;
    let wanted = Plan::new(&job.chosen.keys, &names)?;
    let taken = taken(&mut session, job, &wanted, review.as_ref())?;
    let chosen = job.chosen.without(job.file, taken);
    let keys_stay = || taken::failure(&chosen.taken, &wanted, job.source, job.replace);
    if chosen.keys.is_empty() {
        plan::show_nothing(job.source, job.file, &chosen);
        return Err(keys_stay());
    }
    let plan = Plan::new(&chosen.keys, &names)?;
    plan.show(job.source, job.file, &chosen);
    seal(job, session, &places, &plan, project.as_ref(), review.as_ref())?;
    if chosen.taken.is_empty() { Ok(()) } else { Err(keys_stay()) }
}

fn seal(
    job: &Job<'_>,
    mut session: Session,
    places: &Places,
    plan: &Plan<'_>,
    project: Option<&Project>,
    review: Option<&Review>,
) -> Result<(), Failure> {
    let changed = changed(&mut session, plan, review)?;
    if let Some(review) = review
        && trust::ask(review, plan, &changed)?
    {
        // A human took longer than the agent keeps a silent connection.
        session = Session::begin()?;
    }
    let rewritten =
        job.replace.then(|| envfile::rewrite(job.file, job.source.bytes(), &plan.sealed()));
    // By the names that are planned: those that the vault gives are hardly longer.
    let planned = manifest(&mut session, plan, project, &plan.bindings())?;
    let bytes = rewritten.as_ref().map(|rewritten| &rewritten[..]);
    let _rooms = places.make_rooms(job.source, planned.as_deref(), bytes)?;
    let written = commit(&mut session, plan, job.source, rewritten.as_deref())?;
    let expected = bindings(plan, &written)?;
    bind(&mut session, places.project(), plan, project, &expected)?;
    let project = allow(&mut session, places.project(), review, &expected)?;
    read_back(&mut session, &project, plan, channel(job))?;
    tell(plan, &written);
    match rewritten {
        Some(rewritten) => replace(job, places, plan, &rewritten),
        None => {
            let file = job.source.pasted();
            report::hint(format!("`keyagent import --replace {file}` takes the keys out of it"));
            Ok(())
        }
    }
}

/// What the manifest binds, and whether it is allowed; nothing without a manifest.
pub(crate) fn review(
    session: &mut Session,
    project: Option<&Project>,
) -> Result<Option<Review>, Failure> {
    let Some(project) = project else { return Ok(None) };
    match session.ask_about(&Request::Review, Some(project))? {
        Reply::Review(review) => Ok(Some(review)),
        _ => Err(unexpected()),
    }
}

/// The manifest's limit, checked before anything is written.
fn check_count(job: &Job<'_>, review: Option<&Review>) -> Result<(), Failure> {
    let bound = review.map_or(&[][..], |review| &review.bindings);
    let is_bound = |key: &&&Assignment| {
        !bound.iter().any(|binding| binding.profile.is_none() && binding.var == key.var)
    };
    let count = bound.len() + job.chosen.keys.iter().filter(is_bound).count();
    if count <= NAMES_MAX { Ok(()) } else { Err(keys::too_many(count)) }
}

/// The manifest's own name for the project; else the directory's, made free in the vault.
fn name(session: &mut Session, job: &Job<'_>, review: Option<&Review>) -> Result<Names, Failure> {
    let base = project_name::of_directory(job.source.directory());
    let project = match review {
        Some(review) => review.project.clone().unwrap_or(base),
        None => free_name(session, base)?,
    };
    Ok(Names::new(project, review))
}

fn free_name(session: &mut Session, base: ProfileName) -> Result<ProfileName, Failure> {
    let mut candidate = base.clone();
    for number in 2..NUMBERED_MAX {
        if !has_names_under(session, &candidate)? {
            return Ok(candidate);
        }
        candidate = project_name::numbered(&base, number);
    }
    Err(Failure::failed(format!("there are {NUMBERED_MAX} projects called `{base}` already"))
        .hint("`project = \"NAME\"` in a keyagent.toml gives this one another name"))
}

fn has_names_under(session: &mut Session, project: &ProfileName) -> Result<bool, Failure> {
    let prefix = format!("{project}/");
    let after = SecretName::new(prefix.clone()).expect("a short name and a slash are a name");
    match session.ask(&Request::List { after: Some(after) })? {
        Reply::Page { secrets, .. } => {
            Ok(secrets.first().is_some_and(|first| first.name.as_str().starts_with(&prefix)))
        }
        _ => Err(unexpected()),
    }
}

/// The keys that stay because the project has another value for them; none of those that a
/// human named.
fn taken(
    session: &mut Session,
    job: &Job<'_>,
    plan: &Plan<'_>,
    review: Option<&Review>,
) -> Result<BTreeSet<EnvName>, Failure> {
    match review {
        Some(review) if !job.named => taken::find(session, plan, review, job.source, job.kind),
        _ => Ok(BTreeSet::new()),
    }
}

/// The secrets that a manifest which nobody allowed binds, and that have another value than
/// the file: a new version would take it away from whoever uses it.
fn changed(
    session: &mut Session,
    plan: &Plan<'_>,
    review: Option<&Review>,
) -> Result<BTreeSet<SecretName>, Failure> {
    let mut changed = BTreeSet::new();
    let Some(review) = review.filter(|review| !review.allowed) else { return Ok(changed) };
    let is_there =
        |name: &SecretName| review.bindings.iter().any(|b| b.present && b.secret == *name);
    for step in plan.steps.iter().filter(|step| step.bound && is_there(&step.name)) {
        if taken::differs(session, &step.name, step.assignment)? {
            changed.insert(step.name.clone());
        }
    }
    Ok(changed)
}

/// Stages all values, and the original of the file if it will be rewritten; writes once.
fn commit(
    session: &mut Session,
    plan: &Plan<'_>,
    source: &Source,
    rewritten: Option<&Vec<u8>>,
) -> Result<Vec<Written>, Failure> {
    for step in &plan.steps {
        let value = step.assignment.value.duplicate();
        let (name, clash) = (step.name.clone(), step.clash());
        let put = Put { name, value, clash, exec_only: None, confirm: None, note: None };
        session.ask(&Request::Put(put))?;
    }
    if let Some(rewritten) = rewritten {
        original::stage(session, source, fingerprint::of(rewritten))?;
    }
    match session.ask(&Request::Commit)? {
        Reply::Committed(written) if written.len() == plan.steps.len() => Ok(written),
        _ => Err(unexpected()),
    }
}

/// What the manifest shall bind, by the names that the vault gave.
fn bindings(plan: &Plan<'_>, written: &[Written]) -> Result<Vec<Binding>, Failure> {
    let pairs = plan.steps.iter().zip(written);
    pairs
        .map(|(step, written)| {
            if step.bound && step.name != written.name {
                return Err(unexpected());
            }
            let var = step.assignment.var.clone();
            Ok(Binding { var, secret: written.name.clone() })
        })
        .collect()
}

/// The manifest with these bindings, if it lacks one of them.
fn manifest(
    session: &mut Session,
    plan: &Plan<'_>,
    project: Option<&Project>,
    expected: &[Binding],
) -> Result<Option<String>, Failure> {
    let pairs = plan.steps.iter().zip(expected);
    let bindings: Vec<_> =
        pairs.filter(|(step, _)| !step.bound).map(|(_, binding)| binding.clone()).collect();
    if bindings.is_empty() {
        return Ok(None);
    }
    let bind = Bind { project: plan.project.clone(), bindings };
    match session.ask_about(&Request::Bind(bind), project)? {
        Reply::Manifest(text) => Ok(Some(text)),
        _ => Err(unexpected()),
    }
}

/// Writes the manifest, if it lacks a binding.
fn bind(
    session: &mut Session,
    place: &Workplace,
    plan: &Plan<'_>,
    project: Option<&Project>,
    expected: &[Binding],
) -> Result<(), Failure> {
    let Some(text) = manifest(session, plan, project, expected)? else { return Ok(()) };
    let metadata = project.map(metadata).transpose()?;
    let look = metadata.as_ref().map_or(Look::New(0o644), Look::Like);
    place.put(OsStr::new(MANIFEST), text.as_bytes(), &look)?;
    check_written(place, &text)
}

fn metadata(project: &Project) -> Result<std::fs::Metadata, Failure> {
    open_again(project)?.metadata().map_err(|e| cannot_read_manifest(&e))
}

/// What is allowed next must be what was written, and not what somebody put in its place.
fn check_written(place: &Workplace, text: &str) -> Result<(), Failure> {
    let project = project::in_directory(place.path())?.ok_or_else(manifest_changed)?;
    // By position: the agent reads the same open file, and must find it at its start.
    let mut bytes = vec![0; text.len() + 1];
    let file = open_again(&project)?;
    let mut filled = 0;
    while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read_at(space, filled as u64).map_err(|e| cannot_read_manifest(&e))? {
            0 => break,
            count => filled += count,
        }
    }
    let same = bytes.get(..filled).is_some_and(|bytes| bytes == text.as_bytes());
    if same { Ok(()) } else { Err(manifest_changed()) }
}

fn open_again(project: &Project) -> Result<File, Failure> {
    project.manifest().try_clone_to_owned().map(File::from).map_err(|e| cannot_read_manifest(&e))
}

fn cannot_read_manifest(error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {MANIFEST}: {}", report::cause(error)))
}

fn manifest_changed() -> Failure {
    Failure::failed(format!("{MANIFEST} changed meanwhile; the vault has the keys"))
        .hint("`keyagent allow` shows what it would get now; then import again")
}

/// Allows the manifest as it is now: what it bound before, and what was imported.
fn allow(
    session: &mut Session,
    place: &Workplace,
    before: Option<&Review>,
    expected: &[Binding],
) -> Result<Project, Failure> {
    let project = project::in_directory(place.path())?.ok_or_else(manifest_changed)?;
    let now = review(session, Some(&project))?.ok_or_else(unexpected)?;
    let was_there = before.map_or(&[][..], |review| &review.bindings);
    for binding in &now.bindings {
        let known = was_there.iter().any(|old| {
            (&old.profile, &old.var, &old.secret)
                == (&binding.profile, &binding.var, &binding.secret)
        });
        let imported = expected.iter().any(|new| {
            binding.profile.is_none() && (&new.var, &new.secret) == (&binding.var, &binding.secret)
        });
        if !known && !imported {
            return Err(manifest_changed());
        }
    }
    if !now.allowed {
        session.ask_about(&Request::Allow { manifest: now.manifest }, Some(&project))?;
    }
    Ok(project)
}

/// The way by which the project will get its keys: a rewritten `.envrc` exports them, so
/// they must not leave it for a vault that never exports them.
fn channel(job: &Job<'_>) -> Channel {
    if job.replace && job.kind == Kind::Envrc { Channel::Export } else { Channel::Exec }
}

/// Asks for every value by the way that the project will, and compares.
fn read_back(
    session: &mut Session,
    project: &Project,
    plan: &Plan<'_>,
    channel: Channel,
) -> Result<(), Failure> {
    let resolve = Request::Resolve(Resolve {
        channel,
        profile: None,
        only: plan.sealed().into_iter().collect(),
        extra: Vec::new(),
    });
    let Reply::Env(env) = session.ask_about(&resolve, Some(project))? else {
        return Err(unexpected());
    };
    for step in &plan.steps {
        let Assignment { var, value, .. } = step.assignment;
        if !env.iter().any(|(read, back)| read == var && back.same_as(value)) {
            return Err(Failure::failed(format!(
                "the vault does not give `{var}` back as it was; the file stays as it is"
            )));
        }
    }
    Ok(())
}

fn tell(plan: &Plan<'_>, written: &[Written]) {
    let count = |wanted: fn(&Outcome) -> bool| {
        written.iter().filter(|written| wanted(&written.outcome)).count()
    };
    let created = count(|outcome| matches!(outcome, Outcome::Created));
    let updated = count(|outcome| matches!(outcome, Outcome::Updated(_)));
    let same = count(|outcome| matches!(outcome, Outcome::Same | Outcome::Altered));
    report::note(format!("sealed: {created} new, {updated} changed, {same} as they were"));
    for (step, written) in plan.steps.iter().zip(written) {
        if let Outcome::Updated(number) = written.outcome {
            let name = &written.name;
            report::note(format!(
                "  `{name}` has version {number} now: the file's value was another"
            ));
        }
        if step.name != written.name {
            let (var, name) = (&step.assignment.var, &written.name);
            report::note(format!("  {var} is `{name}`: the other name was taken"));
        }
    }
}

/// Takes the keys out of the file, now that all else is done.
fn replace(
    job: &Job<'_>,
    places: &Places,
    plan: &Plan<'_>,
    rewritten: &Zeroizing<Vec<u8>>,
) -> Result<(), Failure> {
    job.source.check_unchanged()?;
    places.rewrite(job.source, rewritten)?;
    let shown = job.source.shown();
    report::note(if remains::warn(rewritten, plan) {
        format!("`{shown}` holds none of these keys any more")
    } else {
        format!("`{shown}` is rewritten, but copies of these keys stay in it")
    });
    for hint in next_steps(job.kind) {
        report::hint(hint);
    }
    if job.kind != Kind::Envrc
        && let Some(hint) = neighbour::hint(job.source)
    {
        report::hint(hint);
    }
    report::hint(format!(
        "`keyagent import --undo {}` puts it back as it was",
        job.source.pasted()
    ));
    Ok(())
}

fn next_steps(kind: Kind) -> Vec<&'static str> {
    if kind != Kind::Envrc {
        return vec!["`keyagent exec -- CMD` runs a command with them"];
    }
    let library = project::config_directory().map(|config| config.join("direnv/lib/keyagent.sh"));
    let installed = library.is_some_and(|path| path.exists());
    let install = "`keyagent hook direnv --install` teaches direnv `use keyagent`";
    let allow = "`direnv allow` loads them";
    if installed { vec![allow] } else { vec![install, allow] }
}
