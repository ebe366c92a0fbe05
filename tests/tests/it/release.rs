//! The programs as they are shipped: static, small, quick to run, easy to try, and gone
//! without a trace when they are uninstalled.

use crate::given;
use keyagent_tests::{Home, eventually};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// 1.5 MiB.
const CLIENT_BYTES_MAX: u64 = 1536 * 1024;
const CALLS_MAX: usize = 60;
/// The type of a segment that names a dynamic loader: elf(5).
const PT_INTERP: u32 = 3;

fn packaging(script: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(script);
    let mut command = Command::new(path.canonicalize().expect("it is there"));
    command.stdin(Stdio::null());
    command
}

/// Where the release is. It is built if it was not yet.
fn dist() -> PathBuf {
    if let Some(dist) = std::env::var_os("KEYAGENT_DIST") {
        return dist.into();
    }
    let output = succeeds(packaging("build.sh"));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let client = text.lines().next().and_then(|line| line.split(" (").next());
    Path::new(client.expect("it says where the client is")).parent().expect("in a directory").into()
}

fn succeeds(mut command: Command) -> Output {
    let output = command.output().expect("it can be run");
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    output
}

/// Fields of 64-bit ELF, little-endian: where the program headers are, and their types.
fn segment_types(elf: &[u8]) -> Vec<u32> {
    assert_eq!(elf[..6], *b"\x7fELF\x02\x01");
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | *byte as usize)
    };
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).map(|index| number(start + index * size, 4) as u32).collect()
}

#[test]
fn the_client_is_static_and_small() {
    let client = dist().join("keyagent");
    let bytes = fs::read(&client).expect("it was built");
    let types = segment_types(&bytes);
    assert!(!types.is_empty() && !types.contains(&PT_INTERP), "{types:?}");
    let size = bytes.len() as u64;
    assert!(size <= CLIENT_BYTES_MAX, "{size} bytes are more than {CLIENT_BYTES_MAX}");
}

#[test]
fn needs_strace_a_warm_exec_is_at_most_60_calls() {
    let (home, _agent) = given::project();
    let client = dist().join("keyagent");
    let run = || {
        // Without the contents of strings: values are among them.
        let line = home.command("strace").args(["-f", "-qq", "-s", "0", "-o", "trace"]);
        line.arg(&client).args(["exec", "--", "true"]).run().quietly();
        fs::read_to_string(home.work().join("trace")).expect("strace wrote it")
    };
    run();
    let trace = run();
    let calls: Vec<_> = trace.lines().collect();
    let last = calls.iter().rposition(|call| call.contains("execve(") && call.ends_with("= 0"));
    let count = last.expect("it becomes the command") + 1;
    assert!(count > 10 && count <= CALLS_MAX, "{count} calls:\n{trace}");
    assert!(!trace.contains("clone"), "it has no thread and no child:\n{trace}");
}

fn throw_away_homes() -> BTreeSet<PathBuf> {
    let places = ["/dev/shm".into(), std::env::temp_dir()];
    let entries = places.iter().flat_map(fs::read_dir).flatten().flatten();
    let is_one = |path: &PathBuf| path.to_string_lossy().contains("keyagent-try.");
    entries.map(|entry| entry.path()).filter(is_one).collect()
}

fn has_process_in(needle: &str) -> bool {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let mut environs = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environs.any(|environ| String::from_utf8_lossy(&environ).contains(needle))
}

#[test]
fn trying_it_leaves_nothing() {
    let home = Home::new();
    let text = "# mine\nlayout go\nexport A_KEY=@ PORT=1\nexport B_TOKEN='@ b'\n";
    let file = home.write("project/.envrc", text.replace('@', home.canary()));
    let before = (given::tree(&home.work()), throw_away_homes());
    let mut command = packaging("try.sh");
    command.arg(&file);
    let output = succeeds(command);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("identical to the original"), "{said}");
    assert!(!home.has_value(&output.stdout) && !home.has_value(&output.stderr), "{said}");
    assert!(given::tree(&home.work()) == before.0, "FILE and what is beside it are as they were");
    // Another one of somebody else's may run meanwhile, and will be gone, too.
    eventually("its home is gone", || throw_away_homes().is_subset(&before.1).then_some(()));
    eventually("its agent is gone", || (!has_process_in("keyagent-try.")).then_some(()));
    let output = succeeds(packaging("try.sh"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no process, no file"));
}

#[test]
fn what_is_installed_works_and_can_be_uninstalled() {
    let home = Home::new();
    let prefix = home.make_directory("prefix with space");
    home.may_hold(&prefix);
    let mine = prefix.join("share/mine");
    fs::create_dir_all(&mine).expect("ours");
    let install = |args: &[&str]| {
        let mut command = packaging("install.sh");
        // The toolchain is the caller's; the vault, and any agent, are this home's.
        for (variable, name) in [("XDG_RUNTIME_DIR", "run"), ("XDG_DATA_HOME", "data")] {
            command.env(variable, home.root().join(name));
        }
        command.env_remove("KEYAGENT_SOCK").arg("--prefix").arg(&prefix).args(args);
        succeeds(command)
    };
    let said = String::from_utf8(install(&[]).stdout).expect("it prints text");
    assert!(said.contains("keyagent init") && said.contains("keyagent import"), "{said}");
    let client = prefix.join("bin/keyagent");
    let run = |args: &[&str]| home.command(&client).args(args).run();
    home.write(".envrc", format!("export A_KEY={}\n", home.canary()));
    run(&["init", "--no-passphrase"]).code(0);
    run(&["import", "--replace"]).code(0);
    run(&["exec", "printenv", "A_KEY"]).quietly().prints(format!("{}\n", home.canary()));
    for path in ["share/man/man1/keyagent.1", "share/bash-completion/completions/keyagent"] {
        assert!(prefix.join(path).metadata().is_ok_and(|facts| facts.len() > 0), "{path}");
    }
    install(&[]);
    run(&["get", "prefix/none"]).fails(6);
    let vault = given::tree(&home.data());
    install(&["--uninstall"]);
    assert!(given::tree(&home.data()) == vault, "the vault is left alone");
    eventually("no agent is left whose program is gone", || {
        home.agent_pid().is_none().then_some(())
    });
    let left: Vec<_> = given::tree(&prefix).into_keys().filter(|path| path.is_file()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(mine.exists(), "what was there before stays");
}
