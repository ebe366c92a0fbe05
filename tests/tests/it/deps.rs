//! What the client and the agent are linked from. The client's list is checked in; some
//! crates may never be in either.

use keyagent_tests::Home;
use std::collections::BTreeSet;
use std::path::Path;

/// What the client must never be linked from, and why.
const NEVER_IN_CLIENT: &[(&str, &str)] = &[
    ("tokio", "no async runtime"),
    ("mio", "no async runtime"),
    ("futures", "no async runtime"),
    ("async-io", "no async runtime"),
    ("age", "no cryptography: the agent has it"),
    ("scrypt", "no cryptography: the agent has it"),
    ("sha2", "no cryptography: the agent has it"),
    ("ring", "no cryptography: the agent has it"),
    ("rustls", "no network"),
    ("openssl", "no network"),
    ("reqwest", "no network"),
    ("hyper", "no network"),
    ("ureq", "no network"),
    ("socket2", "no network"),
    ("toml", "no TOML: the agent reads manifests"),
    ("toml_edit", "no TOML: the agent reads manifests"),
    ("serde", "no derive that copies what it reads; the few lines of JSON are written by hand"),
    ("serde_json", "the few lines of JSON are written by hand"),
    ("regex", "half a megabyte, and milliseconds to compile a pattern"),
    ("tracing", "the client says what it has to say once"),
    ("notify", "the client watches nothing"),
    ("directories", "the wire has the one rule that the client needs"),
    ("keyagentd", "the arrows point down"),
    ("keyagent-sys", "the arrows point down"),
];

/// What the agent must never be linked from: it opens no internet socket.
const NEVER_IN_AGENT: &[&str] = &[
    "reqwest",
    "hyper",
    "ureq",
    "curl",
    "rustls",
    "native-tls",
    "openssl",
    "h2",
    "hickory-resolver",
    "keyagent",
    "clap",
];

/// The names of all crates that a package is linked from, on any target.
fn crates_of(package: &str) -> BTreeSet<String> {
    let home = Home::new();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = home.command(Path::new(&cargo)).dir(env!("CARGO_MANIFEST_DIR"));
    // cargo finds what it has fetched in the real home, and is only asked what is there.
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            tree = tree.env(name, value);
        }
    }
    let tree = tree.args(["tree", "-p", package, "-e", "normal", "--target", "all"]);
    let tree = tree.args(["--offline", "--locked", "--prefix", "none", "--format", "{p}"]);
    let text = tree.run().code(0).stdout_text();
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_client_is_linked_from_what_the_list_says() {
    let found = crates_of("keyagent");
    for (name, why) in NEVER_IN_CLIENT {
        assert!(!found.contains(*name), "the client is linked from {name}: {why}");
    }
    let listed: BTreeSet<String> = include_str!("deps.txt").lines().map(str::to_owned).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "deps.txt: new {new:?}, gone {gone:?}");
}

#[test]
fn the_agent_has_no_way_to_the_network() {
    let found = crates_of("keyagentd");
    assert!(found.contains("tokio") && found.contains("age"), "the list is the agent's");
    let bad: Vec<_> = NEVER_IN_AGENT.iter().filter(|name| found.contains(**name)).collect();
    assert!(bad.is_empty(), "the agent is linked from {bad:?}");
}
