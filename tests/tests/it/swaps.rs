//! A manifest that is another one a moment later: what is served is what was allowed.

use crate::given;
use keyagent_tests::wire::{refused, secret};
use keyagent_tests::{Agent, Home, Wire, describe, rounds};
use keyagent_wire::request::{Channel, Resolve};
use keyagent_wire::{Refusal, Reply, Request};
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// How many requests race the swaps, by each way of swapping.
const REQUESTS: usize = 5_000;
/// How many of these many swaps each way must have made, at least.
const SWAPS: usize = 5_000;
/// How often a client of its own is started meanwhile.
const CLIENTS: (usize, usize) = (100, 1_000);

/// As long as each other, so that one can be written over the other in place.
const GOOD: &str = "[env]\nA_KEY = \"swaps/good\"\n";
const EVIL: &str = "[env]\nA_KEY = \"swaps/evil\"\n";

/// A project that may have one secret, and would have another.
struct Project {
    home: Home,
    _agent: Agent,
    directory: PathBuf,
    good: String,
    evil: String,
}

impl Project {
    fn new() -> Self {
        let (home, _agent) = Home::with_vault();
        let (good, evil) = (format!("good-{}", home.canary()), format!("evil-{}", home.canary()));
        home.wire().put("swaps/good", good.as_bytes());
        home.wire().put("swaps/evil", evil.as_bytes());
        let directory = home.work();
        given::manifest(&home, &directory, GOOD);
        given::allow(&home, &directory);
        Self { home, _agent, directory, good, evil }
    }

    fn manifest(&self) -> PathBuf {
        self.directory.join("keyagent.toml")
    }

    /// Swaps until told, while requests are made: how many were answered by the good value.
    fn race(&self, swap: impl Fn(usize) + Sync, ask: impl Fn() -> usize) -> usize {
        let (over, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
        let served = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    swap(swaps.fetch_add(1, Ordering::SeqCst));
                }
            });
            let served = ask();
            over.store(true, Ordering::SeqCst);
            served
        });
        let swaps = swaps.into_inner();
        assert!(swaps >= SWAPS, "{swaps} swaps");
        served
    }

    /// Asks that often over one connection, each time with the manifest of that moment.
    fn ask(&self) -> usize {
        let mut wire = self.home.wire();
        (0..REQUESTS).filter(|round| self.is_served(&mut wire, *round)).count()
    }

    fn is_served(&self, wire: &mut Wire, round: usize) -> bool {
        let channel = if round.is_multiple_of(2) { Channel::Exec } else { Channel::Export };
        let (only, extra) = (Vec::new(), Vec::new());
        let request = Request::Resolve(Resolve { channel, profile: None, only, extra });
        let directory = File::open(&self.directory).expect("it is there");
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let manifest = open(&self.manifest(), flags, Mode::empty()).expect("it is there");
        match wire.ask_with(&request, &[directory.as_fd(), manifest.as_fd()]) {
            Reply::Env(env) => {
                let [(name, value)] = &env[..] else { panic!("{} variables", env.len()) };
                assert_eq!(name.as_str(), "A_KEY");
                assert!(value.expose() == self.good.as_bytes(), "round {round}: another value");
                true
            }
            Reply::Refused(refusal) => {
                let torn = matches!(refusal, Refusal::Manifest { .. });
                assert!(torn || refusal == Refusal::Changed, "round {round}: {refusal:?}");
                false
            }
            other => panic!("round {round}: {}", describe(&other)),
        }
    }

    fn is_all_right(&self, served: usize, of: usize) {
        assert!(0 < served && served < of, "both were seen: {served} of {of} were served");
        // The other secret is there for those who may have it.
        assert_eq!(self.home.wire().get("swaps/evil"), Ok(self.evil.clone().into_bytes()));
        fs::write(self.manifest(), EVIL).expect("it is ours");
        let refusal = refused(
            self.home.wire().ask(&Request::Get { name: secret("swaps/none"), version: None }),
        );
        assert!(matches!(refusal, Refusal::NoSuchSecret(_)));
        self.home.keyagent(["exec", "true"]).run().fails(3);
    }

    fn exchange(&self, other: &Path) {
        let (here, there) = (self.manifest(), other.to_owned());
        renameat2(AT_FDCWD, &here, AT_FDCWD, &there, RenameFlags::RENAME_EXCHANGE)
            .expect("both are there");
    }

    fn other(&self) -> PathBuf {
        let other = self.directory.join("other.toml");
        fs::copy(self.manifest(), &other).expect("it is ours");
        fs::write(&other, EVIL).expect("it is ours");
        other
    }
}

#[test]
fn t44_a_manifest_that_is_exchanged_gets_nothing_more() {
    let project = Project::new();
    let other = project.other();
    let served = project.race(|_| project.exchange(&other), || project.ask());
    project.is_all_right(served, REQUESTS);
}

#[test]
fn t44_a_manifest_that_is_written_over_gets_nothing_more() {
    let project = Project::new();
    let file = File::options().write(true).open(project.manifest()).expect("it is ours");
    let swap = |n: usize| {
        let text = if n.is_multiple_of(2) { EVIL } else { GOOD };
        file.write_all_at(text.as_bytes(), 0).expect("it is ours");
    };
    let served = project.race(swap, || project.ask());
    project.is_all_right(served, REQUESTS);
}

#[test]
fn t44_a_client_sees_one_manifest_and_gets_what_it_may() {
    let project = Project::new();
    let other = project.other();
    let count = rounds(CLIENTS.0, CLIENTS.1);
    let run = || {
        (0..count)
            .filter(|_| {
                let output = project.home.keyagent(["exec", "printenv", "A_KEY"]).run();
                let shown = output.stdout_text();
                match output.code {
                    Some(0) => assert_eq!(shown, format!("{}\n", project.good)),
                    _ => assert_eq!((output.code, shown.as_str()), (Some(3), "")),
                }
                output.code == Some(0)
            })
            .count()
    };
    let served = project.race(|_| project.exchange(&other), run);
    project.is_all_right(served, count);
}
