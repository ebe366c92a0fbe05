//! A day's work through every verb: the values are where they belong, and nowhere else.
//! The end of every home searches its files, its stderr, its log and all command lines; this
//! adds what only shows meanwhile.

use crate::given;
use keyagent_tests::{Home, eventually};
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// One step: its arguments, what it reads, and whether its stdout is meant to have a value.
type Step = (&'static str, &'static str, bool);

/// `@` stands for the canary. What fails on purpose has it where it must not be repeated.
const DAY: &[Step] = &[
    ("start", "", false),
    ("init --passphrase-fd 0", "pass-@", false),
    ("set day/ONE", "@", false),
    ("set day/ONE", "@2\n", false),
    ("set day/RAW --raw --note mine", "@\n\n", false),
    ("set day/RAW @", "", false),
    ("set day/RAW=@", "", false),
    ("set day/TOO_LONG", "%", false),
    ("get day/ONE", "", true),
    ("get day/ONE --version 1", "", true),
    ("get =@", "", false),
    ("list", "", false),
    ("list --json", "", false),
    ("show day/ONE", "", false),
    ("show day/ONE --json", "", false),
    ("import --dry-run", "", false),
    ("import --dry-run --all", "", false),
    ("import --replace", "", false),
    ("import --replace", "", false),
    ("import --undo", "", false),
    ("import .envrc", "", false),
    ("import --replace --all", "", false),
    ("import broken.env", "", false),
    ("import broken.json", "", false),
    ("allow --yes", "", false),
    ("deny", "", false),
    ("exec -- true", "", false),
    ("allow --yes", "", false),
    ("exec -- printenv A_KEY", "", true),
    ("exec --only A_KEY --pristine -- env", "", true),
    ("exec --env X=day/RAW -- printenv X", "", true),
    ("exec -- /no/such/command @", "", false),
    ("export", "", true),
    ("export --format fish", "", true),
    ("export --format direnv", "", true),
    ("export --format nu", "", false),
    ("export --format json", "", true),
    ("export --format dotenv", "", false),
    ("hook direnv", "", false),
    ("completions bash", "", false),
    ("__complete get day/", "", false),
    ("mv day/RAW day/MOVED", "", false),
    ("rm day/MOVED", "", false),
    ("status", "", false),
    ("status --json", "", false),
    ("lock", "", false),
    ("get day/ONE", "", false),
    ("export", "", false),
    ("unlock --passphrase-fd 0", "wrong-@", false),
    ("unlock @", "", false),
    ("unlock --passphrase-fd 0", "pass-@", false),
    ("stop", "", false),
];

const ENVRC: &str = "export A_KEY=@ PLAIN=1\nexport B_TOKEN=\"x@\n@\"\nexport C_KEY=$(echo @)\n";

fn fill(home: &Home, text: &str) -> String {
    text.replace('@', home.canary()).replace('%', &home.canary().repeat(2_000))
}

fn prepare(home: &Home) {
    home.write(".envrc", fill(home, ENVRC));
    home.write("broken.env", fill(home, "A_KEY=@\nB_KEY='@\n"));
    home.write("broken.json", fill(home, "{\"A_KEY\": \"@\", \"B_KEY\": \"@}"));
}

/// Runs the day, each step under this program and its arguments if there are any.
fn day(home: &Home, under: &[&str]) {
    let client = home.program("keyagent").display().to_string();
    for (args, stdin, shows) in DAY {
        let args = fill(home, args);
        let line: Vec<&str> =
            under.iter().copied().chain([client.as_str()]).chain(args.split(' ')).collect();
        let run = home.command(line[0]).args(&line[1..]).stdin(fill(home, stdin));
        let output = run.env("TMPDIR", home.root().join("tmp")).run();
        let has = home.has_value(&output.stdout);
        assert_eq!(has, *shows, "`keyagent {args}`: {}", output.stderr_text());
        assert!(!home.has_value(&output.stderr), "`keyagent {args}`");
    }
}

#[test]
fn t69_t79_no_verb_leaves_a_value_behind() {
    let home = Home::new();
    home.make_directory("tmp");
    prepare(&home);
    day(&home, &[]);
    let left = fs::read_dir(home.root().join("tmp")).expect("ours").count();
    assert_eq!(left, 0, "no temporary file stays");
    assert!(!home.has_value(home.log().as_bytes()));
    assert!(!home.log().is_empty(), "the agent's log is where it is looked for");
}

/// Every file that client or agent opens to write lies in the home, or is no file at all.
#[test]
fn needs_strace_t69_nothing_is_written_elsewhere() {
    let home = Home::new();
    home.make_directory("tmp");
    prepare(&home);
    let calls = "trace=open,openat,openat2,creat,memfd_create";
    // A file for each process: lines of two strace(1) in one file can cut each other.
    let options = ["-ff", "-y", "-A", "-s", "4096", "-qq", "-e", calls, "-o", "trace"];
    let mut agent = Command::new("strace");
    home.surround(&mut agent);
    agent.args(options).arg(home.program("keyagentd"));
    let mut agent = home.start(agent);
    day(&home, &[&["strace"], &options[..]].concat());
    agent.wait();
    let text: String = fs::read_dir(home.work())
        .expect("ours")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("trace."))
        .map(|entry| fs::read_to_string(entry.path()).expect("strace wrote it"))
        .collect();
    let mut written = 0;
    for line in text.lines().filter(|line| is_write(line)) {
        // Behind the call stands what came of it: a descriptor, and its path without links.
        let outcome = line.rsplit(" = ").next().unwrap_or_default();
        let Some((_, path)) = outcome.split_once('<') else { continue };
        let device = path.starts_with("/dev/") && !path.starts_with("/dev/shm");
        assert!(device || path.starts_with(&home.root().display().to_string()), "{line}");
        written += 1;
    }
    assert!(written > 20, "strace saw what is written: {written}");
}

fn is_write(line: &str) -> bool {
    ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE", "creat(", "memfd_create("]
        .iter()
        .any(|word| line.contains(word))
}

/// While a command has a value, it is in that command's environment and in no other.
#[test]
fn t74_only_the_command_has_it_in_its_environment() {
    let (home, agent) = given::project();
    let mut command = Command::new(home.program("keyagent"));
    home.surround(&mut command);
    let mut child = command
        .args(["exec", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it can be run");
    given::environ_of(child.id(), b"cat");
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        if home.has_value(&environ) {
            holders.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    home.search_command_lines();
    assert_eq!(holders, [child.id().to_string()]);
    assert!(agent.is_alive());
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

/// A client that is made to dump core while it holds a value leaves none.
#[test]
fn needs_root_a_client_that_is_aborted_leaves_no_core() {
    let (home, _agent) = given::project();
    let mut command = Command::new("sh");
    home.surround(&mut command);
    let script = "ulimit -c unlimited; exec keyagent set core/KEY";
    let mut child = command
        .env("PATH", home.path_with_programs())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(home.canary().as_bytes()).expect("the client reads it");
    let held = format!("/proc/{}/", child.id());
    let read = format!("{} 0x0 ", nix::libc::SYS_read);
    eventually("the client has read the value", || {
        let comm = fs::read(format!("{held}comm")).ok()?;
        let call = fs::read_to_string(format!("{held}syscall")).ok()?;
        // Waiting in read(2) on stdin, for the rest of it.
        (comm.starts_with(b"keyagent") && call.starts_with(&read)).then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGABRT).expect("it is ours");
    let status = child.wait().expect("it ends");
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
