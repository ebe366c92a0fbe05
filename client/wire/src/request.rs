//! What a client may ask. Variants are only ever appended, and never change shape:
//! a new field is a new variant (PROTOCOL.md).
//!
//! No type here that can reach a [`Value`] has `Debug`.

use crate::{EnvName, Note, ProfileName, SecretName, Value};
use bincode::{Decode, Encode};

/// One question. Descriptors, where a variant needs them, ride beside the first byte of its
/// frame (`SCM_RIGHTS`): the project's directory, then its open manifest.
#[derive(Encode, Decode)]
pub enum Request {
    /// Who are you, and how are you? Answered across versions, and while locked.
    Status,
    /// The env of one command. Descriptors: none, or directory and manifest.
    Resolve(Resolve),
    /// One value: the active one, or that of a version.
    Get {
        /// Which secret.
        name: SecretName,
        /// Which version; the active one if absent.
        version: Option<u32>,
    },
    /// Stages one value on this connection. Nothing is written before [`Request::Commit`].
    Put(Put),
    /// Stages a part of a file as it was before an import rewrote it.
    PutOriginal(Part),
    /// Writes all that was staged, as one write of the vault.
    Commit,
    /// A page of names and facts, in order, after that name.
    List {
        /// The last name of the page before.
        after: Option<SecretName>,
    },
    /// The facts of one secret.
    Show {
        /// Which secret.
        name: SecretName,
    },
    /// Takes secrets out, all or none.
    Remove {
        /// Which secrets.
        names: Vec<SecretName>,
    },
    /// Gives a secret another name.
    Move {
        /// What it is called.
        old: SecretName,
        /// What it shall be called.
        new: SecretName,
    },
    /// What would this manifest hand out? Descriptors: directory and manifest.
    Review,
    /// Trusts this manifest. Descriptors: directory and manifest.
    Allow {
        /// SHA-256 of the manifest that the human was shown.
        manifest: [u8; 32],
    },
    /// Takes the trust back. Descriptor: directory.
    Deny,
    /// The text of a manifest with these bindings added. Writes nothing.
    /// Descriptors: none for a new manifest, or directory and manifest.
    Bind(Bind),
    /// A part of a file as it was before the last import that rewrote it.
    Original {
        /// The file's canonical path, as bytes.
        path: Vec<u8>,
        /// Which part, from 0.
        part: u32,
    },
    /// Makes identity and vault.
    Init(Init),
    /// Opens the vault.
    Unlock(Unlock),
    /// Forgets every value.
    Lock,
    /// Locks and exits.
    Stop,
    /// The env of a shell, with the versions that its values are. What is never exported is
    /// left out. Descriptors: directory and manifest.
    Load {
        /// Which profile of the manifest; the plain `[env]` if absent.
        profile: Option<ProfileName>,
    },
    /// What a manifest binds, less the values. Descriptors: directory and manifest.
    Bindings {
        /// Which profile of the manifest; the plain `[env]` if absent.
        profile: Option<ProfileName>,
    },
    /// Asks the human about what was refused with [`crate::Refusal::NeedsAnswer`]; once
    /// allowed, the same request on the same connection is admitted. Descriptors: those of
    /// that request.
    Ask(Ask),
    /// How well the agent is protected, and when it locks by itself.
    Health,
    /// A page of the audit log: the newest events, oldest first.
    Audit(Audit),
    /// Checks the chain of the audit log.
    VerifyAudit,
    /// Seals the identity anew: another passphrase, or another way.
    Reseal(Reseal),
    /// Who can read the vault file.
    Recipients,
    /// Lets one more read the vault file, as age writes recipients (`age1…`).
    AddRecipient {
        /// Who.
        recipient: String,
    },
    /// Lets one no longer read what is written from now on.
    RemoveRecipient {
        /// Who.
        recipient: String,
    },
    /// Makes a new identity, and seals the vault to it.
    Rekey {
        /// What opens the identity, and seals the new one.
        key: Key,
    },
}

/// By which way a value leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Channel {
    /// Into the environment of one command.
    Exec,
    /// As text, into a shell or a tool.
    Export,
}

/// One variable and the secret that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Binding {
    /// The variable.
    pub var: EnvName,
    /// The secret.
    pub secret: SecretName,
}

/// See [`Request::Resolve`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Resolve {
    /// Where the values go.
    pub channel: Channel,
    /// Which profile of the manifest; the plain `[env]` if absent.
    pub profile: Option<ProfileName>,
    /// Only these variables of the manifest; all of them if empty.
    pub only: Vec<EnvName>,
    /// The human's own bindings (`--env VAR=NAME`), beside the manifest's.
    pub extra: Vec<Binding>,
}

/// See [`Request::Put`].
#[derive(Encode, Decode)]
pub struct Put {
    /// The name that is asked for.
    pub name: SecretName,
    /// The value.
    pub value: Value,
    /// What to do when that name is taken.
    pub clash: Clash,
    /// Never export it. Kept as it is if absent.
    pub exec_only: Option<bool>,
    /// When to ask the human. Kept as it is if absent.
    pub confirm: Option<Confirm>,
    /// A line for humans. Kept as it is if absent.
    pub note: Option<Note>,
}

/// What to do when a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Clash {
    /// Make a new version of it.
    NewVersion,
    /// Take the next free name: `NAME-2`, `NAME-3`, …
    Rename,
}

/// See [`Request::PutOriginal`].
#[derive(Encode, Decode)]
pub struct Part {
    /// The file's canonical path, as bytes.
    pub path: Vec<u8>,
    /// Which part, from 0; parts come in order.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
    /// A fingerprint of the file as the import leaves it, to tell later whether it was edited
    /// since. Opaque to the agent, and no cryptography: the client has none.
    pub after: [u8; 32],
    /// The bytes of this part.
    pub bytes: Value,
}

/// See [`Request::Bind`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Bind {
    /// The project's name, where the manifest does not say one.
    pub project: ProfileName,
    /// What to add to `[env]`.
    pub bindings: Vec<Binding>,
}

/// When the human is asked before a value leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
pub enum Confirm {
    /// Never.
    #[default]
    None,
    /// Once for each terminal session, until it has been idle for a while.
    Session,
    /// Each time.
    Always,
}

/// See [`Request::Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    /// The request that was refused.
    pub about: Asked,
    /// Where the human sits.
    pub screen: Screen,
}

/// What a human can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Asked {
    /// As [`Request::Resolve`].
    Env(Resolve),
    /// As [`Request::Get`].
    One {
        /// Which secret.
        name: SecretName,
        /// Which version; the active one if absent.
        version: Option<u32>,
    },
}

/// Where the human sits who can be asked: what a pinentry needs to know. Claims of the
/// client, and used for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Screen {
    /// The terminal's device, as bytes.
    pub tty: Option<Vec<u8>>,
    /// Variables of the client's environment, each at most once.
    pub env: Vec<(ScreenVar, Vec<u8>)>,
}

/// A variable that says where a screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum ScreenVar {
    /// `TERM`
    Term,
    /// `DISPLAY`
    Display,
    /// `WAYLAND_DISPLAY`
    WaylandDisplay,
    /// `XAUTHORITY`
    XAuthority,
    /// `XDG_SESSION_TYPE`
    XdgSessionType,
    /// `DBUS_SESSION_BUS_ADDRESS`
    DbusSessionBusAddress,
    /// `LANG`
    Lang,
    /// `LC_ALL`
    LcAll,
    /// `LC_CTYPE`
    LcCtype,
    /// `LC_MESSAGES`
    LcMessages,
}

impl ScreenVar {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Term,
        Self::Display,
        Self::WaylandDisplay,
        Self::XAuthority,
        Self::XdgSessionType,
        Self::DbusSessionBusAddress,
        Self::Lang,
        Self::LcAll,
        Self::LcCtype,
        Self::LcMessages,
    ];

    /// The variable's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Display => "DISPLAY",
            Self::WaylandDisplay => "WAYLAND_DISPLAY",
            Self::XAuthority => "XAUTHORITY",
            Self::XdgSessionType => "XDG_SESSION_TYPE",
            Self::DbusSessionBusAddress => "DBUS_SESSION_BUS_ADDRESS",
            Self::Lang => "LANG",
            Self::LcAll => "LC_ALL",
            Self::LcCtype => "LC_CTYPE",
            Self::LcMessages => "LC_MESSAGES",
        }
    }
}

/// See [`Request::Audit`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Audit {
    /// Only events before this one, by number; the newest if absent.
    pub before: Option<u64>,
    /// Only events with this secret.
    pub secret: Option<SecretName>,
    /// How many at most.
    pub count: u32,
}

/// See [`Request::Init`].
#[derive(Encode, Decode)]
pub struct Init {
    /// What seals the identity.
    pub seal: Seal,
    /// Who else can read the vault file, as age writes recipients (`age1…`).
    pub recipients: Vec<String>,
}

/// What seals the identity.
#[derive(Encode, Decode)]
pub enum Seal {
    /// Nothing: it lies there open.
    Nothing,
    /// A passphrase.
    Passphrase(Value),
    /// A passphrase, of which the OS keyring keeps a copy.
    Keyring(Value),
    /// An age identity of the user's own, native or of a plugin: the path of its file.
    Identity(Vec<u8>),
}

/// What opens the identity.
#[derive(Encode, Decode)]
pub enum Key {
    /// What needs no human: nothing, the OS keyring, or the user's own identity file.
    Stored,
    /// A passphrase.
    Passphrase(Value),
    /// A passphrase that a pinentry asks for.
    Pinentry(Screen),
}

/// See [`Request::Unlock`].
#[derive(Encode, Decode)]
pub struct Unlock {
    /// What opens the identity.
    pub key: Key,
    /// Take the vault file as it is, though a newer one was seen.
    pub accept_rollback: bool,
    /// Lock after this many seconds, come what may; as the user's config says if absent.
    pub seconds: Option<u64>,
}

/// See [`Request::Reseal`].
#[derive(Encode, Decode)]
pub struct Reseal {
    /// What opens the identity now.
    pub key: Key,
    /// What shall seal it.
    pub seal: Seal,
}
