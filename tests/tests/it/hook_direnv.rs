//! The shell's hook beside the one of direnv, in either order: what direnv loads is left to
//! it, what it does not is ours, and afterwards nothing of either is left.

use crate::given;
use crate::hook_shells::{Human, Shell, in_each_shell, own_manifest, projects};
use keyagent_tests::{Agent, Home};
use std::fs;
use std::path::Path;

in_each_shell!(
    needs_direnv_use_keyagent_and_the_hook_load_once,
    needs_direnv_an_envrc_without_keys_goes_with_the_hook,
    needs_direnv_the_users_own_keys_are_back_afterwards,
    needs_direnv_what_direnv_loads_over_ours_is_left_to_it,
    needs_direnv_what_the_user_had_is_back_afterwards,
    needs_direnv_one_project_with_it_and_one_without,
    needs_direnv_a_shell_inside_leaves_the_project_too,
    needs_direnv_lock_and_a_new_version_reach_the_shell,
);

/// direnv's hook before ours, and behind it.
fn orders(shell: &Shell) -> [(&'static str, &'static str); 2] {
    let hook = match shell.name {
        "bash" => "eval \"$(direnv hook bash)\"",
        "zsh" => "eval \"$(direnv hook zsh)\"",
        _ => "direnv hook fish | source",
    };
    [(hook, ""), ("", hook)]
}

fn with_direnv() -> (Home, Agent) {
    let (home, agent) = projects();
    home.keyagent(["hook", "direnv", "--install"]).run().code(0);
    // It would say which variables it sets, and take its time to.
    fs::write(home.root().join("config/direnv/direnv.toml"), "[global]\nwarn_timeout = \"1h\"\n")
        .expect("ours");
    (home, agent)
}

/// Writes an .envrc and has direnv trust it.
fn trust(home: &Home, directory: &Path, envrc: &str) {
    fs::write(directory.join(".envrc"), envrc).expect("ours");
    home.command("direnv").args(["allow", "."]).dir(directory).run().code(0);
}

/// Nothing is left of direnv or of us.
fn has_nothing_left(human: &mut Human<'_>) {
    human.shows("sh -c 'env | grep -cE \"KEYAGENT|DIRENV_|FROM_\" || true'", "0\r\n");
}

fn needs_direnv_use_keyagent_and_the_hook_load_once(shell: &Shell) {
    let (home, _agent) = with_direnv();
    trust(&home, &home.work().join("one"), "use keyagent\nexport FROM_ENVRC=1\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, before, after);
        for _ in 0..2 {
            human.types("cd one");
            human.sees(&format!("{} none none", home.canary()));
            human.shows("sh -c 'echo \"[$FROM_ENVRC]\"'", "[1]\r\n");
            human.shows("sh -c 'echo \"[${DIRENV_KEYAGENT+direnv}]\"'", "[direnv]\r\n");
            human.types("cd ..");
            human.sees("none none none");
            has_nothing_left(&mut human);
        }
        human.leaves();
    }
}

fn needs_direnv_an_envrc_without_keys_goes_with_the_hook(shell: &Shell) {
    let (home, _agent) = with_direnv();
    trust(&home, &home.work().join("one"), "export FROM_ENVRC=1\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, before, after);
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        human.shows("sh -c 'echo \"[$FROM_ENVRC]\"'", "[1]\r\n");
        human.types("cd ../two");
        human.sees("none b none");
        human.types("cd ..");
        human.sees("none none none");
        has_nothing_left(&mut human);
        human.leaves();
    }
}

fn needs_direnv_the_users_own_keys_are_back_afterwards(shell: &Shell) {
    let (home, _agent) = with_direnv();
    own_manifest(&home);
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, before, after);
        human.sees("none none o");
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        human.types("cd ..");
        human.sees("none none o");
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        human.types("cd ../two");
        human.sees("none b none");
        human.types("cd ..");
        human.sees("none none o");
        human.leaves();
    }
}

fn needs_direnv_what_direnv_loads_over_ours_is_left_to_it(shell: &Shell) {
    let (home, _agent) = with_direnv();
    given::manifest(&home, home.config(), "[env]\nA_KEY = \"own/O_KEY\"\n");
    given::allow(&home, home.config());
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, &format!("{before}\nmine A_KEY mine"), after);
        human.sees("o none none");
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        // The .envrc is not trusted any more, and then it is again.
        fs::write(home.work().join("one/.envrc"), "use keyagent # again\n").expect("ours");
        human.sees(&format!("{} none none", home.canary()));
        trust(&home, &home.work().join("one"), "use keyagent\n");
        human.types("cd ../two");
        human.sees("mine b none");
        human.types("cd ..");
        human.sees("o none none");
        let own = home.config().join("keyagent.toml");
        fs::rename(&own, own.with_extension("away")).expect("ours");
        human.sees("mine none none");
        fs::rename(own.with_extension("away"), &own).expect("ours");
        human.leaves();
    }
}

fn needs_direnv_what_the_user_had_is_back_afterwards(shell: &Shell) {
    let (home, _agent) = with_direnv();
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, &format!("{before}\nmine A_KEY mine"), after);
        human.sees("mine none none");
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        human.types("cd ..");
        human.sees("mine none none");
        human.leaves();
    }
}

fn needs_direnv_one_project_with_it_and_one_without(shell: &Shell) {
    let (home, _agent) = with_direnv();
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, before, after);
        for _ in 0..2 {
            human.types("cd $HOME/../work/one");
            human.sees(&format!("{} none none", home.canary()));
            human.types("cd ../two");
            human.sees("none b none");
        }
        human.types("cd ..");
        human.sees("none none none");
        has_nothing_left(&mut human);
        human.leaves();
    }
}

fn needs_direnv_lock_and_a_new_version_reach_the_shell(shell: &Shell) {
    let (home, _agent) = with_direnv();
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let mut human = shell.start(&home, before, after);
        human.types("cd one");
        home.keyagent(["lock"]).run().code(0);
        human.sees("none none none");
        home.keyagent(["unlock"]).run().code(0);
        human.sees(&format!("{} none none", home.canary()));
        home.keyagent(["set", "one/A_KEY"]).stdin("new").run().code(0);
        human.sees("new none none");
        human.types("cd ..");
        human.sees("none none none");
        has_nothing_left(&mut human);
        human.leaves();
        home.wire().put("one/A_KEY", home.canary().as_bytes());
    }
}

fn needs_direnv_a_shell_inside_leaves_the_project_too(shell: &Shell) {
    let (home, _agent) = with_direnv();
    own_manifest(&home);
    trust(&home, &home.work().join("one"), "use keyagent\n");
    for (before, after) in orders(shell) {
        let arguments = shell.interactive(&home, before, after);
        let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
        // Ours loads first: direnv trusts the .envrc only later.
        home.command("direnv").args(["deny", "."]).dir(home.work().join("one")).run().code(0);
        let mut human = shell.start(&home, before, after);
        human.types("cd one");
        human.sees(&format!("{} none none", home.canary()));
        trust(&home, &home.work().join("one"), "use keyagent\n");
        human.types("true");
        human.sees(&format!("{} none none", home.canary()));
        human.terminal.line(&format!("{} {}", shell.name, words.join(" ")));
        human.terminal.expect("ready> ");
        human.sees(&format!("{} none none", home.canary()));
        human.types("cd ../two");
        human.sees("none b none");
        human.types("cd ..");
        human.sees("none none o");
        human.terminal.line("exit");
        human.terminal.expect("ready> ");
        human.sees(&format!("{} none none", home.canary()));
        human.types("cd ..");
        human.sees("none none o");
        human.leaves();
    }
}
