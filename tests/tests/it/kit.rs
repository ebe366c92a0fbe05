//! The kit itself: a leak check that finds nothing proves nothing.

use keyagent_tests::{Home, eventually};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

fn complaint_of(test: impl FnOnce(&Home)) -> String {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let home = Home::new();
        test(&home);
    }));
    match outcome {
        Ok(()) => String::new(),
        Err(payload) => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[test]
fn a_leak_is_found_wherever_it_is() {
    assert_eq!(complaint_of(|_| ()), "", "nothing leaked");
    let file = complaint_of(|home| {
        std::fs::write(home.root().join("state/agent.log"), home.canary()).expect("it is ours");
    });
    assert!(file.contains("agent.log"), "{file}");
    let stderr = complaint_of(|home| {
        home.command("sh").arg("-c").arg("cat >&2").stdin(home.canary()).run().code(0);
    });
    assert!(stderr.contains("the stderr of `sh -c cat >&2`"), "{stderr}");
    let line = complaint_of(|home| {
        let mut child = Command::new("sh")
            .args(["-c", "read line", home.canary()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a sh");
        eventually("the command line is there", || {
            let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).ok()?;
            line.starts_with(b"sh").then_some(())
        });
        home.search_command_lines();
        let _ = child.kill();
        let _ = child.wait();
    });
    assert!(line.contains("the command line of process"), "{line}");
    let allowed = complaint_of(|home| drop(home.write("project/.envrc", home.canary())));
    assert_eq!(allowed, "", "a file that the test wrote on purpose");
}

#[test]
fn an_agent_serves_in_its_home_and_ends_with_it() {
    let (home, agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("kit/canary", home.canary().as_bytes());
    assert_eq!(wire.get("kit/canary"), Ok(home.canary().as_bytes().to_vec()));
    assert_eq!(home.agent_pid(), Some(agent.pid()), "the lock tells who the agent is");
    let root = home.root().to_owned();
    drop(home);
    eventually("the agent is gone", || (!agent.is_alive()).then_some(()));
    assert!(!root.exists());
}
