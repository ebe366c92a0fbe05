//! Nothing of a value is left in memory where root can read it: not in the agent in any of
//! its states, not in a core that root makes of it, and not in a client that is done.

use keyagent_tests::memory::{self, Mapping, scan};
use keyagent_tests::wire::{done, refused, secret};
use keyagent_tests::{Agent, Home, eventually};
use keyagent_wire::reply::VaultState;
use keyagent_wire::{Refusal, Request};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const PASSPHRASE: &str = "Tr0ub4dor-and-a-passphrase";
/// How often the states are gone through; the first time all that can be read is looked at,
/// then all that can be written.
const ROUNDS: usize = 100;
const GETS: usize = 1_000;
/// In how many rounds the vault is locked once.
const LOCKED_EVERY: usize = 10;

/// What must not be found in an agent: the canaries, the passphrase, any identity.
fn needles(home: &Home) -> Vec<Vec<u8>> {
    let canary = home.canary().as_bytes().to_vec();
    vec![canary, PASSPHRASE.as_bytes().to_vec(), b"AGE-SECRET-KEY-1".to_vec()]
}

fn holds_nothing(home: &Home, agent: &Agent, round: usize, state: &str) {
    let is_asked = |mapping: &Mapping| match round {
        // The program itself has the prefix that it looks for.
        0 => mapping.is_own() || !mapping.name.ends_with("keyagentd"),
        _ => mapping.is_own(),
    };
    let (found, bytes) = scan(agent.pid(), &needles(home), is_asked);
    assert!(bytes > 500_000, "only {bytes} bytes could be read");
    assert!(found.is_empty(), "round {round}, {state}: {found:x?}");
}

fn gets(home: &Home, count: usize) {
    let mut wire = home.wire();
    for _ in 0..count {
        assert_eq!(wire.get("memory/canary"), Ok(home.canary().as_bytes().to_vec()));
    }
}

fn with_canary(agent: impl FnOnce(&Home) -> Agent) -> (Home, Agent) {
    let home = Home::new();
    let agent = agent(&home);
    home.add_canary(PASSPHRASE.as_bytes());
    home.wire().init(Some(PASSPHRASE));
    home.wire().put("memory/canary", home.canary().as_bytes());
    (home, agent)
}

#[test]
fn needs_root_the_scan_finds_what_is_there() {
    let home = Home::new();
    for text in [home.canary().to_owned(), hex(home.canary())] {
        let mut holder = Command::new("sh");
        home.surround(&mut holder);
        let holder = holder.args(["-c", "read -r held; read -r rest"]).stdin(Stdio::piped());
        let mut holder = holder.spawn().expect("there is a sh");
        let mut stdin = holder.stdin.take().expect("it is piped");
        stdin.write_all(format!("{text}\n").as_bytes()).expect("it reads");
        let values = [home.canary().as_bytes().to_vec()];
        eventually("the canary is found where one is", || {
            (!scan(holder.id(), &values, |_| true).0.is_empty()).then_some(())
        });
        drop(stdin);
        holder.wait().expect("it is our child");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn needs_root_t26_no_value_is_in_the_agents_memory_in_any_state() {
    let (home, agent) = with_canary(Home::agent);
    for round in 0..ROUNDS {
        let look = |state: &str| holds_nothing(&home, &agent, round, state);
        look("unlocked");
        gets(&home, if round == 0 { GETS } else { 10 });
        look("after gets");
        // A connection that stays open keeps what it was sent with.
        let mut wire = home.wire();
        wire.put("memory/other", format!("{}-{round}", home.canary()).as_bytes());
        done(wire.stage("memory/staged", home.canary().as_bytes()));
        look("after set");
        // Each costs a second of scrypt.
        if round % LOCKED_EVERY > 0 {
            continue;
        }
        done(wire.ask(&Request::Lock));
        look("locked");
        let wrong = Some("not the passphrase");
        assert_eq!(refused(wire.unlock(wrong)), Refusal::WrongPassphrase);
        look("after a failed unlock");
        done(wire.unlock(Some(PASSPHRASE)));
    }
}

#[test]
fn needs_root_needs_gdb_t29_no_value_is_in_a_core_that_root_makes() {
    let (home, agent) = with_canary(Home::agent);
    gets(&home, 10);
    let to = home.root().join("core");
    let mut gcore = Command::new("gcore");
    gcore.args(["-a", "-o"]).arg(&to).arg(agent.pid().to_string());
    let made = gcore.stdin(Stdio::null()).output().expect("there is a gcore");
    let core = fs::read(to.with_extension(agent.pid().to_string()));
    let core = core.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)));
    assert!(core.len() > 500_000, "{} bytes", core.len());
    assert!(!home.has_value(&core), "a value is in the core");
    assert!(agent.is_alive());
}

#[test]
fn needs_root_needs_strace_t30_without_secret_memory_it_is_locked_and_not_dumped() {
    let (home, agent) = with_canary(|home| {
        let mut command = Command::new("strace");
        home.surround(&mut command);
        let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=memfd_secret"];
        command.args(inject).args(["-e", "inject=memfd_secret:error=ENOSYS"]);
        command.arg(home.program("keyagentd"));
        home.start(command)
    });
    gets(&home, 10);
    let names = memory::mappings(agent.pid());
    assert!(!names.iter().any(|m| m.name.contains("secretmem")), "it was denied");
    assert!(home.log().contains("check: Memory, grade: Weak"), "the log says so: {}", home.log());
    let locked: Vec<_> = names
        .iter()
        .filter(|m| m.is_own())
        .map(|m| (m, memory::flags(agent.pid(), m.range.0)))
        .filter(|(_, flags)| flags.iter().any(|flag| flag == "lo"))
        .collect();
    assert_eq!(locked.len(), 2, "keys and scratch: {locked:?}");
    assert!(
        locked.iter().all(|(_, flags)| ["dd", "dc"].iter().all(|f| flags.contains(&(*f).into())))
    );
    let is_locked = |m: &Mapping| locked.iter().any(|(arena, _)| arena.range == m.range);
    let (found, _) = scan(agent.pid(), &needles(&home), |m| m.is_own() && !is_locked(m));
    assert!(found.is_empty(), "outside of the arena: {found:x?}");
    done(home.wire().ask(&Request::Lock));
    let (found, _) = scan(agent.pid(), &needles(&home), Mapping::is_own);
    assert!(found.is_empty(), "after a lock: {found:x?}");
}

#[test]
fn needs_root_t31_little_lockable_memory_is_reported_and_harms_nothing() {
    for kib in ["0", "64"] {
        let home = Home::of_uid(4321);
        let script = format!("ulimit -l {kib}; exec \"$0\" --detach");
        let mut agent = Command::new("sh");
        home.surround(&mut agent);
        agent.args(["-c", &script]).arg(home.program("keyagentd"));
        // It keeps its stderr, which nobody may wait for.
        let said = agent.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("a sh");
        assert_eq!(said.stdout, b"ready\n");
        home.keyagent(["init", "--no-passphrase"]).run().code(0);
        home.keyagent(["set", "memory/canary"]).stdin(home.canary()).run().code(0);
        for _ in 0..20 {
            let got = home.keyagent(["get", "memory/canary"]).run().code(0);
            got.prints(home.canary());
        }
        home.keyagent(["lock"]).run().code(0);
        home.keyagent(["unlock"]).run().code(0);
        assert!(home.log().contains("check: Memory, grade: Bad"), "{kib} KiB: {}", home.log());
    }
}

#[test]
fn what_is_left_of_a_reply_after_a_lock_is_not_sent() {
    let (home, _agent) = Home::with_vault();
    let large = [home.canary().as_bytes(), &[b'x'; 65_000]].concat();
    home.wire().put("memory/large", &large);
    let get = Request::Get { name: secret("memory/large"), version: None };
    // Nobody reads, until the replies fill the socket and one is sent in part.
    let mut slow = home.wire();
    for _ in 0..16 {
        slow.send(&get).expect("requests are small");
    }
    let all = 16 * (large.len() + 10);
    eventually("a reply waits", || {
        let waiting = unread_bytes(&slow);
        std::thread::sleep(std::time::Duration::from_millis(2));
        (waiting > 0 && waiting == unread_bytes(&slow)).then_some(())
    });
    done(home.wire().ask(&Request::Lock));
    assert_eq!(home.wire().status().vault, VaultState::Locked);
    let got = slow.rest().expect("it ends");
    assert!(got.len() < all, "{} of {all} bytes came", got.len());
}

/// How many bytes wait to be read.
fn unread_bytes(wire: &keyagent_tests::Wire) -> usize {
    use std::os::fd::AsRawFd;
    let mut bytes = vec![0; 4 * 1024 * 1024];
    let flags = nix::sys::socket::MsgFlags::MSG_PEEK | nix::sys::socket::MsgFlags::MSG_DONTWAIT;
    nix::sys::socket::recv(wire.socket().as_raw_fd(), &mut bytes, flags).unwrap_or(0)
}

#[test]
fn needs_root_t35_a_client_that_exported_keeps_nothing() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("memory/canary", home.canary().as_bytes());
    home.write("keyagent.toml", "[env]\nA_KEY = \"memory/canary\"\n");
    home.keyagent(["allow", "--yes"]).run().code(0);
    let mut child = Command::new("sh");
    home.surround(&mut child);
    child
        .args(["-c", "read -r go; exec \"$0\" export --format json"])
        .arg(home.program("keyagent"));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a sh");
    let pid = Pid::from_raw(child.id() as i32);
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXIT).expect("root may trace");
    child.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
    loop {
        match waitpid(pid, None).expect("it is our child") {
            WaitStatus::PtraceEvent(..) => break,
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).expect("it is stopped"),
            other => panic!("it ended: {other:?}"),
        }
    }
    let values = [home.canary().as_bytes().to_vec()];
    let (found, bytes) = scan(child.id(), &values, Mapping::is_own);
    ptrace::detach(pid, None).expect("it is stopped");
    let output = child.wait_with_output().expect("it is our child");
    assert!(home.has_value(&output.stdout), "it did export");
    assert!(bytes > 50_000, "only {bytes} bytes could be read");
    assert!(found.is_empty(), "left in the client: {found:x?}");
}
