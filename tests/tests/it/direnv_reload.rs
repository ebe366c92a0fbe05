//! Real direnv: a shell that stands in a project has, at its next prompt, what it should
//! have by then, and a shell of another project stays as it is.

use crate::given;
use keyagent_tests::{Agent, Home, Output};
use std::fs;
use std::path::{Path, PathBuf};

/// A prompt: what direnv's hook does, and what is loaded then. `quiet` is a prompt at which
/// direnv has nothing to do.
const PROMPTS: &str = r#"
prompt() { eval "$(direnv export bash)"; echo "${A_KEY-none} ${B_KEY-none}"; }
quiet() { [[ -z $(direnv export bash) ]] && echo quiet || echo loud; }
"#;

/// Two projects: `work/one` has `A_KEY`, the canary, and `work/two` has `B_KEY`.
fn projects() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    home.keyagent(["hook", "direnv", "--install"]).run().code(0);
    home.wire().put("one/A_KEY", home.canary().as_bytes());
    home.wire().put("two/B_KEY", b"b");
    for (name, line) in [("one", "A_KEY = \"one/A_KEY\""), ("two", "B_KEY = \"two/B_KEY\"")] {
        let directory = home.work().join(name);
        given::manifest(&home, &directory, &format!("[env]\n{line}\n"));
        given::allow(&home, &directory);
        trust(&home, &directory, "use keyagent\n");
    }
    (home, agent)
}

/// Writes an .envrc and has direnv trust it.
fn trust(home: &Home, directory: &Path, envrc: &str) {
    fs::write(directory.join(".envrc"), envrc).expect("ours");
    home.command("direnv").args(["allow", "."]).dir(directory).run().code(0);
}

fn one(home: &Home) -> PathBuf {
    home.work().join("one")
}

/// What a shell in the first project shows; `KEY` stands for the canary.
fn shows(home: &Home, script: &str, expected: &str) -> Output {
    let script = format!("{PROMPTS}{script}");
    let output = home.command("bash").args(["-c", &script]).dir(one(home)).run().code(0);
    output.prints(expected.replace("KEY", home.canary()))
}

#[test]
fn needs_direnv_a_new_version_is_there_at_the_next_prompt_and_only_here() {
    let (home, _agent) = projects();
    let script = "prompt; (cd ../two; prompt; echo b2 | keyagent set two/B_KEY; prompt; quiet)\n\
                  quiet; echo a2 | keyagent set one/A_KEY; prompt; quiet\n\
                  echo a3 | keyagent set one/A_KEY; prompt; echo a4 | keyagent set one/A_KEY; prompt";
    // Four versions within one second, which is all that direnv sees of a time.
    shows(
        &home,
        script,
        "KEY none\nnone b\nnone b2\nquiet\nquiet\na2 none\nquiet\na3 none\na4 none\n",
    );
}

#[test]
fn needs_direnv_lock_and_unlock_reach_every_shell() {
    let (home, _agent) = projects();
    let script = "prompt; keyagent lock; prompt; quiet; keyagent unlock; prompt; quiet\n\
                  keyagent lock; cd ../two; prompt; keyagent unlock; prompt";
    let output =
        shows(&home, script, "KEY none\nnone none\nquiet\nKEY none\nquiet\nnone none\nnone b\n");
    let text = output.stderr_text();
    let complaints =
        text.lines().filter(|line| line.starts_with("keyagent: error: the vault is locked"));
    assert_eq!(complaints.count(), 2, "one line for each time: {text}");
}

#[test]
fn needs_direnv_trust_comes_and_goes() {
    let (home, _agent) = projects();
    let script = "prompt; keyagent deny; prompt; quiet; keyagent allow --yes; prompt; quiet";
    shows(&home, script, "KEY none\nnone none\nquiet\nKEY none\nquiet\n");
}

#[test]
fn needs_direnv_what_is_removed_goes_and_what_is_put_back_comes() {
    let (home, _agent) = projects();
    let script = "prompt; keyagent rm one/A_KEY; prompt; echo new | keyagent set one/A_KEY; prompt\n\
                  keyagent mv one/A_KEY one/OTHER; prompt; keyagent mv one/OTHER one/A_KEY; prompt\n\
                  echo x | keyagent set one/A_KEY --exec-only; prompt";
    shows(&home, script, "KEY none\nnone none\nnew none\nnone none\nnew none\nnone none\n");
}

#[test]
fn needs_direnv_a_manifest_that_changes_appears_or_goes_is_noticed() {
    let (home, _agent) = projects();
    let script = "prompt; touch -d '+1 minute' keyagent.toml; prompt\n\
                  printf '\\nB_KEY = \"two/B_KEY\"\\n' >>keyagent.toml; touch -d '+2 minutes' keyagent.toml\n\
                  prompt; keyagent allow --yes; prompt; mv keyagent.toml away; prompt; quiet\n\
                  mv away keyagent.toml; prompt";
    shows(&home, script, "KEY none\nKEY none\nnone none\nKEY b\nnone none\nquiet\nKEY b\n");
}

#[test]
fn needs_direnv_another_profile_is_loaded() {
    let (home, _agent) = projects();
    let text = "[env]\nA_KEY = \"one/A_KEY\"\n[profile.prod.env]\nA_KEY = \"two/B_KEY\"\n";
    given::manifest(&home, one(&home), text);
    given::allow(&home, one(&home));
    let script = "prompt; echo 'use keyagent prod' >.envrc; touch -d '+1 minute' .envrc\n\
                  direnv allow; prompt; echo b2 | keyagent set two/B_KEY; prompt";
    shows(&home, script, "KEY none\nb none\nb2 none\n");
}

#[test]
fn needs_direnv_a_vault_from_elsewhere_is_noticed() {
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
    let script = format!(
        "prompt; cp {0} {1}.new; mv {1}.new {1}\n\
         until eval \"$(direnv export bash)\"; [[ $A_KEY == synced ]]; do sleep 0.01; done\n\
         prompt; (cd ../two; prompt); quiet",
        copy.join("after").display(),
        vault.display()
    );
    shows(&home, &script, "KEY none\nsynced none\nnone b\nquiet\n");
}

#[test]
fn needs_direnv_an_agent_that_ends_takes_the_keys_with_it() {
    let (home, _agent) = projects();
    let script = "prompt; keyagent stop; keyagent lock; keyagent start; prompt; quiet";
    // What nothing seals is open again as soon as there is an agent.
    shows(&home, script, "KEY none\nKEY none\nquiet\n");
}

/// direnv lists what it watches: what we have written is what its own `watch_file` would.
#[test]
fn needs_direnv_the_list_of_watched_files_is_what_direnv_would_write() {
    let (home, _agent) = projects();
    let list = |envrc: &str| {
        trust(&home, &one(&home), envrc);
        let script = "eval \"$(direnv export bash)\"; direnv status | grep '^Loaded watch'";
        home.command("bash").args(["-c", script]).dir(one(&home)).run().code(0).stdout_text()
    };
    // Under a name that is none, our client leaves the list to watch_file.
    let theirs = list(
        "saved=$DIRENV_WATCHES; unset DIRENV_WATCHES; code=$(keyagent export --format direnv)\n\
         export DIRENV_WATCHES=$saved; eval \"$code\"\n",
    );
    let ours = list("use keyagent\n");
    assert_eq!(ours.lines().count(), 4, "{ours}");
    assert_eq!(theirs.lines().count(), 4, "{theirs}");
    let files = |list: &str| {
        // The times of the first two are those of the .envrc, which was written again.
        list.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(files(&ours), files(&theirs));
}

#[test]
fn needs_direnv_beside_dotenv_layout_and_a_project_above() {
    let (home, _agent) = projects();
    fs::write(one(&home).join(".env"), "FROM_DOTENV=1\n").expect("ours");
    trust(&home, &one(&home), "dotenv\nuse keyagent\nlayout node\nexport AFTER=2\n");
    let script = "prompt; echo \"$FROM_DOTENV $AFTER ${PATH%%:*}\"; echo a2 | keyagent set one/A_KEY; prompt\n\
                  mkdir -p below; printf 'source_up\\nexport BELOW=3\\n' >below/.envrc\n\
                  cd below; direnv allow; prompt; echo \"$BELOW\"; echo a3 | keyagent set one/A_KEY; prompt";
    let node = one(&home).join("node_modules/.bin");
    shows(
        &home,
        script,
        &format!("KEY none\n1 2 {}\na2 none\na2 none\n3\na3 none\n", node.display()),
    );
}

#[test]
fn needs_direnv_needs_nix_shell_beside_use_nix() {
    let (home, _agent) = projects();
    // What a shell of nixpkgs gets from its stdenv: a PATH that leads somewhere.
    let shell = "derivation { name = \"shell\"; system = builtins.currentSystem;\n\
                 builder = \"/bin/sh\"; stdenv = toString ./stdenv; FROM_NIX = \"nix\"; }\n";
    fs::write(one(&home).join("shell.nix"), shell).expect("ours");
    fs::create_dir(one(&home).join("stdenv")).expect("ours");
    let setup = format!("export PATH='{}'\n", home.path_with_programs());
    fs::write(one(&home).join("stdenv/setup"), setup).expect("ours");
    for envrc in ["use nix\nuse keyagent\n", "use keyagent\nuse nix\n"] {
        trust(&home, &one(&home), envrc);
        let script = "export NIX_BUILD_SHELL=$BASH; prompt; echo \"$FROM_NIX\"\n\
                      keyagent lock; prompt; keyagent unlock; prompt; cd ..; prompt";
        shows(&home, script, "KEY none\nnix\nnone none\nKEY none\nnone none\n");
    }
}

/// A trace of an .envrc would show the keys in whatever it is written to.
#[test]
fn needs_direnv_a_trace_shows_no_key() {
    let (home, _agent) = projects();
    trust(&home, &one(&home), "set -x\nuse keyagent\nexport AFTER=2\n");
    let output = shows(&home, "prompt", "KEY none\n");
    assert!(output.stderr_text().contains("+ export AFTER=2"), "{}", output.report());
    assert!(!home.has_value(&output.stderr), "the trace has a key");
}

#[test]
fn needs_direnv_what_is_for_exec_only_stays_out_and_the_rest_comes() {
    let (home, _agent) = projects();
    let text = "[env]\nA_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"\n";
    given::manifest(&home, one(&home), text);
    given::allow(&home, one(&home));
    home.keyagent(["set", "two/B_KEY", "--exec-only"]).stdin("b").run().code(0);
    let script =
        "prompt; keyagent exec -- sh -c 'echo \"$A_KEY $B_KEY\"'; keyagent status | tail -n 2";
    let output = format!("{PROMPTS}{script}");
    let output = home.command("bash").args(["-c", &output]).dir(one(&home)).run().code(0);
    let text = output.stdout_text();
    assert!(text.starts_with(&format!("{0} none\n{0} b\n", home.canary())), "{text}");
    assert!(text.contains("A_KEY  one/A_KEY  version 1\n"), "{text}");
    assert!(text.contains("B_KEY  two/B_KEY  not loaded: for `exec` only\n"), "{text}");
}
