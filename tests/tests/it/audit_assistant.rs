//! The audit log names a coding assistant among what started a client: by its process, or by
//! the variables that it sets, which a helper looks at behind the answer.
//!
//! It is a goose here: whoever runs these tests may be another.

use keyagent_tests::{Halted, Home, Invocation, copy_program, eventually, process};
use nix::unistd::geteuid;
use std::path::Path;

/// A user that need not exist. Root's processes have rights that the agent has given up, so
/// that it cannot look into them.
const OWNER: u32 = 4321;

const EXEC: &str = "keyagent exec --env A_KEY=audit/KEY -- true";
const GOOSE: &str = ", assistant goose";
/// What ends at once may be gone before a look: this shell waits until it is on record.
const UNTIL_SEEN: &str = "until keyagent audit | grep -q 'assistant seen.*goose'; do :; done";

/// A home whose processes have the agent's own rights, with an agent and a key.
fn home() -> Home {
    let user = geteuid();
    let home = Home::of_uid(if user.is_root() { OWNER } else { user.as_raw() });
    assert_eq!(home.detach_word(), "ready\n");
    home.keyagent(["init", "--no-passphrase"]).run().code(0);
    home.keyagent(["set", "audit/KEY"]).stdin(home.canary()).run().code(0);
    home
}

/// A shell with that in its environment, and nothing in its name.
fn shell<'a>(home: &'a Home, script: &str) -> Invocation<'a> {
    home.command("sh").args(["-c", script]).env("GOOSE_TERMINAL", "private-words")
}

fn lines(home: &Home, words: &str) -> Vec<String> {
    let text = home.keyagent(["audit"]).run().quietly().stdout_text();
    text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

/// What was seen behind an event.
fn seen(home: &Home) -> Vec<String> {
    let lines = lines(home, "assistant seen").into_iter();
    lines.filter(|line| line.ends_with(GOOSE)).collect()
}

/// The spawner, once it has no helper but the one that listens to logind.
fn spawner_without_a_look(home: &Home) -> u32 {
    let agent = home.agent_pid().expect("there is an agent");
    let spawner = process::children(agent)[0];
    eventually("the helper ends", || (process::children(spawner).len() <= 1).then_some(spawner))
}

fn pid(line: &str) -> Option<&str> {
    line.split(" by pid ").nth(1)?.split(' ').next()
}

#[test]
fn an_assistant_that_is_known_by_its_variables_alone_gets_a_line_of_its_own() {
    let home = home();
    shell(&home, &format!("{EXEC}; {UNTIL_SEEN}; {EXEC}; :")).run().code(0);
    let (released, seen) = (lines(&home, "released (exec)"), seen(&home));
    assert_eq!((released.len(), seen.len()), (2, 1), "once for each parent: {seen:?}");
    assert_eq!(pid(&seen[0]), pid(&released[0]), "of who asked first");
    assert!(!released[0].contains(GOOSE), "whose event did not wait: {released:?}");
    assert!(released[1].ends_with(GOOSE), "known by now: {released:?}");
    assert!(released[1].contains(" < /"), "and by its program: {released:?}");
    assert!(lines(&home, "private-words").is_empty());
    let json = home.keyagent(["audit", "--json"]).run().quietly().stdout_text();
    assert!(json.contains("\"event\":\"assistant seen\",\"how\":null,"), "{json}");
    home.keyagent(["audit", "verify"]).run().quietly();
}

#[test]
fn no_request_waits_for_a_look() {
    let home = home();
    let halted = Halted::of(spawner_without_a_look(&home)).expect("it runs");
    shell(&home, &format!("{EXEC}; :")).run().code(0);
    assert_eq!(lines(&home, "released (exec)").len(), 1);
    assert!(lines(&home, GOOSE).is_empty());
    drop(halted);
    shell(&home, &format!("{EXEC}; {UNTIL_SEEN}")).run().code(0);
}

#[test]
fn an_assistant_that_is_known_by_its_name_is_in_the_event_itself() {
    let home = home();
    let goose = home.root().join("programs/goosed");
    copy_program(Path::new("/bin/sh"), &goose);
    home.give(&goose);
    // Its path shows once it was looked at.
    let script = format!("until {EXEC} && keyagent audit | grep -q '/goosed'; do :; done");
    home.command(&goose).args(["-c", &script]).run().code(0);
    let released = lines(&home, "released (exec)");
    assert!(!released.is_empty());
    assert!(released.iter().all(|line| line.ends_with(GOOSE)), "{released:?}");
    assert!(seen(&home).is_empty(), "there is no more to say");
}

#[test]
fn a_helper_that_nobody_asks_ends() {
    let home = home();
    shell(&home, &format!("{EXEC}; {UNTIL_SEEN}")).run().code(0);
    spawner_without_a_look(&home);
}
