//! A manifest that was there before the import, and that nobody allowed yet: what else
//! would it get? Importing into a cloned project must not hand out another project's keys.

use crate::import::plan::Plan;
use crate::report::{self, Failure, Kind};
use crate::tty::Tty;
use keyagent_wire::reply::{Review, Reviewed};
use keyagent_wire::{SecretName, escape};
use std::collections::BTreeSet;

/// Asks, if allowing the manifest hands out more than what is imported, or if importing
/// gives another value to a secret that is there. True if a human was asked.
pub(crate) fn ask(
    review: &Review,
    plan: &Plan<'_>,
    changed: &BTreeSet<SecretName>,
) -> Result<bool, Failure> {
    let others = others(review, plan, changed);
    if others.is_empty() {
        return Ok(false);
    }
    report::note("the keyagent.toml that is there was not allowed yet; it would also get:");
    for other in others {
        report::note(format!("  {} <- {}{}", other.var, other.secret, marks(other, changed)));
    }
    let refused =
        Failure::new(Kind::Refused, "nothing was imported: this keyagent.toml is not allowed")
            .hint("`keyagent allow` shows what it would get, and asks; then import again");
    let mut tty = Tty::open();
    match tty.as_mut().map(|tty| tty.confirm("allow that, too?")).transpose()? {
        Some(true) => Ok(true),
        _ => Err(refused),
    }
}

/// By which profile, and who has it already and would get a new version by this import.
fn marks(binding: &Reviewed, changed: &BTreeSet<SecretName>) -> String {
    let mut marks = Vec::new();
    marks.extend(binding.profile.as_ref().map(|profile| format!(" (profile {profile})")));
    if changed.contains(&binding.secret) {
        marks.push(" (there already, with another value, which would be replaced)".to_owned());
    }
    let with = binding.shared_with.iter();
    marks.extend(with.map(|directory| format!(" (shared with `{}`)", escape(directory))));
    marks.concat()
}

fn others<'r>(
    review: &'r Review,
    plan: &Plan<'_>,
    changed: &BTreeSet<SecretName>,
) -> Vec<&'r Reviewed> {
    // A name that another project has is that project's, and one that has another value is
    // the user's own, whatever this manifest says; and a value goes without saying only to
    // the variable that had it in the file.
    let imported = |binding: &Reviewed| {
        binding.shared_with.is_empty()
            && !changed.contains(&binding.secret)
            && binding.profile.is_none()
            && plan
                .steps
                .iter()
                .any(|step| (&step.assignment.var, &step.name) == (&binding.var, &binding.secret))
    };
    let all = review.bindings.iter().filter(|_| !review.allowed);
    all.filter(|binding| binding.new && !imported(binding)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envfile::{Assignment, Verdict};
    use crate::import::plan::Names;
    use keyagent_wire::{EnvName, ProfileName, Value};

    fn reviewed(var: &str, secret: &str, shared_with: Vec<Vec<u8>>) -> Reviewed {
        Reviewed {
            profile: None,
            var: EnvName::new(var).expect("a name"),
            secret: SecretName::new(secret).expect("a name"),
            optional: false,
            present: true,
            new: true,
            shared_with,
        }
    }

    fn others_of(bindings: Vec<Reviewed>, allowed: bool) -> Vec<String> {
        let review = Review {
            project: None,
            directory: b"/p".to_vec(),
            manifest: [0; 32],
            allowed,
            known: false,
            bindings,
            gone: Vec::new(),
        };
        let key = Assignment {
            var: EnvName::new("A_KEY").expect("a name"),
            value: Value::new(b"x").expect("a value"),
            line: 1,
            verdict: Verdict::Plain,
        };
        let names = Names::new(ProfileName::new("p").expect("a name"), Some(&review));
        let plan = Plan::new(&[&key], &names).unwrap_or_else(|e| panic!("{e}"));
        let openai = SecretName::new("openai").expect("a name");
        others(&review, &plan, &[openai].into())
            .iter()
            .map(|other| other.secret.to_string())
            .collect()
    }

    #[test]
    fn only_what_is_imported_goes_without_saying() {
        let mine = || reviewed("A_KEY", "p/A_KEY", Vec::new());
        assert!(others_of(vec![mine()], false).is_empty());
        let theirs = || reviewed("B_KEY", "work/B_KEY", Vec::new());
        assert_eq!(others_of(vec![mine(), theirs()], false), ["work/B_KEY"]);
        assert!(others_of(vec![mine(), theirs()], true).is_empty(), "it was allowed");
        let stolen = reviewed("A_KEY", "work/A_KEY", vec![b"/work".to_vec()]);
        assert_eq!(others_of(vec![stolen], false), ["work/A_KEY"]);
        let taken = reviewed("A_KEY", "openai", Vec::new());
        assert_eq!(others_of(vec![taken], false), ["openai"], "it is the user's own");
        let alias = reviewed("OTHER", "p/A_KEY", Vec::new());
        assert_eq!(others_of(vec![mine(), alias], false), ["p/A_KEY"], "by another variable");
        let profile = ProfileName::new("prod").ok();
        let profiled = Reviewed { profile, ..mine() };
        assert_eq!(others_of(vec![mine(), profiled], false), ["p/A_KEY"], "by a profile");
    }
}
