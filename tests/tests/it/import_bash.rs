//! The environment after an import is the environment before it: real bash and real direnv
//! read the old file and the new one, with the real `use_keyagent`.

use crate::given::env_of;
use keyagent_tests::{Agent, Home, Output, Random};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

type Env = BTreeMap<Vec<u8>, Vec<u8>>;
/// How a directory's .envrc is read: the reader's exit code, and the environment after it.
type Reader = fn(&Home, &Path) -> (Option<i32>, Env);

/// What direnv's library does for the words that the files have, as far as it can be seen.
/// direnv reads an .envrc inside a function; so does this.
const STUBS: &str = r#"
source_up() { :; }; source_up_if_exists() { :; }; dotenv_if_exists() { :; }
watch_file() { :; }; log_status() { :; }
layout() { export LAYOUT="$*"; }
PATH_add() { export PATH="$1:$PATH"; }
path_add() { export "$1=$2:${!1-}"; }
has() { command -v "$1" >/dev/null; }
strict_env() { set -euo pipefail; }; unstrict_env() { set +euo pipefail; }
find_up() { [[ -e $1 ]] && printf '%s' "$PWD/$1"; }
use() { local cmd=$1; shift; "use_$cmd" "$@"; }
source "$HOOK"
load() { source ./.envrc; }
load >/dev/null
exec env -0
"#;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus");
    let entries = fs::read_dir(directory).expect("the corpus lies beside this file").flatten();
    let file = |entry: fs::DirEntry| {
        let name = entry.path().file_stem().expect("it has a name").to_owned();
        let bytes = fs::read(entry.path()).expect("it can be read");
        (name.into_string().expect("ASCII"), bytes)
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    assert!(files.len() >= 25, "the corpus is there");
    files
}

fn home() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    let hook = home.keyagent(["hook", "direnv"]).run().quietly().stdout;
    fs::write(home.root().join("hook"), hook).expect("ours");
    (home, agent)
}

fn bash(home: &Home, dir: &Path) -> (Option<i32>, Env) {
    let line = home.command("bash").args(["--norc", "-c", STUBS]).dir(dir);
    let output = line.env("HOOK", home.root().join("hook")).run();
    (output.code, env_of(&output.stdout))
}

/// Less what direnv keeps there for itself.
fn direnv(home: &Home, dir: &Path) -> (Option<i32>, Env) {
    home.command("direnv").args(["allow", "."]).dir(dir).run().code(0);
    let output = home.command("direnv").args(["exec", ".", "env", "-0"]).dir(dir).run();
    let mut env = env_of(&output.stdout);
    env.retain(|name, _| !name.starts_with(b"DIRENV_"));
    (output.code, env)
}

fn import(home: &Home, dir: &Path) -> Output {
    home.keyagent(["import", "--replace"]).dir(dir).run().prints("")
}

/// What the project gets must be nowhere in the clear, once the file has been rewritten.
fn watch(home: &Home, dir: &Path, env: &Env) {
    let manifest = fs::read_to_string(dir.join("keyagent.toml")).expect("it was written");
    for (name, value) in env {
        let bound = manifest.contains(&format!("\n{} = ", String::from_utf8_lossy(name)));
        if bound && value.len() >= 12 {
            home.add_canary(value);
        }
    }
}

/// Whether anything was sealed; fails if that can be told from the environment.
fn check(home: &Home, name: &str, bytes: &[u8], read: Reader) -> bool {
    let file = home.write(&format!("{name}/.envrc"), bytes);
    let dir: PathBuf = file.parent().expect("it has one").to_owned();
    let before = read(home, &dir);
    let output = import(home, &dir);
    let after = fs::read(&file).expect("it is there");
    if after == bytes {
        return false;
    }
    let output = output.code(0);
    let shown = || {
        let texts = [bytes, &after[..]].map(keyagent_wire::escape);
        format!("{name}: {}\n->\n{}\n{}", texts[0], texts[1], output.report())
    };
    let now = read(home, &dir);
    assert!(now == before, "{}\n{}", shown(), difference(&before.1, &now.1));
    watch(home, &dir, &now.1);
    import(home, &dir).code(0);
    let twice = fs::read(&file).expect("it is there");
    assert!(twice == after, "twice: {}\n->\n{}", shown(), keyagent_wire::escape(&twice));
    true
}

fn difference(before: &Env, now: &Env) -> String {
    let names = before.keys().chain(now.keys()).filter(|name| before.get(*name) != now.get(*name));
    names.map(|name| format!("differs: {}\n", String::from_utf8_lossy(name))).collect()
}

#[test]
fn needs_bash_the_corpus_reads_the_same() {
    let (home, _agent) = home();
    for (name, bytes) in corpus() {
        let sealed = check(&home, &name, &bytes, bash);
        assert!(sealed, "{name} has a key that can be sealed");
        let file = home.work().join(name).join(".envrc");
        let once = fs::read(&file).expect("it is there");
        import(&home, file.parent().expect("it has one")).code(0);
        assert!(fs::read(&file).expect("it is there") == once, "once more changes nothing");
    }
}

#[test]
fn needs_bash_the_sample_reads_the_same() {
    let (home, _agent) = home();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/sample.envrc");
    let bytes = fs::read(sample).expect("it is there");
    assert!(check(&home, "sample", &bytes, bash));
    let text = fs::read_to_string(home.work().join("sample/.envrc")).expect("it is there");
    for word in ["FAKE", "PRIVATE"] {
        assert!(!text.contains(word), "a key is left: {text}");
    }
}

#[test]
fn needs_direnv_the_corpus_reads_the_same() {
    let (home, _agent) = home();
    home.keyagent(["hook", "direnv", "--install"]).run().code(0).prints("");
    for (name, bytes) in corpus() {
        let sealed = check(&home, &name, &bytes, direnv);
        assert!(sealed, "{name} has a key that can be sealed");
    }
}

/// How one line of a made-up file looks: `V` is a variable, `@` a value as bash writes it.
const LINES: &[&str] = &[
    "export V=@\n",
    "export V=@ V=@\n",
    "export V=@ # V=@\n",
    "V=@\nexport V\n",
    "V=@\n",
    "export V\n",
    "export V=@; export V=@\n",
    "export V=@ && export V=@\n",
    "export V=$V\n",
    "export V=\"<$V>\"@\n",
    "export V=${V:-@}\n",
    "export V=${V+set}\n",
    "if [ -n \"$V\" ]; then export V=@; fi\n",
    "f() { export V=@; }\n",
    "f 2>/dev/null\n",
    "unset V\n",
    "export -n V\n",
    "V+=@\n",
    "export V=$(printf %s @)\n",
    "export V=$(env | grep -c '^V=')\n",
    "V=@ true\n",
    "# V=@\n",
    "\n",
    "export V=\\\n@\n",
    "export V=@ \\\n  V=@\n",
    "{ export V=@; }\n",
    "(export V=@)\n",
    "cat <<E >/dev/null\nexport V=@\nE\n",
    "[ \"$V\" = x ] || export V=@\n",
    "set -a\n",
    "set +a\n",
    "eval 'export V=1'\n",
    "for V in a b; do :; done\n",
    "PATH_add bin\n",
    "export V=@\r\n",
];

/// How many files are made up; more, if by chance too few have a key that can be sealed.
const FILES: usize = 120;
const SEALED: usize = 20;
const FILES_MAX: usize = 2_000;

const VARIABLES: &[&str] = &["A_KEY", "B_TOKEN", "C_SECRET", "PLAIN", "URL"];

const VALUES: &[&str] = &[
    "FAKE-1",
    "'FAKE 2'",
    "\"FAKE 3\"",
    "\"FAKE \\\" \\$ \\\\ 4\"",
    "$'FAKE\\n5\\''",
    "FAKE\\ 6",
    "F'A'\"K\"E7",
    "''",
    "",
    "'multi\nline'",
    "\"multi\nline\n\"",
    "a#b",
    "$PLAIN",
    "\"x$URL\"",
    "~",
    "a{b,c}",
    "\u{e9}\u{1f600}",
    "$'\\x41\\102'",
    "a=b",
    "'it'\\''s'",
    "nomatch*",
    "$",
];

fn made_up(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..2 + random.below(7) {
        for c in LINES[random.below(LINES.len())].chars() {
            match c {
                'V' => text.push_str(VARIABLES[random.below(VARIABLES.len())]),
                '@' => text.push_str(VALUES[random.below(VALUES.len())]),
                c => text.push(c),
            }
        }
    }
    text.into_bytes()
}

#[test]
fn needs_bash_made_up_files_read_the_same() {
    let (home, _agent) = home();
    let mut random = Random::new();
    let (mut files, mut sealed) = (0, 0);
    while files < FILES || sealed < SEALED {
        assert!(files < FILES_MAX, "only {sealed} of {files} had a key that can be sealed");
        let made_up = made_up(&mut random);
        sealed += usize::from(check(&home, &format!("f{files}"), &made_up, bash));
        files += 1;
    }
}
