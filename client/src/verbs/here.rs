//! What the working directory's project would get, what this shell holds of it, and what of
//! that is stale: the part of `status` that is about here.
//!
//! Names, versions and directories; never a value.

use crate::connection::Connection;
use crate::json::{self, Object};
use crate::project::{self, Project, show};
use crate::record::{self, Record};
use crate::refusal;
use keyagent_wire::reply::Bound;
use keyagent_wire::request::Binding;
use keyagent_wire::{Confirm, ProfileName, Reply, Request};
use std::fmt::Write;
use std::path::PathBuf;

/// What is so here.
pub(crate) struct Here {
    /// The directory of the manifest that counts; none if none does.
    directory: Option<PathBuf>,
    /// Whether that is the user's own manifest.
    is_own: bool,
    /// What the agent says of the manifest; or why it says nothing.
    says: Result<Says, String>,
    /// What the shell holds.
    record: Option<Record>,
}

/// What the agent says of a manifest.
struct Says {
    allowed: bool,
    bound: Vec<Bound>,
}

/// One variable, as the shell has it and as it would get it.
struct Row<'a> {
    binding: &'a Binding,
    loaded: Option<u32>,
    current: Option<u32>,
    exec_only: bool,
    /// Whether the human is asked first, so that no shell gets it by itself.
    asked: bool,
}

impl Here {
    /// Looks at the directory and the environment, and asks the agent.
    pub(crate) fn of(connection: &mut Connection) -> Self {
        let record = record::of_environment().into_iter().next();
        match project::nearest_or_own() {
            Ok(Some(project)) => {
                let directory = project.path();
                let is_loaded = |record: &&Record| record.directory == directory;
                let profile = record.as_ref().filter(is_loaded).and_then(|r| r.profile.clone());
                let says = ask(connection, &project, profile);
                Self { directory: Some(directory), is_own: project.is_own(), says, record }
            }
            Ok(None) => Self { directory: None, is_own: false, says: Err(String::new()), record },
            Err(failure) => {
                Self { directory: None, is_own: false, says: Err(failure.text), record }
            }
        }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_nowhere(&self) -> bool {
        let is_silent = self.says.as_ref().is_err_and(String::is_empty);
        self.directory.is_none() && self.record.is_none() && is_silent
    }

    /// For humans.
    pub(crate) fn sheet(&self) -> String {
        let mut text = format!("project    {}\n", self.project());
        let _ = writeln!(text, "loaded     {}", self.loaded());
        let rows = self.rows();
        let width = |of: fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or(0);
        let (var, secret) =
            (width(|r| r.binding.var.as_str().len()), width(|r| r.binding.secret.as_str().len()));
        for row in &rows {
            let Binding { var: v, secret: s } = row.binding;
            let _ = writeln!(
                text,
                "           {:var$}  {:secret$}  {}",
                v.as_str(),
                s.as_str(),
                words(row)
            );
        }
        text
    }

    /// For tools.
    pub(crate) fn json(&self) -> Vec<u8> {
        let directory = self.directory.as_ref().map(|directory| show(directory));
        let from = self.record.as_ref().map(|record| show(&record.directory));
        let profile =
            self.record.as_ref().and_then(|r| r.profile.as_ref()).map(ProfileName::as_str);
        let rows = self.rows();
        let rows = rows.iter().map(|row| {
            Object::new()
                .text("variable", row.binding.var.as_str())
                .text("secret", row.binding.secret.as_str())
                .number_or_null("loaded", row.loaded.map(u64::from))
                .number_or_null("current", row.current.map(u64::from))
                .flag("stale", is_stale(row))
                .flag("exec_only", row.exec_only)
                .end()
        });
        let says = self.says.as_ref();
        let why = says.err().filter(|why| !why.is_empty());
        let object = Object::new().text_or_null("directory", directory.as_deref());
        let object = match says {
            Ok(says) => object.flag("allowed", says.allowed),
            Err(_) => object.text_or_null("allowed", None),
        };
        object
            .text_or_null("unknown_because", why.map(String::as_str))
            .text_or_null("loaded_from", from.as_deref())
            .text_or_null("profile", profile)
            .raw("variables", &json::list(rows))
            .end()
    }

    fn project(&self) -> String {
        let shown = match &self.directory {
            Some(directory) if self.is_own => format!("your own, in `{}`", show(directory)),
            Some(directory) => format!("`{}`", show(directory)),
            None => "none here".to_owned(),
        };
        match &self.says {
            Ok(says) if says.allowed => shown,
            Ok(_) => format!("{shown}, not allowed: `keyagent allow` shows what it would get"),
            Err(why) if why.is_empty() => shown,
            Err(why) => format!("{shown}: {why}"),
        }
    }

    fn loaded(&self) -> String {
        let Some(record) = &self.record else {
            return "nothing in this shell: `keyagent exec -- CMD` has the keys".to_owned();
        };
        let profile = match &record.profile {
            Some(profile) => format!("profile `{profile}`"),
            None => "no profile".to_owned(),
        };
        match &self.directory {
            Some(directory) if *directory == record.directory => format!("from here, {profile}"),
            _ => format!("from `{}`, not from here, {profile}", show(&record.directory)),
        }
    }

    /// What the shell holds, then what it would get beside that.
    fn rows(&self) -> Vec<Row<'_>> {
        let bound = self.says.as_ref().map_or(&[][..], |says| &says.bound);
        let held = self.record.as_ref().map_or(&[][..], |record| &record.bindings);
        let is_here =
            self.record.as_ref().is_some_and(|r| Some(&r.directory) == self.directory.as_ref());
        let counterpart =
            |binding: &Binding| bound.iter().find(|b| is_here && b.binding == *binding);
        let mut rows: Vec<_> = held
            .iter()
            .map(|(binding, version)| Row {
                binding,
                loaded: Some(*version),
                current: counterpart(binding).and_then(|bound| bound.version),
                exec_only: counterpart(binding).is_some_and(|bound| bound.exec_only),
                asked: counterpart(binding).is_some_and(|bound| bound.confirm != Confirm::None),
            })
            .collect();
        let others =
            bound.iter().filter(|b| !is_here || held.iter().all(|(held, _)| *held != b.binding));
        rows.extend(others.map(|bound| Row {
            binding: &bound.binding,
            loaded: None,
            current: bound.version,
            exec_only: bound.exec_only,
            asked: bound.confirm != Confirm::None,
        }));
        rows
    }
}

fn ask(
    connection: &mut Connection,
    project: &Project,
    profile: Option<ProfileName>,
) -> Result<Says, String> {
    let asked = connection.ask(&Request::Bindings { profile }, &project.descriptors());
    match asked.map_err(|failure| failure.text)? {
        Reply::Bindings { allowed, bound } => Ok(Says { allowed, bound }),
        Reply::Refused(why) => Err(refusal::failure(&why).text),
        _ => Err("the agent answered something else".to_owned()),
    }
}

/// What the shell holds, and the project would not get like that any more.
fn is_stale(row: &Row<'_>) -> bool {
    row.loaded.is_some() && (row.exec_only || row.asked || row.loaded != row.current)
}

fn words(row: &Row<'_>) -> String {
    match (row.loaded, row.current) {
        (None, None) => "no such secret".to_owned(),
        (None, Some(_)) if row.exec_only => "not loaded: for `exec` only".to_owned(),
        (None, Some(_)) if row.asked => "not loaded: `exec` asks you first".to_owned(),
        (None, Some(current)) => format!("not loaded: version {current} is there"),
        (Some(loaded), Some(_)) if row.exec_only => {
            format!("version {loaded}, stale: it is for `exec` only by now")
        }
        (Some(loaded), Some(_)) if row.asked => {
            format!("version {loaded}, stale: you are asked first by now")
        }
        (Some(loaded), Some(current)) if loaded == current => format!("version {loaded}"),
        (Some(loaded), Some(current)) => format!("version {loaded}, stale: {current} is current"),
        (Some(loaded), None) => format!("version {loaded}, stale: it would not be loaded here now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::{EnvName, SecretName};

    fn binding(var: &str, secret: &str) -> Binding {
        let (var, secret) = (EnvName::new(var), SecretName::new(secret));
        Binding { var: var.expect("a name"), secret: secret.expect("a name") }
    }

    fn here(record: &[(&str, u32)], bound: &[(&str, Option<u32>)], from: &str) -> Here {
        let bound = bound.iter().map(|(var, version)| Bound {
            binding: binding(var, "a/x"),
            version: *version,
            exec_only: false,
            confirm: Confirm::None,
        });
        let held = record.iter().map(|(var, version)| (binding(var, "a/x"), *version)).collect();
        Here {
            directory: Some(PathBuf::from("/p")),
            is_own: false,
            says: Ok(Says { allowed: true, bound: bound.collect() }),
            record: Some(Record { profile: None, bindings: held, directory: from.into() }),
        }
    }

    #[test]
    fn each_variable_is_told_by_what_the_shell_has_and_what_it_would_get() {
        let here = here(
            &[("SAME", 1), ("OLD", 1), ("GONE", 1)],
            &[("OLD", Some(2)), ("SAME", Some(1)), ("NEW", Some(7)), ("ABSENT", None)],
            "/p",
        );
        let sheet = here.sheet();
        for line in [
            "project    `/p`\n",
            "loaded     from here, no profile\n",
            "SAME    a/x  version 1\n",
            "OLD     a/x  version 1, stale: 2 is current\n",
            "GONE    a/x  version 1, stale: it would not be loaded here now\n",
            "NEW     a/x  not loaded: version 7 is there\n",
            "ABSENT  a/x  no such secret\n",
        ] {
            assert!(sheet.contains(line), "{line}{sheet}");
        }
        let json = String::from_utf8(here.json()).expect("UTF-8");
        assert!(
            json.contains(r#""variable":"OLD","secret":"a/x","loaded":1,"current":2,"stale":true"#)
        );
        assert!(json.contains(
            r#""variable":"NEW","secret":"a/x","loaded":null,"current":7,"stale":false"#
        ));
    }

    #[test]
    fn keys_of_elsewhere_are_not_those_of_here() {
        let here = here(&[("A", 1)], &[("A", Some(1))], "/other");
        let sheet = here.sheet();
        assert!(sheet.contains("from `/other`, not from here, no profile\n"), "{sheet}");
        assert!(sheet.contains("A  a/x  version 1, stale: it would not"), "{sheet}");
        assert!(sheet.contains("A  a/x  not loaded: version 1 is there\n"), "{sheet}");
    }
}
