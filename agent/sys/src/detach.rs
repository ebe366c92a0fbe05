//! Leaving the terminal and the process that started us.

use nix::unistd::{ForkResult, chdir, fork, setsid};
use std::io;

/// Goes on in a child with a session of its own, at `/`; the process that called is gone.
///
/// Must be called while there is one thread, before the runtime and the vault exist.
pub fn detach() -> io::Result<()> {
    // SAFETY: main calls this before it starts any thread, so no lock can be held in the
    // child by a thread that does not exist there.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => std::process::exit(0),
        ForkResult::Child => {
            setsid()?;
            chdir("/")?;
            Ok(())
        }
    }
}
