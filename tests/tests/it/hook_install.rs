//! The shell's hook among other people's: whatever stood in the place that a shell has for
//! such things stays there, and works.

use crate::hook_shells::{BASH, Human, Shell, ZSH, projects};
use keyagent_tests::Home;

/// The shell loads, and what others have there was run before and after ours, at each prompt.
fn works(home: &Home, shell: &Shell, before: &str, after: &str, heard: &[&str]) {
    let mut human = shell.start(home, before, after);
    human.types("cd one");
    human.sees(&format!("{} none none", home.canary()));
    human.types("cd ..");
    human.sees("none none none");
    for word in heard {
        hears(&mut human, word);
    }
    let screen = human.leaves();
    assert!(!screen.contains("syntax error"), "after `{before}`: {screen}");
}

fn hears(human: &mut Human<'_>, word: &str) {
    human.terminal.line("");
    human.terminal.expect(word);
    human.terminal.expect("ready> ");
}

#[test]
fn any_prompt_command_of_bash_stays() {
    let (home, _agent) = projects();
    let says = "before() { echo \"<bef\"\"ore>\"; }; after() { echo \"<aft\"\"er>\"; }";
    for (before, after) in [
        ("PROMPT_COMMAND=before", "PROMPT_COMMAND+=$'\\nafter'"),
        ("PROMPT_COMMAND='before;'", "PROMPT_COMMAND+=';after'"),
        ("PROMPT_COMMAND='before ; '", "PROMPT_COMMAND=\"$PROMPT_COMMAND; after;\""),
        ("PROMPT_COMMAND='before; true &'", "PROMPT_COMMAND+='; after'"),
        ("PROMPT_COMMAND='before # a comment'", "PROMPT_COMMAND+='; after'"),
        ("PROMPT_COMMAND='before\n'", "PROMPT_COMMAND+=$'\\nafter\\n'"),
        ("PROMPT_COMMAND=(before true)", "PROMPT_COMMAND+=(after)"),
        ("PROMPT_COMMAND=(before)", "PROMPT_COMMAND[0]+=';after'"),
        (
            "PROMPT_COMMAND=(); PROMPT_COMMAND+=(before)",
            "PROMPT_COMMAND=(\"${PROMPT_COMMAND[@]}\" after)",
        ),
        ("declare -ax PROMPT_COMMAND; PROMPT_COMMAND[3]=before", "PROMPT_COMMAND+=(after)"),
        ("export PROMPT_COMMAND=before", "PROMPT_COMMAND+=';after'"),
        ("set -u; PROMPT_COMMAND=before", "PROMPT_COMMAND+=';after'"),
    ] {
        let before = format!("{says}\n{before}");
        works(&home, &BASH, &before, after, &["<before>"]);
        works(&home, &BASH, &before, after, &["<after>"]);
    }
}

#[test]
fn no_prompt_command_of_bash_will_do() {
    let (home, _agent) = projects();
    for before in [
        "",
        "unset PROMPT_COMMAND",
        "PROMPT_COMMAND=",
        "PROMPT_COMMAND=()",
        "set -u",
        "set -u; PROMPT_COMMAND=()",
    ] {
        works(&home, &BASH, before, "", &[]);
    }
}

/// Whoever comes after ours sees what the user's command has left.
#[test]
fn what_stands_behind_ours_sees_the_status_of_the_command() {
    let (home, _agent) = projects();
    let after = "tell() { echo \"<$?>\"; }; PROMPT_COMMAND+=$'\\ntell'";
    let mut human = BASH.start(&home, "", after);
    human.terminal.line("cd one; (exit 7)");
    human.terminal.expect("<7>");
    human.terminal.expect("ready> ");
    human.terminal.line("(exit 8)");
    human.terminal.expect("<8>");
    human.terminal.expect("ready> ");
    human.leaves();
}

#[test]
fn needs_zsh_what_stands_behind_ours_sees_the_status_of_the_command() {
    let (home, _agent) = projects();
    let after = "tell() { print \"<$?>\" }; precmd_functions+=(tell)";
    let mut human = ZSH.start(&home, "", after);
    human.terminal.line("cd one; (exit 7)");
    human.terminal.expect("<7>");
    human.terminal.expect("ready> ");
    human.terminal.line("(exit 8)");
    human.terminal.expect("<8>");
    human.terminal.expect("ready> ");
    human.leaves();
}

#[test]
fn needs_zsh_the_precmd_of_others_stays() {
    let (home, _agent) = projects();
    for (before, after) in [
        (
            "precmd() { print \"<bef\"\"ore>\" }",
            "after() { print \"<aft\"\"er>\" }; precmd_functions+=(after)",
        ),
        (
            "before() { print \"<bef\"\"ore>\" }; precmd_functions=(before)",
            "precmd_functions=($precmd_functions[1] $precmd_functions after)\n\
             after() { print \"<aft\"\"er>\" }",
        ),
        (
            "setopt ksh_arrays; before() { print \"<bef\"\"ore>\" }; precmd_functions=(before)",
            "autoload -Uz add-zsh-hook; after() { print \"<aft\"\"er>\" }\n\
             add-zsh-hook precmd after",
        ),
    ] {
        works(&home, &ZSH, before, after, &["<before>"]);
        works(&home, &ZSH, before, after, &["<after>"]);
    }
}

/// A shell that ends at what fails does not end for us.
#[test]
fn a_strict_bash_lives_through_its_prompts() {
    lives(&BASH, "set -eu");
}

#[test]
fn needs_zsh_a_strict_zsh_lives_through_its_prompts() {
    lives(&ZSH, "setopt err_exit no_unset");
    lives(&ZSH, "setopt err_exit ksh_arrays");
}

fn lives(shell: &Shell, options: &str) {
    let (home, _agent) = projects();
    let mut human = shell.start(&home, "", options);
    human.types("cd one");
    human.sees(&format!("{} none none", home.canary()));
    // This leaves a status, and ends no shell.
    human.types("! true");
    home.keyagent(["lock"]).run().code(0);
    human.terminal.line("! true");
    human.terminal.expect("the vault is locked");
    human.terminal.expect("ready> ");
    human.terminal.line("! true");
    human.terminal.expect("ready> ");
    human.sees("none none none");
    human.leaves();
}

/// A trap of the user's on failures hears of those of the user alone. (In bash, once more from
/// a prompt command that leaves the status as it was.)
#[test]
fn a_trap_of_bash_hears_of_no_failure_of_ours() {
    is_not_trapped(&BASH, "set -E; trap 'echo \"<tr\"\"apped>\"' ERR");
}

#[test]
fn needs_zsh_a_trap_of_zsh_hears_of_no_failure_of_ours() {
    is_not_trapped(&ZSH, "TRAPZERR() { print \"<tr\"\"apped>\" }");
}

fn is_not_trapped(shell: &Shell, trap: &str) {
    let (home, _agent) = projects();
    let mut human = shell.start(&home, "", trap);
    human.types("cd one");
    home.keyagent(["lock"]).run().code(0);
    human.terminal.line("true");
    human.terminal.expect("the vault is locked");
    human.terminal.expect("ready> ");
    human.shows("(exit 7)", "<trapped>");
    human.types("cd ..");
    let screen = human.leaves();
    assert_eq!(screen.matches("<trapped>").count(), 1, "{screen}");
}
