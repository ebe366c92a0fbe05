//! What the agent knows of names, for a line that somebody is still typing.
//!
//! It never starts an agent, never asks a human, and never waits for long. Whatever is wrong
//! means that there is nothing to offer.

use super::Candidate;
use crate::connection::Connection;
use crate::project;
use keyagent_wire::reply::{Fact, Reviewed};
use keyagent_wire::{Note, Reply, Request, SecretName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long all pages of names together may take.
const PAGES_MILLIS_MAX: u64 = 200;

/// The secrets whose names begin so, with their notes, in order. All of them or none: what a
/// shell is told in part, it would take for the whole.
pub(super) fn secrets(typed: &str) -> Option<Vec<Candidate>> {
    let end = Instant::now() + Duration::from_millis(PAGES_MILLIS_MAX);
    let mut connection = Connection::open_hasty().ok()??;
    let (mut found, mut after) = (Vec::new(), before(typed));
    while Instant::now() < end {
        let Reply::Page { secrets, more } = connection.ask(&Request::List { after }, &[]).ok()?
        else {
            return None;
        };
        let begin_so = secrets.iter().filter(|fact| fact.name.as_str().starts_with(typed));
        found.extend(begin_so.map(candidate));
        match secrets.last() {
            Some(last) if more && !is_past(&last.name, typed) => after = Some(last.name.clone()),
            _ => return Some(found),
        }
    }
    None
}

/// A name that is before all that begin so, with few between: all but the last character.
fn before(typed: &str) -> Option<SecretName> {
    let mut characters = typed.chars();
    characters.next_back();
    SecretName::new(characters.as_str()).ok()
}

/// Whether no name behind this one begins so.
fn is_past(name: &SecretName, typed: &str) -> bool {
    name.as_str() > typed && !name.as_str().starts_with(typed)
}

/// The profiles of the manifest.
pub(super) fn profiles() -> Option<Vec<Candidate>> {
    let profiles = bindings()?.into_iter().filter_map(|binding| binding.profile);
    Some(once(profiles.map(|name| (name.to_string(), String::new()))))
}

/// The variables of the manifest in that profile, with their secrets.
pub(super) fn variables(profile: Option<&str>) -> Option<Vec<Candidate>> {
    let here = |binding: &Reviewed| {
        let named = binding.profile.as_ref().map(|name| name.as_str());
        named.is_none() || named == profile
    };
    let bindings = bindings()?.into_iter().filter(here);
    Some(once(bindings.map(|binding| (binding.var.to_string(), binding.secret.to_string()))))
}

fn bindings() -> Option<Vec<Reviewed>> {
    let project = project::nearest_or_own().ok()??;
    let mut connection = Connection::open_hasty().ok()??;
    match connection.ask(&Request::Review, &project.descriptors()).ok()? {
        Reply::Review(review) => Some(review.bindings),
        _ => None,
    }
}

fn candidate(fact: &Fact) -> Candidate {
    Candidate::new(fact.name.as_str(), fact.note.as_ref().map_or("", Note::as_str))
}

/// Each word once, in order: a profile has several bindings, and overrides those of `[env]`,
/// which are before it.
fn once(words: impl Iterator<Item = (String, String)>) -> Vec<Candidate> {
    let words: BTreeMap<String, String> = words.collect();
    words.into_iter().map(|(word, about)| Candidate { word, about }).collect()
}
