//! What the suites of the command line start from.

use keyagent_tests::{Agent, Home, Output, eventually};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The manifest of [`project`].
pub const MANIFEST: &str = "project = \"app\"\n\n[env]\nA_KEY = \"app/A_KEY\"\n";

/// An open vault, and a project in the working directory that has `A_KEY`, the canary.
pub fn project() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    home.wire().put("app/A_KEY", home.canary().as_bytes());
    manifest(&home, home.work(), MANIFEST);
    allow(&home, home.work());
    (home, agent)
}

/// Writes a manifest, in a directory that is made if need be.
pub fn manifest(home: &Home, directory: impl AsRef<Path>, text: &str) -> PathBuf {
    let directory = directory.as_ref();
    if !directory.exists() {
        fs::create_dir_all(directory).expect("a directory of ours");
        fs::set_permissions(directory, Permissions::from_mode(0o700)).expect("it is ours");
        home.give(directory);
    }
    let path = directory.join("keyagent.toml");
    fs::write(&path, text).expect("a file of ours");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
    home.give(&path);
    path
}

/// Allows the project of a directory.
pub fn allow(home: &Home, directory: impl AsRef<Path>) {
    home.keyagent(["allow", "--yes"]).dir(directory).run().code(0).prints("");
}

/// `keyagent import` with these arguments.
pub fn import(home: &Home, args: &[&str]) -> Output {
    home.keyagent([&["import"], args].concat()).run()
}

/// A text with the canary for each `@`.
pub fn fill(home: &Home, text: &str) -> String {
    text.replace('@', home.canary())
}

/// The variables that a program printed as `env -0` does.
pub fn env_of(printed: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = printed.split(|byte| *byte == 0).filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair[..equals].to_vec(), pair[equals + 1..].to_vec()))
    });
    // Shells set it to the last word that they read.
    pairs.filter(|(name, _)| name != b"_").collect()
}

/// The environment of a process, once it runs that program. Its new name can be seen a moment
/// before its new environment.
pub fn environ_of(pid: u32, program: &[u8]) -> Vec<u8> {
    let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).ok();
    eventually("the program runs, and has its environment", || {
        let runs = read("comm")?.starts_with(program);
        read("environ").filter(|environ| runs && !environ.is_empty())
    })
}

/// Every file under a directory: its mode, when it was written, and what is in it.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut tree = BTreeMap::new();
    for entry in fs::read_dir(root).expect("a directory of ours").flatten() {
        let path = entry.path();
        let facts = path.symlink_metadata().expect("it is there");
        if facts.is_dir() {
            tree.extend(self::tree(&path));
        }
        let bytes = if facts.is_file() { fs::read(&path).expect("ours") } else { Vec::new() };
        let written = facts.mtime() * 1_000_000_000 + facts.mtime_nsec();
        tree.insert(path, (facts.mode(), written, bytes));
    }
    tree
}

/// How often the vault has been written.
pub fn generation(home: &Home) -> u64 {
    use keyagent_wire::reply::VaultState;
    match home.wire().status().vault {
        VaultState::Open { generation, .. } => generation,
        other => panic!("the vault is not open: {other:?}"),
    }
}
