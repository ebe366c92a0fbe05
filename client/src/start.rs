//! Starts the agent: the one that lies beside this program, in a short environment.
//!
//! Never one found on PATH, and never with a descriptor or a variable more than it needs.

use crate::connection::{Connection, Haste, PROMPT_SECONDS_MAX};
use crate::project::state_directory;
use crate::report::{Failure, Kind, cause};
use keyagent_wire::escape;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::env;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an agent may take until its socket answers.
const START_SECONDS_MAX: u64 = 10;
/// How long to wait for another starter's agent before looking again.
const RETRY_MILLIS: u64 = 5;
/// The longest word of the agent about its start.
const WORD_BYTES_MAX: u64 = 1024;
/// All of our environment that an agent gets, beside a PATH of the system's own.
const ENV_KEPT: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "KEYAGENT_SOCK",
    // For the OS keyring, where it is asked.
    "DBUS_SESSION_BUS_ADDRESS",
];

/// What the agent said about its start.
enum Word {
    /// Its socket answers, or another one holds the lock and soon will.
    Up,
    /// Why there is none, safe to show.
    Failed(String),
}

/// Connects to the agent, and starts it when it is not there.
pub(crate) fn connect() -> Result<Connection, Failure> {
    connect_with(Haste::No, START_SECONDS_MAX)
}

/// The same, where a prompt waits for it.
pub(crate) fn connect_at_prompt() -> Result<Connection, Failure> {
    connect_with(Haste::Prompt, PROMPT_SECONDS_MAX)
}

fn connect_with(haste: Haste, seconds_max: u64) -> Result<Connection, Failure> {
    if let Some(connection) = Connection::open_with(haste)? {
        return Ok(connection);
    }
    let deadline = Instant::now() + Duration::from_secs(seconds_max);
    while Instant::now() < deadline {
        if let Word::Failed(why) = start(deadline)? {
            return Err(not_started(&why));
        }
        if let Some(connection) = Connection::open_with(haste)? {
            return Ok(connection);
        }
        std::thread::sleep(Duration::from_millis(RETRY_MILLIS));
    }
    Err(not_started(&format!("its socket does not answer after {seconds_max} s")))
}

fn start(deadline: Instant) -> Result<Word, Failure> {
    let program = beside_us()?;
    let set = |name: &&str| env::var_os(name).filter(|value| !value.is_empty());
    let kept = ENV_KEPT.iter().filter_map(|name| Some((name, set(name)?)));
    let mut child = Command::new(&program)
        .arg("--detach")
        .env_clear()
        .envs(kept)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| {
            let program = escape(program.as_os_str().as_bytes());
            not_started(&format!("cannot run `{program}`: {}", cause(&e)))
        })?;
    let stdout = child.stdout.take().expect("stdout was asked to be piped");
    let word = word(stdout, deadline)?;
    // The child that we see only forks the agent and is gone.
    let _ = child.wait();
    Ok(word)
}

/// Reads the agent's one line: `ready`, `running`, or `failed: TEXT`.
fn word(mut stdout: ChildStdout, deadline: Instant) -> Result<Word, Failure> {
    let mut said = Vec::new();
    while !said.ends_with(b"\n") && (said.len() as u64) < WORD_BYTES_MAX {
        wait_readable(&stdout, deadline)?;
        let mut piece = [0; WORD_BYTES_MAX as usize];
        match stdout.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(e) => return Err(not_started(&cause(&e))),
        }
    }
    let said = escape(said.trim_ascii_end());
    Ok(match said.strip_prefix("failed: ") {
        _ if said == "ready" || said == "running" => Word::Up,
        Some(why) => Word::Failed(why.to_owned()),
        None => Word::Failed("it ended without a word".to_owned()),
    })
}

fn wait_readable(stdout: &ChildStdout, deadline: Instant) -> Result<(), Failure> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => {
                return Err(not_started("there is no word of it"));
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(not_started(&cause(&e.into()))),
        }
    }
}

fn beside_us() -> Result<PathBuf, Failure> {
    let ours = env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|e| not_started(&format!("cannot tell where keyagent lies: {}", cause(&e))))?;
    Ok(ours.with_file_name("keyagentd"))
}

fn not_started(why: &str) -> Failure {
    let failure = Failure::new(Kind::NoAgent, format!("cannot start the agent: {why}"));
    match log_path().filter(|path| path.exists()) {
        Some(path) => failure.hint(format!("its log: `{}`", escape(path.as_os_str().as_bytes()))),
        None => failure,
    }
}

/// Where an agent that never answered would have written.
fn log_path() -> Option<PathBuf> {
    Some(state_directory()?.join("agent.log"))
}
