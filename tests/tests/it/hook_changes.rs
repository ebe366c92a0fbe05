//! The shell's hook: a shell that stands in a project has, at its next prompt, what it should
//! have by then, and a shell of another project does not so much as ask.

use crate::given;
use crate::hook_shells::{Shell, counting, in_each_shell, own_manifest, projects, says};
use std::fs;

in_each_shell!(
    what_another_process_did_is_there_at_the_next_prompt,
    a_new_version_is_there,
    what_is_removed_goes_and_what_is_put_back_comes,
    what_is_for_exec_only_stays_out_and_the_rest_comes,
    trust_comes_and_goes,
    lock_and_unlock_reach_a_shell,
    a_manifest_that_appears_changes_or_goes_is_noticed,
    a_vault_from_elsewhere_is_noticed,
    the_profile_is_the_one_that_is_named,
    a_profile_that_is_none_is_one_line,
    a_shell_of_another_project_does_not_ask,
    the_users_own_manifest_is_watched_too,
);

fn what_another_process_did_is_there_at_the_next_prompt(shell: &Shell) {
    let (home, _agent) = projects();
    let set = |value: &str| drop(home.keyagent(["set", "one/A_KEY"]).stdin(value).run().code(0));
    let keyagent =
        |args: &[&str]| drop(home.keyagent(args).dir(home.work().join("one")).run().code(0));
    let mut human = shell.start(&home, "", "");
    human.sees("none none none");
    human.types("cd one");
    human.sees(&format!("{} none none", home.canary()));
    set("a2");
    human.sees("a2 none none");
    set("a3");
    human.sees("a3 none none");
    for (undo, again) in [(&["lock"][..], &["unlock"][..]), (&["deny"], &["allow", "--yes"])] {
        keyagent(undo);
        human.sees("none none none");
        keyagent(again);
        human.sees("a3 none none");
    }
    keyagent(&["rm", "one/A_KEY"]);
    human.sees("none none none");
    human.types("cd ../two");
    human.sees("none b none");
    human.leaves();
}

fn a_new_version_is_there(shell: &Shell) {
    let (home, _agent) = projects();
    // Several within one second.
    let script = "cd one; prompt; show; echo a2 | keyagent set one/A_KEY; prompt; show\n\
                  echo a3 | keyagent set one/A_KEY; prompt; show; echo a4 | keyagent set one/A_KEY; prompt; show";
    shell.shows(&home, script, "@ none none\na2 none none\na3 none none\na4 none none\n");
}

fn what_is_removed_goes_and_what_is_put_back_comes(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "mine A_KEY mine; cd one; prompt; show; keyagent rm one/A_KEY; prompt; show\n\
                  echo new | keyagent set one/A_KEY; prompt; show\n\
                  keyagent mv one/A_KEY one/OTHER; prompt; show\n\
                  keyagent mv one/OTHER one/A_KEY; prompt; show";
    shell.shows(
        &home,
        script,
        "@ none none\nmine none none\nnew none none\nmine none none\nnew none none\n",
    );
}

fn what_is_for_exec_only_stays_out_and_the_rest_comes(shell: &Shell) {
    let (home, _agent) = projects();
    given::manifest(
        &home,
        home.work().join("one"),
        "[env]\nA_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"\n",
    );
    given::allow(&home, home.work().join("one"));
    let script = "cd one; prompt; show; echo x | keyagent set two/B_KEY --exec-only; prompt; show\n\
                  keyagent exec -- sh -c 'echo \"$A_KEY $B_KEY\"'";
    shell.shows(&home, script, "@ b none\n@ none none\n@ x\n");
}

fn trust_comes_and_goes(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "cd one; prompt; show; keyagent deny 2>/dev/null; prompt; show\n\
                  keyagent allow --yes 2>/dev/null; prompt; show";
    let output = shell.shows(&home, script, "@ none none\nnone none none\n@ none none\n");
    says(&output, 1, "this project is not allowed (`keyagent allow` shows");
}

fn lock_and_unlock_reach_a_shell(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "cd one; prompt; keyagent lock; prompt; show; prompt; keyagent unlock; prompt\n\
                  show\n\
                  keyagent lock; cd ../two; prompt; show; keyagent unlock; prompt; show";
    let output =
        shell.shows(&home, script, "none none none\n@ none none\nnone none none\nnone b none\n");
    says(&output, 2, "the vault is locked (`keyagent unlock` opens it");
}

fn a_manifest_that_appears_changes_or_goes_is_noticed(shell: &Shell) {
    let (home, _agent) = projects();
    let allow = "keyagent allow --yes 2>/dev/null";
    // The second text has the length of the first, and its time.
    let script = format!(
        "cd one; prompt; show; touch -r keyagent.toml then\n\
         sed -i s,one/A_KEY,two/B_KEY, keyagent.toml\n\
         touch -r then keyagent.toml; prompt; show; {allow}; prompt; show; mv keyagent.toml away\n\
         prompt; show\n\
         cp ../two/keyagent.toml .; prompt; show; rm keyagent.toml; mkdir inner; cd inner\n\
         prompt; show\n\
         mv ../away ../keyagent.toml; prompt; show"
    );
    let output = shell.shows(
        &home,
        &script,
        "@ none none\nnone none none\nb none none\nnone none none\nnone none none\n\
         none none none\nb none none\n",
    );
    says(&output, 2, "keyagent.toml changed since it was allowed");
}

fn a_vault_from_elsewhere_is_noticed(shell: &Shell) {
    let (home, mut agent) = projects();
    let copy = home.make_directory("copy");
    let vault = home.vault();
    // Another machine's change: made by this agent, taken away again, and then synced.
    fs::copy(&vault, copy.join("before")).expect("ours");
    home.keyagent(["set", "one/A_KEY"]).stdin("synced").run().code(0);
    fs::copy(&vault, copy.join("after")).expect("ours");
    agent.kill();
    fs::copy(copy.join("before"), &vault).expect("ours");
    home.keyagent(["unlock", "--accept-rollback"]).run().code(0);
    let wait = match shell.name {
        "fish" => "while test \"$A_KEY\" != synced; sleep 0.01; prompt; end",
        _ => "while test \"$A_KEY\" != synced; do sleep 0.01; prompt; done",
    };
    let script = format!(
        "cd one; prompt; show; cp {0} {1}.new; mv {1}.new {1}; {wait}; show",
        copy.join("after").display(),
        vault.display()
    );
    shell.shows(&home, &script, "@ none none\nsynced none none\n");
}

fn the_profile_is_the_one_that_is_named(shell: &Shell) {
    let (home, _agent) = projects();
    let text = "[env]\nA_KEY = \"one/A_KEY\"\n[profile.prod.env]\nA_KEY = \"two/B_KEY\"\n\
                [profile.other.env]\nB_KEY = \"own/O_KEY\"\n";
    given::manifest(&home, home.work().join("one"), text);
    given::allow(&home, home.work().join("one"));
    let script = "cd one; plain KEYAGENT_PROFILE prod; prompt; show; mine KEYAGENT_PROFILE other\n\
                  prompt; show\n\
                  mine KEYAGENT_PROFILE ''; prompt; show; forget KEYAGENT_PROFILE; prompt; show";
    shell.shows(&home, script, "b none none\n@ o none\n@ none none\n@ none none\n").quietly();
}

fn a_profile_that_is_none_is_one_line(shell: &Shell) {
    let (home, _agent) = projects();
    for (profile, why) in [
        ("none", "has no profile `none`"),
        ("a b\n", "profile"),
        ("-x", "profile"),
        ("$(id)", "profile"),
    ] {
        let script = "mine KEYAGENT_PROFILE \"$VALUE\"; cd one; prompt; show; prompt\n\
                      forget KEYAGENT_PROFILE; prompt; show";
        let output = shell.run_with(&home, &[("VALUE", profile)], script).code(0);
        says(&output, 1, why);
        output.prints(given::fill(&home, "none none none\n@ none none\n"));
    }
}

fn a_shell_of_another_project_does_not_ask(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "cd two; prompt; starts; prompt; starts; echo a2 | keyagent set one/A_KEY\n\
                  prompt; starts\n\
                  cd ../one; keyagent deny; keyagent allow --yes; keyagent rm one/A_KEY\n\
                  cd ../two; prompt; starts\n\
                  echo b2 | keyagent set two/B_KEY; prompt; show; starts; prompt; starts";
    let script = counting(&home, shell) + script;
    // zsh and fish look after each cd, so theirs is one more for each of the two.
    let expected = match shell.name {
        "bash" => "1\n1\n1\n1\nnone b2 none\n2\n2\n",
        _ => "1\n1\n1\n3\nnone b2 none\n4\n4\n",
    };
    shell.shows(&home, &script, expected);
}

fn the_users_own_manifest_is_watched_too(shell: &Shell) {
    let (home, _agent) = projects();
    let script = "prompt; show; echo done >&2";
    shell.shows(&home, script, "none none none\n");
    own_manifest(&home);
    let own = home.config().join("keyagent.toml");
    let script = format!(
        "show; echo o2 | keyagent set own/O_KEY; prompt; show; mv {0} {0}.away; prompt; show\n\
         mv {0}.away {0}; prompt; show",
        own.display()
    );
    shell.shows(&home, &script, "none none o\nnone none o2\nnone none none\nnone none o2\n");
}
