//! Nobody but the user is served, whatever the modes of socket and directories say, and no
//! directory that others can reach is used for the socket.

use keyagent_tests::{Home, copy_program, eventually};
use keyagent_wire::Refusal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

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
fn needs_root_a_stranger_gets_nothing_a_thousand_times() {
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
    let mut wire = home.wire();
    assert_eq!(wire.rest().expect("it ends"), b"", "root gets nothing");
    let own = home.command(home.root().join("probe")).arg("connect").arg(&socket).arg("1").run();
    let own = own.quietly().stdout_text();
    assert!(own.starts_with("1 connections, ") && own != "1 connections, 0 bytes\n", "{own}");
    assert!(agent.is_alive());
    // T01: there is no log before there is a vault, and then one word for all of them. A
    // client finds no socket in a directory that is open to all, so it is told.
    let run = |args: &[&str]| home.keyagent(args).env("KEYAGENT_SOCK", &socket).run().code(0);
    run(&["init", "--no-passphrase"]);
    assert_eq!(home.wire().rest().expect("it ends"), b"");
    let told = eventually("the stranger is on record", || {
        let told = run(&["audit"]).stdout_text();
        Some(told).filter(|told| told.contains("stranger turned away"))
    });
    assert!(told.contains(", uid 0"), "{told}");
}

#[test]
fn needs_root_the_client_tells_nothing_to_a_stranger() {
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

/// Every directory that must not be used, and what lies under it afterwards.
#[test]
fn needs_root_no_runtime_directory_of_others_is_used() {
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
    for runtime in [&group, &strange, &linked, &missing, Path::new("../private")] {
        let daemon = home.program("keyagentd");
        let script = "exec \"$0\" --detach 2>/dev/null";
        let started = home.command("sh").args(["-c", script]).arg(daemon);
        started.env("XDG_RUNTIME_DIR", runtime).run().prints("ready\n");
        let fallback = home.state().join("run/agent.sock");
        assert!(fallback.exists(), "{} is not used, the state directory is", runtime.display());
        for directory in [&group, &strange, &private] {
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
fn a_directory_that_others_can_write_is_refused() {
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
