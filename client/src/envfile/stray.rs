//! Keys outside of every assignment that can be taken: in here-documents, commands, default
//! values. They are named by their lines, so that nobody takes the file for clean.

use crate::envfile::found::{Found, Lines};
use crate::envfile::verdict;
use crate::envfile::why::{LeftWhy, Why};
use crate::envfile::{Layout, Verdict};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;
use std::ops::Range;

/// Names the lines that hold what looks like a key, and were not named yet.
pub(super) fn name(found: &mut Found, layout: &Layout, text: &[u8]) {
    let lines = Lines::new(text);
    let mut told: BTreeSet<usize> = found.left.iter().map(|left| left.line).collect();
    for taken in taken(found, layout, text.len()) {
        told.extend(lines.number(taken.start)..=lines.number(taken.end.max(taken.start + 1) - 1));
    }
    let mut at = 0;
    for line in text.split(|b| *b == b'\n') {
        let number = lines.number(at);
        if !told.contains(&number) && holds_key(line) {
            found.leave(number, b"a value", LeftWhy::Stray);
        }
        at += line.len() + 1;
    }
}

/// Where the assignments that can go stand.
fn taken(found: &Found, layout: &Layout, len: usize) -> Vec<Range<usize>> {
    let vars: BTreeSet<_> = found.assignments.iter().map(|a| &a.var).collect();
    let goes = |var: &EnvName| vars.contains(var);
    match layout {
        Layout::Script(script) => script.values(goes),
        Layout::Dotenv(layout) => layout.lines(goes),
        // Whatever is in it is an assignment, or named.
        Layout::Json(_) => std::iter::once(0..len).collect(),
    }
}

fn holds_key(line: &[u8]) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    line.split(|b| !is_part(b))
        .any(|word| matches!(verdict::of("", word), Verdict::Secret(Why::Shape(_))))
}
