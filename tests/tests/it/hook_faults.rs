//! The shell's hook: whatever fails, the prompt comes, and says at most one line of it.

use crate::given;
use crate::hook_shells::{
    BASH, Shell, in_each_shell, lines_of_ours, own_manifest, project, projects, says,
};
use keyagent_tests::{Home, copy_program, eventually};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

in_each_shell!(
    locked_is_said_once_for_each_entering,
    not_allowed_is_said_once_and_names_the_way,
    an_agent_that_is_not_there_is_started,
    an_agent_that_cannot_be_started_is_one_line,
    a_client_alone_is_one_line,
    a_client_that_is_gone_is_one_line,
    an_agent_that_does_not_answer_is_one_line,
    a_human_need_not_wait_for_it,
    an_agent_that_was_killed_is_started_again,
    whatever_the_stamp_is_the_prompt_comes,
    whatever_the_manifest_is_the_prompt_comes,
    a_directory_that_is_gone_is_no_project,
    a_shell_older_than_the_agent_loads,
    needs_root_what_may_not_be_read_is_one_line,
    needs_root_a_manifest_of_another_owner_is_one_line,
);

fn locked_is_said_once_for_each_entering(shell: &Shell) {
    let (home, _agent) = projects();
    fs::create_dir(home.work().join("one/below")).expect("ours");
    home.keyagent(["lock"]).run().code(0);
    let mut human = shell.start(&home, "", "");
    human.types("cd one");
    human.sees("none none none");
    human.types("cd below");
    human.types("cd ..");
    human.types("cd ..");
    human.types("cd one/below");
    human.sees("none none none");
    let screen = human.leaves();
    assert_eq!(lines_of_ours(&screen, "the vault is locked"), 2, "{screen}");
    assert_eq!(lines_of_ours(&screen, ""), 2, "{screen}");
}

fn not_allowed_is_said_once_and_names_the_way(shell: &Shell) {
    let (home, _agent) = projects();
    fs::create_dir(home.work().join("one/below")).expect("ours");
    home.keyagent(["deny"]).dir(home.work().join("one")).run().code(0);
    let script = "cd one; prompt; prompt; cd below; prompt; show; cd ..; prompt";
    let output = shell.shows(&home, script, "none none none\n");
    says(&output, 1, "`keyagent allow` shows what it would get, and asks");
}

fn an_agent_that_is_not_there_is_started(shell: &Shell) {
    let (home, mut agent) = projects();
    agent.terminate();
    shell.shows(&home, "cd one; prompt; show", "@ none none\n").quietly();
    assert!(home.agent_pid().is_some());
}

fn an_agent_that_cannot_be_started_is_one_line(shell: &Shell) {
    let (home, mut agent) = projects();
    agent.terminate();
    let script = "cd one; prompt; prompt; show";
    for socket in ["/proc/none/agent.sock", "relative", "/dev/null"] {
        let output = shell.run_with(&home, &[("KEYAGENT_SOCK", socket)], script).code(0);
        says(&output, 1, "keyagent: error: ");
        output.prints("none none none\n");
    }
}

/// Where the hook has another client than the one on PATH.
fn with_client(home: &Home, shell: &Shell, client: &str, script: &str) -> String {
    let set = if shell.name == "fish" { "set -g __keyagent_client " } else { "__keyagent_client=" };
    format!("{set}'{}/{client}'\n{script}", home.root().display())
}

fn a_client_alone_is_one_line(shell: &Shell) {
    let (home, mut agent) = projects();
    agent.terminate();
    copy_program(&home.program("keyagent"), &home.root().join("alone"));
    let script = with_client(&home, shell, "alone", "cd one; prompt; prompt; show");
    let output = shell.shows(&home, &script, "none none none\n");
    says(&output, 1, "cannot start the agent: cannot run `");
}

fn a_client_that_is_gone_is_one_line(shell: &Shell) {
    let (home, _agent) = projects();
    let there = "cd one; prompt; show";
    let script =
        with_client(&home, shell, "gone", "cd ../two; prompt; show; prompt; cd ..; prompt");
    let output = shell.shows(&home, &format!("{there}\n{script}"), "@ none none\nnone none none\n");
    assert_eq!(output.stderr_text().lines().count(), 1, "{}", output.report());
}

fn an_agent_that_does_not_answer_is_one_line(shell: &Shell) {
    let (home, agent) = projects();
    let halted = agent.halt();
    let mut human = shell.start(&home, "", "");
    human.types("cd one");
    human.sees("none none none");
    drop(halted);
    human.types("cd ../two");
    human.sees("none b none");
    let screen = human.leaves();
    assert_eq!(lines_of_ours(&screen, "it did not answer in time"), 1, "{screen}");
    assert_eq!(lines_of_ours(&screen, ""), 1, "{screen}");
}

/// Whoever breaks off the wait has a prompt, and no key of where they were.
fn a_human_need_not_wait_for_it(shell: &Shell) {
    let (home, agent) = projects();
    let mut human = shell.start(&home, "", "");
    human.types("cd two");
    human.sees("none b none");
    let halted = agent.halt();
    human.terminal.line("cd ../one");
    human.terminal.expect("waiting for the agent");
    human.terminal.keys("\u{3}");
    human.terminal.expect("ready> ");
    human.sees("none none none");
    drop(halted);
    human.types("cd ..");
    human.types("cd one");
    human.sees(&format!("{} none none", home.canary()));
    let screen = human.leaves();
    assert_eq!(screen.matches("waiting for the agent").count(), 1, "{screen}");
    assert_eq!(lines_of_ours(&screen, "error"), 0, "{screen}");
}

fn an_agent_that_was_killed_is_started_again(shell: &Shell) {
    let (home, mut agent) = projects();
    let mut human = shell.start(&home, "cd one", "");
    human.sees(&format!("{} none none", home.canary()));
    agent.kill();
    human.sees(&format!("{} none none", home.canary()));
    fs::remove_file(home.socket()).expect("ours");
    human.types("cd ../two");
    human.sees("none b none");
    let screen = human.leaves();
    assert_eq!(lines_of_ours(&screen, ""), 0, "{screen}");
}

/// A shell that gave up on an agent asks again once that agent is well.
#[test]
fn who_gave_up_on_an_agent_is_told_when_it_is_well() {
    use keyagent_wire::Request;
    use std::os::fd::AsFd;
    let (home, agent) = projects();
    let one = home.work().join("one");
    let script = "cd one; prompt; ls \"$__keyagent_mark\"";
    let mark = BASH.run(&home, script).stdout_text().trim_end().to_owned();
    let halted = agent.halt();
    let mut wire = home.wire();
    let directory = fs::File::open(&one).expect("ours");
    let manifest = fs::File::open(one.join("keyagent.toml")).expect("ours");
    let load = keyagent_tests::Wire::frame(&Request::Load { profile: None });
    wire.send_bytes_with(&load, &[directory.as_fd(), manifest.as_fd()]).expect("it listens");
    drop(wire);
    assert!(fs::exists(&mark).expect("ours"), "nothing has changed yet");
    drop(halted);
    eventually("the mark is taken away", || (!fs::exists(&mark).ok()?).then_some(()));
}

fn whatever_the_stamp_is_the_prompt_comes(shell: &Shell) {
    let (home, _agent) = projects();
    let dollar = match shell.name {
        "fish" => "(string replace -r '\\.[0-9]+$' '' -- $__keyagent_mark)",
        _ => "\"${__keyagent_mark%.*}\"",
    };
    for fault in [
        "rm STAMP",
        "chmod 0 STAMP",
        "rm STAMP; mkdir STAMP",
        "rm STAMP; mkfifo STAMP",
        "rm STAMP; ln -s /dev/zero STAMP",
        "rm STAMP; ln -s STAMP STAMP",
        "printf '\\377\\0\\n99999999999999999999999999\\n' >STAMP",
        "head -c 200000 /dev/urandom >STAMP",
        "rm -r $XDG_RUNTIME_DIR/keyagent/agent.sock.stamps",
    ] {
        let fault = fault.replace("STAMP", dollar);
        let script = format!("cd one; prompt; {fault}; prompt; show; prompt; cd ..; prompt; show");
        let output = shell.run(&home, &script);
        let text = output.stderr_text();
        assert!(text.lines().count() <= 1, "{fault}: {}", output.report());
        output.prints(given::fill(&home, "@ none none\nnone none none\n"));
        let _ = fs::remove_dir_all(home.root().join("run/keyagent/agent.sock.stamps"));
    }
}

fn whatever_the_manifest_is_the_prompt_comes(shell: &Shell) {
    let (home, _agent) = projects();
    for (fault, why) in [
        ("chmod 0 M", ""),
        ("rm M; mkdir M", "is no regular file"),
        ("rm M; mkfifo M", "is no regular file"),
        ("rm M; ln -s ../one/keyagent.toml M", "it is a symbolic link"),
        ("echo nonsense >M", "cannot read keyagent.toml, line 1"),
        ("printf '\\377\\0\\377' >M", "cannot read keyagent.toml"),
        ("head -c 200000 /dev/zero >M", "keyagent.toml"),
    ] {
        let directory = project(&home, "odd", "B_KEY = \"two/B_KEY\"");
        let fault = fault.replace('M', "keyagent.toml");
        let script = format!("cd odd; {fault}; prompt; show; prompt; cd ..; prompt; show");
        let output = shell.run(&home, &script);
        // Root may read what nobody may.
        if !why.is_empty() {
            says(&output, 1, why);
            output.prints("none none none\nnone none none\n");
        }
        fs::remove_dir_all(directory).expect("ours");
    }
}

fn a_directory_that_is_gone_is_no_project(shell: &Shell) {
    let (home, _agent) = projects();
    own_manifest(&home);
    let script = "mkdir one/below; cd one/below; prompt; show; mv ../../one ../../moved; prompt\n\
                  show\n\
                  cd ../../two; prompt; show; cd ../moved/below; rm -r ../../moved; prompt; show";
    let output = shell.try_run(&home, "", script);
    let text = output.stderr_text();
    let ours = text.lines().filter(|line| line.contains("keyagent")).count();
    assert!(ours <= 2, "{}", output.report());
    assert!(output.stdout_text().starts_with(home.canary()), "{}", output.report());
    let rest = output.stdout_text();
    let rest: Vec<&str> = rest.lines().skip(1).collect();
    assert!(rest.iter().all(|line| !line.contains(home.canary())), "{}", output.report());
}

fn a_shell_older_than_the_agent_loads(shell: &Shell) {
    let home = Home::new();
    given::manifest(&home, home.work().join("one"), "[env]\nA_KEY = \"one/A_KEY\"\n");
    let script = "cd one; prompt; show; keyagent init --no-passphrase 2>/dev/null\n\
                  echo a | keyagent set one/A_KEY 2>/dev/null; keyagent allow --yes 2>/dev/null; prompt; show";
    let output = shell.shows(&home, script, "none none none\na none none\n");
    says(&output, 1, "there is no vault yet (`keyagent init` makes one)");
}

fn needs_root_what_may_not_be_read_is_one_line(shell: &Shell) {
    let home = Home::of_uid(4_711);
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    home.keyagent(["set", "one/A_KEY"]).stdin(home.canary()).run().code(0);
    project(&home, "one", "A_KEY = \"one/A_KEY\"");
    let script = "cd one; prompt; show; chmod 0 keyagent.toml; prompt; prompt; show\n\
                  chmod 600 keyagent.toml; prompt; show; mkdir -p a/b; cd a/b; prompt; show\n\
                  chmod 0 ../../../one; prompt; show; chmod 700 $HOME/../work/one; prompt; show";
    let output = shell.run(&home, script);
    let expected = "@ none none\nnone none none\n@ none none\n@ none none\n";
    let text = output.stdout_text();
    assert!(text.starts_with(&given::fill(&home, expected)), "{}", output.report());
    assert!(text.ends_with(&given::fill(&home, "@ none none\n")), "{}", output.report());
    assert!(lines_of_ours(&output.stderr_text(), "Permission denied") <= 2, "{}", output.report());
}

fn needs_root_a_manifest_of_another_owner_is_one_line(shell: &Shell) {
    let (home, _agent) = projects();
    let manifest = home.work().join("one/keyagent.toml");
    std::os::unix::fs::chown(&manifest, Some(4_711), Some(4_711)).expect("root can give it away");
    fs::set_permissions(&manifest, Permissions::from_mode(0o644)).expect("root may");
    let output = shell.shows(&home, "cd one; prompt; prompt; show", "none none none\n");
    says(&output, 1, "keyagent.toml belongs to another user");
}
