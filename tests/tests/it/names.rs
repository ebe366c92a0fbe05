//! What has a name from outside is refused or shown escaped, in every stream and on every
//! terminal: no byte of it can move a cursor, forge a line or hide another name.

use crate::given;
use keyagent_tests::{Home, Output, Terminal};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Bytes that a terminal or a reader takes for more than text.
const HOSTILE: &[&[u8]] = &[
    b"a\x1b[31mred",
    b"a\x1b]0;title\x07",
    b"a\nkeyagent: error: forged",
    b"a\rkeyagent: forged",
    b"a\x08\x08\x08",
    b"a\x7f",
    b"a\xc2\x9b31m",
    b"a\xe2\x80\xaegnp.exe",
    b"a\xe2\x81\xa6b\xe2\x81\xa9",
    b"a\xff\xfe",
    b"a\xef\xbb\xbfb",
    b"a\xe2\x80\xa8b",
    b"a'$(touch pwned)'\"`touch pwned`",
];

/// Nothing in it but printable text and line ends.
fn is_plain(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    !text.contains(|c| c != '\n' && is_odd(c))
}

/// Control characters, and what reorders, hides or ends a line without being one.
fn is_odd(c: char) -> bool {
    let odd = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    c.is_control() || c == '\u{feff}' || odd.iter().any(|range| range.contains(&c))
}

fn plain(output: Output) -> Output {
    assert!(is_plain(&output.stdout) && is_plain(&output.stderr), "{:?}", output.stderr_text());
    output
}

#[test]
fn t47_hostile_names_are_refused_and_not_repeated() {
    let (home, _agent) = given::project();
    let long = b"n".repeat(10_000);
    let slash: &[u8] = b"../../etc/passwd";
    for name in HOSTILE.iter().copied().chain([&long[..], slash, b"", b"-x"]) {
        let name = OsStr::from_bytes(name);
        for verb in ["set", "get", "show", "rm"] {
            plain(home.keyagent([verb, "--"]).arg(name).stdin(home.canary()).run().fails(2));
        }
        plain(home.keyagent(["mv", "app/A_KEY"]).arg(name).run().fails(2));
        let pair = [b"X=", name.as_bytes()].concat();
        let exec = home.keyagent(["exec", "--env"]).arg(OsStr::from_bytes(&pair)).arg("true");
        plain(exec.run().fails(2));
        plain(home.keyagent(["exec", "-P"]).arg(name).arg("true").run().fails(2));
        plain(home.keyagent(["export", "-P"]).arg(name).run().fails(2));
        plain(home.keyagent([name]).run().fails(2));
    }
    for note in HOSTILE.iter().filter(|note| !note.contains(&b'$')) {
        let set = home.keyagent(["set", "app/B", "--note"]).arg(OsStr::from_bytes(note));
        plain(set.stdin(home.canary()).run().fails(2));
    }
    let long = "n".repeat(257);
    plain(home.keyagent(["set", "app/B", "--note", &long]).stdin("x").run().fails(2));
    assert_eq!(home.wire().names(), ["app/A_KEY"]);
    let note = "for é, “quoted”, and $(not run)";
    home.keyagent(["set", "app/B", "--note", note]).stdin("x").run().code(0);
    plain(home.keyagent(["show", "app/B"]).run().quietly()).complains("");
}

#[test]
fn t47_hostile_manifests_are_refused_and_not_repeated() {
    let (home, _agent) = given::project();
    for name in HOSTILE {
        for (before, after) in [
            (&b"project = \""[..], &b"\"\n[env]\n"[..]),
            (b"[env]\nX = \"", b"\"\n"),
            (b"[env]\n\"", b"\" = \"app/A_KEY\"\n"),
            (b"[profile.\"", b"\".env]\nX = \"app/A_KEY\"\n"),
            (b"# ", b"\n[env]\nPATH = \"x\"\n"),
            (b"\"", b"\" = 1\n"),
        ] {
            let text = [before, name, after].concat();
            fs::write(home.work().join("keyagent.toml"), text).expect("ours");
            for args in [&["exec", "true"][..], &["allow", "--yes"], &["export"]] {
                let output = plain(home.keyagent(args).run());
                assert!(matches!(output.code, Some(1 | 3)), "{}", output.report());
                assert!(output.stdout.is_empty());
            }
        }
    }
    assert!(!home.work().join("pwned").exists());
}

/// Directories with such names are used, and shown escaped.
#[test]
fn hostile_directories_are_used_and_shown_escaped() {
    let (home, _agent) = given::project();
    let names = [&b"with space"[..], b"quote'\"", b"-dash", b"$HOME `id`", b"trailing "];
    for name in HOSTILE.iter().copied().chain(names) {
        let dir = home.work().join(OsStr::from_bytes(name));
        fs::create_dir(&dir).expect("any name will do");
        let file = dir.join(".envrc");
        fs::write(&file, format!("export B_KEY={}\n", home.canary())).expect("ours");
        home.may_hold(&file);
        plain(home.keyagent(["import", "--replace"]).arg(&file).run().code(0));
        let run = home.keyagent(["exec", "printenv", "B_KEY"]).dir(&dir).run();
        run.quietly().prints(format!("{}\n", home.canary()));
        plain(home.keyagent(["deny"]).arg(&dir).run().code(0));
        plain(home.keyagent(["exec", "true"]).dir(&dir).run().fails(3));
        plain(home.keyagent(["allow", "--yes"]).arg(&dir).run().code(0));
        plain(home.keyagent(["import", "--undo"]).arg(&file).run().code(0));
        plain(home.keyagent(["import"]).arg(dir.join("none")).run().fails(1));
        plain(home.keyagent(["exec", "--"]).arg(dir.join("none")).run().fails(127));
    }
    for name in home.wire().names() {
        assert!(name.is_ascii(), "{name}");
    }
    assert!(!home.work().join("pwned").exists());
    assert!(is_plain(home.log().as_bytes()), "{}", home.log());
}

#[test]
fn t47_on_a_terminal_too() {
    let (home, _agent) = given::project();
    for name in HOSTILE.iter().filter(|name| !name.contains(&b'\'')) {
        let dir = home.work().join(OsStr::from_bytes(name));
        given::manifest(&home, &dir, given::MANIFEST);
        // By printf, since arguments of this kit are text; the dot keeps a last newline.
        let bytes: String = name.iter().map(|byte| format!("\\{byte:03o}")).collect();
        let script = "dir=$(printf \"$1.\") && cd \"./${dir%.}\" && keyagent allow";
        let mut terminal = Terminal::run(&home, "bash", &["-c", script, "-", &bytes], &[]);
        terminal.expect("allow it? [y/N] ");
        terminal.line("");
        let screen = terminal.end();
        assert_eq!(screen.code, Some(3), "{}", screen.report());
        let text = screen.stdout_text().replace("\r\n", "\n");
        assert!(is_plain(text.as_bytes()), "{:?}", screen.stdout_text());
    }
}

/// A home whose paths are far longer than a socket's may be, and oddly named.
#[test]
fn paths_of_any_length_do() {
    let home = Home::new();
    let mut deep = home.work();
    while deep.as_os_str().len() < 600 {
        deep.push(OsStr::from_bytes(b"d\xc3\xa9ep 'and' \x1b[1m"));
    }
    let run = |args: &[&str], stdin: &str| {
        let mut line = home.keyagent(args).stdin(stdin).dir(home.root());
        for (variable, name) in [
            ("HOME", "h"),
            ("XDG_RUNTIME_DIR", "r"),
            ("XDG_DATA_HOME", "d"),
            ("XDG_STATE_HOME", "s"),
            ("XDG_CONFIG_HOME", "c"),
        ] {
            line = line.env(variable, deep.join(name));
        }
        plain(line.run())
    };
    use std::os::unix::fs::DirBuilderExt;
    for name in ["h", "r"] {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(deep.join(name)).expect("ours");
    }
    run(&["init", "--no-passphrase"], "").code(0);
    run(&["set", "a"], home.canary()).code(0);
    run(&["get", "a"], "").quietly().prints(home.canary());
    run(&["status"], "").quietly();
    run(&["stop"], "").quietly();
    assert!(deep.join("d/keyagent/vault.age").exists());
}

/// Project directories deeper than PATH_MAX cannot be named; what can be, works.
#[test]
fn a_deep_project_is_found_from_below() {
    let (home, _agent) = given::project();
    let mut path = home.work();
    while path.as_os_str().len() < 3_700 {
        path.push("d".repeat(200));
    }
    fs::create_dir_all(&path).expect("ours");
    let expected = format!("{}\n", home.canary());
    home.keyagent(["exec", "printenv", "A_KEY"]).dir(&path).run().quietly().prints(&expected);
    given::manifest(&home, &path, given::MANIFEST);
    given::allow(&home, &path);
    let below: PathBuf = path.join("b".repeat(100));
    fs::create_dir(&below).expect("ours");
    home.keyagent(["exec", "printenv", "A_KEY"]).dir(&below).run().quietly().prints(&expected);
    // From a directory whose path is longer than any system call takes.
    let script = "for n in {1..3}; do mkdir -p \"$1\" && cd \"./$1\" || exit; done; \
                  keyagent exec printenv A_KEY";
    let name = OsStr::from_bytes(&b"e".repeat(240)).to_owned().into_vec();
    let name = String::from_utf8(name).expect("ASCII");
    let run = home.command("bash").args(["-c", script, "-", &name]).dir(&below).run();
    run.quietly().prints(&expected);
}
