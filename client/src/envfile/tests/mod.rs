//! Tests of the reader: tables for every rule, and real bash as the judge.

mod bash;
mod dotenv;
mod envrc;
mod json;
mod random;
mod scripts;
mod verdict;

use crate::envfile::{EnvFile, Kind, Verdict, parse, rewrite};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;

fn read(kind: Kind, text: &[u8]) -> EnvFile {
    parse(kind, text).unwrap_or_else(|e| panic!("{e}: {}", keyagent_wire::escape(text)))
}

fn all(file: &EnvFile) -> BTreeSet<EnvName> {
    file.assignments().iter().map(|a| a.var.clone()).collect()
}

fn secrets(file: &EnvFile) -> BTreeSet<EnvName> {
    let secret = file.assignments().iter().filter(|a| matches!(a.verdict, Verdict::Secret(_)));
    secret.map(|a| a.var.clone()).collect()
}

/// `A=value B=…` of the assignments, in order.
fn found(kind: Kind, text: &str) -> String {
    let file = read(kind, text.as_bytes());
    let shown = file
        .assignments()
        .iter()
        .map(|a| format!("{}={}", a.var, keyagent_wire::escape(a.value.expose())));
    shown.collect::<Vec<_>>().join(" ")
}

/// `1:A:Why` of what is left.
fn left(kind: Kind, text: &str) -> String {
    let file = read(kind, text.as_bytes());
    let shown = file.left().iter().map(|l| format!("{}:{}:{:?}", l.line, l.var, l.why));
    shown.collect::<Vec<_>>().join(" ")
}

/// The file without everything that can go, which must be stable when done again.
fn stripped(kind: Kind, text: &str) -> String {
    let file = read(kind, text.as_bytes());
    let (sealed, _) = file.settle(&all(&file));
    let once = rewrite(&file, text.as_bytes(), &sealed);
    let again = read(kind, &once);
    let none = rewrite(&again, &once, &secrets(&again));
    let none_again = rewrite(&read(kind, &none), &none, &BTreeSet::new());
    assert!(*none == *none_again, "not idempotent");
    String::from_utf8_lossy(&once).into_owned()
}
