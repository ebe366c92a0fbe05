//! The end of the log, as a crash may have left it: what came after the last anchor.

use super::chain::{Chain, Fault};
use super::files::{Files, Kept};
use super::record;
use super::state::State;

/// How the log ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// There is no current file.
    NoFile,
    /// With a whole record, or with none.
    Whole {
        /// How long the current file is.
        bytes: u64,
    },
    /// In the middle of a record.
    Torn {
        /// How long the current file is without it.
        good: u64,
        /// How long it is.
        bytes: u64,
    },
    /// In what is no record of this log.
    Bad(Fault),
}

/// Follows the chain from its last anchor to where it ends.
pub fn walk(files: &Files, state: &State) -> (Chain, End) {
    let mut chain = state.chain();
    let kept = files.kept();
    let mut texts = Vec::new();
    // The newest files, back to the one that has the anchor.
    for file in kept.iter().rev() {
        let text = match file.text() {
            Ok(text) => text,
            Err(fault) => return (chain, End::Bad(fault)),
        };
        let first = record::lines(&text).next().and_then(record::parse).map(|line| line.seq);
        texts.push(text);
        if first.is_some_and(|seq| seq <= state.seq) {
            break;
        }
    }
    let is_current = |file: &Kept| files.current().ends_with(&file.name);
    let has_current = kept.last().is_some_and(is_current);
    let mut end = Ok(End::NoFile);
    for (at, text) in texts.iter().enumerate().rev() {
        let mut past = at + 1 < texts.len();
        end = follow(&mut chain, text, state.seq, &mut past, at == 0 && has_current);
        if end.is_err() {
            break;
        }
    }
    if chain.seq == state.seq && !is_anchored(&texts, state) {
        end = Err(Fault::Truncated);
    }
    let end = end.map(|end| if has_current { end } else { End::NoFile });
    (chain, end.unwrap_or_else(End::Bad))
}

/// Whether the record before the anchor is there, where none follows it.
fn is_anchored(texts: &[Vec<u8>], state: &State) -> bool {
    let last = |text: &Vec<u8>| {
        let mut whole = record::lines(text).rev().filter_map(record::parse);
        whole.next().map(|line| (line.seq + 1, line.mac))
    };
    texts.iter().find_map(last) == Some((state.seq, state.prev))
}

/// `past` is whether the anchor was passed: what is wrong before is for the verifier to find.
fn follow(
    chain: &mut Chain,
    text: &[u8],
    from: u64,
    past: &mut bool,
    is_last: bool,
) -> Result<End, Fault> {
    let mut good = 0;
    let bytes = text.len() as u64;
    for line in record::lines(text) {
        let Some(found) = record::parse(line) else {
            if is_last && !line.ends_with(b"\n") {
                return Ok(End::Torn { good, bytes });
            }
            if *past {
                return Err(Fault::Changed);
            }
            good += line.len() as u64;
            continue;
        };
        if found.seq >= from {
            chain.accept(&found)?;
        }
        *past |= found.seq + 1 >= from;
        good += line.len() as u64;
    }
    Ok(End::Whole { bytes })
}
