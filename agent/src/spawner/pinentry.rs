//! Becoming a pinentry, in a helper: with the variables of a screen and no others.
//!
//! A second process watches the agent's end of the socket: a pinentry that is drawing on a
//! terminal would not notice that nobody waits for it any more.

use keyagent_sys::detach::{Side, depend_on_parent, fork};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio, exit};

/// Where a pinentry finds programs, if it looks for any.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What else it gets of our own environment: where its settings and its bus are.
const KEPT: [&str; 4] = ["HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR"];
/// How long it has to put its terminal in order once it is told to end.
const END_MILLIS_MAX: u16 = 1000;

/// Becomes the program. Returns only if that cannot be.
pub(super) fn run_here(
    stream: UnixStream,
    program: &Path,
    env: &[(String, String)],
) -> io::Result<()> {
    let asking = getpid();
    if fork()? == Side::Child {
        watch(&stream, asking);
        exit(0);
    }
    let kept = KEPT.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.env_clear().envs(kept).envs(env.iter().cloned()).env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(stream.try_clone()?)));
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(stream)));
    Err(command.exec())
}

/// Ends the pinentry once the agent has closed its end. Is ended itself when the pinentry is.
fn watch(stream: &UnixStream, asking: Pid) {
    if depend_on_parent().is_err() || getppid() != asking {
        return;
    }
    let mut closed = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    // The end of the other side is told whether it is asked for or not.
    while poll(&mut closed, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    let _ = kill(asking, Signal::SIGTERM);
    // Its end is ours, so this is a wait for it, with a limit.
    let _ = poll(&mut [], PollTimeout::from(END_MILLIS_MAX));
    if getppid() == asking {
        let _ = kill(asking, Signal::SIGKILL);
    }
}
