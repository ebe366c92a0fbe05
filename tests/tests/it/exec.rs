//! `exec`: the command is run as if it had been typed alone, with the keys in its
//! environment and nothing else changed.

use crate::given::{self, env_of};
use keyagent_tests::{Home, Random};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// A command line of ours in the home's environment, for what a run does not offer.
fn exec(home: &Home, command: &[&str]) -> Command {
    let mut line = Command::new(home.program("keyagent"));
    home.surround(&mut line);
    line.args(["exec", "--"]).args(command);
    line
}

/// The same command without us.
fn alone(home: &Home, command: &[&str]) -> Command {
    let mut line = Command::new(command[0]);
    home.surround(&mut line);
    line.args(&command[1..]);
    line
}

fn stdout_of(mut command: Command) -> Vec<u8> {
    command.output().expect("it runs").stdout
}

#[test]
fn arguments_arrive_as_they_are() {
    let (home, _agent) = given::project();
    let args: Vec<&OsStr> = ["", " ", "a b", "--", "-P", "--help", "$HOME", "'\"\\", "*\n", "é"]
        .into_iter()
        .map(OsStr::new)
        .chain([OsStr::from_bytes(b"\xff\x01")])
        .collect();
    let expected: Vec<u8> = args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect();
    for verb in ["exec", "run", "x"] {
        for dashes in [&["--"][..], &[]] {
            let line = home.keyagent([verb]).args(dashes).args(["printf", "%s\\0"]).args(&args);
            line.run().quietly().prints(&expected);
        }
    }
}

#[test]
fn t74_the_exit_code_is_the_commands() {
    let (home, _agent) = given::project();
    for code in [0, 1, 2, 3, 4, 5, 6, 77, 125, 126, 127, 128, 255] {
        let line =
            home.keyagent(["exec", "sh", "-c", &format!("echo out; echo err >&2; exit {code}")]);
        let output = line.run().code(code).prints("out\n");
        assert_eq!(output.stderr, b"err\n");
    }
    for signal in [1, 2, 6, 9, 13, 15] {
        let status =
            exec(&home, &["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")]).status();
        assert_eq!(status.expect("it runs").signal(), Some(signal));
    }
}

#[test]
fn what_cannot_be_run_is_126_or_127() {
    let (home, _agent) = given::project();
    let plain = home.write("plain", "no program");
    let plain = plain.display().to_string();
    for (command, code, why) in [
        ("no-such-command", 127, "cannot run `no-such-command`: no such file"),
        ("./none", 127, "cannot run `./none`"),
        (plain.as_str(), 126, "permission denied"),
        ("/", 126, "permission denied"),
        ("./\u{1b}[31m", 127, r"`./\x1b[31m`"),
    ] {
        home.keyagent(["exec", "--", command]).run().fails(code).complains(why);
    }
}

#[test]
fn t74_it_becomes_the_command() {
    let (home, _agent) = given::project();
    let mut line = exec(&home, &["sh", "-c", "echo $$; exec cat"]);
    let mut child =
        line.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be run");
    let environ = given::environ_of(child.id(), b"cat");
    // While it runs, no command line has a value; its own environment has.
    home.search_command_lines();
    let expected = env_of(&environ).remove(&b"A_KEY"[..]);
    assert_eq!(expected.as_deref(), Some(home.canary().as_bytes()));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"through").expect("the command reads it");
    drop(stdin);
    let pid = child.id();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.stdout, format!("{pid}\nthrough").as_bytes());
}

#[test]
fn t74_descriptors_are_the_callers_and_no_others() {
    let (home, _agent) = given::project();
    let list = ["sh", "-c", "ls -l /proc/$$/fd; :"];
    let look = |mut command: Command, out: &str| {
        let stdin = File::open("/dev/zero").expect("it is there");
        let path = home.work().join(out);
        let file = File::create(&path).expect("ours");
        let err = File::options().append(true).open("/dev/full").expect("it is there");
        assert!(command.stdin(stdin).stdout(file).stderr(err).status().expect("it runs").success());
        let text = fs::read_to_string(path).expect("ours");
        let lines = text.lines().filter_map(|line| {
            let (before, target) = line.split_once(" -> ")?;
            Some((before.rsplit(' ').next().map(str::to_owned), target.replace(out, "OUT")))
        });
        lines.collect::<Vec<_>>()
    };
    let ours = look(exec(&home, &list), "ours");
    assert_eq!(ours, look(alone(&home, &list), "theirs"));
    assert!(ours.len() >= 3, "{ours:?}");
    // What the caller opened on purpose stays open.
    let script = "exec 7<keyagent.toml; exec keyagent exec -- sh -c 'cat <&7'";
    home.command("sh").args(["-c", script]).run().quietly().prints(given::MANIFEST);
}

/// What a process inherits of its state. Signals from 32 on are the C library's own affair.
fn status(cat: Command) -> Vec<String> {
    let text = String::from_utf8(stdout_of(cat)).expect("the kernel writes ASCII");
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(":\t")?;
        if !["SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "Seccomp", "CapEff"].contains(&name) {
            return None;
        }
        let value = u64::from_str_radix(value, 16).expect("these are in hex");
        let value = if name.starts_with("Sig") { value & 0x7fff_ffff } else { value };
        Some(format!("{name} {value:x}"))
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 6, "{text}");
    lines
}

#[test]
fn t74_signals_and_limits_are_the_callers() {
    let (home, _agent) = given::project();
    let ours = status(exec(&home, &["cat", "/proc/self/status"]));
    assert_eq!(ours, status(alone(&home, &["cat", "/proc/self/status"])));
    let limits = ["cat", "/proc/self/limits"];
    assert_eq!(stdout_of(exec(&home, &limits)), stdout_of(alone(&home, &limits)));
    let script = "ulimit -Sc 64 && exec keyagent exec -- sh -c 'ulimit -Sc; umask; pwd'";
    let plain = "ulimit -Sc 64 && exec sh -c 'ulimit -Sc; umask; pwd'";
    let expected = home.command("sh").args(["-c", plain]).run().quietly().stdout;
    home.command("sh").args(["-c", script]).run().quietly().prints(expected);
    // A pipe that nobody reads ends the command, as it would without us.
    let yes = "keyagent exec -- yes | head -n 1; echo ${PIPESTATUS[0]}";
    home.command("bash").args(["-c", yes]).run().quietly().prints("y\n141\n");
}

#[test]
fn needs_python3_the_command_can_be_debugged() {
    let (home, _agent) = given::project();
    let script = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))";
    home.keyagent(["exec", "python3", "-c", script]).run().quietly().prints("1\n");
}

#[test]
fn the_environment_is_the_callers_and_the_keys() {
    let (home, _agent) = given::project();
    let mut ours = env_of(&stdout_of(exec(&home, &["env", "-0"])));
    let key = ours.remove(&b"A_KEY"[..]);
    assert_eq!(key.as_deref(), Some(home.canary().as_bytes()));
    assert_eq!(ours, env_of(&stdout_of(alone(&home, &["env", "-0"]))));
    let run = home.keyagent(["exec", "env", "-0"]).env("A_KEY", "old").env("ODD=NAME", "x");
    let env = env_of(&run.run().quietly().stdout);
    assert_eq!(env.get(&b"A_KEY"[..]).map(Vec::as_slice), Some(home.canary().as_bytes()));
    let pristine = home.keyagent(["exec", "--pristine", "env", "-0"]).env("OTHER", "x");
    let env = env_of(&pristine.env("LC_ALL", "C").run().quietly().stdout);
    let names: Vec<_> = env.keys().map(|name| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["A_KEY", "HOME", "LANG", "LC_ALL", "PATH"]);
}

#[test]
fn the_human_says_which_keys() {
    let (home, _agent) = given::project();
    for name in ["app/B_KEY", "app/prod", "other"] {
        home.wire().put(name, name.as_bytes());
    }
    let text = "[env]\nA_KEY = \"app/A_KEY\"\nB_KEY = \"app/B_KEY\"\n\
                C_KEY = { secret = \"none\", optional = true }\n\
                [profile.prod.env]\nB_KEY = \"app/prod\"\nD_KEY = \"other\"\n";
    given::manifest(&home, home.work(), text);
    given::allow(&home, home.work());
    let canary = home.canary().to_owned();
    let a = format!("A_KEY={canary}");
    for (args, expected) in [
        (&[][..], &[a.as_str(), "B_KEY=app/B_KEY"][..]),
        (&["--only", "B_KEY"], &["B_KEY=app/B_KEY"]),
        (&["--only", "B_KEY,A_KEY"], &[a.as_str(), "B_KEY=app/B_KEY"]),
        (&["-P", "prod"], &[a.as_str(), "B_KEY=app/prod", "D_KEY=other"]),
        (&["-P", "prod", "--only", "D_KEY"], &["D_KEY=other"]),
        (&["--env", "X_KEY=other"], &[a.as_str(), "B_KEY=app/B_KEY", "X_KEY=other"]),
        (&["--env", "B_KEY=other"], &[a.as_str(), "B_KEY=other"]),
        (&["--only", "B_KEY", "--env", "Y_KEY=app/prod"], &["B_KEY=app/B_KEY", "Y_KEY=app/prod"]),
    ] {
        let line = home.keyagent(["exec"]).args(args).args(["--", "env"]).run().quietly();
        let text = line.stdout_text();
        let mut keys: Vec<_> = text.lines().filter(|line| line.contains("_KEY=")).collect();
        keys.sort_unstable();
        assert_eq!(keys, expected, "{args:?}");
    }
    let deep = home.make_directory("work/deep/er");
    home.keyagent(["exec", "printenv", "A_KEY"]).dir(deep).run().prints(format!("{canary}\n"));
}

#[test]
fn t48_one_manifest_applies_and_it_is_the_nearest() {
    let (home, _agent) = given::project();
    home.wire().put("in/B_KEY", b"inner");
    home.wire().put("own/C_KEY", b"own");
    let inner = home.make_directory("work/inner");
    given::manifest(&home, &inner, "[env]\nB_KEY = \"in/B_KEY\"\n");
    given::manifest(&home, home.config(), "[env]\nC_KEY = \"own/C_KEY\"\n");
    let script = "echo ${A_KEY:+a} ${B_KEY-} ${C_KEY-}";
    let run = |dir: &std::path::Path| home.keyagent(["exec", "sh", "-c", script]).dir(dir).run();
    run(&inner).fails(3);
    given::allow(&home, &inner);
    run(&inner).quietly().prints("inner\n");
    run(&home.make_directory("work/inner/sub")).quietly().prints("inner\n");
    run(&home.work()).quietly().prints("a\n");
    // Outside projects it is the user's own, which needs no allowing.
    run(&home.root().join("home")).quietly().prints("own\n");
    fs::remove_file(home.config().join("keyagent.toml")).expect("ours");
    run(&home.root().join("home")).fails(1).complains("no keyagent.toml here or above");
    let by_hand = home.keyagent(["exec", "--env", "X=own/C_KEY", "printenv", "X"]);
    by_hand.dir(home.root().join("home")).run().quietly().prints("own\n");
}

#[test]
fn a_manifest_that_is_a_link_or_not_a_file_is_refused() {
    let (home, _agent) = given::project();
    let linked = home.make_directory("linked");
    std::os::unix::fs::symlink(home.work().join("keyagent.toml"), linked.join("keyagent.toml"))
        .expect("ours");
    home.keyagent(["exec", "true"]).dir(&linked).run().fails(1).complains("it is a symbolic link");
    let piped = home.make_directory("piped");
    let path = piped.join("keyagent.toml");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("ours");
    home.keyagent(["exec", "true"]).dir(&piped).run().fails(3).complains("no regular file");
    fs::remove_file(&path).expect("ours");
    fs::create_dir(&path).expect("ours");
    home.keyagent(["exec", "true"]).dir(&piped).run().fails(3).complains("no regular file");
}

#[test]
fn values_of_any_bytes_arrive() {
    let (home, _agent) = Home::with_vault();
    let mut random = Random::new();
    let mut values = vec![(1..=255).collect(), Vec::new(), random.value_bytes(64 * 1024)];
    values.extend((0..40).map(|_| {
        let count = random.below(2_000);
        random.value_bytes(count)
    }));
    let mut text = "[env]\n".to_owned();
    for (index, value) in values.iter().enumerate() {
        home.wire().put(&format!("v/{index}"), value);
        text.push_str(&format!("V{index} = \"v/{index}\"\n"));
    }
    given::manifest(&home, home.work(), &text);
    given::allow(&home, home.work());
    let env = env_of(&home.keyagent(["exec", "env", "-0"]).run().quietly().stdout);
    for (index, value) in values.iter().enumerate() {
        assert_eq!(env.get(format!("V{index}").as_bytes()), Some(value), "V{index}");
    }
}
