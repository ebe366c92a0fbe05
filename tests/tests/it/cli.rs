//! The contract of the command line: stdout has the answer or nothing, stderr says why, the
//! exit code says which kind of why.

use crate::given;
use keyagent_tests::{Home, Output, Random, Terminal, binary, copy_program, eventually};
use std::fs::{self, File};
use std::path::Path;

/// Every verb that needs the open vault, in a project.
const NEED_VAULT: &[&[&str]] = &[
    &["get", "app/A_KEY"],
    &["set", "--raw", "app/B_KEY"],
    &["list"],
    &["show", "app/A_KEY"],
    &["rm", "app/A_KEY"],
    &["mv", "app/A_KEY", "app/C_KEY"],
    &["exec", "--", "true"],
    &["export"],
    &["export", "--format", "direnv"],
    &["allow", "--yes"],
    &["deny"],
    &["import", ".envrc"],
    &["import", "--undo", ".envrc"],
];

fn fails(home: &Home, args: &[&str], code: i32, why: &str) -> Output {
    home.keyagent(args).run().fails(code).complains(why)
}

#[test]
fn refused_is_3() {
    let (home, _agent) = given::project();
    let new = home.work().join("new");
    given::manifest(&home, &new, given::MANIFEST);
    for args in [&["exec", "--", "true"][..], &["export"], &["export", "--format", "direnv"]] {
        home.keyagent(args).dir(&new).run().fails(3).complains("`keyagent allow`");
    }
    given::manifest(&home, home.work(), "[env]\nA_KEY = \"app/A_KEY\"\n");
    fails(&home, &["exec", "--", "true"], 3, "changed since it was allowed");
    given::allow(&home, home.work());
    home.keyagent(["set", "app/A_KEY", "--exec-only"]).stdin(home.canary()).run().code(0);
    fails(&home, &["export"], 3, "never exported: `app/A_KEY`");
    home.keyagent(["exec", "--", "printenv", "A_KEY"]).run().quietly();
    home.keyagent(["deny"]).run().code(0).prints("");
    fails(&home, &["exec", "--", "true"], 3, "not allowed");
}

#[test]
fn locked_is_4_for_every_verb_that_needs_the_vault() {
    let (home, _agent) = given::project();
    home.write(".envrc", format!("export B_KEY={}\n", home.canary()));
    home.keyagent(["lock"]).run().quietly().prints("");
    for args in NEED_VAULT {
        fails(&home, args, 4, "the vault is locked").complains("`keyagent unlock`");
    }
    home.keyagent(["status"]).run().quietly().complains("");
    home.keyagent(["lock"]).run().quietly();
    home.keyagent(["unlock"]).run().quietly().prints("");
    home.keyagent(["exec", "--", "true"]).run().quietly();
}

#[test]
fn no_such_secret_is_6() {
    let (home, _agent) = given::project();
    for args in [
        &["get", "app/nope"][..],
        &["show", "app/nope"],
        &["rm", "app/nope"],
        &["mv", "app/nope", "x"],
        &["exec", "--env", "X=app/nope", "--", "true"],
    ] {
        fails(&home, args, 6, "no such secret: `app/nope`");
    }
    fails(&home, &["get", "app/A_KEY", "--version", "9"], 6, "no version 9");
    given::manifest(&home, home.work(), "[env]\nX = \"app/x\"\nY = \"app/y\"\n");
    given::allow(&home, home.work());
    fails(&home, &["exec", "--", "true"], 6, "`app/x`, `app/y`");
    fails(&home, &["export"], 6, "`app/x`, `app/y`");
}

#[test]
fn what_just_fails_is_1() {
    let home = Home::new();
    let _agent = home.agent();
    for args in NEED_VAULT.iter().filter(|args| args[0] != "import") {
        let outside = matches!(args[0], "exec" | "export" | "allow");
        let why = if outside { "no keyagent.toml here or above" } else { "there is no vault yet" };
        fails(&home, args, 1, why);
    }
    fails(&home, &["unlock"], 1, "`keyagent init`");
    home.wire().init(None);
    fails(&home, &["init", "--no-passphrase"], 1, "there is a vault already");
    given::manifest(&home, home.work(), "[env]\nX = 1\n");
    fails(&home, &["exec", "--", "true"], 1, "line 2, column 5: a value of the wrong type");
    given::manifest(&home, home.work(), "[env]\nX = \"x\"\n");
    home.wire().put("x", b"");
    given::allow(&home, home.work());
    fails(&home, &["exec", "-P", "prod", "--", "true"], 1, "no profile `prod`");
    fails(&home, &["exec", "--only", "Y", "--", "true"], 1, "binds no `Y`");
    home.wire().put("y", b"");
    fails(&home, &["mv", "x", "y"], 1, "there is a secret `y` already");
    fails(&home, &["import", ".envrc"], 1, "cannot read `.envrc`: no such file");
}

/// The canary stands for a value that was typed where none belongs: the leak check of the
/// home sees to it that no stream and no log repeats it.
#[test]
fn what_makes_no_sense_is_2_and_is_never_repeated() {
    let (home, _agent) = given::project();
    let canary = home.canary();
    for line in [
        "set NAME @",
        "set NAME=@",
        "set -- NAME @",
        "set NAME --note a @",
        "set NAME --@",
        "set NAME --raw=@",
        "unlock @",
        "unlock --passphrase-fd @",
        "init @",
        "init --no-passphrase=@",
        "get NAME @",
        "get NAME --version @",
        "rm NAME =@",
        "mv NAME @ @",
        "exec --env @ -- true",
        "exec --env A=/@ -- true",
        "exec --only 0@ -- true",
        "exec -P /@ -- true",
        "export --format @",
        "export @",
        "hook @",
        "allow . @",
        "completions @",
        "import . @",
        "@",
        "@ exec true",
    ] {
        let args: Vec<_> = line.split(' ').map(|word| word.replace('@', canary)).collect();
        let output = home.keyagent(&args).run().fails(2);
        assert!(!output.stderr_text().contains(canary), "{line}");
    }
    for line in ["", "exec", "exec --", "get", "rm", "mv a", "hook", "completions"] {
        let args: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        fails(&home, &args, 2, "`keyagent ");
    }
    fails(&home, &["import"], 2, "there is no .envrc and no .env here");
    fails(&home, &["init"], 1, "there is a vault already");
}

#[test]
fn status_never_starts_the_agent() {
    let home = Home::new();
    for args in [&["status"][..], &["status", "--json"]] {
        fails(&home, args, 5, "no agent is running").complains("`keyagent start`");
    }
    for args in ["lock", "stop"] {
        home.keyagent([args]).run().code(0).prints("").complains("no agent is running");
    }
    assert_eq!(home.agent_pid(), None);
    assert!(!home.socket().exists());
    home.keyagent(["start"]).run().quietly().prints("");
    let sheet = home.keyagent(["status"]).run().quietly().stdout_text();
    let pid = home.agent_pid().expect("it runs");
    assert!(sheet.contains(&format!("pid {pid}\n")), "{sheet}");
    assert!(sheet.contains("none yet: `keyagent init` makes one"), "{sheet}");
    let log = home.state().join("agent.log");
    assert!(sheet.contains(&log.display().to_string()), "{sheet}");
    let json = home.keyagent(["status", "--json"]).run().quietly().stdout_text();
    assert!(json.starts_with("{\"schema\":1,") && json.ends_with("}\n"), "{json}");
    home.keyagent(["start"]).run().code(0).complains("running already");
    home.keyagent(["stop"]).run().quietly().prints("");
    fails(&home, &["status"], 5, "no agent is running");
}

#[test]
fn every_other_verb_starts_the_agent() {
    let home = Home::new();
    given::manifest(&home, home.work(), given::MANIFEST);
    home.write(".envrc", format!("export B_KEY={}\n", home.canary()));
    for args in NEED_VAULT.iter().copied().chain([&["unlock"][..]]) {
        fails(&home, args, 1, "there is no vault yet");
        assert!(home.agent_pid().is_some(), "`{}` starts the agent", args.join(" "));
        home.keyagent(["stop"]).run().quietly();
        eventually("the agent lets go of its lock", || home.agent_pid().is_none().then_some(()));
    }
    home.keyagent(["init", "--no-passphrase"]).run().code(0).prints("").complains("not sealed");
    assert!(home.agent_pid().is_some());
}

#[test]
fn no_agent_beside_the_client_is_5() {
    let home = Home::new();
    let alone = home.make_directory("alone").join("keyagent");
    home.may_hold(&alone);
    copy_program(&binary("keyagent"), &alone);
    // One on PATH is not ours, whatever it is called.
    home.command(&alone).arg("list").run().fails(5).complains("alone/keyagentd`: no such file");
    assert_eq!(home.agent_pid(), None);
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let home = Home::new();
    fs::create_dir_all(home.state()).expect("ours");
    let log = home.state().join("agent.log");
    fs::write(&log, "of an earlier one\n").expect("ours");
    // A directory that nobody can make, and a socket in whose place something else is.
    let taken = home.make_directory("taken/agent.sock");
    fs::write(taken.join("file"), "").expect("ours");
    for sock in ["/proc/keyagent/agent.sock".as_ref(), taken.as_path()] {
        for args in [&["list"][..], &["start"], &["exec", "--env", "A=a", "true"]] {
            let output = home.keyagent(args).env("KEYAGENT_SOCK", sock).run();
            let output = output.fails(5).complains("cannot start the agent: ");
            output.complains(&format!("its log: `{}`", log.display()));
        }
        home.keyagent(["status"]).env("KEYAGENT_SOCK", sock).run().fails(5);
    }
    let file = log.join("agent.sock");
    let output = home.keyagent(["list"]).env("KEYAGENT_SOCK", &file).run().fails(5);
    output.complains("agent.log/agent.sock`: not a directory");
    home.keyagent(["list"]).env("KEYAGENT_SOCK", "here").run().fails(2).complains("absolute");
}

#[test]
fn needs_root_a_state_directory_that_cannot_be_written_is_told() {
    let home = Home::of_uid(61_234);
    let state = home.root().join("state");
    std::os::unix::fs::chown(&state, Some(0), Some(0)).expect("we are root");
    home.keyagent(["init", "--no-passphrase"]).run().fails(1).complains("cannot write the vault");
}

#[test]
fn needs_root_a_socket_of_another_user_is_not_talked_to() {
    let (home, agent) = given::project();
    let other = Home::of_uid(61_235);
    for directory in
        [home.root().to_owned(), home.root().join("run"), home.root().join("run/keyagent")]
    {
        open_to_all(&directory);
    }
    open_to_all(&home.socket());
    let sock = home.socket();
    for args in [&["list"][..], &["status"], &["set", "a"]] {
        let run = other.keyagent(args).env("KEYAGENT_SOCK", &sock).stdin(other.canary()).run();
        run.fails(5).complains("it belongs to another user");
    }
    assert!(agent.is_alive());
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
}

#[test]
fn a_value_comes_back_as_it_went() {
    let (home, _agent) = Home::with_vault();
    let mut random = Random::new();
    let long = random.value_bytes(64 * 1024);
    let line = [&long[..64 * 1024], b"\n"].concat();
    let all: Vec<u8> = (1..=255).collect();
    for (stdin, raw, value) in [
        (&b"one\n"[..], false, &b"one"[..]),
        (b"two\n\n", false, b"two\n"),
        (b"raw\n", true, b"raw\n"),
        (b"\r\n", false, b"\r"),
        (b"", true, b""),
        (&all, true, &all),
        (&long, true, &long),
    ] {
        let args: &[&str] = if raw { &["set", "v", "--raw"] } else { &["set", "v"] };
        home.keyagent(args).stdin(stdin).run().code(0).prints("");
        home.keyagent(["get", "v"]).run().quietly().prints(value);
    }
    let before = given::generation(&home);
    for (stdin, why) in [(&line[..], "64 KiB"), (b"a\0b", "a NUL byte")] {
        home.keyagent(["set", "v", "--raw"]).stdin(stdin).run().fails(1).complains(why);
    }
    assert_eq!(given::generation(&home), before, "what is refused is not written");
    home.keyagent(["get", "v"]).run().quietly().prints(&long);
}

/// A pipe that failed must not replace a key by nothing.
#[test]
fn nothing_on_stdin_is_no_value_unless_raw() {
    let (home, _agent) = given::project();
    let written = given::generation(&home);
    for stdin in ["", "\n"] {
        let set = home.keyagent(["set", "app/A_KEY"]).stdin(stdin).run().fails(1);
        set.complains("cannot set `app/A_KEY`: stdin is empty").complains("`--raw` keeps");
    }
    for script in ["false | keyagent set app/A_KEY", "keyagent set app/A_KEY <&-"] {
        home.command("sh").args(["-c", script]).run().fails(1).complains("stdin is empty");
    }
    assert_eq!(given::generation(&home), written);
    home.keyagent(["get", "app/A_KEY"]).run().quietly().prints(home.canary());
    home.command("sh").args(["-c", "keyagent set --raw app/A_KEY </dev/null"]).run().code(0);
    home.keyagent(["get", "app/A_KEY"]).run().quietly().prints("");
}

#[test]
fn facts_are_listed_and_values_are_not() {
    let (home, _agent) = Home::with_vault();
    let set = |args: &[&str], value: &str| {
        home.keyagent([&["set"], args].concat()).stdin(value).run().code(0).prints("")
    };
    set(&["b/two", "--exec-only", "--note", "for \"ci\""], home.canary())
        .complains("`b/two` is new");
    set(&["a/one"], home.canary()).complains("`a/one` is new");
    set(&["a/one"], home.canary()).complains("has that value already");
    set(&["a/one"], &format!("2{}", home.canary())).complains("has version 2 now");
    let list = home.keyagent(["list"]).run().quietly().stdout_text();
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("a/one  v2  20"), "{list}");
    assert!(lines[1].ends_with("exec-only  for \"ci\"") && lines.len() == 2, "{list}");
    let json = home.keyagent(["list", "--json"]).run().quietly().stdout_text();
    assert!(json.starts_with(r#"{"schema":1,"secrets":[{"name":"a/one","#), "{json}");
    let show = home.keyagent(["show", "a/one"]).run().quietly().stdout_text();
    assert!(show.contains("version    1  20") && show.contains("Z  active\n"), "{show}");
    home.keyagent(["show", "b/two", "--json"]).run().quietly();
    home.keyagent(["get", "a/one", "--version", "1"]).run().quietly().prints(home.canary());
    home.keyagent(["mv", "a/one", "c/three"]).run().quietly().prints("");
    home.keyagent(["get", "c/three", "--version", "1"]).run().quietly().prints(home.canary());
    assert_eq!(home.wire().names(), ["b/two", "c/three"]);
    fails(&home, &["rm", "b/two", "nope", "c/three"], 6, "`nope`");
    assert_eq!(home.wire().names(), ["b/two", "c/three"], "all or none");
    home.keyagent(["rm", "b/two", "c/three"]).run().quietly().prints("");
    home.keyagent(["list"]).run().quietly().prints("");
}

#[test]
fn what_nobody_reads_is_an_error() {
    let (home, _agent) = given::project();
    for args in ["get app/A_KEY", "list", "export", "status", "--help", "completions bash"] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full is there");
        let mut command = std::process::Command::new(home.program("keyagent"));
        home.surround(&mut command);
        let output = command.args(args.split(' ')).stdout(full).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{args}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("cannot write to stdout: no space left"), "{args}: {stderr}");
    }
}

#[test]
fn nothing_is_coloured() {
    let (home, _agent) = given::project();
    let lines = ["--help", "exec --help", "import --help", "--version", "list", "no-such-verb"];
    for line in lines {
        let args: Vec<_> = line.split(' ').collect();
        let output = home.keyagent(&args).run();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{line}");
        let program = home.program("keyagent");
        let screen = Terminal::run(&home, program, &args, &[("NO_COLOR", "1")]).end();
        assert!(!screen.stdout.contains(&0x1b), "{line}: {}", screen.report());
        assert_eq!(screen.code, output.code, "{line}");
    }
    let help = home.keyagent(["--help"]).run().quietly().stdout_text();
    for verb in NEED_VAULT.iter().map(|args| args[0]) {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} is in the help");
    }
}
