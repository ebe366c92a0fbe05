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
fn needs_root_the_same_user_cannot_look_into_the_agent() {
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
