//! Another process of the same user cannot look into the agent, and a crash leaves no core.

use keyagent_tests::{Home, copy_program};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user that need not exist; root may look at everything, so the test is another's.
const OWNER: u32 = 4321;

fn probe(home: &Home) -> PathBuf {
    let probe = home.root().join("programs/probe");
    copy_program(Path::new(env!("CARGO_BIN_EXE_probe")), &probe);
    home.give(&probe);
    probe
}

#[test]
fn needs_root_needs_ptrace_t27_the_same_user_cannot_look_into_the_agent() {
    let home = Home::of_uid(OWNER);
    let agent = home.detached_as_user();
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let probe = probe(&home);
    // The probe sees into a process that does not defend itself.
    let mut sleeper = Command::new("sh");
    home.surround(&mut sleeper);
    let mut sleeper =
        sleeper.args(["-c", "read line"]).stdin(Stdio::piped()).spawn().expect("there is a sh");
    let open = home.command(&probe).arg("inspect").arg(sleeper.id().to_string()).run();
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    let open = open.quietly().stdout_text();
    for way in ["mem", "environ", "maps", "fd", "exe", "process_vm_readv", "ptrace"] {
        assert!(open.lines().any(|line| line == way), "{way} is open by default: {open}");
    }
    let closed = home.command(&probe).arg("inspect").arg(agent.pid().to_string()).run();
    closed.quietly().prints("");
}

/// The ways that no safe function leads to, by their numbers, which most machines share:
/// writes, a copied descriptor, and attaching the old way.
const RAW_WAYS: &str = "
import ctypes, errno, os, platform, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
attach, vm_writev = {'x86_64': (101, 311), 'aarch64': (117, 271)}[platform.machine()]
handle = os.pidfd_open(pid)
piece = (ctypes.c_char * 16)()
vector = (ctypes.c_size_t * 2)(ctypes.addressof(piece), 1)
far = (ctypes.c_size_t * 2)(4096, 1)
for name, arguments in {
    'pidfd_getfd': (438, handle, 0, 0),
    'process_vm_writev': (vm_writev, pid, vector, 1, far, 1, 0),
    'kcmp': (312 if attach == 101 else 272, pid, os.getpid(), 0, 0, 0),
    'attach': (attach, 16, pid, 0, 0),
}.items():
    words = [ctypes.c_long(w) if isinstance(w, int) else w for w in arguments]
    if libc.syscall(*words) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print(name)
";

#[test]
fn needs_root_needs_ptrace_needs_python3_t27_nor_by_the_ways_that_have_no_name() {
    let home = Home::of_uid(OWNER);
    let agent = home.detached_as_user();
    let mut sleeper = Command::new("sh");
    home.surround(&mut sleeper);
    let mut sleeper =
        sleeper.args(["-c", "read line"]).stdin(Stdio::piped()).spawn().expect("there is a sh");
    let look = |pid: u32| {
        let run =
            home.command("/usr/bin/python3").args(["-c", RAW_WAYS]).arg(pid.to_string()).run();
        run.quietly().stdout_text()
    };
    let open = look(sleeper.id());
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    for way in ["pidfd_getfd", "process_vm_writev", "attach"] {
        assert!(open.lines().any(|line| line == way), "{way} is open by default: {open}");
    }
    assert_eq!(look(agent.pid()), "");
}

/// Where the kernel says what becomes of a core; for the whole machine.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Puts it back.
struct Pattern(String);

impl Drop for Pattern {
    fn drop(&mut self) {
        let _ = fs::write(CORE_PATTERN, &self.0);
    }
}

#[test]
fn needs_root_needs_core_pattern_t28_a_crash_is_piped_to_nobody() {
    let home = Home::new();
    let (catcher, caught) = (home.root().join("catch"), home.root().join("caught"));
    let script = format!("#!/bin/sh\ncat >/dev/null\necho $1 >>{}\n", caught.display());
    fs::write(&catcher, script).expect("it is ours");
    fs::set_permissions(&catcher, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("it is ours");
    let _pattern = Pattern(fs::read_to_string(CORE_PATTERN).expect("the kernel has cores"));
    fs::write(CORE_PATTERN, format!("|{} %p", catcher.display())).expect("root can");
    for signal in [Signal::SIGSEGV, Signal::SIGABRT] {
        let mut command = Command::new("sh");
        home.surround(&mut command);
        command.args(["-c", "ulimit -c unlimited; exec \"$0\""]).arg(home.program("keyagentd"));
        let mut agent = home.start(command);
        // The first of these is taken for a fault, which would come again by itself.
        keyagent_tests::eventually("it crashes", || {
            agent.signal(signal);
            (!agent.is_alive()).then_some(())
        });
        assert!(!agent.wait().expect("it is our child").core_dumped());
        // Whoever does not defend itself is caught, and later than the agent would have been.
        let mut open = Command::new("sh").args(["-c", "kill -SEGV $$"]).spawn().expect("a sh");
        let open_pid = open.id().to_string();
        let _ = open.wait();
        let seen = keyagent_tests::eventually("the open one is caught", || {
            fs::read_to_string(&caught).ok().filter(|text| text.lines().any(|l| l == open_pid))
        });
        assert!(!seen.lines().any(|line| line == agent.pid().to_string()), "{seen}");
    }
}

#[test]
fn needs_root_needs_gdb_a_debugger_cannot_attach() {
    let home = Home::of_uid(OWNER);
    let agent = home.detached_as_user();
    let attached = home.command("gdb").args(["-nx", "-batch", "-ex", "info registers", "-p"]);
    let attached = attached.arg(agent.pid().to_string()).run();
    let report = attached.report();
    assert!(report.contains("Operation not permitted"), "{report}");
    assert!(!report.contains("rip "), "no registers: {report}");
    assert!(agent.is_alive());
}

#[test]
fn a_crash_leaves_no_core() {
    let home = Home::new();
    let mut command = Command::new("sh");
    home.surround(&mut command);
    let script = "ulimit -c $(ulimit -H -c); exec \"$0\"";
    command.args(["-c", script]).arg(home.program("keyagentd"));
    let mut agent = home.start(command);
    home.wire().init(None);
    home.wire().put("inspection/canary", home.canary().as_bytes());
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.expect("there is such a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core:?}");
    agent.signal(Signal::SIGABRT);
    let status = agent.wait().expect("it is our child");
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(!status.core_dumped());
    let left: Vec<_> = fs::read_dir(home.work()).expect("it is ours").collect();
    assert!(left.is_empty(), "{left:?}");
}
