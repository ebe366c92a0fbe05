//! A file system that does not answer keeps nobody waiting but who asks about it.

use crate::burden::Burden;
use crate::given;
use keyagent_tests::wire::{done, refused};
use keyagent_tests::{Agent, Home, Wire, describe, eventually};
use keyagent_wire::request::{Channel, Resolve};
use keyagent_wire::{Refusal, Reply, Request};
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// As many looks at file systems that make one wait are under way at once (PROTOCOL.md).
const LOOKS_MAX: usize = 16;

/// A FUSE mount of a directory, in a mount namespace that this thread shares with nobody
/// but what it starts.
struct Mount {
    server: Child,
    on: PathBuf,
}

impl Mount {
    fn of(source: &Path, on: &Path) -> Self {
        let device = |path: &Path| path.metadata().expect("it is there").dev();
        let before = device(on);
        // It ends with this thread, however that ends, and remembers nothing, so that all asks.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "bindfs", "-f"]);
        command.args(["-o", "attr_timeout=0,entry_timeout=0"]).args([source, on]);
        let server = command.stdin(Stdio::null()).spawn().expect("bindfs can be run");
        let mount = Self { server, on: on.to_owned() };
        eventually("it is mounted", || (device(on) != before).then_some(()));
        mount
    }

    fn hang(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.server.id());
        eventually("every thread of the server has stopped", || {
            let tasks = fs::read_dir(&tasks).expect("the server is there").flatten();
            let mut stats = tasks.map(|task| fs::read_to_string(task.path().join("stat")));
            let stopped =
                |stat: String| stat.rsplit(')').next().is_some_and(|s| s.starts_with(" T"));
            stats.all(|stat| stat.is_ok_and(stopped)).then_some(())
        });
    }

    fn answer_again(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.server.id().cast_signed()), signal).expect("it is our child");
    }
}

impl Drop for Mount {
    /// Without its server, whatever hangs on the mount fails at once.
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = umount2(&self.on, MntFlags::MNT_DETACH);
    }
}

/// A project on such a mount, which may have the canary. What it opened is closed after the
/// mount has ended, since that would hang, too.
struct Mounted {
    mount: Mount,
    opened: Vec<[OwnedFd; 2]>,
    project: PathBuf,
    agent: Agent,
    home: Home,
}

impl Mounted {
    /// The project is allowed, and has its key.
    fn new() -> Self {
        let mounted = Self::not_yet_used();
        given::allow(&mounted.home, &mounted.project);
        mounted
    }

    /// No file on the mount was opened yet: its server has not said that it does without
    /// hearing of each close(2), as bindfs does when it first hears of one.
    fn not_yet_used() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("root can");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root can");
        let (home, agent) = Home::with_vault();
        home.wire().put("slow/canary", home.canary().as_bytes());
        let source = home.make_directory("source/project");
        given::manifest(&home, &source, "[env]\nA_KEY = \"slow/canary\"\n");
        let on = home.make_directory("work/mounted");
        let mount = Mount::of(source.parent().expect("it has one"), &on);
        let project = on.join("project");
        Self { mount, opened: Vec::new(), project, agent, home }
    }

    /// Opens the project so many times, as long as that can be done.
    fn open(&mut self, count: usize) {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let opened = |path: &Path, more| open(path, flags | more, Mode::empty()).expect("it opens");
        let manifest = self.project.join("keyagent.toml");
        let pair = || [opened(&self.project, OFlag::O_PATH), opened(&manifest, OFlag::empty())];
        self.opened.extend((0..count).map(|_| pair()));
    }

    /// Sends a request about what was opened that often before.
    fn send(&self, request: &Request, at: usize) -> Wire {
        let mut wire = self.home.wire();
        let fds = [self.opened[at][0].as_fd(), self.opened[at][1].as_fd()];
        wire.send_bytes_with(&Wire::frame(request), &fds).expect("the agent takes it");
        wire
    }

    fn others_are_served(&self) {
        let canary = self.home.canary().as_bytes().to_vec();
        assert_eq!(self.home.wire().get("slow/canary"), Ok(canary));
    }

    /// The reply, while everybody else is served.
    fn reply(&self, mut wire: Wire) -> Reply {
        eventually("there is a reply", || {
            self.others_are_served();
            is_readable(&wire).then_some(())
        });
        wire.try_reply().expect("the agent answers")
    }

    fn gets_its_key(&self) {
        let command = ["exec", "--", "sh", "-c", "test -n \"$A_KEY\" && echo got"];
        self.home.keyagent(command).dir(&self.project).run().code(0).prints("got\n");
    }
}

fn is_readable(wire: &Wire) -> bool {
    let mut fds = [PollFd::new(wire.socket().as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).expect("it can be polled") > 0
}

fn resolve() -> Request {
    let (only, extra) = (Vec::new(), Vec::new());
    Request::Resolve(Resolve { channel: Channel::Exec, profile: None, only, extra })
}

#[test]
fn needs_root_needs_bindfs_a_project_on_a_mount_that_works_gets_its_keys() {
    let mounted = Mounted::new();
    mounted.gets_its_key();
    fs::write(mounted.project.join("keyagent.toml"), "[env]\n").expect("it is ours");
    let changed = mounted.home.keyagent(["exec", "--", "true"]).dir(&mounted.project).run();
    assert_ne!(changed.code, Some(0));
    changed.complains("changed since it was allowed");
    mounted.home.keyagent(["deny"]).dir(&mounted.project).run().code(0);
}

#[test]
fn needs_root_needs_bindfs_a_hung_mount_is_refused_and_keeps_nobody_else_waiting() {
    let mut mounted = Mounted::new();
    let burden = Burden::of(&mounted.agent);
    mounted.open(2 * LOOKS_MAX);
    mounted.mount.hang();
    let requests =
        [resolve(), Request::Review, Request::Allow { manifest: [0; 32] }, Request::Status];
    for (at, request) in requests.iter().enumerate() {
        let reply = mounted.reply(mounted.send(request, at));
        let expected = if at == 3 { Refusal::Malformed } else { Refusal::NoAnswer };
        assert_eq!(refused(reply), expected, "request {at}");
    }
    // One more than may wait: one of them is not let in, and the others learn that it hangs.
    let wires: Vec<_> = (4..=4 + LOOKS_MAX).map(|at| mounted.send(&resolve(), at)).collect();
    for wire in wires {
        let refusal = refused(mounted.reply(wire));
        assert!(matches!(refusal, Refusal::NoAnswer | Refusal::Busy), "{refusal:?}");
    }
    mounted.mount.answer_again();
    mounted.gets_its_key();
    burden.is_back(&mounted.home, &mounted.agent);
}

#[test]
fn needs_root_needs_bindfs_more_looks_than_may_wait_are_refused() {
    let mut mounted = Mounted::new();
    mounted.open(LOOKS_MAX + 1);
    mounted.mount.hang();
    let mut wires: Vec<_> = (0..=LOOKS_MAX).map(|at| mounted.send(&resolve(), at)).collect();
    let first = eventually("one is not let in", || wires.iter().position(is_readable));
    let refusal = refused(wires.swap_remove(first).try_reply().expect("the agent answers"));
    assert_eq!(refusal, Refusal::Busy);
    mounted.mount.answer_again();
    for wire in wires {
        let reply = mounted.reply(wire);
        assert!(matches!(reply, Reply::Env(_)), "{}", describe(&reply));
    }
}

#[test]
fn needs_root_needs_bindfs_descriptors_that_cannot_be_closed_have_an_end() {
    let mut mounted = Mounted::not_yet_used();
    let burden = Burden::of(&mounted.agent);
    mounted.open(1);
    mounted.mount.hang();
    // It has no use for them, and cannot close them either.
    let full = eventually("no more are received", || {
        let refusal = refused(mounted.reply(mounted.send(&Request::Status, 0)));
        (refusal != Refusal::Malformed).then_some(refusal)
    });
    assert_eq!(full, Refusal::Busy);
    mounted.mount.answer_again();
    burden.is_back(&mounted.home, &mounted.agent);
    given::allow(&mounted.home, &mounted.project);
    mounted.gets_its_key();
}

#[test]
fn needs_root_needs_bindfs_a_vault_that_was_locked_meanwhile_gives_nothing() {
    let mut mounted = Mounted::new();
    mounted.open(1);
    mounted.mount.hang();
    let mut wire = mounted.send(&resolve(), 0);
    mounted.others_are_served();
    done(mounted.home.wire().ask(&Request::Lock));
    mounted.mount.answer_again();
    assert_eq!(refused(wire.try_reply().expect("the agent answers")), Refusal::Locked);
}

#[test]
fn needs_root_needs_bindfs_an_agent_ends_though_a_mount_hangs() {
    let mut mounted = Mounted::new();
    mounted.open(2);
    mounted.mount.hang();
    let _wires = [0, 1].map(|at| mounted.send(&resolve(), at));
    mounted.others_are_served();
    mounted.home.keyagent(["stop"]).run().code(0);
    eventually("its lock is free", || mounted.home.agent_pid().is_none().then_some(()));
}
