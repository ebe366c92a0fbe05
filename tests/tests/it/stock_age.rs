//! The vault outlives us: age(1) and rage(1) open it with nothing of ours, and jq(1) reads
//! what is inside.

use crate::given;
use keyagent_tests::{Agent, Home, Terminal};

const PASSPHRASE: &str = "stock-age-42";
/// The active value of the project's key, from a vault on stdin.
const JQ: &str = "jq -r '.vault.secrets[\"app/A_KEY\"].versions[-1].value'";

fn fill(home: &Home) {
    home.wire().put("app/A_KEY", b"an older version");
    home.wire().put("app/A_KEY", home.canary().as_bytes());
    home.wire().put("app/bytes", b"\xff\x01");
}

/// No agent runs while another program reads the vault.
fn stopped(mut agent: Agent) {
    agent.terminate();
}

fn opens(program: &str) {
    let (home, agent) = Home::with_vault();
    fill(&home);
    stopped(agent);
    let decrypt = format!("{program} -d -i identity.age vault.age");
    let read = |filter: &str| {
        let script = format!("{decrypt} | {filter}");
        let run = home.command("bash").args(["-o", "pipefail", "-c", &script]).dir(home.data());
        run.run().quietly()
    };
    read(JQ).prints(format!("{}\n", home.canary()));
    read("jq .format").prints("2\n");
    read("jq -r '.vault.secrets[\"app/A_KEY\"].versions[0].value'").prints("an older version\n");
    read("jq -r '.vault.secrets[\"app/bytes\"].versions[0].value_base64' | base64 -d")
        .prints(b"\xff\x01");
}

fn opens_with_passphrase(program: &str, prompt: &str) {
    let home = Home::new();
    home.add_canary(PASSPHRASE.as_bytes());
    let agent = home.agent();
    home.wire().init(Some(PASSPHRASE));
    fill(&home);
    stopped(agent);
    let script =
        format!("cd '{}' && {program} -d -i identity.age vault.age | {JQ}", home.data().display());
    // rage would rather have a pinentry.
    let mut terminal = Terminal::run(&home, "bash", &["-c", &script], &[("PINENTRY_PROGRAM", "")]);
    terminal.expect(prompt);
    terminal.line(PASSPHRASE);
    terminal.expect(home.canary());
    assert_eq!(terminal.end_with_value().code, Some(0));
}

#[test]
fn needs_age_needs_jq_opens_the_vault() {
    opens("age");
}

#[test]
fn needs_rage_needs_jq_opens_the_vault() {
    opens("rage");
}

#[test]
fn needs_age_needs_jq_asks_for_the_passphrase_of_the_identity() {
    opens_with_passphrase("age", "passphrase");
}

#[test]
fn needs_rage_needs_jq_asks_for_the_passphrase_of_the_identity() {
    opens_with_passphrase("rage", "assphrase");
}

/// A second key of the human's own, on paper or on another machine, opens it too; it goes on
/// doing so for whatever is written later, and after the identity is lost.
#[test]
fn needs_age_needs_jq_another_recipient_opens_the_vault() {
    let home = Home::new();
    let spare = home.write("spare.txt", "");
    let script = "age-keygen 2>/dev/null >spare.txt && age-keygen -y spare.txt";
    let recipient = home.command("sh").args(["-c", script]).run().quietly().stdout_text();
    let recipient = recipient.trim();
    for odd in ["age1", "not-a-recipient", &recipient.replace('1', "l")] {
        let run = home.keyagent(["init", "--no-passphrase", "--recipient", odd]).run();
        run.fails(2).complains("that is not a recipient");
    }
    home.keyagent(["init", "--no-passphrase", "--recipient", recipient]).run().code(0);
    fill(&home);
    given::manifest(&home, home.work(), given::MANIFEST);
    given::allow(&home, home.work());
    home.keyagent(["stop"]).run().quietly();
    let script = format!("age -d -i '{}' vault.age | {JQ}", spare.display());
    let run = home.command("bash").args(["-o", "pipefail", "-c", &script]).dir(home.data()).run();
    run.quietly().prints(format!("{}\n", home.canary()));
    // The identity itself is not sealed to it.
    let script = format!("age -d -i '{}' identity.age", spare.display());
    let run = home.command("sh").args(["-c", &script]).dir(home.data()).run();
    assert_ne!(run.code, Some(0), "{}", run.report());
}
