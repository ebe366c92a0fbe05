//! The shell's hook is a guest: what the user's shell does, is set to and remembers is as if
//! the hook were not there.

use crate::given;
use crate::hook_shells::{BASH, FISH, Shell, ZSH, in_each_shell, projects, says};
use keyagent_tests::Home;
use std::process::{Command, Stdio};

in_each_shell!(
    the_status_of_the_last_command_is_kept,
    a_value_is_nowhere_on_the_screen,
    a_trace_from_before_the_hook_shows_no_value,
    sourced_twice_it_is_there_once,
    jobs_are_left_alone,
    what_a_pipeline_and_a_last_word_were_is_kept,
    without_a_terminal_the_keys_come_all_the_same,
    what_it_prints_is_never_on_stdout,
    its_client_is_not_looked_for_on_the_path,
    variables_that_the_hook_itself_might_use_are_loaded,
);

/// What the shell prints of the last command's status.
fn status(shell: &Shell) -> &'static str {
    if shell.name == "fish" { "echo \"[$status]\"" } else { "echo \"[$?]\"" }
}

fn the_status_of_the_last_command_is_kept(shell: &Shell) {
    let (home, _agent) = projects();
    let mut human = shell.start(&home, "", "");
    let status = status(shell);
    let seven = "sh -c 'exit 7'";
    human.terminal.line(seven);
    human.terminal.expect("ready> ");
    human.shows(status, "[7]\r\n");
    human.terminal.line(&format!("cd one; {seven}"));
    human.terminal.expect("ready> ");
    human.shows(status, "[7]\r\n");
    home.keyagent(["set", "one/A_KEY"]).stdin("a2").run().code(0);
    human.terminal.line(seven);
    human.terminal.expect("ready> ");
    human.shows(status, "[7]\r\n");
    human.sees("a2 none none");
    human.leaves();
}

fn what_a_pipeline_and_a_last_word_were_is_kept(shell: &Shell) {
    let (home, _agent) = projects();
    let mut human = shell.start(&home, "", "");
    let each = match shell.name {
        "bash" => "echo \"[${PIPESTATUS[*]}]\"",
        "zsh" => "echo \"[$pipestatus]\"",
        _ => "echo \"[$pipestatus]\"",
    };
    human.terminal.line("cd one; sh -c 'exit 3' | sh -c 'exit 4'");
    human.terminal.expect("ready> ");
    human.shows(each, "[3 4]\r\n");
    if shell.name != "fish" {
        home.keyagent(["lock"]).run().code(0);
        human.terminal.line("true last-word");
        human.terminal.expect("the vault is locked");
        human.terminal.expect("ready> ");
        human.shows("echo \"[$_]\"", "[last-word]\r\n");
    }
    human.leaves();
}

fn a_value_is_nowhere_on_the_screen(shell: &Shell) {
    let (home, _agent) = projects();
    let trace = match shell.name {
        "fish" => "set -g fish_trace all",
        _ => "set -xv",
    };
    let mut human = shell.start(&home, "", trace);
    human.types("cd one");
    home.keyagent(["lock"]).run().code(0);
    human.types("true");
    home.keyagent(["unlock"]).run().code(0);
    human.types("true");
    human.shows("test -n \"$A_KEY\" && echo lo''aded", "loaded\r\n");
    human.types("cd ..");
    let screen = human.leaves();
    assert!(screen.contains("cd one"), "there is a trace: {screen}");
    // What the user's own command has in its trace is none of ours.
    let others = screen.lines().filter(|line| !line.contains("test -n"));
    let ours: Vec<&str> = others.filter(|line| home.has_value(line.as_bytes())).collect();
    assert!(ours.is_empty(), "a value is in the trace: {ours:?}");
}

fn a_trace_from_before_the_hook_shows_no_value(shell: &Shell) {
    let (home, _agent) = projects();
    let trace = if shell.name == "fish" { "set -g fish_trace 1" } else { "set -xv" };
    let script = "show; keyagent lock; prompt; show; keyagent unlock; prompt; show; true still";
    let output = shell.run_after(&home, &format!("cd one; {trace}"), script);
    let output = output.prints(given::fill(&home, "@ none none\nnone none none\n@ none none\n"));
    // That stderr has no value is seen to by the kit.
    output.complains("true still").complains("keyagent unlock");
}

fn sourced_twice_it_is_there_once(shell: &Shell) {
    let (home, _agent) = projects();
    let again = format!("{}{}", shell.hook, shell.hook);
    let installed = match shell.name {
        "bash" => "printf '%s\\n' \"${PROMPT_COMMAND[@]}\" | grep -c __keyagent_prompt",
        "zsh" => "print -rl -- $precmd_functions $chpwd_functions | grep -c __keyagent_prompt",
        _ => "functions --handlers | grep -c __keyagent_",
    };
    let script = format!(
        "mine A_KEY mine; cd one; prompt; {again}show; prompt; {installed}; cd ..; prompt\n\
         kind A_KEY"
    );
    let count = if shell.name == "bash" { 1 } else { 2 };
    shell.shows(&home, &script, &format!("@ none none\n{count}\nexported mine\n"));
}

fn jobs_are_left_alone(shell: &Shell) {
    let (home, _agent) = projects();
    let last = if shell.name == "fish" { "$last_pid" } else { "$!" };
    let mut human = shell.start(&home, "", "");
    human.terminal.line("sleep 1000 &");
    human.terminal.expect("ready> ");
    human.types(&format!("plain was {last}"));
    human.types("cd one");
    human.sees(&format!("{} none none", home.canary()));
    human.shows(&format!("test $was = {last} && echo sa''me"), "same\r\n");
    human.shows("jobs | grep -c sleep", "1\r\n");
    // A shell does not leave as long as one of its jobs runs.
    human.types(&format!("kill {last}; wait"));
    human.leaves();
}

fn without_a_terminal_the_keys_come_all_the_same(shell: &Shell) {
    let (home, _agent) = projects();
    let mut command = Command::new("setsid");
    home.surround(&mut command);
    let text = shell.text("", "cd one; prompt; show; cat");
    let output = command
        .env("PATH", home.path_with_programs())
        .arg("--wait")
        .arg(shell.name)
        .args(shell.script)
        .arg(text)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = given::fill(&home, "@ none none\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{stderr}");
    assert!(stderr.is_empty(), "{stderr}");
    // Nor does it take what stands on stdin.
    let script = "cd one; prompt; keyagent lock; prompt; cat";
    let output = home.command(shell.name).args(shell.script).arg(shell.text("", script));
    output.stdin("typed ahead").run().code(0).prints("typed ahead");
}

fn what_it_prints_is_never_on_stdout(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "plain A_KEY mine; cd one; prompt; keyagent lock; prompt\n\
                  mine KEYAGENT_PROFILE none\n\
                  keyagent unlock; prompt; echo nonsense >keyagent.toml; prompt; cd ..; prompt";
    let output = shell.run(&home, script).prints("");
    says(&output, 4, "");
}

fn its_client_is_not_looked_for_on_the_path(shell: &Shell) {
    let (home, _agent) = projects();
    let path = if shell.name == "fish" {
        "set -gx PATH $PWD/one /usr/bin /bin"
    } else {
        "export PATH=$PWD/one:/usr/bin:/bin"
    };
    let trap = "printf '#!/bin/sh\\necho trapped\\n' >one/keyagent; chmod +x one/keyagent";
    let script = format!("{trap}; {path}; cd one; prompt; show; keyagent");
    shell.shows(&home, &script, "@ none none\ntrapped\n").quietly();
}

/// Names that a function might well have for itself.
fn variables_that_the_hook_itself_might_use_are_loaded(shell: &Shell) {
    let (home, _agent) = projects();
    let names = [
        "var", "value", "place", "manifest", "text", "now", "dir", "old", "was", "before", "word",
        "limit", "profile", "theirs", "fields", "at", "key", "i", "line",
    ];
    let lines: String = names.iter().map(|name| format!("{name} = \"one/A_KEY\"\n")).collect();
    let directory = home.work().join("odd");
    given::manifest(&home, &directory, &format!("[env]\n{lines}"));
    let allowed = home.keyagent(["allow", "--yes"]).dir(&directory).run();
    assert_eq!(allowed.code, Some(0), "{}", allowed.report());
    let list = names.join(" ");
    let script = format!(
        "cd odd; prompt; sh -c 'for n in {list}; do printenv $n; done | sort | uniq -c | wc -l; for n in {list}; do printenv $n; done | wc -l'\n\
         cd ..; prompt; sh -c 'for n in {list}; do printenv $n; done | wc -l'"
    );
    shell.shows(&home, &script, &format!("1\n{}\n0\n", names.len())).quietly();
}

/// A script that loads, reloads and leaves, and says nothing.
fn works_after(shell: &Shell, home: &Home, before: &str) {
    let script = "cd one; prompt; show; echo new | keyagent set one/A_KEY 2>/dev/null; prompt\n\
                  show; cd ..; prompt; show";
    let output = shell.run_after(home, before, script);
    let expected = given::fill(home, "@ none none\nnew none none\nnone none none\n");
    assert_eq!(output.stdout_text(), expected, "after `{before}`: {}", output.report());
    assert!(output.stderr.is_empty(), "after `{before}`: {}", output.report());
    home.wire().put("one/A_KEY", home.canary().as_bytes());
}

#[test]
fn whatever_bash_is_set_to_it_works() {
    let (home, _agent) = projects();
    for options in [
        "set -u",
        "set -e",
        "set -eu -o pipefail",
        "set -o noclobber",
        "set -f",
        "set -E; trap 'echo trapped' ERR",
        "set -o posix",
        "shopt -s nocasematch nocaseglob nullglob failglob extglob",
        "shopt -s inherit_errexit",
        "shopt -u expand_aliases sourcepath",
        "IFS=aeiou_/,=",
        "IFS=",
        "set -- x y z",
        "CDPATH=/proc/self",
        "GREP_OPTIONS=-v; LC_ALL=C",
        "export LC_ALL=C.UTF-8",
    ] {
        works_after(&BASH, &home, options);
    }
}

#[test]
fn needs_zsh_whatever_zsh_is_set_to_it_works() {
    let (home, _agent) = projects();
    for options in [
        "setopt no_unset",
        "setopt err_exit",
        "setopt err_return",
        "setopt ksh_arrays",
        "setopt ksh_arrays err_exit no_unset",
        "setopt sh_word_split glob_subst",
        "setopt extended_glob null_glob ksh_glob",
        "setopt no_nomatch no_glob",
        "setopt no_clobber",
        "setopt warn_create_global",
        "setopt typeset_silent rc_expand_param",
        "setopt posix_builtins posix_identifiers",
        "setopt no_function_argzero no_multibyte",
        "TRAPZERR() { print trapped }",
        "trap 'print trapped' ZERR",
        "IFS=aeiou_/,=",
        "IFS=",
        "set -- x y z",
    ] {
        works_after(&ZSH, &home, options);
    }
}

#[test]
fn needs_fish_whatever_fish_is_set_to_it_works() {
    let (home, _agent) = projects();
    for options in [
        "set -g fish_read_limit 100000",
        "set -g fish_features qmark-noglob",
        "set -g argv x y z",
        "set -g IFS ''",
        "function fish_command_not_found; echo trapped; end",
        "function on_pwd --on-variable PWD; false; end",
    ] {
        works_after(&FISH, &home, options);
    }
}

/// Such a trap is given each command with its words, and what it prints is a trace, too.
#[test]
fn a_debug_trap_of_bash_hears_of_no_value() {
    hears_no_value(&BASH, "trap 'echo \"heard $BASH_COMMAND\" >&2' DEBUG; set -T");
}

#[test]
fn needs_zsh_a_debug_trap_of_zsh_hears_of_no_value() {
    hears_no_value(&ZSH, "trap 'print -ru2 -- \"heard $ZSH_DEBUG_CMD\"' DEBUG");
    hears_no_value(&ZSH, "TRAPDEBUG() { print -ru2 -- \"heard $ZSH_DEBUG_CMD\" }");
}

fn hears_no_value(shell: &Shell, trap: &str) {
    let (home, _agent) = projects();
    let script = "cd one; prompt; prompt; show; true still; cd ..; prompt";
    let output = shell.run_after(&home, trap, script).prints(given::fill(&home, "@ none none\n"));
    // That stderr has no value is seen to by the kit.
    output.complains("heard prompt").complains("heard true still");
}
