//! `start`, `stop`: the agent's process.

use crate::connection::Connection;
use crate::report::{self, Failure, cause};
use crate::{refusal, session, start as starter};
use keyagent_wire::{Refusal, Reply, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::thread::sleep;
use std::time::Duration;

/// How often to look whether the socket of a stopped agent is gone.
const LOOKS_MAX: u32 = 1_000;
/// How long to wait before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Starts the agent if it is not there.
pub(crate) fn start() -> Result<(), Failure> {
    if Connection::open()?.is_some() {
        report::note("the agent is running already");
        return Ok(());
    }
    starter::connect().map(drop)
}

/// Ends the agent, and returns when it is gone.
pub(crate) fn stop() -> Result<(), Failure> {
    let Some(mut connection) = Connection::open()? else {
        report::note("no agent is running");
        return Ok(());
    };
    match connection.ask(&Request::Stop, &[])? {
        Reply::Done => gone(&mut connection),
        Reply::Refused(Refusal::Version { .. } | Refusal::UnknownOp) => end(&mut connection),
        Reply::Refused(refusal) => Err(refusal::failure(&refusal)),
        _ => Err(session::unexpected()),
    }
}

/// An agent of another version does not read our request; the signal is the same in all.
fn end(connection: &mut Connection) -> Result<(), Failure> {
    kill(Pid::from_raw(connection.pid()), Signal::SIGTERM)
        .map_err(|e| Failure::failed(format!("cannot end the agent: {}", cause(&e.into()))))?;
    gone(connection)
}

/// It closes our connection a moment before it takes its socket away: a `start` that follows
/// must not find that one.
fn gone(connection: &mut Connection) -> Result<(), Failure> {
    connection.wait_for_end()?;
    for _ in 0..LOOKS_MAX {
        match Connection::open()? {
            Some(other) if other.pid() == connection.pid() => sleep(LOOK_AGAIN),
            _ => return Ok(()),
        }
    }
    Err(Failure::failed("the agent did not stop: its socket still answers"))
}
