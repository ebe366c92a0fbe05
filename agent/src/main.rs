//! keyagentd: the agent. Reads as the list of what happens, in order, before it serves.

use keyagent_sys::arena::Protection;
use keyagentd::config::Config;
use keyagentd::log;
use keyagentd::places::Places;
use keyagentd::serve::{
    self,
    listen::{Claim, ClaimError},
};
use keyagentd::spawner::Spawner;
use keyagentd::vault::store;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
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
    let handed = match harden() {
        Ok(handed) => handed,
        Err(error) => return fail(&format!("cannot harden this process: {error}")),
    };
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.iter().map(|a| a.to_str()).collect::<Vec<_>>()[..] {
        [] => run(false, handed),
        [Some("--detach")] => run(true, None),
        [Some("--version" | "-V")] => say(&format!("keyagentd {}\n", env!("CARGO_PKG_VERSION"))),
        [Some("--help" | "-h")] => say(USAGE),
        _ => {
            complain(USAGE);
            ExitCode::from(2)
        }
    }
}

fn harden() -> io::Result<Option<OwnedFd>> {
    let handed = keyagent_sys::harden::close_inherited(is_handed_a_socket())?;
    keyagent_sys::harden::refuse_inspection()?;
    keyagent_sys::harden::ignore_write_signals()?;
    keyagent_sys::heap::give_back();
    Ok(handed)
}

/// Whether a service manager hands this very process one socket (sd_listen_fds(3)).
fn is_handed_a_socket() -> bool {
    let says = |name: &str, value: &str| std::env::var_os(name).is_some_and(|v| v == value);
    says("LISTEN_PID", &std::process::id().to_string()) && says("LISTEN_FDS", "1")
}

fn run(detach: bool, handed: Option<OwnedFd>) -> ExitCode {
    let Some(places) = Places::of_user() else {
        return fail("cannot find a home directory: HOME is not set");
    };
    let config = match Config::read(&places.config_file()) {
        Ok(config) => config,
        Err(error) => {
            let path = keyagent_wire::escape(places.config_file().as_os_str().as_encoded_bytes());
            return fail(&format!("cannot read `{path}`: {error}"));
        }
    };
    if detach && let Err(error) = keyagent_sys::detach::detach() {
        return fail(&format!("cannot detach: {error}"));
    }
    let spawner = match Spawner::fork() {
        Ok(spawner) => spawner,
        Err(error) => return fail(&format!("cannot start the spawner: {error}")),
    };
    let mut claim = match Claim::take(places.socket()) {
        Ok(claim) => claim,
        Err(ClaimError::Running) if detach => return say("running\n"),
        Err(error) => return fail(&error.to_string()),
    };
    // Without a log, or with a leftover, it still serves.
    let _ = log::start(&places.log());
    match keyagent_sys::arena::start() {
        Ok(Protection::Secret) => {}
        Ok(weaker) => tracing::warn!(?weaker, "memory is protected less than it could be"),
        Err(error) => return fail(&format!("cannot map memory for keys: {error}")),
    }
    if let Err(error) = store::tidy(&places) {
        tracing::warn!(%error, "cannot tidy the vault's directory");
    }
    let served = claim.listen(handed).map_err(|error| error.to_string()).and_then(|listener| {
        let ready = || {
            if detach {
                announce()
            }
        };
        // Whoever asked us to stop sees the end of the stream when the socket is gone.
        let leave = || drop(claim.remove_socket());
        serve::run(listener, places, config, spawner, ready, leave)
            .map_err(|error| format!("cannot serve: {error}"))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(&reason),
    }
}

/// Tells whoever started us, and lets go of their pipe.
fn announce() {
    say("ready\n");
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&null);
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
