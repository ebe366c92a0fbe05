//! The shell's hook: a shell inside a shell, wherever it was started, takes what the one
//! around it has loaded for what it is; and `exec` does, too.

use crate::hook_shells::{BASH, FISH, Shell, ZSH, in_each_shell, own_manifest, project, projects};
use keyagent_tests::{Home, eventually, unique};
use std::fs;
use std::process::Command;

in_each_shell!(
    a_shell_inside_takes_out_what_the_outer_one_loaded,
    a_shell_inside_gives_back_what_the_user_had,
    a_shell_inside_that_stays_has_the_keys_and_says_nothing,
    a_shell_that_becomes_another_goes_on,
    exec_has_the_version_of_now,
    exec_has_no_key_of_another_project,
    exec_has_only_what_was_asked_for,
    exec_gives_back_what_the_user_had,
    needs_tmux_a_pane_elsewhere_has_no_key_of_the_project,
);

/// A line that runs a script in a shell of that kind inside the shell, with the hook.
fn inner(shell: &Shell, home: &Home, script: &str) -> String {
    let file = home.work().join("inner");
    fs::write(&file, shell.text("", script)).expect("a file of ours");
    let options = match shell.name {
        "bash" => "--norc",
        "zsh" => "-f",
        _ => "--no-config",
    };
    format!("{} {options} {}", shell.name, file.display())
}

fn a_shell_inside_takes_out_what_the_outer_one_loaded(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "both", "A_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"");
    let line = inner(
        shell,
        &home,
        "prompt; show; cd ../two; prompt; show; cd ..; prompt; show; env | grep -c KEY || true",
    );
    let script = format!("cd both; prompt; show; {line}; prompt; show");
    let expected = "@ b none\n@ b none\nnone b none\nnone none none\n0\n@ b none\n";
    shell.shows(&home, &script, expected).quietly();
}

fn a_shell_inside_gives_back_what_the_user_had(shell: &Shell) {
    let (home, _agent) = projects();
    for value in ["mine", "", "a 'b' \"c\" $d `e` \\f !", " two\nlines\n"] {
        let line = inner(
            shell,
            &home,
            "cd ..; prompt; kind A_KEY; cd one; prompt; kind A_KEY; cd ..; prompt; kind A_KEY",
        );
        let script =
            format!("mine A_KEY \"$VALUE\"; cd one; prompt; {line}; cd ..; prompt; kind A_KEY");
        let output = shell.run_with(&home, &[("VALUE", value)], &script).code(0);
        let (was, key) = (format!("exported {value}\n"), format!("exported {}\n", home.canary()));
        output.prints([&*was, &key, &was, &was].concat());
    }
}

fn a_shell_inside_that_stays_has_the_keys_and_says_nothing(shell: &Shell) {
    let (home, _agent) = projects();
    let line = inner(
        shell,
        &home,
        "prompt; show; echo new | keyagent set one/A_KEY 2>/dev/null; prompt; show",
    );
    let script = format!("cd one; prompt; {line}; prompt; show");
    shell.shows(&home, &script, "@ none none\nnew none none\nnew none none\n").quietly();
}

fn a_shell_that_becomes_another_goes_on(shell: &Shell) {
    let (home, _agent) = projects();
    own_manifest(&home);
    let line = inner(shell, &home, "prompt; show; cd ..; prompt; show; kind A_KEY");
    let script = format!("mine A_KEY mine; cd one; prompt; exec {line}");
    shell.shows(&home, &script, "@ none none\nmine none o\nexported mine\n");
}

#[test]
fn needs_zsh_needs_fish_a_shell_of_another_kind_inside_gives_back_what_the_user_had() {
    let (home, _agent) = projects();
    for outer in [&BASH, &ZSH, &FISH] {
        for shell in [&BASH, &ZSH, &FISH] {
            let line = inner(shell, &home, "cd ../two; prompt; show; cd ..; prompt; kind A_KEY");
            let script = format!("mine A_KEY 'my own'; cd one; prompt; show; {line}");
            let expected = "@ none none\nmy own b none\nexported my own\n";
            outer.shows(&home, &script, expected);
        }
    }
}

const PRINT: &str = "keyagent exec -- sh -c 'echo \"${A_KEY-none} ${B_KEY-none} ${O_KEY-none}\"; env | grep -c KEYAGENT_ || true'";

fn exec_has_the_version_of_now(shell: &Shell) {
    let (home, _agent) = projects();
    let script =
        format!("cd one; prompt; echo new | keyagent set one/A_KEY 2>/dev/null; {PRINT}; show");
    shell.shows(&home, &script, "new none none\n0\n@ none none\n").quietly();
}

fn exec_has_no_key_of_another_project(shell: &Shell) {
    let (home, _agent) = projects();
    let run = format!("sh -c 'cd ../two && {}'", PRINT.replace('\'', "'\\''"));
    let run = if shell.name == "fish" { run.replace("'\\''", "\\'") } else { run };
    let script = format!("mine O_KEY mine; cd one; prompt; show; {run}");
    shell.shows(&home, &script, "@ none mine\nnone b mine\n0\n").quietly();
}

fn exec_has_only_what_was_asked_for(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "both", "A_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"");
    let only = PRINT.replace("exec", "exec --only A_KEY");
    shell
        .shows(&home, &format!("cd both; prompt; show; {only}"), "@ b none\n@ none none\n0\n")
        .quietly();
}

fn exec_gives_back_what_the_user_had(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "both", "A_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"");
    let only = PRINT.replace("exec", "exec --only A_KEY");
    let script = format!("mine B_KEY mine; cd both; prompt; show; {only}");
    shell.shows(&home, &script, "@ b none\n@ mine none\n0\n");
}

/// A tmux server of our own, until this is dropped.
struct Tmux<'a>(&'a Home, String);

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        self.0.surround(&mut command);
        let _ = command.args(["-L", &self.1, "kill-server"]).status();
    }
}

/// The server has the environment of the project for all that it ever starts.
fn needs_tmux_a_pane_elsewhere_has_no_key_of_the_project(shell: &Shell) {
    let (home, _agent) = projects();
    let tmux = Tmux(&home, unique());
    let arguments = shell.interactive(&home, "", "");
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let pane = format!("{} {}", shell.name, words.join(" "));
    let start = format!("tmux -L {} -f /dev/null new-session -d -x 80 -y 24 sleep 1000", tmux.1);
    shell.run(&home, &format!("cd one; prompt; show; {start}")).code(0);
    let out = home.work().join("pane");
    home.may_hold(&out);
    let typed = format!("sh -c 'env >{0}.new; mv {0}.new {0}'", out.display());
    home.may_hold(format!("{}.new", out.display()));
    let tell = |args: &[&str]| {
        let line = [&["-L", &*tmux.1], args].concat();
        home.command("tmux").args(line).run().code(0).stdout_text()
    };
    let zdotdir = format!("ZDOTDIR={}", home.root().join("rc").display());
    let directory = home.work().display().to_string();
    tell(&["new-window", "-c", &directory, "-e", &zdotdir, "-t", ":7", &pane]);
    let screen = || tell(&["capture-pane", "-p", "-t", ":7"]);
    eventually("the shell in the pane is ready", || screen().contains("ready>").then_some(()));
    tell(&["send-keys", "-t", ":7", "cd two", "Enter", &typed, "Enter"]);
    let env = eventually("the shell in the pane has written it", || fs::read(&out).ok());
    let env = String::from_utf8_lossy(&env).into_owned();
    assert!(!env.contains("A_KEY=") && env.contains("B_KEY=b"), "{env}");
    assert!(!env.contains(home.canary()), "{env}");
}
