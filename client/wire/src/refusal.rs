//! Refusals: a closed set that says what the client should do next.
//!
//! A refusal carries names of secrets, numbers and positions; never input bytes, never a
//! value, never a text from the agent's inside.

use crate::{EnvName, NameError, ProfileName, SecretName};
use bincode::{Decode, Encode};

/// Why the agent said no.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The frame's version is another one. Frozen, so that every client can read it.
    Version {
        /// The protocol that the agent speaks.
        protocol: u16,
        /// The agent's release.
        release: String,
    },
    /// An operation that this agent does not know.
    UnknownOp,
    /// The frame or its body is not what its type says, or has too few or too many descriptors.
    Malformed,
    /// Longer than the contract allows.
    TooLarge(Limit),
    /// The agent has its hands full for a moment.
    Busy,
    /// The vault is closed: unlock it.
    Locked,
    /// There is no vault: make one.
    NoVault,
    /// There is a vault already.
    VaultExists,
    /// The identity is sealed, and needs a passphrase.
    NeedsPassphrase,
    /// The passphrase does not open the identity.
    WrongPassphrase,
    /// That is not a recipient that we can seal to.
    BadRecipient,
    /// A file of the vault cannot be used.
    Vault {
        /// Which file.
        file: VaultFile,
        /// What is wrong with it.
        fault: VaultFault,
        /// The newest backup that opens, from 1.
        backup: Option<u8>,
    },
    /// The vault could not be written; it is as it was.
    NotWritten {
        /// The error of the system call, as in errno(3).
        errno: i32,
    },
    /// The vault file is another one than was read, and not a newer one.
    Conflict,
    /// No such secrets.
    NoSuchSecret(Vec<SecretName>),
    /// That secret has no such version.
    NoSuchVersion(u32),
    /// That name is taken.
    Exists(SecretName),
    /// The manifest binds no such variable.
    Unbound(EnvName),
    /// The manifest has no such profile.
    NoSuchProfile(ProfileName),
    /// This manifest was never allowed here: allow it.
    NotAllowed,
    /// It was allowed before it changed: review and allow it.
    Changed,
    /// These secrets never leave by that channel.
    ExecOnly(Vec<SecretName>),
    /// The manifest cannot be trusted for what the file is.
    Unsafe(Unsafe),
    /// The manifest says what it may not.
    Manifest {
        /// From 1.
        line: u32,
        /// From 1, in characters.
        column: u32,
        /// What is wrong there.
        fault: ManifestFault,
    },
    /// No original of that file is kept.
    NoOriginal,
    /// The file system of the project does not answer.
    NoAnswer,
    /// The human is to be asked about these first: send `Ask`.
    NeedsAnswer(Vec<SecretName>),
    /// The human said no, or said nothing in time.
    Denied,
    /// The human said no too often: nothing is asked for so many seconds.
    Muted(u64),
    /// There is no pinentry that could ask.
    NoPinentry,
    /// The audit log cannot be written, so nothing is handed out: errno(3).
    NotRecorded(i32),
    /// What opens the identity without a passphrase did not.
    Unsealer(Unsealer),
    /// That recipient can read the vault already.
    RecipientExists,
    /// There is no such recipient.
    NoSuchRecipient,
    /// The identity's own recipient stays.
    OwnRecipient,
    /// The vault may not stay open for so long; at most for so many seconds.
    TooLong(u64),
    /// A helper process could not be started, or failed.
    Helper,
    /// The pinentry failed, so that nobody could answer.
    PinentryFailed,
}

/// What is wrong with what opens the identity without a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Unsealer {
    /// The user's own identity file is not there.
    Missing,
    /// It cannot be read: errno(3).
    Unreadable(i32),
    /// Others may read or write it, or it belongs to another user.
    NotPrivate,
    /// It is no age identity that this build knows.
    NotIdentity,
    /// It does not open our identity.
    NotForUs,
    /// Its plugin is not installed, or failed.
    Plugin,
    /// There is no OS keyring, or it is locked.
    NoKeyring,
    /// The OS keyring has nothing of ours.
    EmptyKeyring,
    /// It is an SSH key, and this agent was built without them.
    NoSsh,
    /// It has a passphrase of its own.
    Sealed,
}

/// A limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Limit {
    /// One frame of a request.
    Request,
    /// One reply: ask for fewer names.
    Reply,
    /// Names in one request.
    Names,
    /// What one connection, or all of them, may stage before a commit.
    Staged,
    /// The vault file.
    Vault,
    /// Who can read the vault file.
    Recipients,
}

/// A file of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum VaultFile {
    /// `identity.age`
    Identity,
    /// `vault.age`
    Vault,
    /// `state.json`
    State,
}

/// What is wrong with a file of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum VaultFault {
    /// It is not there.
    Missing,
    /// The system would not let us: errno(3).
    Unreadable(i32),
    /// A directory, a link, a device.
    NotRegular,
    /// It belongs to another user.
    Owner,
    /// Others may read or write it.
    Mode,
    /// Larger than we ever write.
    TooLarge,
    /// Its header is larger than 16 KiB, or has more than 256 lines.
    HeaderTooLarge,
    /// It asks for more scrypt work than we do.
    TooMuchWork,
    /// No age file.
    NotAge,
    /// Cut short or damaged.
    Corrupt,
    /// Sealed for another identity.
    NotForUs,
    /// Sealed to us, but not by us: its MAC does not verify.
    Forged,
    /// Its inside is not a vault.
    Malformed,
    /// Written by a newer keyagent: its format number.
    NewerFormat(u64),
    /// Older than one that was seen here.
    Rollback {
        /// The generation of the file.
        found: u64,
        /// The generation that was seen.
        seen: u64,
    },
    /// It has another name elsewhere: a hard link.
    Linked,
}

/// What makes a manifest or its directory unfit to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Unsafe {
    /// The first descriptor is no directory, or the second no regular file.
    NotRegular,
    /// The manifest belongs to another user.
    Owner,
    /// Others may write the manifest.
    Writable,
    /// The directory belongs to another user.
    DirectoryOwner,
    /// Others may write the directory.
    DirectoryWritable,
    /// The manifest was unlinked, or has no path that can be named.
    NoPath,
    /// The manifest has another name elsewhere: a hard link.
    Linked,
}

/// What is wrong in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ManifestFault {
    /// Not TOML.
    Syntax,
    /// Not UTF-8.
    NotUtf8,
    /// More than 64 KiB.
    TooLarge,
    /// More than 256 names.
    TooManyNames,
    /// A control or bidi character.
    Character,
    /// A key that manifests do not have.
    UnknownKey,
    /// A key that is there twice.
    Duplicate,
    /// A value of the wrong type.
    WrongType,
    /// Not a variable that a manifest may set.
    Variable(NameError),
    /// Not the name of a secret.
    Secret(NameError),
    /// Not the name of a profile or a project.
    Profile(NameError),
}
