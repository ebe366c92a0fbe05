//! A home of its own for one test: directories, processes, and their end.
//!
//! When it is dropped, everything that ran in it is killed, all of it is searched for
//! values that leaked, and all of it is removed.

use crate::agent::{Agent, Halted};
use crate::invocation::Invocation;
use crate::leak::Needles;
use crate::wire::Wire;
use crate::{eventually, process, unique};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown, geteuid};
use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A home of its own.
pub struct Home {
    root: PathBuf,
    uid: u32,
    /// Where the programs are, if they had to be copied for another user.
    programs: Option<PathBuf>,
    canary: String,
    kept: Mutex<Kept>,
}

/// What the leak check needs to know.
#[derive(Default)]
struct Kept {
    values: Vec<Vec<u8>>,
    stderr: Vec<(String, Vec<u8>)>,
    may_hold: Vec<PathBuf>,
    found: Vec<String>,
    processes: Vec<Started>,
}

/// Copies a program by a process of its own. What we had open to write could not be run as
/// long as a child that another thread is about to start has it open, too.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--").args([from, to]).status();
    assert!(copied.expect("there is a cp").success(), "a program can be copied");
}

/// A process that was seen to run: its number, and when it started.
type Started = (u32, u64);

/// The path of one of our programs: in `KEYAGENT_DIST`, or where cargo has built it.
pub fn binary(name: &str) -> PathBuf {
    let path = match std::env::var_os("KEYAGENT_DIST") {
        Some(dist) => PathBuf::from(dist).join(name),
        None => {
            let test = std::env::current_exe().expect("a test has a path");
            let target = test.parent().and_then(Path::parent).expect("tests lie in target/*/deps");
            target.join(name)
        }
    };
    assert!(path.exists(), "no `{}`: run `cargo build --workspace` first", path.display());
    path
}

impl Home {
    /// A new home of the user who runs the tests.
    pub fn new() -> Self {
        Self::make(geteuid().as_raw())
    }

    /// A new home of another user, which only root can make. The programs are copied into
    /// it, since that user may not reach where they were built.
    pub fn of_uid(uid: u32) -> Self {
        let mut home = Self::make(uid);
        let programs = home.make_directory("programs");
        for name in ["keyagent", "keyagentd"] {
            copy_program(&binary(name), &programs.join(name));
        }
        // Large, and none of them holds a value.
        home.may_hold(&programs);
        home.programs = Some(programs);
        home
    }

    fn make(uid: u32) -> Self {
        let root = std::env::temp_dir().join(format!("keyagent-test-{}", unique()));
        let canary = format!("KAC-{}", unique());
        let kept = Kept { values: vec![canary.clone().into_bytes()], ..Kept::default() };
        let home = Self { root, uid, programs: None, canary, kept: Mutex::new(kept) };
        for name in ["", "home", "run", "data", "state", "config", "work"] {
            home.make_directory(name);
        }
        home
    }

    /// Makes a directory in the home, closed to others.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).expect("a directory of ours");
        self.give(&path);
        path
    }

    /// Makes the home's user the owner of a path.
    pub fn give(&self, path: &Path) {
        if self.uid != geteuid().as_raw() {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.uid));
            chown(path, Some(uid), Some(gid)).expect("root can give files away");
        }
    }

    /// Writes a file in the working directory, closed to others, which may hold values.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).expect("a directory");
        }
        fs::write(&path, bytes).expect("a file of ours can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        self.give(&path);
        self.may_hold(&path);
        path
    }

    /// The unique value of this home, which must be nowhere in the clear.
    pub fn canary(&self) -> &str {
        &self.canary
    }

    /// Adds a value that must be nowhere in the clear.
    pub fn add_canary(&self, value: &[u8]) {
        self.kept().values.push(value.to_vec());
    }

    /// A file or a directory in which values may be, because the test put them there.
    pub fn may_hold(&self, path: impl Into<PathBuf>) {
        self.kept().may_hold.push(path.into());
    }

    /// The directory of everything here.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where programs run by default.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/keyagent/agent.sock")
    }

    /// The directory of the vault.
    pub fn data(&self) -> PathBuf {
        self.root.join("data/keyagent")
    }

    /// The vault file.
    pub fn vault(&self) -> PathBuf {
        self.data().join("vault.age")
    }

    /// The directory of the agent's state.
    pub fn state(&self) -> PathBuf {
        self.root.join("state/keyagent")
    }

    /// The directory of the user's own configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config/keyagent")
    }

    /// The path of one of our programs, as this home runs it.
    pub fn program(&self, name: &str) -> PathBuf {
        match &self.programs {
            Some(directory) => directory.join(name),
            None => binary(name),
        }
    }

    /// Gives a command this home's environment and nothing of ours but `PATH`.
    pub fn surround(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").current_dir(self.work());
        for (name, directory) in [
            ("HOME", "home"),
            ("XDG_RUNTIME_DIR", "run"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
        ] {
            command.env(name, self.root.join(directory));
        }
        if self.uid != geteuid().as_raw() {
            command.uid(self.uid).gid(self.uid);
        }
    }

    /// A run of the client.
    pub fn keyagent(
        &self,
        args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
    ) -> Invocation<'_> {
        Invocation::new(self, &self.program("keyagent")).args(args)
    }

    /// A run of any program in this home, with our own programs on its `PATH`.
    pub fn command(&self, program: impl AsRef<Path>) -> Invocation<'_> {
        Invocation::new(self, program.as_ref()).env("PATH", self.path_with_programs())
    }

    /// `PATH`, with our own programs in front.
    pub fn path_with_programs(&self) -> String {
        let ours = self.program("keyagent").parent().map(Path::to_owned).unwrap_or_default();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        format!("{}:{path}", ours.display())
    }

    /// Starts an agent in the foreground, and waits until it answers.
    pub fn agent(&self) -> Agent {
        let mut command = Command::new(self.program("keyagentd"));
        self.surround(&mut command);
        self.start(command)
    }

    /// Starts a command that becomes an agent in the foreground, or runs one, and waits
    /// until the agent answers.
    pub fn start(&self, command: Command) -> Agent {
        self.try_start(command).unwrap_or_else(|| panic!("the agent ended: {}", self.said()))
    }

    /// The same; none if the command ends before an agent answers.
    pub fn try_start(&self, mut command: Command) -> Option<Agent> {
        let said = self.said_file();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a file can be shared"))
            .stderr(said)
            .spawn()
            .expect("keyagentd can be run");
        self.keep_process(child.id());
        let pid = eventually("the agent answers or ends", || {
            if child.try_wait().expect("it is our child").is_some() {
                return Some(None);
            }
            let pid =
                Wire::try_connect(&self.socket()).ok().and_then(|mut wire| wire_pid(&mut wire));
            pid.map(Some)
        })?;
        self.keep_process(pid);
        Some(Agent::new(pid, Some(child)))
    }

    /// Starts an agent with `--detach`: its one word, and the agent that then answers.
    pub fn detached(&self) -> (String, Agent) {
        let word = self.detach_word();
        let pid = eventually("the agent answers", || {
            Wire::try_connect(&self.socket()).ok().and_then(|mut wire| wire_pid(&mut wire))
        });
        self.keep_process(pid);
        (word, Agent::new(pid, None))
    }

    /// Runs `keyagentd --detach`: its one word.
    pub fn detach_word(&self) -> String {
        let mut command = Command::new(self.program("keyagentd"));
        self.surround(&mut command);
        let mut child = command
            .arg("--detach")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.said_file())
            .spawn()
            .expect("keyagentd can be run");
        let mut word = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut word).expect("the word is text");
        child.wait().expect("the child that forked is gone");
        word
    }

    /// Starts an agent of another user with `--detach`. It answers that user alone, so its
    /// process is told by the lock that it holds.
    pub fn detached_as_user(&self) -> Agent {
        assert_eq!(self.detach_word(), "ready\n");
        let pid = self.agent_pid().expect("an agent that is ready holds its lock");
        self.keep_process(pid);
        Agent::new(pid, None)
    }

    /// What agents have said on stdout and stderr, all of them.
    pub fn said(&self) -> String {
        fs::read_to_string(self.root.join("agents.said")).unwrap_or_default()
    }

    /// The agent's own log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.state().join("agent.log")).unwrap_or_default()
    }

    /// The process of whoever is this home's agent.
    pub fn agent_pid(&self) -> Option<u32> {
        process::lock_holder(&self.socket().with_extension("sock.lock"))
    }

    /// Halts whoever is this home's agent, until what comes back is dropped.
    pub fn halt_agent(&self) -> Halted {
        Halted::new(eventually("an agent holds the lock", || self.agent_pid()))
    }

    /// A new connection to the agent.
    pub fn wire(&self) -> Wire {
        Wire::try_connect(&self.socket()).expect("the agent listens")
    }

    /// An agent with a vault in which nothing is, and whose identity nothing seals.
    pub fn with_vault() -> (Self, Agent) {
        let home = Self::new();
        let agent = home.agent();
        home.wire().init(None);
        (home, agent)
    }

    pub(crate) fn keep_stderr(&self, shown: &str, stderr: &[u8]) {
        self.kept().stderr.push((shown.to_owned(), stderr.to_owned()));
    }

    /// Whether any value of this home is in there, however it is spelled.
    pub fn has_value(&self, bytes: &[u8]) -> bool {
        Needles::of(&self.kept().values).are_in(bytes)
    }

    /// Searches the command lines of all processes, now. The end of every test does too.
    pub fn search_command_lines(&self) {
        let needles = Needles::of(&self.kept().values);
        let found = needles.in_command_lines();
        self.kept().found.extend(found);
    }

    /// What runs here is killed at the end. What is gone by then may have left its number to
    /// another test's agent, which is none of ours.
    fn keep_process(&self, pid: u32) {
        let started = process::started(pid).map(|started| (pid, started));
        self.kept().processes.extend(started);
    }

    fn said_file(&self) -> File {
        let path = self.root.join("agents.said");
        File::options().create(true).append(true).open(path).expect("a file of ours")
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills every agent that ran here, started by whomever.
    fn end(&self) {
        let kept = self.kept().processes.clone();
        let still = kept.into_iter().filter(|(pid, when)| process::started(*pid) == Some(*when));
        let mut pids: Vec<u32> = still.map(|(pid, _)| pid).collect();
        // What a client has started holds the lock of its socket; where root looks, it is
        // also known by its environment, wherever its socket is.
        pids.extend(self.agent_pid());
        pids.extend(process::with_in_environment(&self.root));
        for pid in pids {
            if comm(pid).is_some_and(|name| name.starts_with("keyagentd") || name == "strace") {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
        }
    }

    fn leaks(&self) -> Vec<String> {
        let kept = self.kept();
        let needles = Needles::of(&kept.values);
        let mut found = kept.found.clone();
        for (shown, stderr) in &kept.stderr {
            if needles.are_in(stderr) {
                found.push(format!("the stderr of `{shown}`"));
            }
        }
        found.extend(needles.in_files(&self.root, &kept.may_hold));
        found.extend(needles.in_names(&std::env::temp_dir()));
        found
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.search_command_lines();
        self.end();
        let leaks = self.leaks();
        let _ = fs::remove_dir_all(&self.root);
        // A second panic would hide the first.
        if !std::thread::panicking() {
            assert!(leaks.is_empty(), "values leaked into {}", leaks.join(", "));
        }
    }
}

fn wire_pid(wire: &mut Wire) -> Option<u32> {
    match wire.try_ask(&keyagent_wire::Request::Status).ok()? {
        keyagent_wire::Reply::Status(status) => Some(status.pid),
        _ => None,
    }
}

fn comm(pid: u32) -> Option<String> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/comm")).ok()?.read_to_string(&mut text).ok()?;
    Some(text.trim_end().to_owned())
}
