//! Nobody but the user is served, whatever the modes of socket and directories say, and no
//! directory that others can reach is used for the socket.

use keyagent_tests::{Home, copy_program, eventually, rounds};
use keyagent_wire::Refusal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Two users that need not exist.
const OWNER: u32 = 4321;
const STRANGER: u32 = 4322;

fn open_wide(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("root can");
}

/// The probe, where everybody can run it.
fn probe(home: &Home) -> PathBuf {
    let probe = home.root().join("probe");
    copy_program(Path::new(env!("CARGO_BIN_EXE_probe")), &probe);
    open_wide(&probe);
    probe
}

#[test]
fn needs_root_t01_t02_a_stranger_and_root_get_nothing_a_thousand_times() {
    let home = Home::of_uid(OWNER);
    let agent = home.detached_as_user();
    let run = home.root().join("run");
    for path in [home.root(), &run, &run.join("keyagent"), &home.socket()] {
        open_wide(path);
    }
    let socket = home.socket();
    let strange = home.command(probe(&home)).dir("/").uid(STRANGER);
    let strange = strange.arg("connect").arg(&socket).arg("1000").run();
    strange.quietly().prints("1000 connections, 0 bytes\n");
    // Root is another user, too.
    for _ in 0..1000 {
        assert_eq!(home.wire().rest().expect("it ends"), b"", "root gets nothing");
    }
    let own = home.command(home.root().join("probe")).arg("connect").arg(&socket).arg("1").run();
    let own = own.quietly().stdout_text();
    assert!(own.starts_with("1 connections, ") && own != "1 connections, 0 bytes\n", "{own}");
    assert!(agent.is_alive());
}

#[test]
fn needs_root_t07_the_client_tells_nothing_to_a_stranger() {
    let theirs = Home::of_uid(STRANGER);
    let _agent = theirs.detached_as_user();
    theirs.keyagent(["init", "--no-passphrase"]).run().code(0);
    open_wide(theirs.root());
    open_wide(&theirs.root().join("run"));
    open_wide(&theirs.root().join("run/keyagent"));
    open_wide(&theirs.socket());
    let ours = Home::new();
    for args in [&["set", "peer/KEY"][..], &["list"], &["status"]] {
        let output = ours.keyagent(args).env("KEYAGENT_SOCK", theirs.socket());
        let output = output.stdin(ours.canary()).run();
        assert_ne!(output.code, Some(0), "{}", output.report());
        assert_eq!(output.stdout_text(), "", "{}", output.report());
    }
    theirs.keyagent(["list"]).run().code(0).prints("");
}

/// Somebody else listens where our agent should: the client hangs up before it says a word.
#[test]
fn needs_root_t07_the_client_sends_no_byte_to_a_stranger() {
    let home = Home::new();
    let place = home.make_directory("strange");
    open_wide(&place);
    open_wide(home.root());
    let (socket, strange) = (place.join("agent.sock"), probe(&home));
    let runs =
        [&["status"][..], &["list"], &["set", "peer/KEY"], &["unlock", "--passphrase-fd", "0"]];
    let told = std::thread::scope(|scope| {
        let count = runs.len().to_string();
        let listen = home.command(strange).dir("/").uid(STRANGER).arg("listen").arg(&socket);
        let listener = scope.spawn(move || listen.arg(count).run());
        eventually("it listens", || {
            let facts = socket.metadata().ok()?;
            (facts.permissions().mode() & 0o777 == 0o777).then_some(())
        });
        for args in runs {
            let output = home.keyagent(args).env("KEYAGENT_SOCK", &socket).stdin(home.canary());
            let output = output.run();
            assert_ne!(output.code, Some(0), "{}", output.report());
        }
        listener.join().expect("the listener does not panic")
    });
    told.quietly().prints("0 bytes\n");
}

/// At no moment of a start can anybody else come in.
#[test]
fn needs_root_t06_nobody_gets_in_while_an_agent_starts() {
    let home = Home::of_uid(OWNER);
    for directory in [home.root(), &home.root().join("run")] {
        fs::set_permissions(directory, Permissions::from_mode(0o711)).expect("root can");
    }
    // Others may pass through to the directory of the socket, which is closed to them.
    let socket = home.root().join("run/keyagent/agent.sock");
    let mut hammer = Command::new(probe(&home));
    home.surround(&mut hammer);
    let mut hammer = hammer
        .env("KEYAGENT_SOCK", &socket)
        .arg("hammer")
        .arg(&socket)
        .current_dir("/")
        .uid(STRANGER)
        .gid(STRANGER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the probe can be run");
    let mut said = BufReader::new(hammer.stdout.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it is text");
    assert_eq!(line, "hammering\n");
    for _ in 0..rounds(100, 500) {
        let mut command = Command::new(home.program("keyagentd"));
        home.surround(&mut command);
        command.env("KEYAGENT_SOCK", &socket).arg("--detach").stdin(Stdio::null());
        let started = command.stderr(Stdio::null()).output().expect("it can be run");
        assert_eq!(started.stdout, b"ready\n");
        let pid = home.agent_pid().expect("an agent that is ready holds its lock");
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("root can");
        eventually("it ends", || (!keyagent_tests::process::is_alive(pid)).then_some(()));
    }
    drop(hammer.stdin.take());
    line.clear();
    said.read_line(&mut line).expect("it is text");
    assert_eq!(line, "0 connections\n");
    assert!(hammer.wait().expect("it is our child").success());
}

#[test]
fn needs_root_t04_what_a_stranger_has_put_there_is_not_used() {
    let home = Home::of_uid(OWNER);
    let (run, private) = (home.root().join("run/keyagent"), home.make_directory("private"));
    let (uid, gid) = (Uid::from_raw(STRANGER), Gid::from_raw(STRANGER));
    let refused = |what: &str| {
        let word = home.detach_word();
        assert!(word.starts_with("failed: cannot use "), "{what}: {word}");
        assert!(home.agent_pid().is_none(), "{what}");
        let made = fs::read_dir(&private).expect("root can").count();
        assert_eq!(made, 0, "{what}: nothing is made elsewhere");
    };
    fs::create_dir(&run).expect("root can");
    chown(&run, Some(uid), Some(gid)).expect("root can");
    refused("a directory");
    assert_eq!(fs::read_dir(&run).expect("root can").count(), 0);
    fs::remove_dir(&run).expect("root can");
    fs::write(&run, "").expect("root can");
    refused("a file");
    fs::remove_file(&run).expect("root can");
    symlink(&private, &run).expect("root can");
    refused("a link");
    fs::remove_file(&run).expect("root can");
    nix::unistd::mkfifo(&run, nix::sys::stat::Mode::S_IRWXU).expect("root can");
    refused("a fifo");
    fs::remove_file(&run).expect("root can");
    assert_eq!(home.detach_word(), "ready\n");
}

/// Whoever is root in a namespace of their own is who they are outside.
#[test]
fn needs_root_needs_userns_t11_a_namespace_makes_nobody_else() {
    let home = Home::of_uid(OWNER);
    let _agent = home.detached_as_user();
    let run = home.root().join("run");
    for path in [home.root(), &run, &run.join("keyagent"), &home.socket()] {
        open_wide(path);
    }
    let (probe, socket) = (probe(&home), home.socket());
    let connect = |uid: u32| {
        let inside = home.command("unshare").dir("/").uid(uid).arg("-Ur").arg(&probe);
        inside.arg("connect").arg(&socket).arg("10").run().quietly().stdout_text()
    };
    assert_eq!(connect(STRANGER), "10 connections, 0 bytes\n");
    let own = connect(OWNER);
    assert!(own.starts_with("10 connections, ") && !own.ends_with(" 0 bytes\n"), "{own}");
}

/// Every directory that must not be used, and what lies under it afterwards.
#[test]
fn needs_root_t03_no_runtime_directory_of_others_is_used() {
    let home = Home::of_uid(OWNER);
    let private = home.make_directory("private");
    let bad = home.make_directory("bad");
    let group = home.make_directory("bad/group");
    fs::set_permissions(&group, Permissions::from_mode(0o750)).expect("root can");
    let strange = home.make_directory("bad/strange");
    let (uid, gid) = (Uid::from_raw(STRANGER), Gid::from_raw(OWNER));
    chown(&strange, Some(uid), Some(gid)).expect("root can");
    let linked = bad.join("linked");
    symlink(&private, &linked).expect("it is ours");
    let missing = bad.join("missing");
    let open = home.make_directory("bad/open");
    fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("root can");
    // Nobody has /run/user/4321, so an empty variable is as good as none.
    let nowhere = [Path::new("../private"), Path::new("")];
    for runtime in [&group, &open, &strange, &linked, &missing]
        .map(PathBuf::as_path)
        .into_iter()
        .chain(nowhere)
    {
        let daemon = home.program("keyagentd");
        let script = "exec \"$0\" --detach 2>/dev/null";
        let started = home.command("sh").args(["-c", script]).arg(daemon);
        started.env("XDG_RUNTIME_DIR", runtime).run().prints("ready\n");
        let fallback = home.state().join("run/agent.sock");
        assert!(fallback.exists(), "{} is not used, the state directory is", runtime.display());
        for directory in [&group, &open, &strange, &private] {
            let entries = fs::read_dir(directory).expect("root can").count();
            assert_eq!(entries, 0, "nothing is made in {}", directory.display());
        }
        assert!(!missing.exists());
        // The client finds the same place.
        let status = home.keyagent(["status"]).env("XDG_RUNTIME_DIR", runtime).run();
        assert_ne!(status.code, Some(5), "{}", status.report());
        let lock = fallback.with_extension("sock.lock");
        let pid = keyagent_tests::process::lock_holder(&lock).expect("the agent holds it");
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("root can");
        eventually("it ends", || (!keyagent_tests::process::is_alive(pid)).then_some(()));
    }
}

#[test]
fn t04_a_directory_that_others_can_write_is_refused() {
    let home = Home::new();
    let run = home.make_directory("run/keyagent");
    for mode in [0o770, 0o702, 0o777] {
        fs::set_permissions(&run, Permissions::from_mode(mode)).expect("it is ours");
        let word = home.detach_word();
        assert!(word.starts_with("failed: cannot use directory `"), "{mode:o}: {word}");
        assert!(word.ends_with("it is not ours alone\n"), "{mode:o}: {word}");
        assert!(!home.socket().exists());
    }
    fs::set_permissions(&run, Permissions::from_mode(0o700)).expect("it is ours");
    assert_eq!(home.detach_word(), "ready\n");
    assert_eq!(home.wire().get("peer/KEY"), Err(Refusal::NoVault));
}
