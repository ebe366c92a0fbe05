//! The list of attacks, T01 to T80: each has a test that bears its number, or a reason why it
//! cannot be run by this suite.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many attacks there are.
const COUNT: usize = 80;
const LIST: &str = include_str!("attacks.txt");

/// The numbers that the name of a test bears: `needs_root_t01_t02_a_stranger…` has 1 and 2.
fn numbers(name: &str) -> impl Iterator<Item = usize> {
    name.split('_').filter_map(|word| {
        let digits = word.strip_prefix('t')?;
        (digits.len() == 2).then(|| digits.parse().ok())?
    })
}

/// The tests of a source tree that bear numbers.
fn tests(directory: &Path, found: &mut BTreeMap<usize, Vec<String>>) {
    for entry in fs::read_dir(directory).expect("the sources are here").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                is_test |= line.starts_with("#[test]");
                let Some(rest) = line.strip_prefix("fn ") else { continue };
                let name = rest.split('(').next().unwrap_or_default();
                for number in numbers(name).filter(|_| is_test) {
                    found.entry(number).or_default().push(name.to_owned());
                }
                is_test = false;
            }
        }
    }
}

#[test]
fn every_attack_has_its_test_or_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = BTreeMap::new();
    for part in ["tests/src", "tests/tests", "agent/src", "agent/sys", "agent/tests", "client"] {
        if root.join(part).exists() {
            tests(&root.join(part), &mut found);
        }
    }
    let lines: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), COUNT, "a line for each");
    for (number, line) in (1..).zip(lines) {
        let (name, says) = line.split_once("  ").expect("number, two blanks, text");
        assert_eq!(name, format!("T{number:02}"), "in order");
        let tests = found.get(&number);
        match says.split_once(" — cannot be run: ") {
            Some((_, reason)) => {
                assert!(tests.is_none() && !reason.is_empty(), "{line}: {tests:?}")
            }
            None => assert!(tests.is_some(), "{line}: no test bears its number"),
        }
    }
    assert!(found.keys().all(|number| (1..=COUNT).contains(number)), "{found:?}");
}
