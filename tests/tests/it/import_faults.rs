//! `import --replace` where it is stopped: killed at any system call, refused any write,
//! overtaken by an editor. The file is the old one or the new one, and no key that is gone
//! from it is missing in the vault.

use crate::given::{self, generation, tree};
use keyagent_tests::{Home, Output, Terminal};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const OLD: &str = "layout go\nexport A_KEY=@a\nexport B_KEY=@b\n";
const NEW: &str = "layout go\nuse keyagent\n";

/// Every system call with which an import changes anything, or asks the agent to.
const CALLS: &[&str] =
    &["openat", "write", "sendmsg", "recvfrom", "unlinkat", "renameat", "fsync", "fchmod", "flock"];
/// More calls of one kind than an import makes.
const CALLS_MAX: usize = 100;

/// A project of its own, with the file to import.
fn project(home: &Home, name: &str) -> PathBuf {
    let old = OLD.replace('@', home.canary());
    let file = home.write(&format!("{name}/.envrc"), old);
    // Only the file may hold values: nothing that is left beside it.
    file.parent().expect("it has one").to_owned()
}

fn is(home: &Home, dir: &Path, text: &str) -> bool {
    fs::read_to_string(dir.join(".envrc")).expect("it is there") == text.replace('@', home.canary())
}

fn import(home: &Home, dir: &Path) -> Output {
    home.keyagent(["import", "--replace"]).dir(dir).run()
}

/// Whatever happened before: the file is whole, the vault has what it lacks, and another
/// import ends what this one began.
fn check_and_finish(home: &Home, dir: &Path, what: &str) {
    if !is(home, dir, OLD) {
        assert!(is(home, dir, NEW), "{what}: neither the old file nor the new one");
        keys_arrive(home, dir, what);
    }
    import(home, dir).code(0);
    assert!(is(home, dir, NEW), "{what}");
    keys_arrive(home, dir, what);
    let entries = fs::read_dir(dir).expect("ours").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, [".envrc", "keyagent.toml"], "{what}: nothing is left beside them");
}

fn keys_arrive(home: &Home, dir: &Path, what: &str) {
    let run = home.keyagent(["exec", "printenv", "A_KEY", "B_KEY"]).dir(dir).run();
    let canary = home.canary();
    assert_eq!(run.stdout_text(), format!("{canary}a\n{canary}b\n"), "{what}: {}", run.report());
}

/// Imports under strace with this fault at each system call in turn. How often it struck.
fn inject(home: &Home, fault: &str, struck: impl Fn(&Output) -> bool) -> usize {
    let client = home.program("keyagent").display().to_string();
    let mut count = 0;
    for call in CALLS {
        for nth in 1..CALLS_MAX {
            let dir = project(home, &format!("{}-{call}-{nth}", &fault[..5]));
            let inject = format!("inject={call}:{fault}:when={nth}");
            let line = ["-qq", "-o", "/dev/null", "-e", &inject, &client, "import", "--replace"];
            let output = home.command("strace").args(line).dir(&dir).run();
            let struck = struck(&output);
            check_and_finish(home, &dir, &inject);
            if !struck {
                break;
            }
            count += 1;
        }
    }
    count
}

#[test]
fn needs_strace_killed_at_every_call_no_key_is_lost() {
    let (home, _agent) = Home::with_vault();
    let killed = inject(&home, "signal=KILL", |output| output.code.is_none());
    assert!(killed >= 50, "it was killed {killed} times only");
}

#[test]
fn needs_strace_refused_at_every_call_no_key_is_lost() {
    let (home, _agent) = Home::with_vault();
    // A call that may fail without harm does not end it: the next one is tried all the same.
    let total = |output: &Output| {
        let done = output.stderr_text().contains("holds none of these keys any more");
        assert!(done || output.code != Some(0), "no failure passes for a success");
        output.code != Some(0)
    };
    let refused = inject(&home, "error=ENOSPC", total);
    assert!(refused >= 20, "it failed {refused} times only");
}

#[test]
fn a_limit_on_files_loses_no_key() {
    let (home, _agent) = Home::with_vault();
    let dir = project(&home, "p");
    // The signal that comes with it ends the client at its first write to a file.
    let script = "ulimit -f 0; exec keyagent import --replace";
    let output = home.command("sh").args(["-c", script]).dir(&dir).run();
    assert_ne!(output.code, Some(0), "{}", output.report());
    assert!(is(&home, &dir, OLD));
    assert_eq!(home.wire().names(), [""; 0], "nothing was sealed");
    check_and_finish(&home, &dir, "a limit on files");
}

#[test]
fn needs_root_a_full_disk_loses_no_key() {
    let (home, _agent) = Home::with_vault();
    let dir = home.make_directory("work/full");
    // In a namespace of its own, so that nothing stays mounted whatever happens.
    let script = "mount -t tmpfs -o size=64k,mode=700 none . && cd . && cat >.envrc && \
        { cat /dev/zero >fill 2>/dev/null; keyagent import --replace >&2; code=$?; \
          keyagent list; cat .envrc; ls -A; rm fill; keyagent import --replace >&2; \
          echo \"$code $?\"; cat .envrc; }";
    let script = script.replace("cd .", &format!("cd {}", dir.display()));
    let old = OLD.replace('@', home.canary());
    let line = home.command("unshare").args(["-m", "sh", "-c", &script]).dir(&dir);
    let output = line.stdin(old.as_bytes()).run().code(0);
    assert_eq!(
        output.stdout_text(),
        format!("{old}.envrc\nfill\n1 0\n{NEW}"),
        "{}",
        output.report()
    );
    output.complains("no space left on device");
}

#[test]
fn needs_root_a_directory_that_cannot_be_written_loses_no_key() {
    let home = Home::of_uid(61_238);
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let dir = project(&home, "p");
    home.give(&dir);
    fs::set_permissions(&dir, Permissions::from_mode(0o500)).expect("we are root");
    for args in [&["import", "--replace"][..], &["import"]] {
        home.keyagent(args).dir(&dir).run().fails(1).complains("permission denied");
        home.keyagent(["list"]).run().quietly().prints("");
    }
    assert!(is(&home, &dir, OLD));
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("we are root");
    import(&home, &dir).code(0);
    assert!(is(&home, &dir, NEW));
}

#[test]
fn needs_root_a_file_behind_a_link_that_cannot_be_written_is_not_sealed() {
    let home = Home::of_uid(61_239);
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    let dir = project(&home, "p");
    let linked = home.make_directory("work/linked");
    std::os::unix::fs::symlink(dir.join(".envrc"), linked.join(".envrc")).expect("ours");
    home.give(&dir);
    fs::set_permissions(&dir, Permissions::from_mode(0o500)).expect("we are root");
    import(&home, &linked).fails(1).complains("permission denied");
    home.keyagent(["list"]).run().quietly().prints("");
    assert!(!linked.join("keyagent.toml").exists());
    let names: Vec<_> = fs::read_dir(&linked).expect("ours").flatten().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it");
}

/// A question holds an import up, between reading the file and rewriting it.
fn held_up<'a>(home: &'a Home, dir: &Path) -> Terminal<'a> {
    home.wire().put("other/C_KEY", b"c");
    given::manifest(home, dir, "[env]\nC_KEY = \"other/C_KEY\"\n");
    let script = format!("cd '{}' && exec keyagent import --replace", dir.display());
    let mut terminal = Terminal::run(home, "sh", &["-c", &script], &[]);
    terminal.expect("C_KEY <- other/C_KEY");
    terminal.expect("allow that, too? [y/N] ");
    terminal
}

#[test]
fn a_file_that_was_edited_meanwhile_is_left_alone() {
    let (home, _agent) = Home::with_vault();
    let dir = project(&home, "p");
    let mut terminal = held_up(&home, &dir);
    let edited = format!("{OLD}export D_KEY=@d\n");
    fs::write(dir.join(".envrc"), edited.replace('@', home.canary())).expect("ours");
    terminal.line("y");
    let output = terminal.end();
    assert_eq!(output.code, Some(1), "{}", output.report());
    assert!(output.stdout_text().contains("changed meanwhile; it stays as it is"));
    assert!(is(&home, &dir, &edited));
    import(&home, &dir).code(0);
    assert!(is(&home, &dir, NEW));
    keys_arrive(&home, &dir, "edited meanwhile");
}

#[test]
fn a_manifest_that_was_changed_meanwhile_is_not_allowed() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("other/D_KEY", b"d");
    let dir = project(&home, "p");
    let mut terminal = held_up(&home, &dir);
    let sneaked = "[env]\nC_KEY = \"other/C_KEY\"\nD_KEY = \"other/D_KEY\"\n";
    given::manifest(&home, &dir, sneaked);
    terminal.line("y");
    let output = terminal.end();
    assert_ne!(output.code, Some(0), "{}", output.report());
    assert!(is(&home, &dir, OLD));
    let exec = home.keyagent(["exec", "printenv", "D_KEY"]).dir(&dir).run();
    assert!(exec.code == Some(3) || !exec.stdout_text().contains('d'), "{}", exec.report());
}

#[test]
fn two_imports_do_not_meet() {
    let (home, _agent) = Home::with_vault();
    let dir = project(&home, "p");
    let mut terminal = held_up(&home, &dir);
    import(&home, &dir).fails(1).complains("another keyagent is at work there");
    let before = (tree(&dir), generation(&home));
    terminal.line("n");
    let output = terminal.end();
    assert_eq!(output.code, Some(3), "{}", output.report());
    assert!(output.stdout_text().contains("nothing was imported"), "{}", output.report());
    assert!((tree(&dir), generation(&home)) == before);
}
