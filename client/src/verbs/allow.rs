//! `allow`, `deny`: whether a manifest may have what it asks for.

use crate::args::{AllowArgs, DenyArgs};
use crate::billing;
use crate::project::{self, Project};
use crate::report::{self, Failure, Kind};
use crate::session::{Session, unexpected};
use crate::tty::Tty;
use keyagent_wire::reply::{Review, Reviewed};
use keyagent_wire::{Reply, Request, escape};
use std::os::fd::AsFd;
use std::path::Path;

/// Trusts the manifest, once a human has seen what it would get.
pub(crate) fn allow(args: &AllowArgs) -> Result<(), Failure> {
    let project = find(args.dir.as_deref())?;
    let Reply::Review(review) = Session::begin()?.ask_about(&Request::Review, Some(&project))?
    else {
        return Err(unexpected());
    };
    let directory = escape(&review.directory);
    if review.allowed {
        report::note(format!("`{directory}` is allowed already"));
        return Ok(());
    }
    show(&review);
    if !args.yes {
        ask()?;
    }
    // On a new connection: a human may have taken longer than one is kept.
    let allow = Request::Allow { manifest: review.manifest };
    Session::begin()?.ask_about(&allow, Some(&project))?;
    report::note(format!("allowed `{directory}`"));
    billing::warn_of_exported(review.bindings.iter().map(|binding| &binding.var));
    Ok(())
}

/// Takes the trust back.
pub(crate) fn deny(args: &DenyArgs) -> Result<(), Failure> {
    let mut session = Session::begin()?;
    match (&args.dir, project::nearest()) {
        (None, Ok(Some(project))) => {
            let [directory, _] = project.descriptors();
            session.ask_with(&Request::Deny, &[directory])?;
        }
        // A manifest need not be there, or be readable, to be denied.
        (dir, _) => {
            let directory = project::directory(dir.as_deref().unwrap_or(Path::new(".")))?;
            session.ask_with(&Request::Deny, &[directory.as_fd()])?;
        }
    }
    report::note("denied: this project gets nothing until it is allowed again");
    Ok(())
}

fn find(directory: Option<&Path>) -> Result<Project, Failure> {
    match directory {
        None => project::nearest()?.ok_or_else(project::none_found),
        Some(path) => project::in_directory(path)?.ok_or_else(|| {
            Failure::failed(format!("no keyagent.toml in `{}`", project::show(path)))
        }),
    }
}

fn ask() -> Result<(), Failure> {
    let mut tty = Tty::open().ok_or_else(|| {
        Failure::usage("there is no terminal to ask on")
            .hint("`keyagent allow --yes` allows it without a question")
    })?;
    if tty.confirm("allow it?")? {
        return Ok(());
    }
    Err(Failure::new(Kind::Refused, "not allowed"))
}

/// Says what the manifest would get, and what changed since it was last allowed.
fn show(review: &Review) {
    let name = review.project.as_ref().map_or("this project", |project| project.as_str());
    report::note(format!("{name}, in `{}`, would get:", escape(&review.directory)));
    for binding in &review.bindings {
        report::note(format!("  {}", line(binding, review.known)));
    }
    for secret in &review.gone {
        report::note(format!("  no longer: {secret}"));
    }
}

fn line(binding: &Reviewed, known: bool) -> String {
    let mut line = format!("{} <- {}", binding.var, binding.secret);
    let mut mark = |mark: &str| line.push_str(&format!(" ({mark})"));
    if let Some(profile) = &binding.profile {
        mark(&format!("profile {profile}"));
    }
    if known && binding.new {
        mark("new");
    }
    if !binding.present {
        mark(if binding.optional { "not in the vault, optional" } else { "not in the vault" });
    }
    for directory in &binding.shared_with {
        mark(&format!("shared with `{}`", escape(directory)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::{EnvName, ProfileName, SecretName};

    #[test]
    fn a_binding_under_review_shows_all_that_matters() {
        let mut binding = Reviewed {
            profile: None,
            var: EnvName::new("A_KEY").expect("a name"),
            secret: SecretName::new("p/a").expect("a name"),
            optional: false,
            present: true,
            new: true,
            shared_with: Vec::new(),
        };
        assert_eq!(line(&binding, false), "A_KEY <- p/a", "all is new the first time");
        binding.profile = ProfileName::new("prod").ok();
        binding.present = false;
        binding.shared_with = vec![b"/w\x1b".to_vec()];
        assert_eq!(
            line(&binding, true),
            r"A_KEY <- p/a (profile prod) (new) (not in the vault) (shared with `/w\x1b`)"
        );
    }
}
