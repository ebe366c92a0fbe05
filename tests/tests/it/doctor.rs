//! `doctor`: what is set up, how well it is protected, and what mends the rest.

use keyagent_tests::Home;
use std::fs;

#[test]
fn the_doctor_starts_the_agent_and_names_all_that_it_looked_at() {
    let home = Home::new();
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(home.agent_pid().is_some(), "{sheet}");
    for words in
        ["none yet: `keyagent init`", "lock.idle = \"15m\"", "level", "these are the defaults"]
    {
        assert!(sheet.contains(words), "{words}: {sheet}");
    }
    for check in ["inspection", "memory", "privileges", "files", "calls", "spawner"] {
        assert!(sheet.contains(&format!(" {check}: ")), "{check}: {sheet}");
    }
    let json = home.keyagent(["doctor", "--json"]).run().stdout_text();
    assert!(json.starts_with("{\"schema\":1,") && json.ends_with("}\n"), "{json}");
    assert!(json.contains("\"lock.idle\":\"\\\"15m\\\"\""), "{json}");
    let status = home.keyagent(["status"]).run().stdout_text();
    let level = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("level "));
        line.map(str::to_owned)
    };
    assert!(level(&sheet).is_some() && level(&sheet) == level(&status), "{sheet}{status}");
}

#[test]
fn the_exit_code_tells_whether_all_is_good() {
    let home = Home::new();
    let output = home.keyagent(["doctor"]).run();
    let is_full = output.stdout_text().lines().any(|line| line == "level      full");
    let output = output.code(if is_full { 0 } else { 1 });
    if !is_full {
        output.complains("the agent's protection is degraded");
    }
}

#[test]
fn without_an_agent_it_says_why() {
    let home = Home::new();
    let config = home.make_directory("config/keyagent").join("config.toml");
    fs::write(&config, "[lock]\nidel = \"5m\"\n").expect("it is ours");
    let output = home.keyagent(["doctor"]).run().code(1);
    let output = output.complains("line 2 has an unknown key");
    let sheet = output.stdout_text();
    assert!(sheet.contains(&config.display().to_string()), "{sheet}");
    assert!(sheet.contains("cannot start the agent"), "{sheet}");
    fs::write(&config, "[lock]\nidle = \"5m\"\n").expect("it is ours");
    let sheet = home.keyagent(["doctor"]).run().stdout_text();
    assert!(sheet.contains("lock.idle = \"5m\""), "{sheet}");
}
