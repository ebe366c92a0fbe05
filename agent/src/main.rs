//! keyagentd: the agent. Reads as the list of what happens, in order, before it serves.

use keyagent_sys::arena::Protection;
use keyagent_wire::health::{Check, Finding, Grade};
use keyagentd::config::Config;
use keyagentd::health::Findings;
use keyagentd::places::Places;
use keyagentd::sandbox::{self, selftest};
use keyagentd::serve::{
    self,
    listen::{Claim, ClaimError},
};
use keyagentd::spawner::Spawner;
use keyagentd::vault::store;
use keyagentd::{log, surroundings};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what libraries copy.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

const USAGE: &str = "keyagentd [--detach]

Holds the keys of an age-encrypted vault in memory and serves them to keyagent(1).
Runs in the foreground; --detach leaves the terminal, and says on stdout when it is ready.
";

fn main() -> ExitCode {
    let (handed, findings) = match harden() {
        Ok(hardened) => hardened,
        Err(error) => return fail(&format!("cannot harden this process: {error}")),
    };
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.iter().map(|a| a.to_str()).collect::<Vec<_>>()[..] {
        [] => run(false, handed, findings),
        [Some("--detach")] => run(true, None, findings),
        [Some("--selftest-sandbox"), Some(probe)] => test_sandbox(probe, findings),
        [Some("--version" | "-V")] => say(&format!("keyagentd {}\n", env!("CARGO_PKG_VERSION"))),
        [Some("--help" | "-h")] => say(USAGE),
        _ => {
            complain(USAGE);
            ExitCode::from(2)
        }
    }
}

/// What must be before the first argument is read. What fails here ends the agent, but for
/// privileges: whether it may go on with those, the user's config says.
fn harden() -> io::Result<(Option<OwnedFd>, Findings)> {
    surroundings::begin_anew()?;
    let handed = keyagent_sys::harden::close_inherited(is_handed_a_socket())?;
    keyagent_sys::harden::refuse_inspection()?;
    keyagent_sys::harden::ignore_write_signals()?;
    keyagent_sys::heap::give_back();
    let mut findings = Findings::default();
    findings.tell(Check::Privileges, &keyagent_sys::harden::give_up_privileges());
    // Begun anew, it would have the name of a link. A name is no protection.
    let _ = nix::sys::prctl::set_name(c"keyagentd");
    Ok((handed, findings))
}

/// Whether a service manager hands this very process one socket (sd_listen_fds(3)).
fn is_handed_a_socket() -> bool {
    let says = |name: &str, value: &str| std::env::var_os(name).is_some_and(|v| v == value);
    says("LISTEN_PID", &std::process::id().to_string()) && says("LISTEN_FDS", "1")
}

fn run(detach: bool, handed: Option<OwnedFd>, findings: Findings) -> ExitCode {
    start(detach, handed, findings).unwrap_or_else(|reason| fail(&reason))
}

fn start(
    detach: bool,
    handed: Option<OwnedFd>,
    mut findings: Findings,
) -> Result<ExitCode, String> {
    let (places, config) = settings()?;
    if detach {
        keyagent_sys::detach::detach().map_err(|error| format!("cannot detach: {error}"))?;
    }
    let spawner = Spawner::fork().map_err(|error| format!("cannot start the spawner: {error}"))?;
    findings.note(Check::Spawner, Grade::Good, 0);
    let mut claim = match Claim::take(places.socket()) {
        Err(ClaimError::Running) if detach => return Ok(say("running\n")),
        taken => taken.map_err(|error| error.to_string())?,
    };
    // Without a log, or with a leftover, it still serves.
    let _ = log::start(&places.log());
    let protection = keyagent_sys::arena::start()
        .map_err(|error| format!("cannot map memory for keys: {error}"))?;
    findings.note(Check::Memory, grade(protection), 0);
    if let Err(error) = store::tidy(&places) {
        tracing::warn!(%error, "cannot tidy the vault's directory");
    }
    let listener = claim.listen(handed).map_err(|error| error.to_string())?;
    let starter = detach.then(Starter::prepare).transpose();
    let starter = starter.map_err(|error| format!("cannot detach: {error}"))?;
    sandbox::enter(&places, &mut findings);
    if let Some(lacking) = config.require_full.then(|| findings.lacking()).and_then(lacking) {
        drop(claim.remove_socket());
        if let Some(starter) = starter {
            starter.tell(&format!("failed: {lacking}\n"));
        }
        return Err(lacking);
    }
    let ready = || starter.map_or((), |starter| starter.tell("ready\n"));
    // Whoever asked us to stop sees the end of the stream when the socket is gone.
    let leave = || drop(claim.remove_socket());
    serve::run(listener, places, config, spawner, findings, ready, leave)
        .map_err(|error| format!("cannot serve: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn settings() -> Result<(Places, Config), String> {
    let places = Places::of_user().ok_or("cannot find a home directory: HOME is not set")?;
    let config = Config::read(&places.config_file()).map_err(|error| {
        let path = keyagent_wire::escape(places.config_file().as_os_str().as_encoded_bytes());
        format!("cannot read `{path}`: {error}")
    })?;
    Ok((places, config))
}

fn grade(protection: Protection) -> Grade {
    match protection {
        Protection::Secret => Grade::Good,
        Protection::Locked => Grade::Weak,
        Protection::Ordinary => Grade::Bad,
    }
}

/// Why an agent that must be fully protected does not start.
fn lacking(findings: Vec<Finding>) -> Option<String> {
    let words = |finding: &Finding| format!("{:?}", finding.check).to_lowercase();
    let names: Vec<_> = findings.iter().map(words).collect();
    (!names.is_empty()).then(|| {
        format!(
            "config.toml has require = \"full\", and this is less than full: {}; \
             `keyagent doctor` says more where it is not required",
            names.join(", ")
        )
    })
}

/// Whoever waits for our word.
struct Starter(File);

impl Starter {
    /// Keeps their pipe for one word, while standard output leads nowhere already: once this
    /// process is closed in, nothing is put in the place of anything.
    fn prepare() -> io::Result<Self> {
        let pipe = io::stdout().as_fd().try_clone_to_owned()?;
        nix::unistd::dup2_stdout(&File::options().write(true).open("/dev/null")?)?;
        Ok(Self(pipe.into()))
    }

    /// Tells them, and lets go of their pipe.
    fn tell(mut self, word: &str) {
        let _ = self.0.write_all(word.as_bytes());
    }
}

/// Closes itself in as the agent does, and tries what must not work there.
fn test_sandbox(probe: &str, mut findings: Findings) -> ExitCode {
    let places = match settings() {
        Ok((places, _)) => places,
        Err(reason) => return fail(&reason),
    };
    sandbox::enter(&places, &mut findings);
    match selftest::run(probe) {
        Some((true, words)) => say(&words),
        Some((false, words)) => fail(words.trim_end()),
        None => fail("cannot test: no such probe"),
    }
}

/// The reason goes to stdout for the client that started us, and to stderr for a human.
fn fail(reason: &str) -> ExitCode {
    tracing::error!(reason, "cannot start");
    say(&format!("failed: {reason}\n"));
    complain(&format!("keyagentd: error: {reason}\n"));
    ExitCode::FAILURE
}

fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
