//! TAB in real shells: what may come next is there, names come from the agent, and nothing
//! that is wrong is heard of, asked for, or started.

use crate::given;
use keyagent_tests::{Agent, Home, Terminal};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Half of what the client waits for an agent when a human waits, too.
const HASTE: Duration = Duration::from_secs(5);
/// How many words are offered at most.
const CANDIDATES_MAX: usize = 1_000;
const PASSPHRASE: &str = "corRect horse-42";
const MANIFEST: &str = "project = \"app\"\n\n[env]\nA_KEY = \"app/A_KEY\"\n\n\
                        [profile.prod.env]\nB_KEY = \"other/B_KEY\"\n";

/// What is typed after `keyagent` and before TAB, and the words that come of it. The agent is
/// asked for some.
const LINES: &[(&str, &str)] = &[
    ("comp", "[completions]"),
    ("help unl", "[help][unlock]"),
    ("hook dir", "[hook][direnv]"),
    ("get --rev", "[get][--reveal]"),
    ("export --format dote", "[export][--format][dotenv]"),
    ("import some-f", "[import][some-file $1]"),
    ("allow some", "[allow][some-dir"),
    ("exec -- zyx", "[exec][--][zyx-tool]"),
    ("exec -P prod zyx-tool some-f", "[exec][-P][prod][zyx-tool][some-file $1]"),
    ("exec --env X=app/A_KEY -- zyx", "[exec][--env][X=app/A_KEY][--][zyx-tool]"),
];
const LINES_OF_NAMES: &[(&str, &str)] = &[
    ("get app", "[get][app/A_KEY]"),
    ("get \"app", "[get][app/A_KEY]"),
    ("get app/A_KEY --rev", "[get][app/A_KEY][--reveal]"),
    ("rm app/A_KEY oth", "[rm][app/A_KEY][other/B_KEY]"),
    ("exec --env X=app", "[exec][--env][X=app/A_KEY]"),
    ("exec --env=X=app", "[exec][--env=X=app/A_KEY]"),
    ("exec -P p", "[exec][-P][prod]"),
    ("x -Pp", "[x][-Pprod]"),
    ("run --profile=p", "[run][--profile=prod]"),
    ("export --profile p", "[export][--profile][prod]"),
    ("exec --only A", "[exec][--only][A_KEY]"),
    ("exec -P prod --only A_KEY,B", "[exec][-P][prod][--only][A_KEY,B_KEY]"),
];
/// Where the agent would be asked, and does not answer: the line stays.
const LINES_LEFT: &[(&str, &str)] = &[
    ("get app", "[get][app]"),
    ("exec -P p", "[exec][-P][p]"),
    ("exec --env X=app", "[exec][--env][X=app]"),
    ("exec --only A", "[exec][--only][A]"),
];

/// A human at a shell that completes. A function shows which words a line has come to; the
/// scripts ask the real client.
const BASH: &str = "set -u; source <(keyagent completions bash)
keyagent() { printf '[%s]' \"$@\"; echo; }
look() { local v; for v in $NAMES; do [[ ! -v $v ]] || echo \"left: $v\"; done; echo '[looked]'; }
PS1='ready> '\n";
const ZSH: &str = "setopt no_unset; autoload -Uz compinit; compinit -u -D
source <(keyagent completions zsh)
keyagent() { printf '[%s]' \"$@\"; echo }
look() {
  local v; for v in ${=NAMES}; do (( ${+parameters[$v]} )) && echo \"left: $v\"; done
  echo '[looked]'
}
PROMPT='ready> '\n";
const FISH: &str = "keyagent completions fish | source
function keyagent; printf '[%s]' $argv; echo; end
function look
  for v in (string split ' ' $NAMES); set -q $v; and echo \"left: $v\"; end; echo '[looked]'
end
function fish_prompt; echo -n 'ready> '; end\n";
/// The variables that the scripts use.
const NAMES: &str = "words starts kept answer word start line piece i values current typed kind";

/// A shell at a terminal, in the working directory.
struct Shell<'a>(Terminal<'a>);

impl<'a> Shell<'a> {
    /// Starts one, and waits until it is ready.
    fn start(home: &'a Home, name: &str) -> Self {
        let directory = home.make_directory("rc");
        for (file, text) in [("bashrc", BASH), (".zshrc", ZSH), ("rc.fish", FISH)] {
            fs::write(directory.join(file), text).expect("ours");
        }
        let zdotdir = directory.display().to_string();
        let (bashrc, fish) = (format!("{zdotdir}/bashrc"), format!("source {zdotdir}/rc.fish"));
        let args = match name {
            "bash" => vec!["--rcfile", &bashrc, "-i"],
            "zsh" => vec!["-i"],
            _ => vec!["-C", &fish],
        };
        let path = format!("{}:{}", tool(home).display(), home.path_with_programs());
        let env = [("ZDOTDIR", &*zdotdir), ("PATH", &path), ("TERM", "xterm"), ("NAMES", NAMES)];
        let mut terminal = Terminal::run(home, name, &args, &env);
        terminal.expect("ready> ");
        Self(terminal)
    }

    /// Types each line and TAB: these words come of it.
    fn completes(&mut self, lines: &[(&str, &str)]) {
        for (typed, words) in lines {
            self.0.keys(&format!("keyagent {typed}\t"));
            self.0.line("");
            self.0.expect(words);
            self.0.expect("ready> ");
        }
    }

    /// Nothing of ours is left in the shell, and nothing of ours was heard.
    fn leave(mut self) {
        self.0.line("look");
        self.0.expect("[looked]");
        self.0.expect("ready> ");
        self.0.line("exit");
        let output = self.0.end();
        for noise in ["left: ", "keyagent: ", "passphrase", "unbound", "not set"] {
            assert!(!output.stdout_text().contains(noise), "`{noise}`: {}", output.report());
        }
    }
}

/// A directory of a program of our own, on whose name no other begins.
fn tool(home: &Home) -> PathBuf {
    let directory = home.make_directory("bin");
    let path = directory.join("zyx-tool");
    fs::write(&path, "#!/bin/sh\n").expect("ours");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
    directory
}

/// A project with two secrets, one of them bound in a profile.
fn project() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    fill(&home);
    (home, agent)
}

fn fill(home: &Home) {
    for name in ["app/A_KEY", "other/B_KEY"] {
        home.wire().put(name, home.canary().as_bytes());
    }
    given::manifest(home, home.work(), MANIFEST);
    fs::write(home.work().join("some-file $1"), "").expect("ours");
    fs::create_dir(home.work().join("some-dir")).expect("ours");
}

/// The same with an identity that a passphrase seals, locked.
fn locked() -> (Home, Agent) {
    let home = Home::new();
    home.add_canary(PASSPHRASE.as_bytes());
    let agent = home.agent();
    home.wire().init(Some(PASSPHRASE));
    fill(&home);
    home.keyagent(["lock"]).run().quietly();
    (home, agent)
}

fn all_is_completed(name: &str) {
    let (home, _agent) = project();
    let mut shell = Shell::start(&home, name);
    shell.completes(LINES);
    shell.completes(LINES_OF_NAMES);
    shell.leave();
}

fn a_locked_vault_is_not_heard_of(name: &str) {
    let (home, _agent) = locked();
    let mut shell = Shell::start(&home, name);
    shell.completes(LINES_LEFT);
    shell.completes(&LINES[..1]);
    shell.leave();
}

fn no_agent_is_started(name: &str) {
    let (home, mut agent) = project();
    agent.terminate();
    let mut shell = Shell::start(&home, name);
    shell.completes(LINES_LEFT);
    shell.completes(LINES);
    shell.leave();
    assert_eq!(home.agent_pid(), None);
}

#[test]
fn bash_completes() {
    all_is_completed("bash");
}

#[test]
fn bash_hears_nothing_of_a_locked_vault() {
    a_locked_vault_is_not_heard_of("bash");
}

#[test]
fn bash_starts_no_agent() {
    no_agent_is_started("bash");
}

#[test]
fn needs_zsh_it_completes() {
    all_is_completed("zsh");
}

#[test]
fn needs_zsh_it_hears_nothing_of_a_locked_vault() {
    a_locked_vault_is_not_heard_of("zsh");
}

#[test]
fn needs_zsh_it_starts_no_agent() {
    no_agent_is_started("zsh");
}

#[test]
fn needs_fish_it_completes() {
    all_is_completed("fish");
}

#[test]
fn needs_fish_it_hears_nothing_of_a_locked_vault() {
    a_locked_vault_is_not_heard_of("fish");
}

#[test]
fn needs_fish_it_starts_no_agent() {
    no_agent_is_started("fish");
}

/// What the client tells a script.
fn told(home: &Home, words: &[&str]) -> String {
    home.keyagent([&["__complete"], words].concat()).run().quietly().stdout_text()
}

#[test]
fn what_may_come_next_is_told_with_a_line_on_it() {
    let (home, _agent) = project();
    home.keyagent(["set", "app/A_KEY", "--note", "the first"]).stdin(home.canary()).run().code(0);
    for (words, expected) in [
        (&["get", ""][..], "words\napp/A_KEY\tthe first\nother/B_KEY\t\n"),
        (&["get", "nope"], "words\n"),
        (&["exec", "--only", ""], "words\nA_KEY\tapp/A_KEY\n"),
        (&["exec", "-P", "prod", "--only", ""], "words\nA_KEY\tapp/A_KEY\nB_KEY\tother/B_KEY\n"),
        (&["list", ""], "words\n--json\tPrint JSON\n--help\tPrint help\n-h\tPrint help\n"),
        (&["import", ""], "files\n"),
        (&["import", "--only", ""], ""),
        (&["allow", ""], "directories\n"),
        (&["exec", "-P", "prod", "--", "ls", "-"], "command 4\n"),
        (&["mv", "app/A_KEY", ""], ""),
        (&["exec", "--env", "X"], ""),
        (&["set", "n", "--note", ""], ""),
        (&[], ""),
    ] {
        assert_eq!(told(&home, words), expected, "{words:?}");
    }
    let verbs = told(&home, &[""]);
    let help = home.keyagent(["--help"]).run().quietly().stdout_text();
    let shown = |line: &str| help.contains(&format!("  {line}"));
    for verb in verbs.lines().skip(1).map(|line| line.split('\t').next().unwrap_or_default()) {
        assert!(shown(verb) || ["run", "x"].contains(&verb), "`{verb}` is in the help");
    }
    assert!(verbs.lines().count() > 20 && !verbs.contains("__complete"), "{verbs}");
}

#[test]
fn nothing_is_told_of_what_is_wrong() {
    let (home, mut agent) = project();
    let of_names = [&["get", ""][..], &["exec", "-P", ""], &["exec", "--only", ""]];
    let of_none = |why: &str| {
        for words in of_names {
            assert_eq!(told(&home, words), "", "{why}: {words:?}");
        }
    };
    given::manifest(&home, home.work(), "[env\n");
    assert_eq!(told(&home, &["exec", "-P", ""]), "", "a manifest that is none");
    fs::remove_file(home.work().join("keyagent.toml")).expect("ours");
    assert_eq!(told(&home, &["exec", "--only", ""]), "", "no manifest");
    given::manifest(&home, home.work(), MANIFEST);
    let halted = home.halt_agent();
    let start = Instant::now();
    of_none("an agent that does not answer");
    assert!(start.elapsed() < HASTE, "it is not waited for: {:?}", start.elapsed());
    drop(halted);
    home.keyagent(["lock"]).run().quietly();
    of_none("locked");
    agent.terminate();
    of_none("no agent");
    assert_eq!(home.agent_pid(), None, "none was started");
}

#[test]
fn no_more_names_are_told_than_a_human_looks_through() {
    let (home, _agent) = project();
    let mut wire = home.wire();
    for number in 0..CANDIDATES_MAX + 100 {
        wire.stage(&format!("many/{number}"), b"v");
    }
    wire.commit().expect("they are written");
    let many = told(&home, &["get", "m"]);
    assert_eq!(many.lines().count(), 1 + CANDIDATES_MAX);
    // The last in order, so that a shell types what all have in common and no more.
    assert_eq!(many.lines().last(), Some("many/999\t"));
    // What is behind several pages, and what is on two of them.
    assert_eq!(told(&home, &["get", "many/99"]).lines().count(), 1 + 11);
    assert_eq!(told(&home, &["get", "many/1"]).lines().count(), 1 + 211);
    assert_eq!(told(&home, &["get", "oth"]), "words\nother/B_KEY\t\n");
}

#[test]
fn a_script_is_printed_with_no_agent() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.keyagent(["completions", shell]).run().quietly().stdout_text();
        assert!(script.contains("keyagent __complete "), "{script}");
    }
    assert_eq!(home.agent_pid(), None);
}
