//! No value goes to a manifest that was not allowed just as it is, where it is.

use keyagent_tests::wire::{done, refused, secret};
use keyagent_tests::{Agent, Home, Wire, describe};
use keyagent_wire::reply::Review;
use keyagent_wire::request::{Channel, Resolve};
use keyagent_wire::{ManifestFault, Refusal, Reply, Request, Unsafe};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown};
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "[env]\nA_KEY = \"grants/canary\"\n";

/// A home with the canary in its vault, and a project whose manifest asks for it.
struct Allowed {
    home: Home,
    _agent: Agent,
    wire: Wire,
    project: PathBuf,
}

impl Allowed {
    fn new() -> Self {
        let allowed = Self::not_yet();
        let Self { home, _agent, mut wire, project } = allowed;
        done(allow(&mut wire, &project));
        let mut allowed = Self { home, _agent, wire, project };
        allowed.gets();
        allowed
    }

    fn not_yet() -> Self {
        let (home, agent) = Home::with_vault();
        let mut wire = home.wire();
        wire.put("grants/canary", home.canary().as_bytes());
        let project = home.make_directory("work/project");
        fs::write(project.join("keyagent.toml"), MANIFEST).expect("it is ours");
        fs::set_permissions(project.join("keyagent.toml"), mode(0o644)).expect("it is ours");
        Self { home, _agent: agent, wire, project }
    }

    fn manifest(&self) -> PathBuf {
        self.project.join("keyagent.toml")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.manifest(), text).expect("it is ours");
    }

    fn gets(&mut self) {
        let project = self.project.clone();
        self.gets_in(&project);
    }

    fn gets_in(&mut self, directory: &Path) {
        match resolve(&mut self.wire, directory, Channel::Exec) {
            Reply::Env(env) => {
                let env: Vec<_> =
                    env.iter().map(|(v, value)| (v.as_str(), value.expose())).collect();
                assert_eq!(env, [("A_KEY", self.home.canary().as_bytes())]);
            }
            other => panic!("no env: {}", describe(&other)),
        }
    }

    /// Both channels are refused alike.
    fn refusal(&mut self) -> Refusal {
        let project = self.project.clone();
        self.refusal_in(&project)
    }

    fn refusal_in(&mut self, directory: &Path) -> Refusal {
        let exec = refused(resolve(&mut self.wire, directory, Channel::Exec));
        let export = refused(resolve(&mut self.wire, directory, Channel::Export));
        assert_eq!(exec, export);
        exec
    }
}

fn mode(mode: u32) -> Permissions {
    Permissions::from_mode(mode)
}

/// As a client opens it; never waits for a fifo's other end.
fn opened(path: &Path) -> OwnedFd {
    open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ask(wire: &mut Wire, request: &Request, directory: &Path) -> Reply {
    let (manifest, directory) = (opened(&directory.join("keyagent.toml")), opened(directory));
    wire.ask_with(request, &[directory.as_fd(), manifest.as_fd()])
}

fn resolve(wire: &mut Wire, directory: &Path, channel: Channel) -> Reply {
    ask(wire, &resolve_by(channel), directory)
}

fn resolve_by(channel: Channel) -> Request {
    Request::Resolve(Resolve { channel, profile: None, only: Vec::new(), extra: Vec::new() })
}

fn review(wire: &mut Wire, directory: &Path) -> Review {
    match ask(wire, &Request::Review, directory) {
        Reply::Review(review) => review,
        other => panic!("no review: {}", describe(&other)),
    }
}

fn allow(wire: &mut Wire, directory: &Path) -> Reply {
    let manifest = review(wire, directory).manifest;
    ask(wire, &Request::Allow { manifest }, directory)
}

#[test]
fn a_manifest_that_was_never_allowed_gets_nothing() {
    let mut project = Allowed::not_yet();
    assert_eq!(project.refusal(), Refusal::NotAllowed);
    let seen = review(&mut project.wire, &project.project);
    assert!(!seen.allowed && !seen.known && seen.bindings[0].new && seen.bindings[0].present);
    let wrong = ask(&mut project.wire, &Request::Allow { manifest: [0; 32] }, &project.project);
    assert_eq!(refused(wrong), Refusal::Changed, "what was shown is what is allowed");
    assert_eq!(project.refusal(), Refusal::NotAllowed);
    done(allow(&mut project.wire, &project.project));
    project.gets();
    assert!(review(&mut project.wire, &project.project).allowed);
}

#[test]
fn t43_one_byte_of_the_manifest_takes_the_trust_away() {
    let mut project = Allowed::new();
    project.write(format!("{MANIFEST} "));
    assert_eq!(project.refusal(), Refusal::Changed);
    project.write(MANIFEST.replace("A_KEY", "B_KEY"));
    assert_eq!(project.refusal(), Refusal::Changed);
    project.write(MANIFEST);
    project.gets();
}

#[test]
fn t42_a_copied_directory_is_not_trusted() {
    let mut project = Allowed::new();
    let copy = project.home.work().join("copy");
    let copied = project.home.command("cp").arg("-a").args([&project.project, &copy]).run();
    copied.quietly();
    assert_eq!(project.refusal_in(&copy), Refusal::NotAllowed);
    // Nor when it takes the place of the one that was allowed.
    fs::rename(&project.project, project.home.work().join("aside")).expect("it is ours");
    fs::rename(&copy, &project.project).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::NotAllowed);
}

#[test]
fn t46_a_moved_directory_is_not_trusted_until_it_is_back() {
    let mut project = Allowed::new();
    let moved = project.home.work().join("moved");
    fs::rename(&project.project, &moved).expect("it is ours");
    assert_eq!(project.refusal_in(&moved), Refusal::NotAllowed);
    fs::rename(&moved, &project.project).expect("it is ours");
    project.gets();
}

#[test]
fn another_secret_of_the_same_name_is_not_what_was_meant() {
    let mut project = Allowed::new();
    let (old, new) = (secret("grants/canary"), secret("grants/renamed"));
    done(project.wire.ask(&Request::Move { old: old.clone(), new }));
    assert_eq!(project.refusal(), Refusal::NoSuchSecret(vec![old]));
}

#[test]
fn deny_takes_it_back() {
    let mut project = Allowed::new();
    let directory = opened(&project.project);
    done(project.wire.ask_with(&Request::Deny, &[directory.as_fd()]));
    assert_eq!(project.refusal(), Refusal::NotAllowed);
    done(project.wire.ask_with(&Request::Deny, &[directory.as_fd()]));
    done(allow(&mut project.wire, &project.project));
    project.gets();
    // A directory that was moved loses the trust of its old place too.
    let moved = project.home.work().join("moved");
    fs::rename(&project.project, &moved).expect("it is ours");
    done(project.wire.ask_with(&Request::Deny, &[opened(&moved).as_fd()]));
    fs::rename(&moved, &project.project).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::NotAllowed);
}

#[test]
fn the_manifests_of_two_branches_are_allowed_side_by_side() {
    let mut project = Allowed::new();
    let other = format!("# another branch\n{MANIFEST}");
    project.write(&other);
    assert_eq!(project.refusal(), Refusal::Changed);
    done(allow(&mut project.wire, &project.project));
    project.gets();
    project.write(MANIFEST);
    project.gets();
    project.write(&other);
    project.gets();
}

#[test]
fn the_users_own_manifest_is_always_allowed() {
    let mut project = Allowed::not_yet();
    let config = project.home.make_directory("config/keyagent");
    fs::write(config.join("keyagent.toml"), MANIFEST).expect("it is ours");
    fs::set_permissions(config.join("keyagent.toml"), mode(0o600)).expect("it is ours");
    project.gets_in(&config);
    // A link to it, or another directory of that name, is not it.
    let elsewhere = project.home.make_directory("work/config/keyagent");
    fs::copy(config.join("keyagent.toml"), elsewhere.join("keyagent.toml")).expect("it is ours");
    assert_eq!(project.refusal_in(&elsewhere), Refusal::NotAllowed);
}

/// Whatever a directory has become, its trust can be taken away.
#[test]
fn deny_asks_nothing_of_a_directory() {
    let mut project = Allowed::new();
    fs::set_permissions(&project.project, mode(0o777)).expect("it is ours");
    project.home.keyagent(["deny"]).dir(&project.project).run().code(0).complains("denied");
    fs::set_permissions(&project.project, mode(0o755)).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::NotAllowed);
    let file = opened(&project.manifest());
    let refusal = refused(project.wire.ask_with(&Request::Deny, &[file.as_fd()]));
    assert_eq!(refusal, Refusal::Unsafe(Unsafe::NotRegular));
}

#[test]
fn t45_what_is_no_safe_file_is_refused_and_hangs_nothing() {
    let mut project = Allowed::new();
    let manifest = project.manifest();
    for (bits, refusal) in [(0o646, Unsafe::Writable), (0o602, Unsafe::Writable)] {
        fs::set_permissions(&manifest, mode(bits)).expect("it is ours");
        assert_eq!(project.refusal(), Refusal::Unsafe(refusal), "{bits:o}");
    }
    fs::set_permissions(&manifest, mode(0o644)).expect("it is ours");
    fs::set_permissions(&project.project, mode(0o707)).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::DirectoryWritable));
    fs::set_permissions(&project.project, mode(0o755)).expect("it is ours");
    project.gets();
    let other = project.home.work().join("other");
    fs::hard_link(&manifest, &other).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::Linked));
    fs::remove_file(&other).expect("it is ours");
    project.gets();
    fs::remove_file(&manifest).expect("it is ours");
    nix::unistd::mkfifo(&manifest, Mode::S_IRUSR | Mode::S_IWUSR).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::NotRegular), "a fifo");
    fs::remove_file(&manifest).expect("it is ours");
    fs::create_dir(&manifest).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::NotRegular), "a directory");
    fs::remove_dir(&manifest).expect("it is ours");
    symlink("/dev/zero", &manifest).expect("it is ours");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::NotRegular), "a device");
}

#[test]
fn t45_a_manifest_of_any_size_is_answered_at_once() {
    let mut project = Allowed::new();
    let padded = |bytes: usize| format!("{MANIFEST}#{}", "x".repeat(bytes - MANIFEST.len() - 1));
    project.write(padded(64 * 1024));
    assert_eq!(project.refusal(), Refusal::Changed, "64 KiB can be read");
    done(allow(&mut project.wire, &project.project));
    project.gets();
    let too_large = Refusal::Manifest { line: 1, column: 1, fault: ManifestFault::TooLarge };
    project.write(padded(64 * 1024 + 1));
    assert_eq!(project.refusal(), too_large);
    let sparse = fs::File::create(project.manifest()).expect("it is ours");
    sparse.set_len(1 << 30).expect("holes cost nothing");
    assert_eq!(project.refusal(), too_large);
    project.write("");
    assert_eq!(project.refusal(), Refusal::Changed);
}

#[test]
fn what_was_deleted_is_not_trusted() {
    let mut project = Allowed::new();
    let (directory, manifest) = (opened(&project.project), opened(&project.manifest()));
    fs::remove_file(project.manifest()).expect("it is ours");
    let request = resolve_by(Channel::Exec);
    let fds = [directory.as_fd(), manifest.as_fd()];
    let gone = refused(project.wire.ask_with(&request, &fds));
    assert_eq!(gone, Refusal::Unsafe(Unsafe::NoPath), "the manifest");
    fs::remove_dir(&project.project).expect("it is ours");
    let gone = refused(project.wire.ask_with(&request, &fds));
    assert_eq!(gone, Refusal::Unsafe(Unsafe::NoPath), "the directory");
    let swapped = refused(project.wire.ask_with(&request, &[manifest.as_fd(), directory.as_fd()]));
    assert_eq!(swapped, Refusal::Unsafe(Unsafe::NotRegular), "the wrong way round");
}

#[test]
fn needs_root_t45_another_owners_files_are_not_trusted() {
    let mut project = Allowed::new();
    let (stranger, group) = (Some(Uid::from_raw(4321)), Some(Gid::from_raw(4321)));
    let manifest = project.manifest();
    chown(&manifest, stranger, None).expect("root can");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::Owner));
    chown(&manifest, Some(Uid::from_raw(0)), group).expect("root can");
    project.gets();
    fs::set_permissions(&manifest, mode(0o664)).expect("root can");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::Writable), "a foreign group writes");
    chown(&manifest, None, Some(nix::unistd::getegid())).expect("root can");
    project.gets();
    chown(&project.project, stranger, None).expect("root can");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::DirectoryOwner));
    chown(&project.project, Some(Uid::from_raw(0)), group).expect("root can");
    fs::set_permissions(&project.project, mode(0o775)).expect("root can");
    assert_eq!(project.refusal(), Refusal::Unsafe(Unsafe::DirectoryWritable));
}

#[test]
fn t45_the_client_follows_no_link_to_a_manifest() {
    let project = Allowed::new();
    let linked = project.home.make_directory("work/linked");
    symlink(project.manifest(), linked.join("keyagent.toml")).expect("it is ours");
    let script = ["exec", "--", "sh", "-c", "echo \"${A_KEY-none}\""];
    let good = project.home.keyagent(script).dir(&project.project).run().quietly();
    good.prints(format!("{}\n", project.home.canary()));
    let output = project.home.keyagent(script).dir(&linked).run();
    assert_ne!(output.code, Some(0), "{}", output.report());
    assert_eq!(output.stdout_text(), "", "{}", output.report());
    let output = project.home.keyagent(["export", "--format", "sh"]).dir(&linked).run();
    assert_ne!(output.code, Some(0), "{}", output.report());
    assert_eq!(output.stdout_text(), "", "{}", output.report());
}
