//! Splits a script into its top-level commands and the lines that they stand on.

use crate::envfile::script::grammar::{CLOSING_WORDS, Command, MIDDLE_WORDS};
use crate::envfile::script::scan::{Facts, Scan};
use crate::envfile::script::stmt::export_len;
use crate::envfile::why::Fault;
use std::ops::Range;

/// A top-level command, as read.
pub(super) struct Read {
    pub command: Command,
    pub facts: Facts,
    /// It may not run, or not in this shell.
    pub conditional: bool,
    pub group: usize,
}

/// Lines that only go together: up to the first newline that ends a command list.
pub(super) struct Group {
    pub span: Range<usize>,
    pub stmts: Range<usize>,
    /// A here-document hangs on these lines, so none of them is taken apart.
    pub heredoc: bool,
}

/// All of a script.
pub(super) struct Whole {
    pub reads: Vec<Read>,
    pub groups: Vec<Group>,
    pub comments: Vec<Range<usize>>,
    pub functions: Vec<Range<usize>>,
}

/// Reads a script to its end.
pub(super) fn read(text: &[u8]) -> Result<Whole, (usize, Fault)> {
    let mut scan = Scan::new(text);
    let mut reads = Vec::new();
    let mut groups = Vec::new();
    while scan.at < text.len() {
        let (start, first) = (scan.at, reads.len());
        scan.heredoc_seen = false;
        group(&mut scan, groups.len(), &mut reads)?;
        let heredoc = scan.heredoc_seen;
        if let (true, Some(last)) = (heredoc, reads.last_mut()) {
            last.facts.barrier |= std::mem::take(&mut scan.facts).barrier;
        }
        groups.push(Group { span: start..scan.at, stmts: first..reads.len(), heredoc });
    }
    Ok(Whole { reads, groups, comments: scan.comments, functions: scan.functions })
}

/// Reads the commands up to the end of a line.
fn group(scan: &mut Scan, index: usize, reads: &mut Vec<Read>) -> Result<(), (usize, Fault)> {
    let mut list_start = reads.len();
    let mut conditional = false;
    loop {
        scan.blanks();
        match (scan.peek(0), scan.peek(1)) {
            (None, _) if scan.has_pending_heredoc() => return Err((scan.at, Fault::Unclosed)),
            (None, _) => return Ok(()),
            (Some(b'\n'), _) => return scan.newline(),
            (Some(b'#'), _) => scan.comment(),
            (Some(b'&'), Some(b'&')) => {
                // An assignment always succeeds, so what is joined to it always runs.
                conditional =
                    reads.last().is_none_or(|r| r.conditional || !only_assigns(r, scan.text));
                joined(scan, 2)?;
            }
            (Some(b'|'), Some(b'|')) => {
                // Without what stands before it, the rest would run.
                mark(reads, list_start);
                conditional = true;
                joined(scan, 2)?;
            }
            (Some(b'|'), _) => {
                let piped = reads.len().saturating_sub(1);
                mark(reads, piped);
                conditional = true;
                joined(scan, 1)?;
            }
            (Some(b'&'), next) if next != Some(b'>') => {
                mark(reads, list_start);
                scan.at += 1;
                (conditional, list_start) = (false, reads.len());
            }
            (Some(b';'), next) => {
                if next == Some(b';') || reads.len() == list_start {
                    return Err((scan.at, Fault::Unreadable));
                }
                scan.at += 1;
                (conditional, list_start) = (false, reads.len());
            }
            _ => {
                let (prefixed, command) = prefixed_command(scan)?;
                let facts = std::mem::take(&mut scan.facts);
                reads.push(Read {
                    command,
                    facts,
                    conditional: conditional || prefixed,
                    group: index,
                });
            }
        }
    }
}

/// Skips an operator that joins two commands, and the newlines that may follow it.
fn joined(scan: &mut Scan, len: usize) -> Result<(), (usize, Fault)> {
    scan.at += len;
    scan.gaps()?;
    if scan.at < scan.text.len() { Ok(()) } else { Err((scan.at, Fault::Unclosed)) }
}

fn mark(reads: &mut [Read], from: usize) {
    for read in reads.iter_mut().skip(from) {
        read.conditional = true;
    }
}

/// Reads a command and the `!` or `time` before it.
fn prefixed_command(scan: &mut Scan) -> Result<(bool, Command), (usize, Fault)> {
    let start = scan.at;
    let mut prefixed = false;
    loop {
        let word = scan.next_bare_word();
        if word != b"!" && word != b"time" {
            break;
        }
        scan.at += word.len();
        prefixed = true;
        scan.blanks();
    }
    let word = scan.next_bare_word();
    if MIDDLE_WORDS.contains(&word) || CLOSING_WORDS.contains(&word) {
        return Err((scan.at, Fault::Unreadable));
    }
    let mut command = scan.command()?.ok_or((scan.at, Fault::Unreadable))?;
    command.span.start = start;
    Ok((prefixed, command))
}

/// Whether a command is nothing but assignments of literals, whose status is always 0.
fn only_assigns(read: &Read, text: &[u8]) -> bool {
    let Some(words) = &read.command.words else { return false };
    let words = &words[export_len(words, text)..];
    words.iter().all(|w| w.target.is_some() && w.dynamic.is_none())
}
