//! Clients that come and go, and clients that take all there is: the agent is as it was
//! afterwards.

use crate::burden::Burden;
use keyagent_tests::{Home, Wire, eventually, process, rounds};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many connections come and go: in every run, and when all is asked for.
const VISITS: (usize, usize) = (20_000, 100_000);
/// How much the agent may have grown after them, in KiB.
const GROWTH_KIB_MAX: u64 = 2 * 1024;
/// How many descriptors the poor agent has.
const DESCRIPTORS: usize = 64;
/// How soon it must be well again; only a bound for a machine that is slow and busy.
const RECOVERY_MAX: Duration = Duration::from_secs(20);

#[test]
fn t22_clients_that_come_and_go_leave_nothing() {
    let (home, agent) = Home::with_vault();
    home.wire().put("churn/canary", home.canary().as_bytes());
    let visit = |count: usize| {
        for _ in 0..count {
            drop(UnixStream::connect(home.socket()).expect("the agent listens"));
        }
        // It has seen them all when it answers the next one.
        assert_eq!(home.wire().get("churn/canary"), Ok(home.canary().as_bytes().to_vec()));
    };
    // What is allocated once and kept is there after the first of them.
    visit(2_000);
    let burden = Burden::of(&agent);
    visit(rounds(VISITS.0, VISITS.1));
    burden.is_back(&home, &agent);
    burden.has_grown_by_at_most(&agent, GROWTH_KIB_MAX);
}

#[test]
fn t21_an_agent_without_descriptors_is_well_again() {
    let home = Home::new();
    let mut command = Command::new("sh");
    home.surround(&mut command);
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\"");
    command.args(["-c", &script]).arg(home.program("keyagentd"));
    let agent = home.start(command);
    home.wire().init(None);
    home.wire().put("churn/canary", home.canary().as_bytes());
    let burden = Burden::of(&agent);
    for _ in 0..3 {
        let crowd: Vec<_> = (0..4 * DESCRIPTORS)
            .map(|_| UnixStream::connect(home.socket()).expect("they may wait"))
            .collect();
        eventually("it has no descriptor to spare", || {
            match process::descriptor_count(agent.pid()) {
                // Where nobody may look, what follows is checked all the same.
                None => Some(()),
                Some(count) => (count >= DESCRIPTORS - 8).then_some(()),
            }
        });
        drop(crowd);
        let start = Instant::now();
        let value = eventually("it answers again", || {
            let mut wire = Wire::try_connect(&home.socket()).ok()?;
            matches!(
                wire.try_ask(&keyagent_wire::Request::Status),
                Ok(keyagent_wire::Reply::Status(_))
            )
            .then(|| home.wire().get("churn/canary"))
        });
        assert_eq!(value, Ok(home.canary().as_bytes().to_vec()));
        assert!(start.elapsed() < RECOVERY_MAX, "it took {:?}", start.elapsed());
        burden.is_back(&home, &agent);
    }
}
