//! What the style promises of the source, kept true by looking.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// How far above an unsafe block its reason may begin.
const SAFETY_LINES_MAX: usize = 8;

/// One file of Rust, from the root of the workspace.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are shipped: no tests, no comments.
    fn shipped(&self) -> Vec<(usize, &str)> {
        if self.is_test() {
            return Vec::new();
        }
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let shipped = lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        shipped.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.starts_with("fuzz/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the workspace is above").to_owned()
}

/// The files under a directory that have one of these endings.
fn files(directory: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let (root, mut found) = (root(), Vec::new());
    for name in ["client", "agent", "tests", "fuzz"] {
        files(&root.join(name), &[".rs"], &mut found);
    }
    assert!(found.len() > 60, "the source is there");
    let source = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("source is text"),
        path: path.strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned(),
    };
    found.into_iter().map(source).collect()
}

/// Fails with every place that was found.
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// Every shipped line outside `allowed` in which `is_bad` finds something.
fn shipped_lines(allowed: &[&str], is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_under(allowed)) {
        let bad = source.shipped().into_iter().filter(|(_, line)| is_bad(line));
        found.extend(bad.map(|(at, line)| format!("{}:{at}: {}", source.path, line.trim())));
    }
    found
}

/// Whether a word stands in a line by itself.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn files_and_functions_are_short() {
    let mut found = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            found.push(format!("{}: {} lines", source.path, lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            let length = function_lines(&lines[at..]);
            if length > FUNCTION_LINES_MAX {
                found.push(format!("{}:{}: {length} lines: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    none(found, "files have at most 500 lines, functions at most 70");
}

/// How many lines the function has that begins here; 0 if none does. rustfmt puts its last
/// brace where its first line begins.
fn function_lines(lines: &[&str]) -> usize {
    let first = lines[0].trim_start();
    let words: Vec<&str> = first.split_whitespace().take(4).collect();
    let is_function = words.iter().position(|word| *word == "fn").is_some_and(|at| {
        words[..at].iter().all(|w| w.starts_with("pub") || ["const", "async", "unsafe"].contains(w))
    });
    if !is_function || first.ends_with('}') || first.ends_with(';') {
        return 0;
    }
    let indent = lines[0].len() - first.len();
    let ends = |line: &&str| line.trim_end().len() == indent + 1 && line.ends_with('}');
    lines.iter().position(ends).map_or(0, |last| last + 1)
}

/// A measure that finds nothing proves nothing.
#[test]
fn a_function_is_measured_from_its_first_line_to_its_last() {
    let body = ["    pub(crate) async fn long(", "    ) {", "        {", "        }", "    }", "}"];
    assert_eq!(function_lines(&body), 5);
    assert_eq!(function_lines(&body[1..]), 0);
    assert_eq!(function_lines(&["fn short() {}"]), 0);
    assert!(has_word("use age::x;", "age") && !has_word("let page = 1;", "age"));
}

#[test]
fn every_file_says_what_it_owns() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    none(silent.map(|source| source.path).collect(), "a file opens with what it owns");
}

#[test]
fn unsafe_code_is_in_one_crate_and_says_why() {
    none(shipped_lines(&["agent/sys/"], |l| has_word(l, "unsafe")), "unsafe is for agent/sys");
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.is_under(&["agent/sys/"])) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let above = &lines[at.saturating_sub(SAFETY_LINES_MAX)..at];
            let says_why = above.iter().any(|line| line.contains("SAFETY:"));
            if line.contains("unsafe {") && !says_why {
                found.push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    none(found, "every unsafe block says why it is sound");
}

#[test]
fn each_crate_has_its_one_place() {
    let uses = |name: &'static str| {
        move |line: &str| {
            has_word(line, name) && (line.contains(&format!("{name}::")) || line.contains("use "))
        }
    };
    for (name, places) in [
        ("age", &["agent/src/vault/seal.rs", "agent/src/vault/foreign.rs", "tests/"][..]),
        ("tokio", &["agent/src/serve/", "agent/src/main.rs"]),
        ("bincode", &["client/wire/"]),
        ("notify", &["agent/src/vault/watch.rs"]),
        ("toml_edit", &["agent/src/manifest/", "agent/src/config.rs"]),
        ("clap", &["client/src/"]),
        ("libc", &["agent/", "tests/"]),
    ] {
        none(shipped_lines(places, uses(name)), &format!("{name} is for {places:?}"));
    }
}

#[test]
fn arrows_point_down() {
    for (module, above) in [
        ("agent/src/vault", &["serve", "judge", "manifest", "review"][..]),
        ("agent/src/manifest", &["serve", "gate", "judge", "vault", "review"]),
        ("agent/src/grant.rs", &["serve", "gate", "judge", "vault", "manifest"]),
        ("agent/src/judge.rs", &["serve", "manifest", "places", "log"]),
        ("agent/src/gate.rs", &["serve", "places", "log"]),
        ("agent/src/audit", &["serve", "gate", "judge", "manifest", "places", "log", "ask"]),
        ("agent/src/review.rs", &["serve", "gate"]),
    ] {
        let up = |line: &str| above.iter().any(|name| has_word(line, &format!("crate::{name}")));
        let found = shipped_lines(&[], up).into_iter().filter(|line| line.starts_with(module));
        none(found.collect(), &format!("{module} is below {above:?}"));
    }
    let ambient = ["std::fs", "std::time", "std::net", "std::env", "nix::"];
    let found = shipped_lines(&[], |line| ambient.iter().any(|name| line.contains(name)));
    let found = found.into_iter().filter(|line| line.starts_with("agent/src/judge.rs"));
    none(found.collect(), "the judgement has no clock, no file, no network");
    none(shipped_lines(&[], |line| line.contains("super::super")), "paths begin at the crate");
    none(shipped_lines(&["agent/src/gate.rs"], |l| l.contains("Permit {")), "the gate permits");
}

#[test]
fn nothing_prints_panics_or_is_switched_off_by_the_way() {
    let prints = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
    let printing = |line: &str| prints.iter().any(|name| has_word(line, name));
    none(shipped_lines(&[], printing), "output is composed, then written once");
    let careless = |line: &str| line.contains(".unwrap()") || has_word(line, "todo!");
    none(shipped_lines(&["tests/"], careless), "what cannot fail says why");
    let mut found = Vec::new();
    // Spelled in two parts, so that this file does not find itself.
    let switches = [concat!("#!", "[allow"), concat!("#", "[allow"), concat!("#", "[ignore")];
    for source in sources() {
        found.extend(
            switches
                .iter()
                .filter(|s| source.text.contains(**s))
                .map(|switch| format!("{}: {switch}", source.path)),
        );
    }
    none(found, "no lint and no test is switched off");
}

/// `PATH COUNT REASON`, a line each, sorted by path.
#[test]
fn values_are_exposed_where_the_list_says() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let doors = [".expose(", ".expose_into(", ".expose_copy("];
    let count = |line: &str| doors.iter().map(|door| line.matches(door).count()).sum::<usize>();
    for line in shipped_lines(&["tests/"], |line| count(line) > 0) {
        let path = line.split(':').next().unwrap_or_default().to_owned();
        *found.entry(path).or_default() += count(&line);
    }
    let list = include_str!("expose.txt");
    let mut listed = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.splitn(3, ' ');
        let (path, count) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let reason = words.next().unwrap_or_default();
        assert!(reason.len() > 10, "`{line}` says why");
        listed.insert(path.to_owned(), count.parse().expect("the second word is a number"));
    }
    assert_eq!(found, listed, "a door to a value was opened or closed: say why in expose.txt");
    let paths: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let sorted: BTreeSet<&str> = paths.iter().copied().collect();
    assert_eq!(paths, sorted.into_iter().collect::<Vec<_>>(), "expose.txt is sorted");
}

#[test]
fn no_file_names_the_machine_that_it_was_written_on() {
    let (root, mut found) = (root(), Vec::new());
    let endings = [".rs", ".sh", ".toml", ".md", ".txt", ".1", ".8", ".service", ".yml"];
    let endings = [&endings[..], &[".bash", ".zsh", ".fish", ".nu"]].concat();
    files(&root, &endings, &mut found);
    let home = std::env::var("HOME").unwrap_or_default();
    let mut paths = vec![root.to_string_lossy().into_owned()];
    // A home at / would be in every path.
    paths.extend(Some(home).filter(|home| home.len() > 1).map(|home| format!("{home}/")));
    let named = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        paths.iter().any(|machine| text.contains(machine))
    };
    let named = found.iter().filter(|path| named(path)).map(|path| path.display().to_string());
    none(named.collect(), "nothing names a path of this machine");
}
