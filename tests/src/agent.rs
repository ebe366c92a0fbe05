//! One agent that a test started.

use crate::home::Home;
use crate::process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, ExitStatus};

/// A running agent. It outlives this handle: the home ends it.
pub struct Agent {
    pid: u32,
    child: Option<Child>,
}

impl Agent {
    pub(crate) fn new(pid: u32, child: Option<Child>) -> Self {
        Self { pid, child }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        process::is_alive(self.pid)
    }

    /// Its resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        process::resident_kib(self.pid)
    }

    /// Sends it a signal, if it is there.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid as i32), signal);
    }

    /// Halts it until what comes back is dropped: it answers nobody, and what is sent to it
    /// meanwhile is there before it looks again.
    pub fn halt(&self) -> Halted {
        Halted::new(self.pid)
    }

    /// Kills it with no chance to tidy up, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
        self.wait();
    }

    /// Waits until it is gone: how it ended, if it is a child of ours.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut().map(|child| {
            crate::eventually("the agent ends", || child.try_wait().expect("it is our child"))
        });
        crate::eventually("the agent is gone", || (!self.is_alive()).then_some(()));
        status
    }

    /// Waits until it answers as this home's agent, which must be this one.
    pub fn answers(&self, home: &Home) {
        let pid = home.wire().status().pid;
        assert_eq!(pid, self.pid, "the agent that answers is this one");
    }
}

/// An agent that is halted, until this is dropped.
pub struct Halted(Pid);

impl Halted {
    /// Halts any process, if it has not ended by then.
    pub fn of(pid: u32) -> Option<Self> {
        let halted = Self(Pid::from_raw(pid as i32));
        kill(halted.0, Signal::SIGSTOP).ok()?;
        crate::eventually("it is halted, or gone", || {
            (process::is_halted(pid) || !process::is_alive(pid)).then_some(())
        });
        process::is_alive(pid).then_some(halted)
    }

    pub(crate) fn new(pid: u32) -> Self {
        Self::of(pid).expect("it is there")
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
