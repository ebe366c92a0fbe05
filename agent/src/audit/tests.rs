//! The log under honest use, after crashes, and under thousands of hands that change it.

use super::chain::{Fault, Root};
use super::event::{Event, Named};
use super::files::{Files, KEPT};
use super::log::Log;
use super::moment::Moment;
use super::record;
use super::verify::{Snapshot, Verdict, verify};
use crate::vault::seal::Identity;
use keyagent_wire::SecretName;
use keyagent_wire::event::{Way, What, Why};
use std::fs;
use std::path::PathBuf;

/// A directory that is gone with its test, and a log in it.
struct Scratch {
    directory: PathBuf,
    files: Files,
    root: Root,
    clock: u64,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Scratch {
    fn new(bytes_max: u64) -> Self {
        let mut random = [0; 8];
        getrandom::getrandom(&mut random).expect("the system has randomness");
        let name = format!("keyagent-audit-{:x}", u64::from_le_bytes(random));
        let directory = std::env::temp_dir().join(name);
        let mut files = Files::new(&directory);
        files.bytes_max = bytes_max;
        Self { directory, files, root: Root::of(&Identity::generate()), clock: 0 }
    }

    /// A later moment each time.
    fn now(&mut self) -> Moment {
        self.clock += 10;
        Moment { wall_millis: 1_700_000_000_000 + self.clock, boot_millis: self.clock }
    }

    fn begin(&mut self) -> Log {
        let now = self.now();
        Log::begin(self.files.clone(), &self.root, now).expect("the log begins")
    }

    fn resume(&mut self) -> Log {
        let now = self.now();
        let log = Log::resume(self.files.clone(), now).expect("the log can be read");
        log.expect("there is one")
    }

    fn release(&mut self, log: &mut Log) {
        let name = SecretName::new("acme/OPENAI_API_KEY").expect("a name");
        let secrets = [Named { name: &name, version: Some(3) }];
        let event = Event {
            path: Some(b"/home/ada/\xff\x1b[2Jacme"),
            secrets: &secrets,
            ..Event::told(What::Released(Way::Exec))
        };
        log.record(&event, self.now()).expect("it is written");
    }

    fn seal(&mut self, log: &mut Log) {
        log.seal(self.now()).expect("it is written");
        log.anchor().expect("an epoch has ended").write().expect("it is written");
    }

    fn verify(&self, log: Option<&Log>) -> Verdict {
        verify(&Snapshot::take(&self.files, log.map(Log::head)), &self.root)
    }

    /// Each file's lines, the oldest first.
    fn texts(&self) -> Vec<(String, Vec<Vec<u8>>)> {
        let lines = |text: &Vec<u8>| record::lines(text).map(<[u8]>::to_vec).collect();
        let kept = self.files.kept();
        kept.iter().map(|f| (f.name.clone(), lines(&f.text().unwrap_or_default()))).collect()
    }

    fn events(&self) -> Vec<String> {
        let event = |line: &Vec<u8>| {
            // A line that was cut is none.
            let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            value["event"].as_str().map(str::to_owned)
        };
        self.texts().iter().flat_map(|(_, lines)| lines.iter().filter_map(event)).collect()
    }
}

fn whole(verdict: &Verdict, records: u64, unanchored: u64) {
    assert_eq!(verdict.bad, []);
    assert_eq!((verdict.good, verdict.unanchored), (records, unanchored));
}

fn first_bad(verdict: &Verdict) -> Option<(u64, Fault)> {
    verdict.bad.first().map(|bad| (bad.seq, bad.fault))
}

#[test]
fn what_was_written_verifies() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    for _ in 0..600 {
        scratch.release(&mut log);
    }
    log.record(&Event::told(What::Locked(Why::Idle)), scratch.now()).expect("it is written");
    // Began and sealed before, and two full epochs' seals among them.
    let head = log.head().seq;
    assert_eq!(head, 606);
    whole(&scratch.verify(Some(&log)), head - 1, 603);
    log.anchor();
    scratch.seal(&mut log);
    whole(&scratch.verify(Some(&log)), head, 0);
    whole(&scratch.verify(None), head, 0);
}

#[test]
fn lines_are_json_and_printable() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    scratch.release(&mut log);
    let texts = scratch.texts();
    let line = texts[0].1.last().expect("it was written");
    assert!(line.iter().all(|b| matches!(b, b' '..=b'~' | b'\n')), "{line:?}");
    let value: serde_json::Value = serde_json::from_slice(line).expect("a line is JSON");
    assert_eq!(value["secrets"][0], "acme/OPENAI_API_KEY@3");
    assert_eq!(value["path"], "/home/ada/\u{fffd}\u{1b}[2Jacme");
    assert_eq!((&value["event"], &value["how"]), (&"released".into(), &"exec".into()));
    assert_eq!(value["decision"], "allow");
}

#[test]
fn another_identity_verifies_nothing() {
    let mut scratch = Scratch::new(u64::MAX);
    let log = scratch.begin();
    assert!(log.is_of(&scratch.root));
    scratch.root = Root::of(&Identity::generate());
    assert!(!log.is_of(&scratch.root));
    assert_eq!(scratch.verify(Some(&log)).good, 0);
}

#[test]
fn files_rotate_and_the_chain_goes_on() {
    let mut scratch = Scratch::new(3_000);
    let mut log = scratch.begin();
    for _ in 0..100 {
        scratch.release(&mut log);
    }
    let verdict = scratch.verify(Some(&log));
    assert_eq!(scratch.files.kept().len(), usize::from(KEPT) + 1);
    assert_eq!(verdict.bad, [], "the oldest are gone, and that is as it should be");
    assert!(verdict.first.is_some_and(|first| first > 1));
    assert_eq!(verdict.first.expect("there is one") + verdict.good, log.head().seq);
    // A file fewer, and it is no more.
    fs::remove_file(scratch.directory.join("audit.log.8")).expect("it is there");
    assert_eq!(first_bad(&scratch.verify(Some(&log))), Some((1, Fault::Missing)));
}

#[test]
fn after_a_kill_the_chain_goes_on() {
    let mut scratch = Scratch::new(4_000);
    let mut log = scratch.begin();
    for round in 0..40 {
        for _ in 0..round % 7 {
            scratch.release(&mut log);
        }
        if round % 5 == 4 {
            scratch.seal(&mut log);
        }
        // No word of farewell: it is gone.
        drop(log);
        log = scratch.resume();
        whole_or_full(&scratch.verify(Some(&log)));
    }
    assert!(!scratch.events().iter().any(|event| event == "broken" || event == "repaired"));
}

fn whole_or_full(verdict: &Verdict) {
    assert_eq!(verdict.bad, []);
}

#[test]
fn a_torn_record_is_taken_away_and_told() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    scratch.release(&mut log);
    scratch.release(&mut log);
    drop(log);
    let path = scratch.files.current();
    let text = fs::read(&path).expect("it is there");
    for cut in 1..record::lines(&text).next_back().expect("it has lines").len() {
        fs::write(&path, &text[..text.len() - cut]).expect("it can be written");
        let mut log = scratch.resume();
        scratch.release(&mut log);
        assert_eq!(scratch.events()[2..], ["released", "repaired", "released"], "{cut}");
        whole(&scratch.verify(Some(&log)), 5, 3);
    }
}

#[test]
fn a_kill_between_two_files_is_no_tampering() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    scratch.release(&mut log);
    drop(log);
    for torn in [None, Some(&b""[..]), Some(&b"{\"seq\":3,\"ep"[..])] {
        scratch.files.shift().expect("it can be renamed");
        if let Some(text) = torn {
            let mut file = scratch.files.create().expect("there is none");
            std::io::Write::write_all(&mut file, text).expect("it can be written");
        }
        let mut log = scratch.resume();
        scratch.release(&mut log);
        let verdict = scratch.verify(Some(&log));
        whole(&verdict, log.head().seq - 1, log.head().seq - 3);
    }
    assert!(!scratch.events().iter().any(|event| event == "broken"));
}

#[test]
fn tampering_while_it_runs_is_found_by_the_next_record() {
    let change: [fn(&Files); 5] = [
        |files| files.remove().expect("it is there"),
        |files| {
            let file = files.open().expect("it is there");
            file.set_len(file.metadata().expect("it is open").len() - 100).expect("it is ours");
        },
        |files| fs::write(files.current(), "").expect("it is ours"),
        |files| {
            let copy = fs::read(files.current()).expect("it is there");
            files.remove().expect("it is there");
            fs::write(files.current(), copy).expect("it is ours");
        },
        |files| {
            let other = files.state().with_extension("link");
            fs::hard_link(files.current(), other).expect("it is there");
        },
    ];
    for change in change {
        let mut scratch = Scratch::new(u64::MAX);
        let mut log = scratch.begin();
        scratch.release(&mut log);
        change(&scratch.files);
        scratch.release(&mut log);
        log.anchor().expect("that is one").write().expect("it is written");
        scratch.release(&mut log);
        let events = scratch.events();
        assert_eq!(events.iter().filter(|event| *event == "broken").count(), 1, "{events:?}");
        assert!(scratch.verify(Some(&log)).bad_count > 0);
        drop(log);
        let mut log = scratch.resume();
        scratch.release(&mut log);
        assert_eq!(scratch.events().iter().filter(|event| *event == "broken").count(), 1);
    }
}

#[test]
fn a_tail_that_was_changed_while_it_slept_is_found_at_start() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    for _ in 0..3 {
        scratch.release(&mut log);
    }
    drop(log);
    let mut text = fs::read(scratch.files.current()).expect("it is there");
    let at = text.len() - 500;
    text[at] ^= 1;
    fs::write(scratch.files.current(), text).expect("it is ours");
    let mut log = scratch.resume();
    scratch.release(&mut log);
    assert!(scratch.events().contains(&"broken".to_owned()));
    assert_eq!(scratch.verify(Some(&log)).bad[0].fault, Fault::Changed);
}

#[test]
fn a_lost_state_begins_another_log_and_verify_says_so() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    scratch.release(&mut log);
    drop(log);
    fs::remove_file(scratch.files.state()).expect("it is there");
    let now = scratch.now();
    assert!(Log::resume(scratch.files.clone(), now).expect("it can be read").is_none());
    let log = scratch.begin();
    assert_eq!(first_bad(&scratch.verify(Some(&log))), Some((4, Fault::Restarted)));
}

#[test]
fn t77_a_cut_before_the_anchor_is_found_and_one_behind_it_is_counted() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    for _ in 0..4 {
        scratch.release(&mut log);
    }
    scratch.seal(&mut log);
    for _ in 0..5 {
        scratch.release(&mut log);
    }
    let (anchor, total) = (7, 12);
    let lines = scratch.texts()[0].1.clone();
    assert_eq!(lines.len(), total);
    for keep in (0..total).rev() {
        fs::write(scratch.files.current(), lines[..keep].concat()).expect("it is ours");
        let verdict = scratch.verify(None);
        if keep >= anchor {
            whole(&verdict, keep as u64, (keep - anchor) as u64);
        } else {
            assert_eq!(first_bad(&verdict), Some((keep as u64 + 1, Fault::Truncated)));
        }
        // Who still has the log in memory knows in both cases.
        let verdict = scratch.verify(Some(&log));
        assert_eq!(first_bad(&verdict), Some((keep as u64 + 1, Fault::Truncated)));
    }
}

#[test]
fn an_epoch_ends_by_time_and_the_next_key_is_another() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    assert_eq!(log.due_in(scratch.now()), None, "what has no record needs no seal");
    scratch.release(&mut log);
    assert!(log.due_in(scratch.now()).is_some_and(|due| due.as_secs() > 800));
    let before = log.anchor();
    assert!(before.is_none());
    scratch.clock += super::chain::EPOCH_MILLIS_MAX;
    assert!(log.due_in(scratch.now()).is_some_and(|due| due.is_zero()));
    scratch.release(&mut log);
    assert_eq!(scratch.events()[2..], ["released", "sealed", "released"]);
}

/// Steps that a thief of the state can take back in time: none (CVE-2023-31439).
#[test]
fn a_thief_of_the_key_changes_nothing_from_before() {
    let mut scratch = Scratch::new(u64::MAX);
    let mut log = scratch.begin();
    for _ in 0..6 {
        for _ in 0..3 {
            scratch.release(&mut log);
        }
        scratch.seal(&mut log);
    }
    drop(log);
    let state = super::state::State::read(&scratch.files.state()).expect("ours").expect("there");
    let lines = scratch.texts()[0].1.clone();
    for keep in 1..lines.len() {
        let last = record::parse(&lines[keep - 1]).expect("it was written");
        // He cuts the log, and goes on under the one key that he has, in any epoch's name.
        for epoch in 0..=state.epoch {
            let mut chain = state.chain();
            (chain.epoch, chain.seq, chain.prev) = (epoch, keep as u64 + 1, last.mac);
            let mut text = lines[..keep].concat();
            for _ in 0..2 {
                let seq = chain.seq;
                let mut line = format!("{{\"seq\":{seq},\"epoch\":{epoch},\"event\":\"stopped\"");
                let mac = chain.mac(line.as_bytes());
                line.push_str(",\"mac\":\"");
                let mut line = line.into_bytes();
                record::push_hex(&mut line, &mac);
                line.extend_from_slice(b"\"}\n");
                text.extend_from_slice(&line);
                chain.pass(mac, false);
            }
            fs::write(scratch.files.current(), text).expect("it is ours");
            let verdict = scratch.verify(None);
            assert_eq!(
                verdict.bad.first().map(|bad| bad.seq),
                Some(keep as u64 + 1),
                "{keep} {epoch}"
            );
        }
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// How often the log is changed: in every run, and when all is asked for.
const CHANGES: (usize, usize) = (1_500, 10_000);

#[test]
fn t76_thousands_of_changes_are_found_and_the_first_bad_record_named() {
    let all = std::env::var("KEYAGENT_TEST_ROUNDS").is_ok_and(|rounds| rounds == "full");
    let mut scratch = Scratch::new(2_500);
    let mut log = scratch.begin();
    for _ in 0..8 {
        for _ in 0..4 {
            scratch.release(&mut log);
        }
        scratch.seal(&mut log);
    }
    drop(log);
    let texts = scratch.texts();
    assert!(texts.len() > 3 && texts.len() <= usize::from(KEPT), "{}", texts.len());
    whole(&scratch.verify(None), texts.iter().map(|(_, lines)| lines.len() as u64).sum(), 0);
    let mut seed = [0; 8];
    getrandom::getrandom(&mut seed).expect("the system has randomness");
    let seed = u64::from_le_bytes(seed);
    let mut dice = Dice(seed);
    for round in 0..if all { CHANGES.1 } else { CHANGES.0 } {
        let mut changed: Vec<Vec<Vec<u8>>> = texts.iter().map(|(_, l)| l.clone()).collect();
        let kind = dice.below(8);
        let expected = change(&mut changed, kind, &mut dice) + 1;
        let gone = changed.iter().map(Vec::is_empty).collect::<Vec<_>>();
        for (at, (name, lines)) in texts.iter().enumerate() {
            let path = scratch.directory.join(name);
            if gone[at] {
                fs::remove_file(&path).expect("it is there");
            } else if changed[at] != *lines {
                fs::write(&path, changed[at].concat()).expect("it is ours");
            }
        }
        let verdict = scratch.verify(None);
        let named = verdict.bad.first().map(|bad| bad.seq);
        assert_eq!(named, Some(expected), "seed {seed}, round {round}, kind {kind}: {verdict:?}");
        restore(&scratch, &texts, &changed);
    }
}

fn restore(scratch: &Scratch, texts: &[(String, Vec<Vec<u8>>)], changed: &[Vec<Vec<u8>>]) {
    for (at, (name, lines)) in texts.iter().enumerate() {
        if changed[at] != *lines {
            let path = scratch.directory.join(name);
            fs::write(&path, lines.concat()).expect("it is ours");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, mode).expect("it is ours");
        }
    }
}

/// Changes something, and says which record, from 0, is the first that is not what it was.
fn change(files: &mut [Vec<Vec<u8>>], kind: usize, dice: &mut Dice) -> u64 {
    let counts: Vec<usize> = files.iter().map(Vec::len).collect();
    let total: usize = counts.iter().sum();
    let place = |seq: usize| {
        let mut at = seq;
        let file = counts.iter().position(|count| {
            let inside = at < *count;
            at -= if inside { 0 } else { *count };
            inside
        });
        (file.expect("it is one of them"), at)
    };
    let seq = dice.below(total);
    let (file, at) = place(seq);
    let other = (seq + 1 + dice.below(total - 1)) % total;
    let (other_file, other_at) = place(other);
    let copy = files[other_file][other_at].clone();
    match kind {
        0 => {
            let length = files[file][at].len();
            files[file][at][dice.below(length)] ^= 1 << dice.below(8);
        }
        1 => drop(files[file].remove(at)),
        2 => {
            files[other_file][other_at] = std::mem::replace(&mut files[file][at], copy);
            return seq.min(other) as u64;
        }
        3 => files[file].insert(at, copy),
        4 => {
            let twice = files[file][at].clone();
            files[file].insert(at + 1, twice);
            return seq as u64 + 1;
        }
        5 => {
            let text = String::from_utf8(files[file][at].clone()).expect("it is ASCII");
            let epoch = record::parse(text.as_bytes()).expect("it was written").epoch;
            let wrong = (epoch + 1 + dice.below(9) as u64) % 10;
            let (old, new) = (format!("\"epoch\":{epoch},"), format!("\"epoch\":{wrong},"));
            files[file][at] = text.replacen(&old, &new, 1).into_bytes();
        }
        6 => {
            let cut = dice.below(files[file][at].len());
            files[file].truncate(at + 1);
            files[file][at].truncate(cut);
            files[file].retain(|line| !line.is_empty());
        }
        _ => {
            files[file].clear();
            return counts[..file].iter().sum::<usize>() as u64;
        }
    }
    seq as u64
}
