//! `.envrc`, `.env` and JSON, as `import` reads and rewrites them.

use crate::envfile::{EnvFile, Kind, kind_of, parse, rewrite};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;
use std::ffi::OsStr;

const KINDS: [Kind; 3] = [Kind::Envrc, Kind::Dotenv, Kind::Json];

/// Reads the bytes in each way, and takes out all that can go.
pub fn run(data: &[u8]) {
    for name in [".envrc", ".env", "keys.json", "notes"] {
        kind_of(OsStr::new(name), data);
    }
    for kind in KINDS {
        match parse(kind, data) {
            Ok(file) => check(kind, &file, data),
            Err(error) => assert!(!error.to_string().is_empty(), "it says why"),
        }
    }
    assert!(parse(Kind::Script, data).is_err(), "a script is never read");
}

fn check(kind: Kind, file: &EnvFile, data: &[u8]) {
    let lines = data.iter().filter(|b| **b == b'\n').count() + 1;
    for line in file.assignments().iter().map(|a| a.line).chain(file.left().iter().map(|l| l.line))
    {
        assert!((1..=lines).contains(&line), "a line of the file");
    }
    assert!(*rewrite(file, data, &BTreeSet::new()) == *data, "nothing taken out, nothing changed");
    let all: BTreeSet<EnvName> = file.assignments().iter().map(|a| a.var.clone()).collect();
    assert_eq!(all.len(), file.assignments().len(), "one value for each variable");
    let (sealed, _) = file.settle(&all);
    let out = rewrite(file, data, &sealed);
    let again = parse(kind, &out).unwrap_or_else(|error| panic!("what is left is read: {error}"));
    let back = again.assignments().iter().find(|a| sealed.contains(&a.var));
    assert!(back.is_none(), "what is sealed is gone");
}
