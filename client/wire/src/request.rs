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

/// See [`Request::Init`].
#[derive(Encode, Decode)]
pub struct Init {
    /// What seals the identity; nothing seals it if absent.
    pub passphrase: Option<Value>,
    /// Who else can read the vault file, as age writes recipients (`age1…`).
    pub recipients: Vec<String>,
}

/// See [`Request::Unlock`].
#[derive(Encode, Decode)]
pub struct Unlock {
    /// What seals the identity.
    pub passphrase: Option<Value>,
    /// Take the vault file as it is, though a newer one was seen.
    pub accept_rollback: bool,
}
