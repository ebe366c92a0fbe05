//! The shell's hook: keys come with the project and go with it, and what was there before is
//! back afterwards, as it was.

use crate::given;
use crate::hook_shells::{BASH, Shell, ZSH, in_each_shell, own_manifest, project, projects, says};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

in_each_shell!(
    keys_come_and_go,
    what_was_unset_is_unset_again,
    what_was_exported_is_back_and_exported,
    what_was_only_set_is_back_and_not_exported,
    an_override_is_named_once_for_each_entering,
    a_project_inside_another_has_its_own_keys_alone,
    the_users_own_manifest_counts_where_no_project_is,
    the_users_own_manifest_is_loaded_where_no_prompt_ever_is,
    below_the_project_the_keys_stay,
    any_path_will_do,
    a_path_of_4000_bytes_will_do,
    a_link_leads_to_the_project,
    needs_root_above_another_owner_nothing_is_looked_for,
    nothing_is_left_in_the_environment,
);

fn keys_come_and_go(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "show; cd one; prompt; show; cd ../two; prompt; show; cd ../one; prompt; show\n\
                  cd ..; prompt; show";
    let expected = "none none none\n@ none none\nnone b none\n@ none none\nnone none none\n";
    shell.shows(&home, script, expected).quietly();
}

fn what_was_unset_is_unset_again(shell: &Shell) {
    let (home, _agent) = projects();
    shell.shows(
        &home,
        "cd one; prompt; kind A_KEY; cd ..; prompt; kind A_KEY",
        "exported @\nunset\n",
    );
}

fn what_was_exported_is_back_and_exported(shell: &Shell) {
    let (home, _agent) = projects();
    for value in ["mine", "", "a 'b' \"c\" $d `e` \\f !", " two\nlines "] {
        let script = "mine A_KEY \"$VALUE\"; cd one; prompt; kind A_KEY; cd ../two; prompt\n\
                      kind A_KEY\n\
                      cd ..; prompt; kind A_KEY";
        let output = shell.run_with(&home, &[("VALUE", value)], script);
        let expected = format!("exported {}\nexported {value}\nexported {value}\n", home.canary());
        output.code(0).prints(expected);
    }
}

fn what_was_only_set_is_back_and_not_exported(shell: &Shell) {
    let (home, _agent) = projects();
    for value in ["mine", "", "a 'b' \"c\" $d `e` \\f !", " two\nlines "] {
        let script =
            "plain A_KEY \"$VALUE\"; cd one; prompt; kind A_KEY; cd ..; prompt; kind A_KEY";
        let output = shell.run_with(&home, &[("VALUE", value)], script).code(0);
        output.prints(format!("exported {}\nplain {value}\n", home.canary()));
    }
}

fn an_override_is_named_once_for_each_entering(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "mine A_KEY mine; plain B_KEY mine; cd one; prompt; prompt\n\
                  echo new | keyagent set one/A_KEY 2>/dev/null\n\
                  prompt; cd ../two; prompt; cd ..; prompt; cd one; prompt";
    let output = shell.run(&home, script);
    says(&output, 3, "_KEY` was set already; it has the vault's value now");
    // What has the value already is not overridden.
    let script = "mine B_KEY b; cd two; prompt; cd ..; prompt; kind B_KEY";
    shell.shows(&home, script, "exported b\n").quietly();
}

fn a_project_inside_another_has_its_own_keys_alone(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "one/inner", "B_KEY = \"two/B_KEY\"");
    let script = "cd one; prompt; show; cd inner; prompt; show; cd ..; prompt; show\n\
                  cd ..; prompt; show";
    let expected = "@ none none\nnone b none\n@ none none\nnone none none\n";
    shell.shows(&home, script, expected).quietly();
}

fn the_users_own_manifest_counts_where_no_project_is(shell: &Shell) {
    let (home, _agent) = projects();
    own_manifest(&home);
    // The first keys are there with the hook, before any prompt.
    let script = "show; cd one; prompt; show; cd ..; prompt; show; cd /; prompt; show";
    let expected = "none none o\n@ none none\nnone none o\nnone none o\n";
    shell.shows(&home, script, expected).quietly();
    let profile = format!("mine KEYAGENT_PROFILE prod; {script}");
    shell.shows(&home, &profile, &expected.replace('@', "b")).quietly();
}

fn the_users_own_manifest_is_loaded_where_no_prompt_ever_is(shell: &Shell) {
    let (home, _agent) = projects();
    own_manifest(&home);
    let arguments = shell.interactive(&home, "", "");
    let run = home.command(shell.name).env("ZDOTDIR", home.root().join("rc"));
    run.args(arguments).args(["-c", "show"]).run().code(0).prints("none none o\n");
}

fn below_the_project_the_keys_stay(shell: &Shell) {
    let (home, _agent) = projects();
    fs::create_dir_all(home.work().join("one/a/b")).expect("ours");
    let script = "cd one/a/b; prompt; show; cd ..; prompt; show; cd ../..; prompt; show";
    shell.shows(&home, script, "@ none none\n@ none none\nnone none none\n").quietly();
}

fn any_path_will_do(shell: &Shell) {
    let (home, _agent) = projects();
    for name in
        ["with spaces  and 'quotes' \"$x\" `y` \\ *?[a]", "lines\nof a\n\npath", "-n", "é\u{1b}"]
    {
        let directory = project(&home, name, "A_KEY = \"one/A_KEY\"");
        fs::create_dir(directory.join("below\n")).expect("ours");
        symlink(directory.join("below\n"), home.work().join("link")).expect("ours");
        let path = directory.display().to_string();
        let script = "cd \"$VALUE\"; prompt; show; cd $HOME; prompt; show; cd \"$VALUE/below\n\"\n\
                      prompt; show\n\
                      cd $HOME; prompt; cd ../work/link; prompt; show";
        let output = shell.run_with(&home, &[("VALUE", &*path)], script).code(0);
        let key = home.canary();
        output
            .prints(format!("{key} none none\nnone none none\n{key} none none\n{key} none none\n"))
            .quietly();
        fs::remove_file(home.work().join("link")).expect("ours");
    }
}

fn a_path_of_4000_bytes_will_do(shell: &Shell) {
    let (home, _agent) = projects();
    let mut name = "deep".to_owned();
    let own = home.work().as_os_str().len();
    while own + name.len() < 3_800 {
        name = format!("{name}/{}", "d".repeat(200));
    }
    let name = format!("{name}/{}", "e".repeat(4_000 - own - name.len() - 2));
    let directory = project(&home, &name, "A_KEY = \"one/A_KEY\"");
    let path = directory.display().to_string();
    assert_eq!(path.len(), 4_000);
    let script = "cd $VALUE; prompt; show; cd ..; prompt; show";
    let output = shell.run_with(&home, &[("VALUE", &*path)], script).code(0);
    output.prints(format!("{} none none\nnone none none\n", home.canary())).quietly();
}

/// Neither the path that was typed nor what lies around the link counts.
fn a_link_leads_to_the_project(shell: &Shell) {
    let (home, _agent) = projects();
    fs::create_dir_all(home.work().join("one/a")).expect("ours");
    symlink(home.work().join("one/a"), home.work().join("two/link")).expect("ours");
    let script = "cd two/link; prompt; show; cd ..; prompt; show";
    shell.shows(&home, script, "@ none none\nnone b none\n").quietly();
}

fn needs_root_above_another_owner_nothing_is_looked_for(shell: &Shell) {
    let (home, _agent) = projects();
    let theirs = home.work().join("one/theirs");
    fs::create_dir_all(theirs.join("ours")).expect("ours");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).expect("ours");
    chown(&theirs, Some(4_711), Some(4_711)).expect("root can give it away");
    given::manifest(&home, &theirs, "[env]\nA_KEY = \"one/A_KEY\"\n");
    let script = "cd one/theirs; prompt; show; cd ours; prompt; show; cd ../..; prompt; show";
    shell.shows(&home, script, "none none none\nnone none none\n@ none none\n").quietly();
}

fn nothing_is_left_in_the_environment(shell: &Shell) {
    let (home, _agent) = projects();
    let left = "sh -c 'env | grep -c KEY'";
    let script = format!("{left}; mine A_KEY mine; cd one; prompt; {left}; cd ..; prompt; {left}");
    // A_KEY, what it was, and the record.
    shell.shows(&home, &script, "0\n3\n1\n");
}

/// In fish, nothing but a function of ours knows of such attributes.
#[test]
fn attributes_are_back() {
    attributes_of(
        &BASH,
        "declare -p A_KEY",
        "declare -i A_KEY=\"7\"\ndeclare -a A_KEY=([0]=\"x\" [1]=\"y z\")\n",
    );
}

#[test]
fn needs_zsh_attributes_are_back() {
    attributes_of(&ZSH, "typeset -p A_KEY", "typeset -i A_KEY=7\ntypeset -a A_KEY=( x 'y z' )\n");
}

fn attributes_of(shell: &Shell, print: &str, expected: &str) {
    let (home, _agent) = projects();
    let script = format!(
        "typeset -i A_KEY=3+4; cd one; prompt; cd ..; prompt; {print}\n\
         unset A_KEY; A_KEY=(x 'y z'); cd one; prompt; cd ..; prompt; {print}"
    );
    shell.shows(&home, &script, expected);
}

#[test]
fn what_is_read_only_is_named_and_left() {
    read_only_is_left(&BASH);
}

#[test]
fn needs_zsh_what_is_read_only_is_named_and_left() {
    read_only_is_left(&ZSH);
}

fn read_only_is_left(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "both", "A_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"");
    let script = "readonly A_KEY=mine; cd both; prompt; kind A_KEY; kind B_KEY; cd ..; prompt\n\
                  kind A_KEY; kind B_KEY";
    let output = shell.shows(&home, script, "plain mine\nexported b\nplain mine\nunset\n");
    says(&output, 1, "cannot set `A_KEY`: it is read-only in this shell");
}

#[test]
fn what_became_read_only_stays_and_the_rest_goes() {
    became_read_only(&BASH);
}

#[test]
fn needs_zsh_what_became_read_only_stays_and_the_rest_goes() {
    became_read_only(&ZSH);
}

fn became_read_only(shell: &Shell) {
    let (home, _agent) = projects();
    project(&home, "both", "A_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"");
    let script = "mine A_KEY mine; cd both; prompt; readonly A_KEY; cd ..; prompt; show; prompt\n\
                  cd two; prompt; show\n\
                  cd ..; prompt; show";
    let output = shell.shows(&home, script, "@ none none\n@ b none\n@ none none\n");
    output.complains("cannot take `A_KEY` away: it is read-only in this shell");
}

#[test]
fn a_subshell_leaves_the_shell_around_it_alone() {
    subshell(&BASH);
}

#[test]
fn needs_zsh_a_subshell_leaves_the_shell_around_it_alone() {
    subshell(&ZSH);
}

fn subshell(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "(cd one; prompt; show); prompt; show; cd two; prompt\n\
                  (cd ../one; prompt; show); prompt; show";
    let expected = "@ none none\nnone none none\n@ none none\nnone b none\n";
    shell.shows(&home, script, expected).quietly();
}
