//! `list`, `show`: names and facts of secrets, never values.

use crate::args::ShowArgs;
use crate::json::{self, Object};
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use crate::{date, verbs::status::SCHEMA};
use keyagent_wire::reply::{Fact, VersionFact, VersionState};
use keyagent_wire::{Confirm, Reply, Request};
use std::fmt::Write;

/// Prints all secrets, in the order of their names.
pub(crate) fn list(as_json: bool) -> Result<(), Failure> {
    let secrets = all(&mut Session::begin()?)?;
    let text = if as_json {
        let list = json::list(secrets.iter().map(|fact| members(Object::new(), fact).end()));
        line(Object::new().number("schema", SCHEMA).raw("secrets", &list).end())
    } else {
        table(&secrets).into_bytes()
    };
    report::answer(&text)
}

/// Prints one secret.
pub(crate) fn show(args: ShowArgs) -> Result<(), Failure> {
    let Reply::Fact(fact) = Session::begin()?.ask(&Request::Show { name: args.name })? else {
        return Err(unexpected());
    };
    let text = if args.json {
        line(members(Object::new().number("schema", SCHEMA), &fact).end())
    } else {
        sheet(&fact).into_bytes()
    };
    report::answer(&text)
}

/// The facts of all secrets, in the order of their names.
pub(crate) fn all(session: &mut Session) -> Result<Vec<Fact>, Failure> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|fact: &Fact| fact.name.clone());
        match session.ask(&Request::List { after })? {
            Reply::Page { secrets, more } => {
                let is_empty = secrets.is_empty();
                all.extend(secrets);
                if !more || is_empty {
                    return Ok(all);
                }
            }
            _ => return Err(unexpected()),
        }
    }
}

fn table(secrets: &[Fact]) -> String {
    let width = secrets.iter().map(|fact| fact.name.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for fact in secrets {
        let mut row = format!("{:width$}", fact.name.as_str());
        if let Some(version) = active(fact) {
            let _ = write!(row, "  v{}  {}", version.number, date::day(version.created));
        }
        if fact.exec_only {
            row.push_str("  exec-only");
        }
        if fact.confirm != Confirm::None {
            let _ = write!(row, "  confirm={}", confirm(fact.confirm));
        }
        if let Some(note) = &fact.note {
            let _ = write!(row, "  {}", note.as_str());
        }
        text.push_str(&row);
        text.push('\n');
    }
    text
}

fn sheet(fact: &Fact) -> String {
    let mut text = format!("name       {}\n", fact.name);
    if fact.exec_only {
        text.push_str("exported   never\n");
    }
    if fact.confirm != Confirm::None {
        let _ = writeln!(text, "confirm    {}", confirm(fact.confirm));
    }
    if let Some(note) = &fact.note {
        let _ = writeln!(text, "note       {}", note.as_str());
    }
    for version in &fact.versions {
        let (number, created) = (version.number, date::rfc3339(version.created));
        let _ = writeln!(text, "version    {number}  {created}  {}", state(version.state));
    }
    text
}

fn members(object: Object, fact: &Fact) -> Object {
    let versions = fact.versions.iter().map(|version| {
        Object::new()
            .number("number", version.number.into())
            .text("created", &date::rfc3339(version.created))
            .text("state", state(version.state))
            .end()
    });
    object
        .text("name", fact.name.as_str())
        .raw("versions", &json::list(versions))
        .flag("exec_only", fact.exec_only)
        .text("confirm", confirm(fact.confirm))
        .text_or_null("note", fact.note.as_ref().map(|note| note.as_str()))
}

fn active(fact: &Fact) -> Option<&VersionFact> {
    fact.versions.iter().rev().find(|version| version.state == VersionState::Active)
}

fn confirm(confirm: Confirm) -> &'static str {
    match confirm {
        Confirm::None => "none",
        Confirm::Session => "session",
        Confirm::Always => "always",
    }
}

fn state(state: VersionState) -> &'static str {
    match state {
        VersionState::Pending => "pending",
        VersionState::Active => "active",
        VersionState::Grace => "grace",
        VersionState::Revoked => "revoked",
    }
}

fn line(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::{Note, SecretName};

    fn fact() -> Fact {
        let version = |number, state| VersionFact { number, created: 86_400, state };
        Fact {
            name: SecretName::new("a/B").expect("a name"),
            versions: vec![version(1, VersionState::Grace), version(2, VersionState::Active)],
            exec_only: true,
            confirm: Confirm::Session,
            note: Note::new("say \"hi\""),
        }
    }

    #[test]
    fn facts_are_printed_for_humans() {
        assert_eq!(
            table(&[fact()]),
            "a/B  v2  1970-01-02  exec-only  confirm=session  say \"hi\"\n"
        );
        assert_eq!(table(&[]), "");
        assert!(sheet(&fact()).contains("version    1  1970-01-02T00:00:00Z  grace\n"));
    }

    #[test]
    fn facts_are_printed_for_tools() {
        let json = String::from_utf8(members(Object::new(), &fact()).end()).expect("UTF-8");
        assert!(json.starts_with(r#"{"name":"a/B","versions":[{"number":1,"#), "{json}");
        assert!(
            json.ends_with(r#""exec_only":true,"confirm":"session","note":"say \"hi\""}"#),
            "{json}"
        );
    }
}
