//! Verifying: every record that is kept, from the identity's root to where the log ends.
//!
//! It believes nothing that it reads: each record is proved by the key of the epoch that
//! its place demands. Behind a place that is bad it goes on with the next file, whose first
//! record says where it stands. It changes nothing.

use super::chain::{Chain, Fault, LogId, Root, SEQ_FIRST};
use super::files::{Files, KEPT, Kept};
use super::log::Head;
use super::record::{self, Line, parse_hex};
use super::state::State;
use super::words::BROKEN;
use keyagent_wire::VaultFault;
use serde::Deserialize;
use std::borrow::Cow;

/// How many bad places are named; the rest is counted.
const NAMED_MAX: usize = 16;

/// All that is looked at, as it is at one moment: the log may go on meanwhile.
pub struct Snapshot {
    kept: Vec<Kept>,
    state: Result<Option<State>, VaultFault>,
    head: Option<Head>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many records are as they were written.
    pub good: u64,
    /// The number of the oldest that is kept.
    pub first: Option<u64>,
    /// The first bad places.
    pub bad: Vec<Bad>,
    /// How many there are of them.
    pub bad_count: u64,
    /// How many records came after the last anchor: nothing on disk says how many there
    /// should be.
    pub unanchored: u64,
}

/// A bad place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The number of the record that should be there.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
    /// The file, without its directory.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// What the first record of a file says of itself.
#[derive(Deserialize)]
struct First<'a> {
    event: Cow<'a, str>,
    log: Cow<'a, str>,
    prev: Cow<'a, str>,
}

impl Snapshot {
    /// What is there now, and where the log stands in memory, if somebody writes it.
    pub fn take(files: &Files, head: Option<Head>) -> Self {
        // The state first: it may be older than the rest, and never newer.
        let state = State::read(&files.state());
        Self { kept: files.kept(), state, head }
    }
}

/// Verifies all that is kept.
pub fn verify(snapshot: &Snapshot, root: &Root) -> Verdict {
    let (state, head) = (snapshot.state.as_ref().ok(), snapshot.head.as_ref());
    let mut walk = Walk {
        root,
        state: state.and_then(Option::as_ref),
        head,
        is_full: snapshot.kept.len() > usize::from(KEPT),
        is_past_head: false,
        log: None,
        chain: None,
        verdict: Verdict::default(),
        file: String::new(),
        line: 0,
    };
    for (at, file) in snapshot.kept.iter().enumerate() {
        walk.file(file, at + 1 == snapshot.kept.len());
    }
    walk.end();
    walk.verdict
}

struct Walk<'a> {
    root: &'a Root,
    state: Option<&'a State>,
    head: Option<&'a Head>,
    /// Whether files have been dropped for want of room.
    is_full: bool,
    /// Whether the chain has come to where the agent had written to.
    is_past_head: bool,
    log: Option<LogId>,
    /// Where the chain stands; none before the first record, and behind a bad place.
    chain: Option<Chain>,
    verdict: Verdict,
    file: String,
    line: u64,
}

impl Walk<'_> {
    fn file(&mut self, file: &Kept, is_last: bool) {
        (self.file, self.line) = (file.name.clone(), 1);
        let text = match file.text() {
            Ok(text) => text,
            Err(fault) => return self.lose(fault),
        };
        for (at, line) in record::lines(&text).enumerate() {
            self.line = at as u64 + 1;
            self.pass_head();
            let parsed = record::parse(line);
            let passed = if at == 0 {
                self.first_line(line, parsed.as_ref())
            } else {
                self.next_line(parsed.as_ref())
            };
            if let Err(fault) = passed {
                let is_torn = is_last && !line.ends_with(b"\n");
                if is_torn && self.is_past_head {
                    return;
                }
                let rest = &text[line.as_ptr() as usize - text.as_ptr() as usize + line.len()..];
                return self.lose(match fault {
                    Fault::Changed if is_torn => Fault::Torn,
                    Fault::Missing if self.comes_later(rest) => Fault::Reordered,
                    fault => fault,
                });
            }
            if self.chain.is_none() {
                return;
            }
            self.check_state();
        }
    }

    fn next_line(&mut self, line: Option<&Line<'_>>) -> Result<(), Fault> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.accept(line.ok_or(Fault::Changed)?)?;
        self.verdict.good += 1;
        Ok(())
    }

    /// The first record of a file goes on with the chain, or says where it stands.
    fn first_line(&mut self, text: &[u8], line: Option<&Line<'_>>) -> Result<(), Fault> {
        let line = line.ok_or(Fault::Changed)?;
        let first = serde_json::from_slice::<First<'_>>(record::json(text)).ok();
        let goes_on = self.chain.as_mut().map(|chain| chain.accept(line));
        if goes_on == Some(Ok(())) {
            self.verdict.good += 1;
            // The agent has found something that this walk did not.
            if first.is_some_and(|first| first.event == BROKEN) {
                self.report(line.seq, Fault::Found);
            }
            return Ok(());
        }
        let wrong = goes_on.and_then(Result::err);
        let (log, chain) = self.stand(line, first.as_ref(), wrong)?;
        self.judge_gap(line, &log, wrong);
        self.verdict.good += 1;
        self.verdict.first.get_or_insert(line.seq);
        (self.log, self.chain) = (Some(log), Some(chain));
        Ok(())
    }

    /// The chain behind the first record of a file, by what that says and the root proves.
    fn stand(
        &self,
        line: &Line<'_>,
        first: Option<&First<'_>>,
        wrong: Option<Fault>,
    ) -> Result<(LogId, Chain), Fault> {
        let fault = wrong.unwrap_or(Fault::Changed);
        let first = first.ok_or(fault)?;
        let log = LogId::parse(&first.log).ok_or(fault)?;
        let prev = parse_hex(first.prev.as_bytes()).ok_or(fault)?;
        // An epoch has two records at least, so no honest record is of a later one.
        let key = (line.epoch <= line.seq).then(|| self.root.key_at(&log, line.epoch)).flatten();
        let mut chain = Chain::at(key.ok_or(fault)?, line.epoch, line.seq, prev);
        let is_other = self.state.is_some_and(|state| state.log != log);
        let unproved = if is_other { Fault::Foreign } else { fault };
        chain.accept(line).map_err(|_| unproved)?;
        Ok((log, chain))
    }

    /// A file that begins by itself: is that how it should be?
    fn judge_gap(&mut self, line: &Line<'_>, log: &LogId, wrong: Option<Fault>) {
        let is_oldest = self.verdict.first.is_none() && self.verdict.bad_count == 0;
        let is_other = self.log.as_ref().is_some_and(|known| known != log);
        match wrong {
            Some(_) if is_other => self.report(self.expected(), Fault::Restarted),
            Some(fault) => self.report(self.expected(), fault),
            None if is_oldest && line.seq > SEQ_FIRST && !self.is_full => {
                self.report(SEQ_FIRST, Fault::Missing);
            }
            None => {}
        }
    }

    /// Whether the anchor agrees, if the chain stands there.
    fn check_state(&mut self) {
        let (Some(chain), Some(state)) = (&self.chain, self.state) else { return };
        if self.log.as_ref() == Some(&state.log) && chain.seq == state.seq && !state.is_at(chain) {
            self.report(state.seq, Fault::State);
        }
    }

    /// Behind what the agent had written is what it writes meanwhile, or what it never wrote:
    /// the chain tells. Only the last line may still be on its way.
    fn pass_head(&mut self) {
        let (Some(chain), Some(head)) = (&self.chain, self.head) else { return };
        if self.log.as_ref() == Some(&head.log) && chain.seq == head.seq {
            let is_same = chain.prev == head.mac;
            (self.head, self.is_past_head) = (None, true);
            if !is_same {
                self.report(self.expected(), Fault::Changed);
            }
        }
    }

    /// Whether the record that is missing here stands further down.
    fn comes_later(&self, rest: &[u8]) -> bool {
        let expected = self.expected();
        record::lines(rest).filter_map(record::parse).any(|line| line.seq == expected)
    }

    /// The number of the record that should be here.
    fn expected(&self) -> u64 {
        self.chain.as_ref().map_or(SEQ_FIRST, |chain| chain.seq)
    }

    /// A bad place, behind which nothing is known until the next file. One that follows
    /// another is no news.
    fn lose(&mut self, fault: Fault) {
        let is_news = self.chain.is_some() || self.verdict.bad_count == 0;
        if is_news || fault == Fault::Unreadable {
            self.report(self.expected(), fault);
        }
        self.chain = None;
    }

    fn report(&mut self, seq: u64, fault: Fault) {
        self.verdict.bad_count += 1;
        if self.verdict.bad.len() < NAMED_MAX {
            let (file, line) = (self.file.clone(), self.line);
            self.verdict.bad.push(Bad { seq, fault, file, line });
        }
    }

    /// Whether the log ends where it was last seen to.
    fn end(&mut self) {
        let is_empty = self.verdict.good == 0 && self.verdict.bad_count == 0;
        let Some(state) = self.state else {
            if !is_empty {
                self.report(self.expected(), Fault::State);
            }
            return;
        };
        if is_empty {
            return self.report(SEQ_FIRST, Fault::Truncated);
        }
        let Some(chain) = &self.chain else { return };
        let (seq, prev) = (chain.seq, chain.prev);
        let is_same = self.log.as_ref() == Some(&state.log);
        let head = self.head.filter(|head| Some(&head.log) == self.log.as_ref());
        if !is_same {
            self.report(seq, Fault::State);
        } else if seq < state.seq || head.is_some_and(|head| seq < head.seq) {
            self.report(seq, Fault::Truncated);
        } else if head.is_some_and(|head| head.mac != prev) {
            self.report(seq, Fault::Changed);
        } else {
            self.verdict.unanchored = seq - state.seq;
        }
    }
}
