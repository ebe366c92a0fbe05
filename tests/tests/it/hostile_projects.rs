//! Repositories that want keys: whatever lies in one, nothing is given that was not allowed,
//! and nothing hangs.

use crate::given;
use keyagent_tests::{Agent, Home};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take; only a bound for a machine that is slow and busy.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Manifests that ask for another project's secret, or for more than a manifest can.
const TEXTS: &[(&str, &str)] = &[
    ("as it is", "[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("the same text as the project's", given::MANIFEST),
    ("a profile", "[profile.prod.env]\nX_KEY = \"app/A_KEY\"\n"),
    ("optional", "[env]\nX_KEY = { secret = \"app/A_KEY\", optional = true }\n"),
    ("a byte-order mark", "\u{feff}[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("CRLF", "[env]\r\nX_KEY = \"app/A_KEY\"\r\n"),
    ("a NUL at the end", "[env]\nX_KEY = \"app/A_KEY\"\n\0"),
    ("a NUL in the name", "[env]\n\"X\\u0000\" = \"app/A_KEY\"\n"),
    ("a glob", "[env]\nX_KEY = \"app/*\"\n"),
    ("a path upward", "[env]\nX_KEY = \"../app/A_KEY\"\n"),
    ("an absolute path", "[env]\nX_KEY = \"/etc/passwd\"\n"),
    ("a template", "[env]\nX_KEY = \"{{ app/A_KEY }}\"\n"),
    ("a command", "[env]\nX_KEY = \"$(cat app/A_KEY)\"\n"),
    ("an include", "include = \"../../keyagent.toml\"\n[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("it allows itself", "allowed = true\n[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("another's name", "project = \"app\"\n[env]\nA_KEY = \"app/A_KEY\"\n"),
    ("its own grant", "[grant]\nsha256 = \"*\"\n[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("twice the same", "[env]\nX_KEY = \"none\"\nX_KEY = \"app/A_KEY\"\n"),
    ("a variable that is obeyed", "[env]\nLD_PRELOAD = \"app/A_KEY\"\n"),
    ("an escape in a comment", "# \u{1b}[2J\n[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("bidi in a comment", "# \u{202e}\n[env]\nX_KEY = \"app/A_KEY\"\n"),
    ("no text", "[env]\nX_KEY = 7\n"),
    ("deep", "x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
    ("empty", ""),
];

/// A project that was allowed, and a place for hostile ones beside it.
struct Place {
    home: Home,
    _agent: Agent,
    count: usize,
}

impl Place {
    fn new() -> Self {
        let (home, _agent) = given::project();
        Self { home, _agent, count: 0 }
    }

    /// A directory of its own, outside the project.
    fn directory(&mut self) -> PathBuf {
        self.count += 1;
        self.home.make_directory(&format!("hostile/{}", self.count))
    }

    fn allowed(&self) -> PathBuf {
        self.home.work().join("keyagent.toml")
    }

    /// Nothing is given there, by any way that does not ask a human, and at once.
    fn gives_nothing(&self, directory: &Path, what: &str) {
        for args in [
            &["exec", "--", "env"][..],
            &["exec", "-P", "prod", "--", "env"],
            &["export"],
            &["export", "--format", "json"],
            &["export", "--format", "direnv"],
            &["export", "--hook", "--format", "bash"],
        ] {
            let start = Instant::now();
            let output = self.home.keyagent(args).dir(directory).run();
            assert!(start.elapsed() < ANSWER_MAX, "{what}: {args:?} took {:?}", start.elapsed());
            assert!(!self.home.has_value(&output.stdout), "{what}: {}", output.shown);
            assert!(!self.home.has_value(&output.stderr), "{what}: {}", output.shown);
            assert!(output.code != Some(2), "{what}: it was not even tried: {}", output.report());
            let hook = args.contains(&"--hook");
            assert!(hook || output.code != Some(0), "{what}: {}", output.report());
        }
    }
}

#[test]
fn t45_thirty_hostile_projects_get_nothing() {
    let mut place = Place::new();
    for (what, text) in TEXTS {
        let directory = place.directory();
        fs::write(directory.join("keyagent.toml"), text).expect("ours");
        place.gives_nothing(&directory, what);
    }
    type Plant = (&'static str, fn(&Path, &Path));
    let plants: &[Plant] = &[
        ("a link to the allowed one", |at, allowed| symlink(allowed, at).expect("ours")),
        ("a hard link to the allowed one", |at, allowed| {
            fs::hard_link(allowed, at).expect("ours");
        }),
        ("a link to itself", |at, _| symlink(at, at).expect("ours")),
        ("a link to nothing", |at, _| symlink("/none", at).expect("ours")),
        ("a link to /proc", |at, _| symlink("/proc/self/environ", at).expect("ours")),
        ("a link to a device", |at, _| symlink("/dev/zero", at).expect("ours")),
        ("a fifo", |at, _| nix::unistd::mkfifo(at, Mode::S_IRWXU).expect("ours")),
        ("a directory", |at, _| fs::create_dir(at).expect("ours")),
        ("a socket", |at, _| {
            std::os::unix::net::UnixListener::bind(at).expect("ours");
        }),
        ("1 GiB of holes", |at, _| {
            File::create(at).and_then(|file| file.set_len(1 << 30)).expect("ours");
        }),
        ("open to all", |at, allowed| {
            fs::copy(allowed, at).expect("ours");
            fs::set_permissions(at, Permissions::from_mode(0o666)).expect("ours");
        }),
        ("unreadable names", |at, _| fs::write(at, b"[env]\n\xff = 1\n").expect("ours")),
        ("64 KiB and more", |at, _| fs::write(at, "#".repeat(70_000)).expect("ours")),
    ];
    for (what, plant) in plants {
        let directory = place.directory();
        let manifest = directory.join("keyagent.toml");
        plant(&manifest, &place.allowed());
        place.gives_nothing(&directory, what);
        // As long as it has a second name, the allowed one is not trusted either.
        let _ = fs::remove_file(manifest);
    }
    assert!(place.count >= 30, "{}", place.count);
    place.home.keyagent(["exec", "printenv", "A_KEY"]).run().code(0);
}

/// Every change, however small, and whatever it means to TOML.
#[test]
fn t43_a_manifest_that_says_the_same_in_other_bytes_is_another() {
    let (home, _agent) = given::project();
    home.wire().put("app/B_KEY", b"other");
    let text = "project = \"app\"\n\n[env]\nA_KEY = \"app/A_KEY\"\nB_KEY = \"app/B_KEY\"\n";
    let manifest = given::manifest(&home, home.work(), text);
    given::allow(&home, home.work());
    home.keyagent(["exec", "true"]).run().quietly();
    let reordered = "project = \"app\"\n\n[env]\nB_KEY = \"app/B_KEY\"\nA_KEY = \"app/A_KEY\"\n";
    let mut others = vec![
        reordered.to_owned(),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        format!("{text}\0"),
        format!("{text}\n"),
        text.trim_end().to_owned(),
        text.replace('"', "'"),
        text.replace(" = ", "="),
        text.to_uppercase(),
    ];
    // One byte more, less or other, anywhere.
    others.extend((0..text.len()).map(|at| format!("{}{}", &text[..at], &text[at + 1..])));
    others.extend((0..text.len()).map(|at| format!("{} {}", &text[..at], &text[at..])));
    others.extend((0..text.len()).map(|at| format!("{}_{}", &text[..at], &text[at + 1..])));
    for other in others.iter().filter(|other| *other != text) {
        fs::write(&manifest, other).expect("ours");
        let output = home.keyagent(["exec", "--", "env"]).run();
        assert!(matches!(output.code, Some(1 | 3)), "{other:?}: {}", output.report());
        assert!(output.stdout.is_empty(), "{other:?}");
    }
    fs::write(&manifest, text).expect("ours");
    home.keyagent(["exec", "true"]).run().quietly();
}

#[test]
fn t46_a_copy_under_any_name_is_not_trusted() {
    let mut place = Place::new();
    let home = &place.home;
    // Another case of the name is another name, and no manifest.
    for (directory, name) in [("Work", "keyagent.toml"), ("case", "Keyagent.toml")] {
        let directory = home.make_directory(directory);
        fs::copy(place.allowed(), directory.join(name)).expect("ours");
        place.gives_nothing(&directory, name);
    }
    // As `git worktree add` does: another directory with the same content.
    let worktree = place.directory();
    fs::write(worktree.join(".git"), "gitdir: ../../work/.git/worktrees/1\n").expect("ours");
    fs::copy(place.allowed(), worktree.join("keyagent.toml")).expect("ours");
    place.gives_nothing(&worktree, "a worktree");
}

/// The same directory by another name is not where it was allowed.
#[test]
fn needs_root_t46_a_project_that_is_mounted_elsewhere_is_not_trusted() {
    let mut place = Place::new();
    let elsewhere = place.directory();
    let (from, to) = (place.home.work(), elsewhere.display().to_string());
    place.home.command("mount").arg("--bind").args([&from, &elsewhere]).run().quietly();
    let given = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        place.gives_nothing(&elsewhere, "a bind mount");
        place.home.keyagent(["exec", "true"]).run().quietly();
    }));
    nix::mount::umount2(Path::new(&to), nix::mount::MntFlags::MNT_DETACH).expect("root can");
    if let Err(failure) = given {
        std::panic::resume_unwind(failure);
    }
}

/// A manifest of a stranger above ours, or between us and it, gets nothing and gives nothing.
#[test]
fn needs_root_t48_a_strangers_directory_above_gives_nothing() {
    let mut place = Place::new();
    let stranger = (Some(Uid::from_raw(4321)), Some(Gid::from_raw(4321)));
    let above = place.directory();
    fs::write(above.join("keyagent.toml"), "[env]\nX_KEY = \"app/A_KEY\"\n").expect("root can");
    let ours = above.join("checkout/src");
    fs::create_dir_all(&ours).expect("root can");
    chown(&above.join("keyagent.toml"), stranger.0, stranger.1).expect("root can");
    chown(&above, stranger.0, stranger.1).expect("root can");
    place.gives_nothing(&ours, "a stranger's above ours");
    place.home.keyagent(["allow", "--yes"]).dir(&ours).run().fails(1);
    place.gives_nothing(&ours, "a stranger's above ours, after allow");
    // A stranger's directory inside ours: their manifest is the nearest, and is not trusted.
    let inside = place.home.make_directory("work/vendored");
    fs::write(inside.join("keyagent.toml"), given::MANIFEST).expect("root can");
    chown(&inside, stranger.0, stranger.1).expect("root can");
    place.gives_nothing(&inside, "a stranger's inside ours");
    place.home.keyagent(["allow", "--yes"]).dir(&inside).run().fails(1);
}
