//! `.envrc`, as bash reads it.
//!
//! It owns the decision which assignments could leave the file, and the rewrite. It never
//! runs anything and never works out an expansion: what bash would have to compute stays.

mod cook;
mod edit;
mod expand;
mod footing;
mod grammar;
mod inert;
mod order;
mod read;
mod scan;
mod stmt;

use crate::envfile::found::{Found, Lines};
use crate::envfile::why::{Fault, LeftWhy};
use keyagent_wire::{EnvName, Value, ValueError};
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) use edit::rewrite;
pub(super) use order::settle;

/// A script, as far as the rewrite needs it: places, and which variable stands where.
pub(super) struct Script {
    groups: Vec<read::Group>,
    stmts: Vec<stmt::Stmt>,
    /// Per command, the candidates that its text mentions.
    touches: Vec<Vec<EnvName>>,
    /// The first command after which `use keyagent` may not find what it needs.
    footing_lost: Option<usize>,
    lines: Lines,
}

impl Script {
    /// Where such variables are assigned.
    pub(super) fn values(&self, goes: impl Fn(&EnvName) -> bool) -> Vec<Range<usize>> {
        let parts = self.stmts.iter().flat_map(|stmt| &stmt.parts);
        parts
            .filter(|part| matches!(&part.what, stmt::What::Sets(var, _) if goes(var)))
            .map(|part| part.span.clone())
            .collect()
    }
}

/// One variable that could be taken.
struct Candidate {
    last_set: Range<usize>,
    exported: bool,
    banned: Option<LeftWhy>,
}

/// Reads a script.
pub(super) fn parse(text: &[u8], found: &mut Found) -> Result<Script, (usize, Fault)> {
    let whole = read::read(text)?;
    let lines = Lines::new(text);
    let stmts: Vec<_> = whole
        .reads
        .iter()
        .map(|r| stmt::classify(r, text, whole.groups[r.group].heredoc))
        .collect();
    let stmts = widen(stmts, &whole.groups);
    for part in stmts.iter().flat_map(|s| &s.parts) {
        if let stmt::What::Leaves(name, why) = &part.what {
            found.leave(lines.number(name.start), &text[name.clone()], *why);
        }
    }
    for comment in &whole.comments {
        found.comment(lines.number(comment.start), &text[comment.clone()]);
    }
    let mut candidates = candidates(&stmts);
    ban(&mut candidates, &stmts, text);
    if let Some(at) = position(&whole, &stmts, text) {
        let why = LeftWhy::Position(lines.number(at));
        candidates.values_mut().for_each(|c| c.banned = Some(why));
    }
    let names: Vec<_> = candidates.keys().cloned().collect();
    let touches = stmts.iter().map(|s| mentioned(s, text, &names)).collect();
    for (var, candidate) in candidates {
        take(var, &candidate, text, &lines, found);
    }
    let footing_lost = footing::lost(&whole.reads, text);
    Ok(Script { groups: whole.groups, stmts, touches, footing_lost, lines })
}

/// A here-document may mention anything, so its whole group counts as text.
fn widen(mut stmts: Vec<stmt::Stmt>, groups: &[read::Group]) -> Vec<stmt::Stmt> {
    for group in groups.iter().filter(|g| g.heredoc) {
        for stmt in &mut stmts[group.stmts.clone()] {
            stmt.texts = vec![group.span.clone()];
        }
    }
    stmts
}

fn candidates(stmts: &[stmt::Stmt]) -> BTreeMap<EnvName, Candidate> {
    let mut candidates: BTreeMap<EnvName, Candidate> = BTreeMap::new();
    let mut marks: Vec<&EnvName> = Vec::new();
    let mut all_export = false;
    for stmt in stmts {
        if let stmt::Role::AllExport(on) = stmt.role {
            all_export = on;
        } else if stmt.barrier {
            all_export = false;
        }
        let exports = all_export || stmt.role == stmt::Role::Exports;
        for part in &stmt.parts {
            match &part.what {
                stmt::What::Sets(var, value) => {
                    let candidate = candidates.entry(var.clone()).or_insert(Candidate {
                        last_set: value.clone(),
                        exported: false,
                        banned: None,
                    });
                    candidate.last_set = value.clone();
                    candidate.exported |= exports;
                }
                stmt::What::Marks(var) => marks.push(var),
                _ => {}
            }
        }
    }
    for var in marks {
        if let Some(candidate) = candidates.get_mut(var) {
            candidate.exported = true;
        }
    }
    candidates
}

/// Bans what `unset`, `readonly` and their kind name anywhere.
fn ban(candidates: &mut BTreeMap<EnvName, Candidate>, stmts: &[stmt::Stmt], text: &[u8]) {
    let names: Vec<_> = candidates.keys().cloned().collect();
    for stmt in stmts {
        let why = match stmt.role {
            stmt::Role::Unsets => LeftWhy::Unset,
            stmt::Role::Declares => LeftWhy::Declared,
            _ => continue,
        };
        for var in mentioned(stmt, text, &names) {
            if let Some(candidate) = candidates.get_mut(&var) {
                candidate.banned = Some(why);
            }
        }
    }
}

/// Hands one candidate over: as an assignment, or as left.
fn take(var: EnvName, candidate: &Candidate, text: &[u8], lines: &Lines, found: &mut Found) {
    let line = lines.number(candidate.last_set.start);
    let raw = &text[candidate.last_set.clone()];
    let unexported = (!candidate.exported).then_some(LeftWhy::Unexported);
    let value = match candidate.banned.or(unexported) {
        Some(why) => Err(why),
        None => cook::cook(raw).and_then(|bytes| {
            Value::new(&bytes).map_err(|e| match e {
                ValueError::TooLong => LeftWhy::TooLong,
                ValueError::Nul => LeftWhy::Nul,
            })
        }),
    };
    match value {
        Ok(value) => found.assign(var, value, line),
        Err(why) => found.leave(line, var.as_str().as_bytes(), why),
    }
}

/// Where the script looks at its own lines, or redefines a command that is taken on trust.
fn position(whole: &read::Whole, stmts: &[stmt::Stmt], text: &[u8]) -> Option<usize> {
    const POSITION: &[&[u8]] =
        &[b"LINENO", b"BASH_LINENO", b"BASH_COMMAND", b"PIPESTATUS", b"caller"];
    let redefines = whole.functions.iter().find(|f| inert::is_known(&text[(*f).clone()]));
    let looks =
        (0..stmts.len()).find(|&s| whole.reads[s].facts.position && follows(whole, stmts, s));
    let looks = looks.map(|s| stmts[s].span.start);
    let mut texts = stmts.iter().flat_map(|s| &s.texts);
    let names = texts.find(|t| any_name(&text[(*t).clone()], |n| POSITION.contains(&n)));
    redefines.map(|f| f.start).or(looks).or(names.map(|t| t.start)).or(second_use(stmts, text))
}

/// Another place where keys come from: it would set what is sealed once more, after lines
/// that changed it.
fn second_use(stmts: &[stmt::Stmt], text: &[u8]) -> Option<usize> {
    let hidden = |s: &&stmt::Stmt| {
        let mut texts = s.texts.iter().map(|t| &text[t.clone()]);
        s.barrier && texts.any(|t| any_name(t, |n| n == b"keyagent" || n == b"use_keyagent"))
    };
    let second = stmts.iter().filter(|s| s.role == stmt::Role::Uses).nth(1);
    second.or(stmts.iter().find(hidden)).map(|s| s.span.start)
}

/// Whether a command that looks at `$?` or `$_` may see an assignment go, or the new line come.
fn follows(whole: &read::Whole, stmts: &[stmt::Stmt], looks: usize) -> bool {
    let assigns = |s: &stmt::Stmt| s.parts.iter().any(|p| matches!(p.what, stmt::What::Sets(..)));
    let from = looks.saturating_sub(1);
    let to = whole.groups[stmts[looks].group].stmts.end;
    !whole.functions.is_empty() || stmts[from..to].iter().any(assigns)
}

/// The candidates that a command's text mentions.
fn mentioned(stmt: &stmt::Stmt, text: &[u8], names: &[EnvName]) -> Vec<EnvName> {
    let mut touched = Vec::new();
    for range in &stmt.texts {
        any_name(&text[range.clone()], |name| {
            let at = names.binary_search_by(|n| n.as_str().as_bytes().cmp(name));
            touched.extend(at.ok().map(|at| names[at].clone()));
            false
        });
    }
    touched
}

/// Whether any run of name bytes will do; a line continuation does not end a run.
fn any_name(text: &[u8], mut wanted: impl FnMut(&[u8]) -> bool) -> bool {
    let mut name = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(b"\\\n") {
            at += 2;
        } else if scan::is_name_byte(text[at]) {
            name.push(text[at]);
            at += 1;
        } else {
            if wanted(&name) {
                return true;
            }
            name.clear();
            at += 1;
        }
    }
    wanted(&name)
}
