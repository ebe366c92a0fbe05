//! A system call that fails or kills, at each place of what an agent does: where the calls are,
//! and how the agent is run that makes one of them in vain.

use keyagent_tests::{Agent, Home, eventually};
use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many injections run at once: each waits for the disk most of the time.
const AT_ONCE: usize = 4;
/// The calls that change a file or a directory; openat does if it makes one.
const CHANGING: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "ftruncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "fchmod",
];

/// A vault with a canary, which every home of a test begins with.
pub struct Seed {
    home: Home,
}

impl Seed {
    /// The vault of that home, whose agent ends.
    pub fn of(home: Home, mut agent: Agent) -> Self {
        agent.terminate();
        Self { home }
    }

    /// A home of its own with a copy of it.
    pub fn plant(&self) -> Home {
        let home = Home::new();
        home.add_canary(self.home.canary().as_bytes());
        for (from, to) in
            [(self.home.data(), "data/keyagent"), (self.home.state(), "state/keyagent")]
        {
            let to = home.make_directory(to);
            for entry in fs::read_dir(from).expect("it is ours").flatten() {
                let name = entry.file_name();
                fs::copy(entry.path(), to.join(name)).expect("both are ours");
            }
        }
        home
    }

    /// The canary that its vault holds.
    pub fn canary(&self) -> Vec<u8> {
        self.home.canary().as_bytes().to_vec()
    }
}

/// A call, with its place among the calls of that name in its thread, as strace counts them.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// From 1.
    pub when: usize,
    /// Whether it changes a file.
    pub changes: bool,
}

impl Call {
    /// What strace is told, so that this call comes to that.
    pub fn injection(&self, outcome: &str) -> String {
        format!("{}:{outcome}:when={}", self.name, self.when)
    }
}

/// What an injection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    /// The agent did not start.
    NoStart,
    /// What was asked for is done: the call did not matter to it.
    Nothing,
    /// It was refused.
    Refusal,
    /// The agent died of it.
    Death,
}

/// The files of the vault. strace looks at nothing else, so nothing else is counted.
fn files(home: &Home) -> Vec<PathBuf> {
    let mut written: Vec<_> = ["vault.age", "identity.age", "identity.age.next", "unlock.json"]
        .map(|name| home.data().join(name))
        .into();
    written.extend((1..=5).map(|number| home.data().join(format!("vault.age.{number}"))));
    written.push(home.state().join("state.json"));
    let temporary = |path: &PathBuf| PathBuf::from(format!("{}.tmp", path.display()));
    let mut files = vec![home.data(), home.state(), home.data().join("vault.lock")];
    files.extend(written.iter().map(temporary));
    files.extend(written);
    files
}

/// strace of the files of the vault, which writes to `trace`.
///
/// The agent lets no tracer of its own user read its memory or its descriptors, and without
/// these strace cannot tell one file from another: this needs root.
fn strace(home: &Home, trace: &Path, inject: Option<&str>) -> Command {
    let mut command = Command::new("strace");
    home.surround(&mut command);
    command.args(["-f", "-qq", "-s", "0", "-o"]).arg(trace);
    command.args(["-e", "trace=!close,fcntl,epoll_wait"]);
    for file in files(home) {
        command.arg("-P").arg(file);
    }
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command
}

/// An agent under strace from its first call on. None if the injection has hit its start, which
/// then fails or dies.
pub fn traced(home: &Home, trace: &Path, inject: Option<&str>) -> Option<Agent> {
    let mut command = strace(home, trace, inject);
    command.arg(home.program("keyagentd"));
    home.try_start(command)
}

/// strace, attached to an agent that runs.
pub struct Tracer(Child);

impl Tracer {
    /// Attaches it: what it counts begins here. When it goes, so does the agent.
    pub fn attach(home: &Home, agent: &Agent, trace: &Path, inject: Option<&str>) -> Self {
        let mut command = strace(home, trace, inject);
        let tracer = command.arg("-p").arg(agent.pid().to_string()).spawn();
        let tracer = Self(tracer.expect("there is a strace"));
        let tasks = format!("/proc/{}/task", agent.pid());
        eventually("every thread is traced", || {
            let tasks = fs::read_dir(&tasks).expect("it lives").flatten();
            let status = |task: DirEntry| fs::read_to_string(task.path().join("status")).ok();
            let traced = format!("TracerPid:\t{}\n", tracer.0.id());
            tasks.filter_map(status).all(|status| status.contains(&traced)).then_some(())
        });
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The calls of a trace, in the thread that last makes a file of that name.
pub fn calls(trace: &Path, makes: &str) -> Vec<Call> {
    let text = fs::read_to_string(trace).expect("strace wrote it");
    let made = format!("{makes}\"");
    let making = text.lines().rfind(|l| l.contains(&made) && l.contains("O_CREAT"));
    let maker = making.and_then(|l| l.split_whitespace().next()).expect("a thread makes it");
    counted(text.lines().filter(|line| line.split_whitespace().next() == Some(maker)))
}

/// The calls of a trace, as if all were of one thread: strace counts in each thread anew, and
/// an injection is made in every one that has as many.
pub fn all_calls(trace: &Path) -> Vec<Call> {
    counted(fs::read_to_string(trace).expect("strace wrote it").lines())
}

fn counted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Call> {
    let (mut counts, mut calls) = (BTreeMap::new(), Vec::new());
    for line in lines {
        let call = line.split_whitespace().nth(1).and_then(|word| word.split_once('('));
        let Some((name, _)) = call else { continue };
        let when = counts.entry(name).or_insert(0);
        *when += 1;
        let changes = CHANGING.contains(&name) || line.contains("O_CREAT");
        calls.push(Call { name: name.to_owned(), when: *when, changes });
    }
    calls
}

/// Makes each of these calls come to each of that, several at once: what it came to, how often.
pub fn each<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    outcomes: &[&str],
    run: impl Fn(&Call, &str) -> Came + Sync,
) -> BTreeMap<Came, usize> {
    let jobs = calls.into_iter().flat_map(|call| outcomes.iter().map(move |o| (call, *o)));
    let mut jobs: Vec<_> = jobs.collect();
    jobs.reverse();
    let (jobs, came) = (Mutex::new(jobs), Mutex::new(BTreeMap::<Came, usize>::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some((call, outcome)) = job else { return };
                    let this = run(call, outcome);
                    let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
                    *came.entry(this).or_default() += 1;
                }
            });
        }
    });
    came.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Fails if a write has left its temporary file.
pub fn no_temporary_file(home: &Home, what: &str) {
    for directory in [home.data(), home.state()] {
        for entry in fs::read_dir(directory).expect("it is ours").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains("tmp"), "{what}: {name} is left");
        }
    }
}
