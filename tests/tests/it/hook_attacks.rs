//! What somebody has put where a hook looks: nothing of it is run, no key outlives what took
//! it away, and no variable of the user is lost.

use crate::given;
use crate::hook_shells::{BASH, FISH, Shell, ZSH, in_each_shell, projects, says};
use std::fs;

in_each_shell!(
    a_stamp_that_is_gone_is_one_that_changed,
    without_a_place_for_stamps_there_is_no_key,
    an_agent_that_was_stopped_stays_stopped,
    a_record_of_the_environment_takes_nothing_but_keys,
    another_socket_is_another_agent,
);

fn stamps(home: &keyagent_tests::Home) -> std::path::PathBuf {
    home.root().join("run/keyagent/agent.sock.stamps")
}

fn a_stamp_that_is_gone_is_one_that_changed(shell: &Shell) {
    let (home, _agent) = projects();
    for gone in ["rm -r STAMPS", "sh -c 'rm STAMPS/*'", "sh -c 'rm STAMPS/*.*'"] {
        let gone = gone.replace("STAMPS", &stamps(&home).display().to_string());
        // Fresh, so that it never had a number.
        let _ = fs::remove_dir_all(stamps(&home));
        let script = format!("cd one; prompt; show; {gone}; keyagent lock; prompt; show");
        let expected = given::fill(&home, "@ none none\nnone none none\n");
        shell.run(&home, &script).prints(expected);
        home.keyagent(["unlock"]).run().quietly();
    }
}

fn without_a_place_for_stamps_there_is_no_key(shell: &Shell) {
    let (home, _agent) = projects();
    fs::remove_dir_all(stamps(&home)).expect("the agent has made it");
    fs::write(stamps(&home), "").expect("ours");
    let output = shell.run(&home, "cd one; prompt; prompt; show; cd ..; prompt; cd one; prompt");
    says(&output, 2, "cannot tell when keys change");
    output.prints("none none none\n");
    home.keyagent(["exec", "--", "printenv", "A_KEY"]).dir(home.work().join("one")).run().code(0);
}

/// Whoever stops it does so to have it stopped, and sits in a project at that moment.
fn an_agent_that_was_stopped_stays_stopped(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "cd one; prompt; show; keyagent stop; prompt; show; prompt\n\
                  keyagent status >/dev/null 2>&1; or_not; cd ../two; prompt; show; cd ../one; prompt; show";
    let words = if shell.name == "fish" {
        "function or_not; echo $status; end; "
    } else {
        "or_not() { echo $?; }; "
    };
    let output = shell.run(&home, &format!("{words}{script}"));
    says(&output, 1, "no agent is running");
    let expected = "@ none none\nnone none none\n5\nnone b none\n@ none none\n";
    output.prints(given::fill(&home, expected));
}

fn a_record_of_the_environment_takes_nothing_but_keys(shell: &Shell) {
    let (home, _agent) = projects();
    let odd = "BASH_VERSINFO[$(touch pwned)1]";
    let path = home.path_with_programs();
    for record in [
        "- PATH=a@1,HOME=a@1,__keyagent_before=a@1,__keyagent_client=a@1 /x",
        "- x[$(touch pwned)]=a@1,$(touch pwned)=a@1,;touch pwned=a@1 /x",
        &format!("- {} /x", "A=a@1,".repeat(20_000)),
    ] {
        let env = [("KEYAGENT_LOADED", record), ("PATH", &*path), ("A_KEY", odd)];
        let output = shell.run_with(&home, &env, "cd one; prompt; show; printenv PATH HOME");
        let home_directory = home.root().join("home");
        let expected = format!("@ none none\n{path}\n{}\n", home_directory.display());
        output.prints(given::fill(&home, &expected));
        assert!(!home.work().join("one/pwned").exists() && !home.work().join("pwned").exists());
    }
}

fn another_socket_is_another_agent(shell: &Shell) {
    let (home, _agent) = projects();
    let other = home.make_directory("other").join("agent.sock");
    let script = format!(
        "cd one; prompt; show; mine KEYAGENT_SOCK {}; keyagent start; keyagent lock; prompt; show; keyagent stop",
        other.display()
    );
    shell.run(&home, &script).prints(given::fill(&home, "@ none none\nnone none none\n"));
}

/// Bytes at which zsh's own `typeset -p` ends its quotes, in everything that a variable can be.
#[test]
fn needs_zsh_whatever_a_variable_was_it_is_again() {
    let (home, _agent) = projects();
    for was in [
        "A_KEY=$'\\x1c\\';touch pwned;#'",
        "export A_KEY=$'\\x9c\\xa7\\xdc\\';touch pwned;#'",
        "typeset -H A_KEY=$'hidden\\x1c\\';touch pwned;#'",
        "typeset -xu A_KEY=$'UP\\x1c'",
        "typeset -l A_KEY=low",
        "typeset -a A_KEY=($'a\\x1c\\';touch pwned;#' '' 'b c')",
        "typeset -U -a A_KEY=(a b a)",
        "typeset -A A_KEY=(k $'v\\x1c\\';touch pwned;#' 'k 2' '$(touch pwned)' e '')",
        "typeset -i A_KEY=7",
        "typeset -F 10 A_KEY=1.5",
    ] {
        let look = "look() { print -r -- ${(t)A_KEY} \"${(@qqqq)A_KEY}\" \"${(@kvqqqq)A_KEY}\" }";
        let script = format!(
            "{look}\n{was}\nbefore=$(look); cd one; prompt; show; cd ..; prompt\n\
             [[ $(look) == $before ]] && print same || {{ print -r -- $before; look }}"
        );
        let output = ZSH.run(&home, &script);
        output.prints(given::fill(&home, "@ none none\nsame\n"));
        assert!(!home.work().join("pwned").exists(), "{was}");
    }
}

/// A function's own variable ends with it, and the key must be there then.
#[test]
fn needs_zsh_a_variable_of_a_function_is_left_alone() {
    let (home, _agent) = projects();
    let script = "A_KEY=orig; f() { local A_KEY=mine; cd one; print -r -- $A_KEY }; f\n\
                  prompt; show; cd ..; prompt; kind A_KEY";
    ZSH.run(&home, script).prints(given::fill(&home, "mine\n@ none none\nplain orig\n"));
}

/// What a shell calculates when it is set runs what is in the value.
#[test]
fn needs_zsh_what_zsh_calculates_is_nothing_to_bind() {
    let (home, _agent) = projects();
    home.wire().put("odd", b"path[$(touch pwned)1]");
    for name in ["ZLE_RPROMPT_INDENT", "DIRSTACKSIZE", "PERIOD", "LISTMAX", "LC_ALL", "WORDCHARS"] {
        let odd = home.work().join("odd");
        given::manifest(&home, &odd, &format!("[env]\n{name} = \"odd\"\n"));
        home.keyagent(["allow", "--yes"]).dir(&odd).run().fails(1).complains("line 2, column 1");
        let output = ZSH.run(&home, "cd odd; prompt");
        says(&output, 1, "line 2, column 1");
        assert!(!odd.join("pwned").exists(), "{name}");
    }
}

#[test]
fn needs_fish_a_list_of_paths_is_one_again() {
    let (home, _agent) = projects();
    let script = "set -gx --path A_KEY a b; cd one; prompt; show; cd ..; prompt; printenv A_KEY";
    let output = FISH.run(&home, script);
    output.prints(given::fill(&home, "@ none none\na:b\n"));
}

#[test]
fn a_reference_to_a_variable_is_left_alone() {
    let (home, _agent) = projects();
    let script = "target=hello; declare -n A_KEY=target; cd one; prompt; cd ..; prompt\n\
                  declare -p A_KEY target";
    let output = BASH.run(&home, script);
    says(&output, 1, "cannot set `A_KEY`: it refers to another variable");
    output.prints("declare -n A_KEY=\"target\"\ndeclare -- target=\"hello\"\n");
}

/// `PATH_add bin`, and a bin/keyagent in the repository.
#[test]
fn needs_direnv_an_envrc_asks_our_own_client() {
    let (home, _agent) = projects();
    let config = home.make_directory("direnv");
    let install = home.keyagent(["hook", "direnv", "--install"]).env("DIRENV_CONFIG", &config);
    install.run().code(0).complains("direnv/lib/keyagent.sh`");
    let one = home.work().join("one");
    fs::create_dir(one.join("bin")).expect("ours");
    keyagent_tests::copy_program(std::path::Path::new("/bin/false"), &one.join("bin/keyagent"));
    let envrc = "set -vxT\ntrap 'echo \"$BASH_COMMAND\" >&2' DEBUG\nPATH_add bin\nuse keyagent\n";
    fs::write(one.join(".envrc"), envrc).expect("ours");
    let direnv = |args: &[&str]| {
        home.command("direnv").args(args).env("DIRENV_CONFIG", &config).dir(&one).run()
    };
    direnv(&["allow", "."]).code(0);
    let output = direnv(&["exec", ".", "printenv", "A_KEY"]).code(0);
    assert!(!home.has_value(&output.stderr), "a trace shows the key");
    output.prints(given::fill(&home, "@\n"));
}

/// direnv keeps a second copy of all that it has set, and it is another project's.
#[test]
fn needs_direnv_exec_passes_no_copy_of_another_projects_keys_on() {
    let (home, _agent) = projects();
    home.keyagent(["hook", "direnv", "--install"]).run().code(0);
    let one = home.work().join("one");
    fs::write(one.join(".envrc"), "use keyagent\n").expect("ours");
    home.command("direnv").args(["allow", "."]).dir(&one).run().code(0);
    let script = "eval \"$(direnv export bash)\"; look() { keyagent exec -- sh -c 'echo ${A_KEY-none} ${DIRENV_DIFF+copy} ${DIRENV_KEYAGENT+record}'; }\n\
                  look; cd ../two; look; keyagent exec --env X=own/O_KEY -- sh -c 'echo $X'";
    let output = home.command("bash").args(["-c", script]).dir(&one).run().code(0);
    output.prints(given::fill(&home, "@ copy\nnone\no\n"));
}

#[test]
fn a_project_of_the_same_name_is_not_the_same() {
    let (home, _agent) = projects();
    let script = "cd one; prompt; show; cd ..; prompt; mv one moved; mkdir one; cp moved/keyagent.toml one\n\
                  cd one; prompt; show; cd ../moved; prompt; show";
    let output = BASH.run(&home, script);
    says(&output, 2, "this project is not allowed");
    output.prints(given::fill(&home, "@ none none\nnone none none\nnone none none\n"));
}
