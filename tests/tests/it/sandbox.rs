//! What the agent has given up before it serves, as the kernel and the agent itself tell it.

use keyagent_tests::{Halted, Home, eventually, process};
use keyagent_wire::health::{Check, Finding, Grade};
use keyagent_wire::{Reply, Request};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of SIGSYS, by which the kernel ends who makes a call that is fatal.
const SIGSYS: i32 = 31;

/// What /proc/PID/status says behind a name.
fn said(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn findings(home: &Home) -> Vec<Finding> {
    match home.wire().ask(&Request::Health) {
        Reply::Health(health) => health.findings,
        _ => panic!("no health"),
    }
}

/// The grades of what has one of these names, worst last.
fn worst(findings: &[Finding], checks: &[Check]) -> Option<Grade> {
    findings.iter().filter(|f| checks.contains(&f.check)).map(|f| f.grade).max()
}

fn links(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.path().read_link().ok()).collect()
}

/// Halts a helper that keeps its socket alone: one that has only just been forked has what the
/// spawner had. None if it is done before that.
fn halt_helper(helper: u32) -> Option<Halted> {
    eventually("it keeps its socket alone, or is done", || match links(helper).len() {
        0 => Some(None),
        1..=4 => Some(Halted::of(helper)),
        _ => None,
    })
}

#[test]
fn t37_the_kernel_sees_it_closed_in() {
    let (home, agent) = Home::with_vault();
    let pid = agent.pid();
    for (name, want) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
    ] {
        assert_eq!(said(pid, name), want, "{name}");
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("Seccomp:\t2\n"), "every thread");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    for (name, want) in [("Max core file size", "0"), ("Max file size", "67108864")] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..2], [want, want], "{name}");
    }
    let found = findings(&home);
    let checks = [Check::Inspection, Check::Privileges, Check::Files, Check::Calls, Check::Spawner];
    assert!(checks.iter().all(|check| found.iter().any(|f| f.check == *check)), "{found:?}");
    assert_eq!(worst(&found, &checks), Some(Grade::Good), "{found:?}");
}

#[test]
fn t38_from_inside_nothing_else_can_be_reached() {
    let home = Home::new();
    let killed = ["exec", "tcp", "listen", "udp", "ptrace"];
    let refused = [
        "open", "list", "write", "spawn", "unix", "datagram", "pair", "kill", "code", "limits",
        "dump",
    ];
    for probe in killed.iter().chain(&refused) {
        let mut command = Command::new(home.program("keyagentd"));
        home.surround(&mut command);
        let tried = command.args(["--selftest-sandbox", probe]).output().expect("it can be run");
        let text = String::from_utf8_lossy(&tried.stdout);
        if killed.contains(probe) {
            assert_eq!(tried.status.signal(), Some(SIGSYS), "{probe}: {text}");
        } else {
            assert_eq!(text, format!("{probe}: refused\n"));
        }
    }
}

#[test]
fn needs_root_t15_it_has_no_socket_but_unix_ones_with_a_path() {
    let (home, agent) = Home::with_vault();
    home.wire().status();
    let inodes: BTreeSet<String> = links(agent.pid())
        .iter()
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    assert!(!inodes.is_empty(), "it listens");
    let has = |line: &str| line.split_whitespace().any(|word| inodes.contains(word));
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "netlink", "packet"] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        assert!(!text.lines().any(has), "{table}");
    }
    let text = fs::read_to_string("/proc/net/unix").expect("there are Unix sockets");
    let ours: Vec<_> = text.lines().filter(|line| has(line)).collect();
    assert!(!ours.is_empty() && !ours.iter().any(|line| line.contains('@')), "{ours:?}");
}

#[test]
fn needs_root_t32_a_helper_has_neither_keys_nor_files() {
    let home = Home::new();
    let agent = home.agent();
    let tell = |verb: &str, passphrase: &str| {
        let stdin = format!("{passphrase}\n");
        home.keyagent([verb, "--passphrase-fd", "0"]).stdin(stdin).run()
    };
    tell("init", "correct horse battery").code(0);
    home.keyagent(["lock"]).run().code(0);
    let spawners = process::children(agent.pid());
    assert_eq!(spawners.len(), 1, "one spawner");
    let session = eventually("a helper listens, and no other runs", || {
        let helpers = process::children(spawners[0]);
        (helpers.len() == 1).then(|| helpers[0])
    });
    std::thread::scope(|scope| {
        // One that is done before it was looked at is followed by another.
        let (helper, _halted) = eventually("a helper is met at work", || {
            let telling = scope.spawn(|| tell("unlock", "wrong"));
            let helper = eventually("a helper runs, or none does any more", || {
                let mut helpers = process::children(spawners[0]).into_iter();
                let found = helpers.find(|child| *child != session);
                (found.is_some() || telling.is_finished()).then_some(found)
            })?;
            halt_helper(helper).map(|halted| (helper, halted))
        });
        for pid in [spawners[0], helper] {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may look");
            assert!(!maps.contains("secretmem"), "no arena");
            // The spawner lets go of what it has passed on.
            let links = eventually("there is one socket and nothing else", || {
                Some(links(pid)).filter(|links| links.len() <= 4)
            });
            assert!(!links.iter().any(|link| link.starts_with(home.root())), "{links:?}");
            assert_eq!(
                (said(pid, "NoNewPrivs"), said(pid, "CapEff")),
                ("1".into(), "0".repeat(16))
            );
        }
    });
}

/// A library that is there and that no agent is linked from.
fn stray_library() -> PathBuf {
    let places = [
        "/lib/x86_64-linux-gnu",
        "/lib/aarch64-linux-gnu",
        "/lib64",
        "/usr/lib64",
        "/usr/lib",
        "/lib",
    ];
    let names = ["libresolv.so.2", "libutil.so.1", "libanl.so.1"];
    let all = places.iter().flat_map(|place| names.map(|name| Path::new(place).join(name)));
    all.into_iter().find(|path| path.exists()).expect("there is a C library")
}

#[test]
fn needs_root_t39_whoever_starts_it_leaves_nothing_behind() {
    let home = Home::new();
    let mut command = Command::new("bash");
    home.surround(&mut command);
    let library = stray_library();
    let script = "for fd in {10..209}; do eval \"exec $fd</dev/null\"; done; umask 0; \
                  trap '' PIPE; exec 0<&- 2>&-; exec \"$0\"";
    command.args(["-c", script]).arg(home.program("keyagentd"));
    command.env("LD_PRELOAD", &library).env("LD_LIBRARY_PATH", "/nowhere");
    command.env("GLIBC_TUNABLES", "glibc.malloc.check=1").env("SECRET_OF_ANOTHER", "x");
    let agent = home.start(command);
    home.wire().init(None);
    let maps = fs::read_to_string(format!("/proc/{}/maps", agent.pid())).expect("root may look");
    let name = library.file_name().and_then(|name| name.to_str()).expect("text");
    assert!(!maps.contains(name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit())));
    let environ = fs::read(format!("/proc/{}/environ", agent.pid())).expect("root may look");
    let environ = String::from_utf8_lossy(&environ).into_owned();
    for name in ["LD_", "GLIBC_TUNABLES", "SECRET_OF_ANOTHER"] {
        assert!(!environ.split('\0').any(|pair| pair.starts_with(name)), "{environ}");
    }
    assert!(environ.contains("XDG_DATA_HOME="), "{environ}");
    let open = process::descriptor_count(agent.pid()).expect("root may look");
    assert!(open < 30, "{open} descriptors");
    for path in [home.vault(), home.data(), home.socket(), home.state().join("agent.log")] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    assert_eq!(
        fs::read_to_string(format!("/proc/{}/comm", agent.pid())).expect("it runs"),
        "keyagentd\n"
    );
}

/// One agent, of whose system calls the one with that number fails: nothing if it did not
/// start, else what it says of itself.
fn with_fault(call: &str, number: usize, config: &str) -> (Home, Option<Vec<Finding>>) {
    let home = Home::new();
    let directory = home.make_directory("config/keyagent");
    fs::write(directory.join("config.toml"), config).expect("it is ours");
    let mut command = Command::new("strace");
    home.surround(&mut command);
    let fault = format!("inject={call}:error=EPERM:when={number}");
    command.args(["-f", "-qq", "-o"]).arg(home.root().join("trace"));
    command.args(["-e", &format!("trace={call}"), "-e", &fault]).arg(home.program("keyagentd"));
    let found = home.try_start(command).map(|_agent| findings(&home));
    (home, found)
}

#[test]
fn needs_root_needs_strace_t40_what_cannot_be_hardened_is_fatal_or_told() {
    for (call, number, lost) in [
        ("close_range", 1, None),
        ("prctl", 1, None),
        ("prctl", 2, Some(Check::Privileges)),
        ("capset", 1, Some(Check::Privileges)),
        ("prctl", 4, Some(Check::Calls)),
        ("landlock_create_ruleset", 1, Some(Check::Files)),
        ("landlock_create_ruleset", 2, Some(Check::Files)),
        ("landlock_add_rule", 1, Some(Check::Files)),
        ("landlock_restrict_self", 1, Some(Check::Files)),
        ("seccomp", 1, Some(Check::Calls)),
        ("seccomp", 2, Some(Check::Calls)),
        ("seccomp", 3, Some(Check::Calls)),
    ] {
        let (home, found) = with_fault(call, number, "");
        match (lost, found) {
            (None, None) => assert!(home.said().contains("cannot harden"), "{}", home.said()),
            (Some(check), Some(found)) => {
                let grade = worst(&found, &[check]);
                assert!(grade > Some(Grade::Good), "{call} {number}: {found:?}");
                assert!(home.log().contains("less than it could be"), "{}", home.log());
            }
            (lost, found) => panic!("{call} {number}: {lost:?}, {found:?}: {}", home.said()),
        }
    }
}

#[test]
fn needs_root_needs_strace_t40_what_must_be_full_does_not_start_with_less() {
    for (call, words) in [("landlock_restrict_self", "files"), ("seccomp", "calls")] {
        let (home, found) = with_fault(call, 1, "require = \"full\"\n");
        assert!(found.is_none(), "{call}: {found:?}");
        let said = home.said();
        assert!(said.contains("require = \"full\"") && said.contains(words), "{said}");
        assert!(!home.socket().exists(), "it leaves no socket");
    }
}

#[test]
fn t08_who_listens_in_its_place_ends_it() {
    let (home, mut agent) = Home::with_vault();
    fs::remove_file(home.socket()).expect("it is ours");
    let other = std::os::unix::net::UnixListener::bind(home.socket()).expect("it is ours");
    assert!(agent.wait().expect("it is our child").success());
    assert!(home.socket().exists(), "the other one's socket is not ours to remove");
    assert!(home.log().contains("this agent ends"), "{}", home.log());
    drop(other);
}

#[test]
fn t08_whose_directory_is_made_anew_ends_too() {
    let (home, mut agent) = Home::with_vault();
    fs::rename(home.data(), home.root().join("away")).expect("it is ours");
    home.may_hold(home.root().join("away"));
    assert!(agent.wait().expect("it is our child").success());
    assert!(!home.socket().exists());
}
