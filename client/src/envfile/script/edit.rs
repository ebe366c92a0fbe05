//! Takes assignments out of a script and puts `use keyagent` where the first one stood.
//!
//! A line goes when nothing is left on it, with the comment behind it: that may hold an
//! older key. Of a shared line only the words of the assignment go. The new line ends in a
//! bare newline even in a file of CRLF lines, because bash would take the carriage return
//! for a part of the word.

use crate::envfile::script::Script;
use crate::envfile::script::order::settle;
use crate::envfile::script::stmt::{Stmt, What};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;
use std::ops::Range;
use zeroize::Zeroizing;

const USE_LINE: &[u8] = b"use keyagent\n";

/// The script without the chosen assignments, as far as they can go.
pub(in crate::envfile) fn rewrite(
    script: &Script,
    text: &[u8],
    chosen: &BTreeSet<EnvName>,
) -> Zeroizing<Vec<u8>> {
    let settled = settle(script, chosen);
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + USE_LINE.len()));
    let insert_before = settled.insert_before.filter(|_| !settled.sealed.is_empty());
    for (index, group) in script.groups.iter().enumerate() {
        if insert_before == Some(index) {
            out.extend_from_slice(USE_LINE);
        }
        let mut at = group.span.start;
        for cut in
            cuts_of_group(text, &script.stmts[group.stmts.clone()], &settled.sealed, &group.span)
        {
            out.extend_from_slice(&text[at..cut.start]);
            at = cut.end;
        }
        out.extend_from_slice(&text[at..group.span.end]);
    }
    if insert_before.is_some() && out.ends_with(USE_LINE) && !text.ends_with(b"\n") {
        out.pop();
    }
    out
}

/// What goes of a group of lines.
fn cuts_of_group(
    text: &[u8],
    stmts: &[Stmt],
    sealed: &BTreeSet<EnvName>,
    group: &Range<usize>,
) -> Vec<Range<usize>> {
    let kept: Vec<_> = stmts.iter().map(|s| (s.span.clone(), stays(s, sealed))).collect();
    if !kept.is_empty() && !kept.iter().any(|(_, stays)| *stays) {
        return vec![group.clone()];
    }
    let mut all = cuts(text, &kept);
    for stmt in stmts.iter().filter(|s| stays(s, sealed)) {
        let parts: Vec<_> =
            stmt.parts.iter().map(|p| (p.span.clone(), !is_sealed(&p.what, sealed))).collect();
        all.extend(cuts(text, &parts));
    }
    all.sort_unstable_by_key(|cut| cut.start);
    all
}

/// What goes of a row of which some stay: each up to the next, and what is behind the last
/// that stays at one go.
fn cuts(text: &[u8], row: &[(Range<usize>, bool)]) -> Vec<Range<usize>> {
    let Some(last) = row.iter().rposition(|(_, stays)| *stays) else { return Vec::new() };
    let gone = row[..last].iter().zip(&row[1..]).filter(|((_, stays), _)| !stays);
    let mut cuts: Vec<_> = gone.map(|((span, _), (next, _))| span.start..next.start).collect();
    if let [(first, _), ..] = &row[last + 1..] {
        let end = row[row.len() - 1].0.end;
        cuts.push(behind(text, row[last].0.end, first.start, end));
    }
    cuts
}

/// What goes from the end of one that stays. The `&` behind it is its own, without which it
/// would run in this shell, and no `;` may follow that.
fn behind(text: &[u8], kept_end: usize, gone_start: usize, gone_end: usize) -> Range<usize> {
    let between = &text[kept_end..gone_start];
    let Some(own) = between.iter().rposition(|byte| *byte == b'&') else {
        return kept_end..gone_end;
    };
    // What stands behind `&&` goes with it.
    if between[..own].ends_with(b"&") {
        return kept_end..gone_end;
    }
    let rest = &text[gone_end..];
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let ends = rest.get(blanks) == Some(&b';');
    kept_end + own + 1..gone_end + if ends { blanks + 1 } else { 0 }
}

fn is_sealed(what: &What, sealed: &BTreeSet<EnvName>) -> bool {
    matches!(what, What::Sets(var, _) if sealed.contains(var))
}

/// Whether anything of a command is left when the sealed assignments are gone.
fn stays(stmt: &Stmt, sealed: &BTreeSet<EnvName>) -> bool {
    let gone = |what: &What| is_sealed(what, sealed);
    !stmt.parts.iter().any(|p| gone(&p.what))
        || stmt.parts.iter().any(|p| !gone(&p.what) && !matches!(p.what, What::Keyword))
}
