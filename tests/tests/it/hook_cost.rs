//! The shell's hook: at a prompt where nothing changed it starts nothing, not even a fork of
//! the shell.

use crate::hook_shells::{Human, Shell, in_each_shell, own_manifest, projects};
use keyagent_tests::Home;
use std::fs;
use std::path::Path;

/// How many prompts are looked at.
const PROMPTS: usize = 50;

in_each_shell!(
    needs_strace_a_prompt_where_nothing_changed_forks_nothing,
    needs_strace_a_prompt_where_no_project_is_forks_nothing,
);

fn needs_strace_a_prompt_where_nothing_changed_forks_nothing(shell: &Shell) {
    let (home, _agent) = projects();
    forks_nothing(&home, shell, "one");
}

fn needs_strace_a_prompt_where_no_project_is_forks_nothing(shell: &Shell) {
    let (home, _agent) = projects();
    own_manifest(&home);
    forks_nothing(&home, shell, ".");
}

/// Counts what an interactive shell starts between two marks in its trace.
fn forks_nothing(home: &Home, shell: &Shell, directory: &str) {
    let trace = home.root().join("trace");
    let (before_mark, after_mark) = (home.root().join("mark-1"), home.root().join("mark-2"));
    let arguments = shell.interactive(home, "", "");
    let trace_text = trace.display().to_string();
    let calls = "trace=clone,clone3,fork,vfork,execve,chdir,access,faccessat,faccessat2,stat,newfstatat,openat";
    let line = ["-f", "-qq", "-s", "4096", "-o", &trace_text, "-e", calls, shell.name];
    let line: Vec<&str> = line.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let mut human = Human::at(home, "strace", &line);
    human.types(&format!("cd {directory}"));
    human.types(&format!("test -e {}", before_mark.display()));
    for _ in 0..PROMPTS {
        human.types("echo");
    }
    human.types(&format!("test -e {}", after_mark.display()));
    human.leaves();
    let text = fs::read_to_string(&trace).expect("strace wrote it");
    let at =
        |mark: &Path| text.find(&mark.display().to_string()).expect("the shell looked at the mark");
    let (start, between) = (&text[..at(&before_mark)], &text[at(&before_mark)..at(&after_mark)]);
    let is_start = |line: &&str| {
        ["clone(", "clone3(", "fork(", "execve("].iter().any(|call| line.contains(call))
    };
    assert!(start.lines().any(|line| is_start(&line)), "strace sees what is started");
    let started: Vec<&str> = between.lines().filter(is_start).collect();
    // A thread is no fork: fish has some of its own.
    let forks: Vec<&&str> = started.iter().filter(|line| !line.contains("CLONE_THREAD")).collect();
    assert!(forks.is_empty(), "{} of them, like {:?}", forks.len(), forks.first());
    let looks = between.matches("keyagent.toml").count();
    assert!(looks >= PROMPTS, "the manifest is looked at before each prompt: {looks}");
}
