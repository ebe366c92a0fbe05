//! Real bash as the judge: values, and what is left of the environment.

use super::scripts::SCRIPTS;
use super::{all, read, secrets};
use crate::envfile::{Kind, Verdict, rewrite};
use keyagent_wire::EnvName;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

type Env = BTreeMap<Vec<u8>, Vec<u8>>;

/// What bash itself sets anew at each look, whatever a script says: only that it is there counts.
const MOVING: &[&str] =
    &["BASHPID", "EPOCHREALTIME", "EPOCHSECONDS", "PPID", "RANDOM", "SECONDS", "SRANDOM"];

/// How a script is read: by a shell, or by a function, as direnv does.
const SOURCE: &str = "source /dev/fd/9 9<<<\"$0\" >/dev/null 2>&1 </dev/null; exec env -0";
const SOURCE_IN_FUNCTION: &str =
    "f_() { source /dev/fd/9 9<<<\"$0\"; }; f_ >/dev/null 2>&1 </dev/null; exec env -0";

/// What bash's environment is after the script.
fn sourced(script: &[u8], source: &str, locale: &str) -> Env {
    // A here-string adds the last newline.
    let script = script.strip_suffix(b"\n").unwrap_or(script).to_vec();
    let mut child = Command::new("bash")
        .args(["--norc", "-c", source])
        .arg(std::ffi::OsString::from_vec(script))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", locale)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash is there");
    let mut out = Vec::new();
    let stdout = child.stdout.as_mut().expect("it was piped");
    std::io::Read::read_to_end(stdout, &mut out).expect("bash writes");
    let status = child.wait().expect("bash ends").code().unwrap_or(-1);
    let pairs = out.split(|b| *b == 0).filter_map(|pair| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (pair[..equals].to_vec(), &pair[equals + 1..]);
        let moves = MOVING.iter().any(|moving| moving.as_bytes() == name);
        Some((name, if moves { Vec::new() } else { value.to_vec() }))
    });
    let ended = (b"?".to_vec(), status.to_string().into_bytes());
    pairs.filter(|(name, _)| name != b"_").chain([ended]).collect()
}

/// Whether bash can parse it. What it cannot parse, direnv does not load.
fn is_script(text: &[u8]) -> bool {
    let script = std::ffi::OsString::from_vec(text.to_vec());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-n", "-c"]).arg(script).env_clear().stderr(Stdio::null());
    bash.status().expect("bash is there").success()
}

/// A `use` that exports what was sealed, as direnv's would.
fn with_use(sealed: &[(&EnvName, &[u8])], script: &[u8]) -> Vec<u8> {
    let mut whole = b"use() {\n:\n".to_vec();
    for (var, value) in sealed {
        whole.extend_from_slice(format!("export {var}='").as_bytes());
        for byte in *value {
            match byte {
                b'\'' => whole.extend_from_slice(b"'\\''"),
                byte => whole.push(*byte),
            }
        }
        whole.extend_from_slice(b"'\n");
    }
    whole.extend_from_slice(b"}\n");
    whole.write_all(script).expect("memory takes it");
    whole
}

/// Compares the environments before and after sealing what was chosen.
pub(super) fn check(text: &[u8]) {
    let Ok(file) = crate::envfile::parse(Kind::Envrc, text) else { return };
    // Process ids differ from run to run.
    let differs = text.windows(2).any(|pair| pair == b"$$" || pair == b"$!");
    if differs || !is_script(text) {
        return;
    }
    let shown = || keyagent_wire::escape(text);
    let both = |text: &[u8]| [SOURCE, SOURCE_IN_FUNCTION].map(|how| sourced(text, how, "C"));
    let before = both(&with_use(&[], text));
    // There are more ways to write one: `${$}`, or a line that goes on between the two.
    if both(&with_use(&[], text)) != before {
        return;
    }
    let every = all(&file);
    for chosen in [secrets(&file), every.clone()].into_iter().chain(one_by_one(&every)) {
        let (sealed, _) = file.settle(&chosen);
        if sealed.is_empty() {
            continue;
        }
        let values: Vec<_> = file
            .assignments()
            .iter()
            .filter(|a| sealed.contains(&a.var))
            .map(|a| (&a.var, a.value.expose()))
            .collect();
        let rewritten = rewrite(&file, text, &sealed);
        let after = both(&with_use(&values, &rewritten));
        assert!(before == after, "{}\n-> {}", shown(), keyagent_wire::escape(&rewritten));
        let again = read(Kind::Envrc, &rewritten);
        // What is left of a sealed variable was named before.
        let named = |var: &EnvName| file.left().iter().any(|l| l.var == var.as_str());
        let gone = |var: &EnvName| !sealed.contains(var) || named(var);
        assert!(again.assignments().iter().all(|a| gone(&a.var)), "{}", shown());
        let same = rewrite(&again, &rewritten, &BTreeSet::new());
        assert!(*same == *rewritten);
    }
}

fn one_by_one(vars: &BTreeSet<EnvName>) -> Vec<BTreeSet<EnvName>> {
    vars.iter().map(|var| BTreeSet::from([var.clone()])).collect()
}

/// Compares each value with bash's, where no later line changes it.
fn check_values(text: &[u8]) {
    let file = read(Kind::Envrc, text);
    assert!(!file.assignments().is_empty(), "{}", keyagent_wire::escape(text));
    for locale in ["C", "C.UTF-8"] {
        let env = sourced(text, SOURCE, locale);
        for assignment in file.assignments() {
            let theirs = env.get(assignment.var.as_str().as_bytes()).map(Vec::as_slice);
            let ours = Some(assignment.value.expose());
            assert_eq!(theirs, ours, "{}", keyagent_wire::escape(text));
        }
    }
}

#[test]
fn needs_bash_values_agree() {
    let table: &[&[u8]] = &[
        b"export A=1 B=2\n",
        b"export A=\"x y\" B='x $y' C=a\"b\"'c'\\ d\n",
        b"export A=a#b C=x# # D=1\n",
        b"export A=\"a\\$b\\`c\\\"d\\\\e\\f\\\ng\"\n",
        b"export A=$'\\n\\t\\x41\\x4g\\101\\1012\\e\\E\\a\\b\\f\\v\\r\\\\\\'\\\"\\?\\cA\\c?\\c\\\\\\z\\x'\n",
        b"export A=$'\\u41\\U00000042\\u7f\\ca\\c[\\c1\\777\\xff'\n",
        b"export A='-----BEGIN\nx\n' B=\"1\n2\n\"\n",
        b"export \\\n  A=1\\\n2 \\\n  B=2\n",
        b"export A=1\r\nexport B=\"x\"\r\nexport C='y' \r\n",
        b"export A=\xff\xfe B=\"\xc3\xa9\xff\" C=$'\xe9\\xe9'\n",
        b"export A=\xc2\xa0x\n",
        b"export A=a$ B=\"a$\" C=$/x D=a!b E=[x]*? F=a~b G=%40 H=a=b I=\"$'x'\" J==\n",
        b"export A=\\~ B='~' C=a:\\~ D=\"~\" E='a'b~c\n",
        b"export A=a\\;b\\&c\\|d\\(e\\) B=\\# C=\\\\ D=\\a\n",
        b"export A=1;export B=2&&export C=3;\n",
        b"export A=\x01\x7f B='\x01\x7f' C=\"\x01\x7f\" D=$'\\x01\\x7f'\n",
        b"export A=} B=a} C=\\{a,b\\} D='{a,b}'\n",
        b"A=1\nexport A\nexport B\nB=2\nset -a\nC=3\n",
        b"export A=^x@y%z,w:u+v-\n",
        b"export A=x;B=y;export B\n",
        b"export A=''\"\"$'' B= C=\n",
    ];
    table.iter().for_each(|text| check_values(text));
}

#[test]
fn needs_bash_environments_agree() {
    SCRIPTS.iter().for_each(|text| check(text.as_bytes()));
}

#[test]
fn needs_bash_a_whole_file() {
    let text = include_bytes!("sample.envrc");
    check(text);
    let file = read(Kind::Envrc, text);
    let plain = file.assignments().iter().filter(|a| matches!(a.verdict, Verdict::Plain));
    assert_eq!(plain.count(), 3);
    assert_eq!(secrets(&file).len(), 6);
}
