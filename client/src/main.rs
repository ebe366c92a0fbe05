//! keyagent: all that runs in the user's shell.
//!
//! It finds the manifest, asks the agent, and prints or becomes a command. It has no
//! cryptography, no TOML, no network and no thread, and leaves every judgement to the
//! agent.

mod args;
mod atomic;
mod billing;
mod completion;
mod connection;
mod date;
mod envfile;
mod exec;
mod export;
mod hot;
mod import;
mod json;
mod load;
mod passphrase;
mod project;
mod quote;
mod record;
mod refusal;
mod report;
mod screen;
mod secret_input;
mod session;
mod stamp;
mod start;
mod tty;
mod usage;
mod verbs;
mod watches;

use report::Failure;
use std::alloc::System;
use std::ffi::OsString;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed, so that what a library copied does not stay either.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    match harden().and_then(|()| run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report::failure(&failure),
    }
}

/// No core file and no ptrace, before anything else. `RLIMIT_CORE` would do for us, too,
/// but the command that `exec` becomes would inherit it.
fn harden() -> Result<(), Failure> {
    nix::sys::prctl::set_dumpable(false)
        .map_err(|e| Failure::failed(format!("cannot keep core files away: {}", e.desc())))
}

fn run() -> Result<(), Failure> {
    let line: Vec<OsString> = std::env::args_os().skip(1).collect();
    let verb = match hot::parse(&line) {
        Some(verb) => verb,
        None => match usage::parse(&line)? {
            Some(verb) => verb,
            None => return Ok(()),
        },
    };
    verbs::run(verb)
}
