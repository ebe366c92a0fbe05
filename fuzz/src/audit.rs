//! The audit log, as `audit verify` reads it: any bytes at all, and a good log that was changed.

use keyagentd::audit::chain::Root;
use keyagentd::audit::event::{Event, What};
use keyagentd::audit::files::Files;
use keyagentd::audit::log::{Head, Log};
use keyagentd::audit::moment::Moment;
use keyagentd::audit::verify::{Snapshot, Verdict, verify};
use keyagentd::vault::seal::Identity;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How many records the good log has, and how many of them end an epoch.
const RECORDS: u64 = 24;
const EPOCH: u64 = 8;

thread_local! {
    static GOOD: Good = Good::make();
}

/// A log that verifies, in a directory that is gone with its thread.
struct Good {
    directory: PathBuf,
    files: Files,
    root: Root,
    text: Vec<u8>,
    state: Vec<u8>,
    log: Log,
}

/// The first byte says what is done.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    GOOD.with(|good| match how % 4 {
        // No file that others wrote is believed, or too much for the reader.
        0 => drop(good.judge(rest, &good.state, None)),
        1 => drop(good.judge(&good.text, rest, None)),
        2 => drop(good.judge(rest, rest, Some(good.log.head()))),
        _ => good.edited(rest),
    });
}

impl Good {
    fn make() -> Self {
        let name =
            format!("keyagent-fuzz-audit-{}-{:?}", std::process::id(), std::thread::current().id());
        let directory = std::env::temp_dir().join(name);
        let (files, root) = (Files::new(&directory), Root::of(&Identity::generate()));
        let now = |at: u64| Moment { wall_millis: 1_700_000_000_000 + at, boot_millis: at };
        let mut log = Log::begin(files.clone(), &root, now(0)).expect("the directory is ours");
        for at in 1..RECORDS {
            if at % EPOCH == 0 {
                log.seal(now(at)).expect("it is written");
                log.anchor().expect("an epoch has ended").write().expect("it is written");
            }
            log.record(&Event::of(What::Repaired(at)), now(at)).expect("it is written");
        }
        let text = fs::read(files.current()).expect("it is there");
        let state = fs::read(files.state()).expect("it is there");
        let good = Self { directory, files, root, text, state, log };
        let verdict = good.judge(&good.text, &good.state, Some(good.log.head()));
        assert!(verdict.bad.is_empty(), "the log is good: {:?}", verdict.bad);
        good
    }

    fn judge(&self, text: &[u8], state: &[u8], head: Option<Head>) -> Verdict {
        place(&self.files.current(), text);
        place(&self.files.state(), state);
        verify(&Snapshot::take(&self.files, head), &self.root)
    }

    /// Whoever changes what was written is found, while the agent knows where its log stands.
    fn edited(&self, edits: &[u8]) {
        let mut text = self.text.clone();
        for edit in edits.chunks_exact(4).take(16) {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (text.len() + 1);
            match edit[2] % 4 {
                0 if at < text.len() => text[at] = edit[3],
                1 => text.insert(at, edit[3]),
                2 => drop(text.drain(at..(at + usize::from(edit[3])).min(text.len()))),
                _ => text.truncate(at),
            }
        }
        let verdict = self.judge(&text, &self.state, Some(self.log.head()));
        let same = text.starts_with(&self.text);
        assert_eq!(verdict.bad.is_empty(), same, "a change is found, and nothing else is");
    }
}

impl Drop for Good {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn place(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("the directory is ours");
}
