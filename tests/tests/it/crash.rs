//! A save that is cut off at any system call: the old vault or the new one, what was
//! acknowledged is there, and no temporary file outlives the next start.

use crate::inject::{self, Call, Came, Seed, Tracer, no_temporary_file, traced};
use keyagent_tests::{Home, PATIENCE, Random, Wire, eventually, rounds, within};
use keyagent_wire::Refusal;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the agent is killed under writers: in every run, and when all is asked for.
const KILLS: (usize, usize) = (150, 1_000);

/// A vault with a canary.
fn seed() -> Seed {
    let (home, agent) = Home::with_vault();
    home.wire().put("crash/old", home.canary().as_bytes());
    Seed::of(home, agent)
}

fn has_old(seed: &Seed, wire: &mut Wire) {
    assert_eq!(wire.get("crash/old"), Ok(seed.canary()));
}

const NEW: &str = "crash/new";
/// What a call of a save or a start comes to.
const OUTCOMES: [&str; 5] =
    ["signal=KILL", "error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EINTR"];

fn calls_of_a_save(seed: &Seed) -> Vec<Call> {
    let home = seed.plant();
    let mut agent = home.agent();
    let trace = home.root().join("trace");
    let tracer = Tracer::attach(&home, &agent, &trace, None);
    home.wire().put(NEW, b"new");
    agent.kill();
    drop(tracer);
    inject::calls(&trace, "vault.age.tmp")
}

/// The agent starts again, and all that was promised is there.
fn check_after(seed: &Seed, home: &Home, came: Came, what: &str) {
    let _agent = home.agent();
    let mut wire = home.wire();
    has_old(seed, &mut wire);
    match wire.get(NEW) {
        Ok(value) => {
            assert_eq!(value, b"new", "{what}");
            assert_ne!(came, Came::Refusal, "{what}: it was refused");
        }
        Err(refusal) => {
            assert!(matches!(refusal, Refusal::NoSuchSecret(_)), "{what}: {refusal:?}");
            assert_ne!(came, Came::Nothing, "{what}: it was acknowledged");
        }
    }
    no_temporary_file(home, what);
    wire.put("crash/after", b"after");
}

/// One injection: the save fails, or the agent dies, or neither mattered.
fn inject(seed: &Seed, call: &Call, outcome: &str) -> Came {
    let what = call.injection(outcome);
    let home = seed.plant();
    let mut agent = home.agent();
    let tracer = Tracer::attach(&home, &agent, Path::new("/dev/null"), Some(&what));
    let came = put(seed, &home, &what);
    if came == Came::Death {
        let killed = within(PATIENCE, || (!agent.is_alive()).then_some(()));
        assert!(killed.is_some(), "{what}: it hung up, and lives: {}", home.log());
    }
    agent.kill();
    drop(tracer);
    check_after(seed, &home, came, &what);
    came
}

/// One put into an agent that may die of it.
fn put(seed: &Seed, home: &Home, what: &str) -> Came {
    let mut wire = home.wire();
    match wire.try_put(NEW, b"new") {
        Ok(Ok(_)) => Came::Nothing,
        Ok(Err(Refusal::NotWritten { .. } | Refusal::Vault { .. })) => {
            // The vault is as it was, and still serves.
            has_old(seed, &mut wire);
            assert!(wire.get(NEW).is_err(), "{what}: it was refused, and is there");
            Came::Refusal
        }
        Ok(Err(refusal)) => panic!("{what}: {refusal:?}"),
        Err(_) => Came::Death,
    }
}

#[test]
fn needs_root_needs_strace_t63_a_save_that_fails_at_any_call_loses_nothing() {
    let seed = seed();
    let calls = calls_of_a_save(&seed);
    for expected in ["openat", "write", "fsync", "rename", "flock"] {
        assert!(calls.iter().any(|call| call.name == expected), "no {expected} in {calls:?}");
    }
    let came = inject::each(&calls, &OUTCOMES, |call, outcome| inject(&seed, call, outcome));
    // Every call of the save can be its last; nearly every one can refuse it.
    let count = |of| came.get(&of).copied().unwrap_or(0);
    assert_eq!(count(Came::Death), calls.len(), "{came:?} of {calls:?}");
    assert!(count(Came::Refusal) >= calls.len(), "{came:?} of {calls:?}");
}

/// A home in which a save was cut off.
fn plant_cut_off(seed: &Seed) -> Home {
    let home = seed.plant();
    for left in [home.data().join("vault.age.tmp"), home.state().join("state.json.tmp")] {
        fs::write(left, "half").expect("it is ours");
    }
    home
}

#[test]
fn needs_root_needs_strace_t63_a_start_that_fails_at_any_call_loses_nothing() {
    let seed = seed();
    let home = plant_cut_off(&seed);
    let trace = home.root().join("trace");
    traced(&home, &trace, None).expect("nothing is injected").kill();
    let calls = inject::all_calls(&trace);
    assert!(calls.iter().any(|call| call.name == "unlink"), "it tidies up: {calls:?}");
    let run = |call: &Call, outcome: &str| {
        let what = call.injection(outcome);
        let home = plant_cut_off(&seed);
        let agent = traced(&home, Path::new("/dev/null"), Some(&what));
        let came = agent.map_or(Came::NoStart, |mut agent| {
            agent.kill();
            Came::Nothing
        });
        check_after(&seed, &home, Came::NoStart, &what);
        came
    };
    let came = inject::each(&calls, &OUTCOMES, run);
    // Some of them are another thread's, which makes fewer.
    let ended = came.get(&Came::NoStart).copied().unwrap_or(0);
    assert!(ended >= calls.len() / 2, "{came:?} of {calls:?}");
}

/// What the writers were told is written, by name, and how often they were told so.
#[derive(Default)]
struct Acknowledged {
    values: Mutex<BTreeMap<String, String>>,
    count: AtomicUsize,
}

impl Acknowledged {
    fn add(&self, name: String, value: String) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until the writers are at work with the agent of now.
    fn grows(&self) {
        let before = self.count.load(Ordering::SeqCst);
        eventually("a write is acknowledged", || {
            (self.count.load(Ordering::SeqCst) > before).then_some(())
        });
    }
}

fn write_until(over: &AtomicBool, home: &Home, writer: usize, acknowledged: &Acknowledged) {
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        let Ok(mut wire) = Wire::try_connect(&home.socket()) else {
            thread::yield_now();
            continue;
        };
        loop {
            number += 1;
            // A few names, so that the vault stays small and versions come and go.
            let (name, value) = (format!("crash/{writer}-{}", number % 8), number.to_string());
            let Ok(outcome) = wire.try_put(&name, value.as_bytes()) else { break };
            outcome.unwrap_or_else(|refusal| panic!("`{name}`: {refusal:?}"));
            acknowledged.add(name, value);
            if over.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

#[test]
fn t64_random_kills_under_four_writers_lose_nothing() {
    let home = Home::new();
    let mut agent = home.agent();
    home.wire().init(None);
    let mut random = Random::new();
    let (over, acknowledged) = (AtomicBool::new(false), Acknowledged::default());
    thread::scope(|scope| {
        for writer in 0..4 {
            let (over, home, acknowledged) = (&over, &home, &acknowledged);
            scope.spawn(move || write_until(over, home, writer, acknowledged));
        }
        for round in 0..rounds(KILLS.0, KILLS.1) {
            // At a random moment, which is the point: of its start, or of its saves.
            if round % 2 == 0 {
                acknowledged.grows();
            }
            thread::sleep(Duration::from_micros(random.below(40_000) as u64));
            agent.kill();
            agent = home.agent();
        }
        over.store(true, Ordering::SeqCst);
    });
    let mut wire = home.wire();
    let all = acknowledged.values.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, value) in all {
        let found = wire.get(&name).unwrap_or_else(|refusal| panic!("`{name}`: {refusal:?}"));
        let found: u64 = String::from_utf8_lossy(&found).parse().expect("it is a number");
        // A later one may have been written and never acknowledged.
        assert!(found >= value.parse().expect("it is a number"), "`{name}`: {found}, not {value}");
    }
    no_temporary_file(&home, "after all kills");
}

/// Writes are refused, reads go on, and nothing is left behind; then it works again.
fn is_refused_cleanly(home: &Home, errnos: &[i32]) {
    let mut wire = home.wire();
    let before = fs::read(home.vault()).expect("it is there");
    for _ in 0..3 {
        match wire.try_put("crash/large", &[b'x'; 64 * 1024]).expect("it answers") {
            Err(Refusal::NotWritten { errno }) => assert!(errnos.contains(&errno), "{errno}"),
            other => panic!("not refused: {other:?}"),
        }
        assert_eq!(wire.get("crash/canary"), Ok(home.canary().as_bytes().to_vec()));
    }
    assert!(fs::read(home.vault()).expect("it is there") == before, "the vault is untouched");
    no_temporary_file(home, "after a refused write");
}

#[test]
fn t63_t66_a_file_size_limit_is_refused_cleanly() {
    let home = Home::new();
    let mut command = Command::new("sh");
    home.surround(&mut command);
    command.args(["-c", "ulimit -f 32; exec \"$0\""]).arg(home.program("keyagentd"));
    let _agent = home.start(command);
    home.wire().init(None);
    home.wire().put("crash/canary", home.canary().as_bytes());
    is_refused_cleanly(&home, &[nix::libc::EFBIG]);
    home.wire().put("crash/small", b"small");
}

/// The kernel takes as many bytes as fit below the limit, and refuses the rest.
#[test]
fn needs_prlimit_t63_a_write_that_is_cut_at_any_length_is_refused_cleanly() {
    let (home, agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("crash/canary", home.canary().as_bytes());
    // What is sealed is padded to this; what age puts before it is never of the same length.
    let size = 4096;
    // The soft limit alone: the hard one is the agent's own.
    let limit = |bytes: u64| {
        let fsize = format!("--fsize={bytes}:");
        home.command("prlimit").args([&fsize, "--pid", &agent.pid().to_string()]).run().quietly();
    };
    let before = fs::read(home.vault()).expect("it is there");
    for bytes in (0..size).step_by(61) {
        limit(bytes);
        match wire.try_put("crash/cut", b"cut").expect("it answers") {
            Err(Refusal::NotWritten { errno }) => assert_eq!(errno, nix::libc::EFBIG, "{bytes}"),
            other => panic!("at {bytes} bytes not refused: {other:?}"),
        }
        // What cannot be put on record is not handed out, either.
        limit(1 << 20);
        assert_eq!(wire.get("crash/canary"), Ok(home.canary().as_bytes().to_vec()));
        assert!(fs::read(home.vault()).expect("it is there") == before, "{bytes}");
        no_temporary_file(&home, "after a write that was cut");
    }
    limit(1 << 20);
    wire.put("crash/cut", b"cut");
}

#[test]
fn needs_root_t66_no_inode_is_refused_cleanly() {
    let home = Home::new();
    let data = home.make_directory("data/keyagent");
    let disk = Mounted::tmpfs(&data, "size=1m,nr_inodes=64,mode=700");
    let _agent = home.agent();
    home.wire().init(None);
    home.wire().put("crash/canary", home.canary().as_bytes());
    let fillers: Vec<_> = (0..64).map(|n| data.join(format!("filler-{n}"))).collect();
    for filler in &fillers {
        if fs::write(filler, "").is_err() {
            break;
        }
    }
    is_refused_cleanly(&home, &[nix::libc::ENOSPC]);
    for filler in &fillers {
        let _ = fs::remove_file(filler);
    }
    home.wire().put("crash/new", b"new");
    drop(disk);
}

#[test]
fn needs_root_t66_a_remount_read_only_is_refused_cleanly() {
    let home = Home::new();
    let data = home.make_directory("data/keyagent");
    let disk = Mounted::tmpfs(&data, "size=1m,mode=700");
    let _agent = home.agent();
    home.wire().init(None);
    home.wire().put("crash/canary", home.canary().as_bytes());
    let remount = |how: &str| {
        home.command("mount").args(["-o", how]).arg(&data).run().quietly();
    };
    remount("remount,ro");
    is_refused_cleanly(&home, &[nix::libc::EROFS]);
    remount("remount,rw");
    home.wire().put("crash/new", b"new");
    drop(disk);
}

#[test]
fn needs_root_t66_a_full_disk_is_refused_cleanly() {
    let home = Home::new();
    let data = home.make_directory("data/keyagent");
    let disk = Mounted::tmpfs(&data, "size=64k,mode=700");
    let mut agent = home.agent();
    home.wire().init(None);
    home.wire().put("crash/canary", home.canary().as_bytes());
    is_refused_cleanly(&home, &[nix::libc::ENOSPC]);
    agent.terminate();
    let mut agent = home.agent();
    assert_eq!(home.wire().get("crash/canary"), Ok(home.canary().as_bytes().to_vec()));
    agent.terminate();
    drop(disk);
}

/// Root is stopped by no mode, so the owner is another user here.
#[test]
fn needs_root_t66_a_read_only_directory_is_refused_cleanly() {
    let home = Home::of_uid(4321);
    let _agent = home.detached_as_user();
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let set = |name: &str| home.keyagent(["set", name]).stdin(home.canary()).run();
    set("crash/canary").code(0);
    let before = fs::read(home.vault()).expect("root can");
    fs::set_permissions(home.data(), Permissions::from_mode(0o500)).expect("root can");
    let refused = set("crash/new").code(1);
    assert_eq!(refused.stdout_text(), "");
    home.keyagent(["get", "crash/canary"]).run().code(0).prints(home.canary());
    assert!(fs::read(home.vault()).expect("root can") == before);
    no_temporary_file(&home, "after a refused write");
    fs::set_permissions(home.data(), Permissions::from_mode(0o700)).expect("root can");
    set("crash/new").code(0);
}

/// A filesystem of its own, until dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs on that directory.
    pub fn tmpfs(on: &Path, options: &str) -> Self {
        use nix::mount::{MsFlags, mount};
        let none: Option<&str> = None;
        mount(none, on, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("root can mount");
        Self(on.to_owned())
    }

    /// Whether nothing can be written there from now on.
    pub fn read_only(&self, is: bool) {
        use nix::mount::{MsFlags, mount};
        let none: Option<&str> = None;
        let flags = if is { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
        mount(none, &self.0, none, flags, none).expect("nobody writes there");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
