//! Decides which variables can come from one `use keyagent` line without any other line
//! noticing.
//!
//! A variable may be set earlier or later than it was as long as nothing in between could
//! set it or see it: no text that mentions it, and no command that could do anything.

use crate::envfile::script::Script;
use crate::envfile::script::stmt::{Role, What};
use crate::envfile::why::LeftWhy;
use keyagent_wire::EnvName;
use std::collections::BTreeSet;
use std::ops::Range;

/// What can be sealed together, where the line goes, and what has to stay.
pub(in crate::envfile) struct Settled {
    pub sealed: BTreeSet<EnvName>,
    /// The group before which `use keyagent` goes; `None` where it stands already.
    pub insert_before: Option<usize>,
    pub left: Vec<(EnvName, LeftWhy)>,
}

/// Finds the place that lets most of the chosen variables go; the first such place. It is
/// where one of them stood: so the same place is found again for what it let go.
pub(in crate::envfile) fn settle(script: &Script, chosen: &BTreeSet<EnvName>) -> Settled {
    let spans: Vec<_> = chosen.iter().filter_map(|var| Some((var, events(script, var)?))).collect();
    if let Some(present) = script.stmts.iter().position(|s| s.role == Role::Uses) {
        return place(script, &spans, present..present + 1, None);
    }
    let group_of = |events: &Range<usize>| script.stmts[events.start].group;
    let mut firsts: Vec<_> = spans.iter().map(|(_, events)| group_of(events)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let mut best = place(script, &[], 0..0, None);
    for group in firsts {
        let start = script.groups[group].stmts.start;
        let settled = place(script, &spans, start..start, Some(group));
        let stood = spans.iter().filter(|(_, events)| group_of(events) == group);
        let goes = stood.map(|(var, _)| *var).any(|var| settled.sealed.contains(var));
        let none_goes = best.insert_before.is_none() && settled.sealed.is_empty();
        if none_goes || goes && settled.sealed.len() > best.sealed.len() {
            best = settled;
        }
        if best.insert_before.is_some() && best.left.is_empty() {
            break;
        }
    }
    best
}

/// The commands from the first to the last that assigns or exports a variable.
fn events(script: &Script, var: &EnvName) -> Option<Range<usize>> {
    let has = |index: &usize| {
        let parts = &script.stmts[*index].parts;
        parts.iter().any(|p| matches!(&p.what, What::Sets(v, _) | What::Marks(v) if v == var))
    };
    let first = (0..script.stmts.len()).find(has)?;
    let last = (first..script.stmts.len()).rfind(has)?;
    Some(first..last + 1)
}

/// Tries one place. A variable goes up or down to it past whatever does not mind.
fn place(
    script: &Script,
    spans: &[(&EnvName, Range<usize>)],
    at: Range<usize>,
    insert_before: Option<usize>,
) -> Settled {
    let mut settled = Settled { sealed: BTreeSet::new(), insert_before, left: Vec::new() };
    if let Some(stmt) = script.footing_lost.filter(|&lost| lost < at.start) {
        let why = LeftWhy::Footing(line_of(script, stmt));
        settled.left.extend(spans.iter().map(|(var, _)| ((*var).clone(), why)));
        return settled;
    }
    for (var, events) in spans {
        let mut moved = events.start.min(at.start)..events.end.max(at.end);
        match moved.find(|&s| hinders(script, s, var)) {
            None => {
                settled.sealed.insert((*var).clone());
            }
            Some(stmt) => {
                let why = LeftWhy::Order(line_of(script, stmt));
                settled.left.push(((*var).clone(), why));
            }
        }
    }
    settled
}

fn line_of(script: &Script, stmt: usize) -> usize {
    script.lines.number(script.stmts[stmt].span.start)
}

fn hinders(script: &Script, stmt: usize, var: &EnvName) -> bool {
    script.stmts[stmt].barrier || script.touches[stmt].contains(var)
}
