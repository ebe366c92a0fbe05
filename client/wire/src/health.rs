//! How well the agent is protected, and when it locks by itself.

use bincode::{Decode, Encode};

/// See [`crate::Request::Health`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Health {
    /// What was looked at, and how it is.
    pub findings: Vec<Finding>,
    /// What the user's configuration comes to, each as it would stand in it.
    pub settings: Vec<Setting>,
    /// In how many seconds it locks if nothing is handed out; none while it is locked.
    pub idle_seconds: Option<u64>,
    /// In how many seconds it locks, come what may; none while it is locked.
    pub hard_seconds: Option<u64>,
}

/// One key of the configuration, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Setting {
    /// `lock.idle`
    pub key: String,
    /// As TOML has it; empty where it has none.
    pub value: String,
}

/// One protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Finding {
    /// Which.
    pub check: Check,
    /// How it is.
    pub grade: Grade,
    /// A number that says more: an errno(3), or the check's own.
    pub detail: i32,
}

/// How a protection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Less than this system could give, or than others give.
    Weak,
    /// Not there.
    Bad,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Check {
    /// No debugger, no core file: `PR_SET_DUMPABLE`, `RLIMIT_CORE`.
    Inspection,
    /// Where keys lie: memfd_secret(2), or locked memory.
    Memory,
    /// `no_new_privs`, and no capability.
    Privileges,
    /// Landlock: which files can be reached.
    Files,
    /// seccomp: which system calls can be made.
    Calls,
    /// The process that starts helpers.
    Spawner,
    /// The audit log.
    Audit,
    /// Sleep, screen lock and logout are noticed.
    Session,
    /// A pinentry is there.
    Pinentry,
}
