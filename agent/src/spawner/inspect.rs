//! What only a process outside the sandbox can see of another, looked up in a helper: its
//! program, and whether its environment has a coding assistant's variables.
//!
//! Names of variables alone are kept, and only those that are known; what is in them is passed
//! over as it is read, and wiped. What is another process by the end of a look was not seen.

use super::{Job, Spawner, chunk};
use crate::audit::ancestry::{Detail, Key, LEVELS_MAX};
use crate::audit::assistant;
use crate::audit::body::PATH_BYTES_MAX;
use crate::audit::stat;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::alarm;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use zeroize::Zeroizing;

/// How long a look at one line takes at most. An environment may lie in memory that never
/// comes: the helper ends then.
pub const LOOK_SECONDS_MAX: u32 = 2;
/// The longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 1024;
/// The longest answer, in bytes: paths as JSON.
pub const ANSWER_BYTES_MAX: usize = 8 * LEVELS_MAX * PATH_BYTES_MAX;
/// How much of an environment is read: what execve(2) takes by default.
const ENVIRON_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How much of it at once: what the kernel gives.
const PIECE_BYTES: usize = 4096;
/// The longest name of a variable that is looked at.
const NAME_BYTES_MAX: usize = 64;

/// Starts a helper, which answers one question after the other until its socket ends.
pub fn start(spawner: &Spawner) -> io::Result<UnixStream> {
    spawner.start(&Job::Inspect)
}

/// The question about those processes, as it is sent: one chunk.
pub fn question(of: &[Key]) -> Vec<u8> {
    let mut sent = Vec::new();
    let json = serde_json::to_vec(&of[..of.len().min(LEVELS_MAX)]).expect("numbers are JSON");
    chunk::write(&mut sent, &json).expect("a Vec takes it");
    sent
}

/// What a helper has seen, from the bytes of the chunk that it answered with. It has read all
/// sorts of processes: an assistant is one of our own labels, or none.
pub fn answer(bytes: &[u8]) -> io::Result<Vec<(Key, Detail)>> {
    let seen: Vec<(Key, Option<String>, Option<String>)> = serde_json::from_slice(bytes)?;
    let detail = |exe, assistant: Option<String>| Detail {
        exe,
        assistant: assistant.and_then(|text| assistant::label(&text)),
    };
    Ok(seen.into_iter().map(|(key, exe, assistant)| (key, detail(exe, assistant))).collect())
}

/// The helper's side.
pub(super) fn inspect_here(stream: UnixStream) -> io::Result<()> {
    loop {
        let asked = chunk::read(&stream, QUESTION_BYTES_MAX)?;
        let asked: Vec<Key> = serde_json::from_slice(&asked)?;
        // Its signal ends this process, whatever it waits for.
        alarm::set(LOOK_SECONDS_MAX);
        let seen = asked.into_iter().take(LEVELS_MAX).filter_map(look);
        let seen: Vec<_> = seen.map(|(key, detail)| (key, detail.exe, detail.assistant)).collect();
        alarm::cancel();
        chunk::write(&stream, &serde_json::to_vec(&seen)?)?;
    }
}

/// What can be seen of a process; none if it is gone. Of another user's there is nothing.
fn look(key: Key) -> Option<(Key, Detail)> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let process = open(format!("/proc/{}", key.0).as_str(), flags, Mode::empty()).ok()?;
    let is_it = || stat::of_open(&process).is_some_and(|stat| stat.start == key.1);
    if !is_it() {
        return None;
    }
    let exe = readlinkat(&process, "exe").ok();
    let exe = exe.map(|path| path.as_bytes()[..path.len().min(PATH_BYTES_MAX)].to_vec());
    let detail = Detail {
        exe: exe.map(|path| String::from_utf8_lossy(&path).into_owned()),
        assistant: environ(&process).ok().and_then(assistant_in),
    };
    is_it().then_some((key, detail))
}

fn environ(process: &OwnedFd) -> Result<impl Read, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(process, "environ", flags, Mode::empty())?;
    Ok(File::from(file).take(ENVIRON_BYTES_MAX))
}

/// The assistant that has set something in an environment: `NAME=VALUE` and NUL, each.
fn assistant_in(mut environ: impl Read) -> Option<&'static str> {
    let mut piece = Zeroizing::new([0; PIECE_BYTES]);
    let (mut name, mut is_name, mut found) = (Vec::new(), true, Vec::new());
    loop {
        let count = environ.read(&mut *piece).ok().filter(|count| *count > 0);
        let Some(count) = count else { return assistant::by_variables(&found) };
        for byte in &piece[..count] {
            match byte {
                0 => {
                    name.clear();
                    is_name = true;
                }
                b'=' if is_name => {
                    let known = assistant::variable(&name);
                    found.extend(known.filter(|known| !found.contains(known)));
                    is_name = false;
                }
                _ if is_name && name.len() < NAME_BYTES_MAX => name.push(*byte),
                _ => is_name = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    /// A process that waits for its input, with that in its environment.
    fn waiting(name: &str, value: &str) -> (Child, Key) {
        let mut command = Command::new("cat");
        command.env_clear().env(name, value).env("A_KEY", "sk-proj-canary");
        let child = command.stdin(Stdio::piped()).spawn().expect("there is a cat");
        let pid = child.id() as i32;
        let stat = stat::of(pid).expect("it lives");
        (child, (pid, stat.start))
    }

    /// Only what has begun to be that program has its environment.
    fn look_until(key: Key, is_it: impl Fn(&Detail) -> bool) -> Detail {
        let mut looks = std::iter::repeat_with(|| look(key).expect("it lives").1);
        looks.by_ref().take(10_000).find(is_it).expect("it becomes that program")
    }

    #[test]
    fn a_process_is_known_by_its_variables() {
        let (mut child, key) = waiting("CLAUDECODE", "1");
        let is_cat = |detail: &Detail| detail.exe.as_ref().is_some_and(|exe| exe.contains("/cat"));
        let seen = look_until(key, |detail| is_cat(detail) || detail.assistant.is_some());
        assert_eq!(seen.assistant, Some("claude"));
        assert_eq!(look((key.0, key.1 + 1)), None, "another process had that number");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert_eq!(look(key), None, "it is gone");
    }

    #[test]
    fn names_count_and_nothing_else() {
        let long = format!("{}CLAUDECODE=1\0", "A".repeat(NAME_BYTES_MAX));
        let far = format!("A={}\0GEMINI_CLI=1\0", "=CLAUDECODE=".repeat(PIECE_BYTES));
        for (text, assistant) in [
            ("HOME=/\0CLAUDECODE=1\0", Some("claude")),
            ("CLAUDECODE=\0", Some("claude")),
            (&far, Some("gemini")),
            ("A=CLAUDECODE=1\0", None),
            ("CLAUDECODE\0=1\0", None),
            ("CLAUDECODES=1\0XCLAUDECODE=1\0", None),
            (&long, None),
            ("CODEX_HOME=/x\0AIDER_MODEL=x", None),
            ("\0\0==\0", None),
            ("", None),
        ] {
            assert_eq!(assistant_in(text.as_bytes()), assistant, "{text:.40}");
        }
    }

    #[test]
    fn a_helper_answers_and_tells_no_value() {
        let (mut child, key) = waiting("CODEX_SANDBOX", "sk-proj-canary");
        look_until(key, |detail| detail.assistant.is_some());
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let helper = std::thread::spawn(|| inspect_here(theirs));
        let mut told = Vec::new();
        for _ in 0..2 {
            io::Write::write_all(&mut &ours, &question(&[key, (i32::MAX, 1)])).expect("it reads");
            told = chunk::read(&ours, ANSWER_BYTES_MAX).expect("it answers").to_vec();
        }
        assert!(!told.windows(6).any(|window| window == b"canary"));
        let seen = answer(&told).expect("it is an answer");
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].0, seen[0].1.assistant), (key, Some("codex")));
        let made_up = answer(br#"[[[1,1],null,"sk-proj-canary"]]"#).expect("it is an answer");
        assert_eq!(made_up[0].1, Detail::default());
        drop(ours);
        assert!(helper.join().expect("it ends").is_err(), "when nobody asks any more");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
}
