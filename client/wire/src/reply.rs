//! What the agent may answer. Variants are only ever appended (PROTOCOL.md).

use crate::event::{Event, Verified};
use crate::health::Health;
use crate::request::{Binding, Confirm};
use crate::{EnvName, Note, ProfileName, Refusal, SecretName, Value};
use bincode::{Decode, Encode};

/// One answer.
#[derive(Encode, Decode)]
pub enum Reply {
    /// No, and what to do next.
    Refused(Refusal),
    /// Done.
    Done,
    /// See [`Status`].
    Status(Status),
    /// The env that was asked for, in the manifest's order.
    Env(Vec<(EnvName, Value)>),
    /// One value.
    Value(Value),
    /// What was written, in the order of staging.
    Committed(Vec<Written>),
    /// A page of secrets; there is more if `more`.
    Page {
        /// At most [`crate::frame::NAMES_MAX`] of them.
        secrets: Vec<Fact>,
        /// Whether to ask for the next page.
        more: bool,
    },
    /// One secret.
    Fact(Fact),
    /// What a manifest would hand out.
    Review(Review),
    /// The text of a manifest.
    Manifest(String),
    /// A part of a file as it was.
    Original {
        /// How many parts there are.
        parts: u32,
        /// A fingerprint of the file as the import left it, as it came with the part.
        after: [u8; 32],
        /// The bytes of the part that was asked for.
        bytes: Value,
    },
    /// The env of a shell, in the manifest's order.
    Loaded(Vec<Loaded>),
    /// What a manifest binds, in its order.
    Bindings {
        /// Whether just this manifest is allowed here.
        allowed: bool,
        /// The bindings.
        bound: Vec<Bound>,
    },
    /// How well the agent is protected.
    Health(Health),
    /// Events of the audit log, oldest first.
    Events {
        /// The events.
        events: Vec<Event>,
        /// Whether there are older ones.
        more: bool,
    },
    /// What the check of the audit log found.
    Verified(Verified),
    /// Who can read the vault file, the identity's own recipient first.
    Recipients(Vec<String>),
}

/// One variable of a shell's env.
#[derive(Encode, Decode)]
pub struct Loaded {
    /// The variable, and the secret that it is made of.
    pub binding: Binding,
    /// Which version of the secret that is.
    pub version: u32,
    /// Its value.
    pub value: Value,
}

/// One binding, and what the vault has for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Bound {
    /// The variable, and the secret that it is made of.
    pub binding: Binding,
    /// The version that is handed out; none if there is no such secret.
    pub version: Option<u32>,
    /// Whether it is never exported.
    pub exec_only: bool,
    /// When the human is asked before it leaves; then no shell gets it by itself.
    pub confirm: Confirm,
}

/// How the agent is. Frozen: every version sends and reads this shape.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Status {
    /// The agent's release, as in its `Cargo.toml`.
    pub release: String,
    /// The protocol that it speaks.
    pub protocol: u16,
    /// Its process.
    pub pid: u32,
    /// How its vault is.
    pub vault: VaultState,
    /// The vault file, as bytes.
    pub vault_path: Vec<u8>,
    /// The agent's own log, as bytes.
    pub log_path: Vec<u8>,
    /// Why the vault file cannot be read again, while the last good one is served.
    pub stale: Option<Refusal>,
}

/// How a vault is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum VaultState {
    /// There is none: `keyagent init` makes it.
    Missing,
    /// Closed.
    Locked,
    /// Open.
    Open {
        /// How many secrets it holds.
        secrets: u64,
        /// How often it has been written.
        generation: u64,
    },
    /// It cannot be opened.
    Unusable(Refusal),
}

/// What became of one [`crate::request::Put`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Written {
    /// The name that it got.
    pub name: SecretName,
    /// What happened.
    pub outcome: Outcome,
}

/// What happened to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It has a new version, of that number.
    Updated(u32),
    /// It had that value already.
    Same,
    /// It had that value already, and what is said of it is new: its note, when a human is
    /// asked, whether it is exported.
    Altered,
}

/// The facts of a secret: all but its values.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Fact {
    /// Its name.
    pub name: SecretName,
    /// Its versions, oldest first.
    pub versions: Vec<VersionFact>,
    /// Whether it is never exported.
    pub exec_only: bool,
    /// When the human is asked.
    pub confirm: Confirm,
    /// A line for humans.
    pub note: Option<Note>,
}

/// The facts of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct VersionFact {
    /// 1 for the first.
    pub number: u32,
    /// When it was made, in seconds since 1970 (UTC).
    pub created: u64,
    /// Which part it plays.
    pub state: VersionState,
}

/// The part that a version plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum VersionState {
    /// Made, and not yet handed out.
    Pending,
    /// The one that is handed out.
    Active,
    /// Replaced, and still valid where it was issued.
    Grace,
    /// No longer valid.
    Revoked,
}

/// What a manifest would hand out, and what changed since it was last allowed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Review {
    /// What the project calls itself.
    pub project: Option<ProfileName>,
    /// The directory, as the kernel names it.
    pub directory: Vec<u8>,
    /// SHA-256 of the manifest.
    pub manifest: [u8; 32],
    /// Whether just this manifest is allowed here already.
    pub allowed: bool,
    /// Whether another manifest of this directory was allowed before.
    pub known: bool,
    /// Every binding of every profile.
    pub bindings: Vec<Reviewed>,
    /// Secrets that the last allowed manifest had and this one has not.
    pub gone: Vec<SecretName>,
}

/// One binding under review.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reviewed {
    /// The profile; the plain `[env]` if absent.
    pub profile: Option<ProfileName>,
    /// The variable.
    pub var: EnvName,
    /// The secret.
    pub secret: SecretName,
    /// Whether the command runs without it.
    pub optional: bool,
    /// Whether the vault has it.
    pub present: bool,
    /// Whether the last allowed manifest had it not.
    pub new: bool,
    /// Directories of other projects that may have it too.
    pub shared_with: Vec<Vec<u8>>,
}
