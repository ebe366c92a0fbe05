//! What a human reads when the agent said no: text, hints, exit code.
//!
//! Every refusal has its words here, and only here.

use crate::project::{pasted, state_place};
use crate::report::{Failure, Kind, errno_text};
use keyagent_wire::frame::VERSION;
use keyagent_wire::{Limit, ManifestFault, NameError, Refusal, SecretName};
use keyagent_wire::{Unsafe, Unsealer, VaultFault, VaultFile};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The failure that a refusal is.
pub(crate) fn failure(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Version { protocol, release } => other_version(*protocol, release),
        Refusal::UnknownOp => Failure::failed("the agent does not know that request: it is older")
            .hint("`keyagent stop`, and the next verb starts the new one"),
        Refusal::Malformed => Failure::failed("the agent could not read the request")
            .hint("`keyagent --version` and `keyagent status` should name one release"),
        Refusal::TooLarge(limit) => Failure::failed(too_large(*limit)),
        Refusal::Busy => Failure::failed("the agent is busy").hint("try again in a moment"),
        Refusal::Locked => Failure::new(Kind::Locked, "the vault is locked")
            .hint("`keyagent unlock` opens it, in any terminal"),
        Refusal::NoVault => {
            Failure::failed("there is no vault yet").hint("`keyagent init` makes one")
        }
        Refusal::VaultExists => Failure::failed("there is a vault already")
            .hint("`keyagent status` says where, `keyagent unlock` opens it"),
        Refusal::NeedsPassphrase => Failure::new(Kind::Locked, "the vault needs its passphrase")
            .hint("`keyagent unlock`, in a terminal"),
        Refusal::WrongPassphrase => Failure::failed("that passphrase does not open the vault"),
        Refusal::BadRecipient => Failure::usage("that is not a recipient to seal to")
            .hint("a recipient looks like `age1…`: `age-keygen -y FILE` prints it"),
        Refusal::Vault { file, fault, backup } => vault(*file, *fault, *backup, None),
        Refusal::NotWritten { errno } => Failure::failed(format!(
            "cannot write the vault: {}; it is as it was",
            errno_text(*errno)
        )),
        Refusal::Conflict => Failure::failed("another program wrote the vault file meanwhile")
            .hint("try again; `keyagent status` tells more"),
        Refusal::NoSuchSecret(_)
        | Refusal::NoSuchVersion(_)
        | Refusal::Exists(_)
        | Refusal::Unbound(_)
        | Refusal::NoSuchProfile(_)
        | Refusal::NoOriginal => about_names(refusal),
        Refusal::NotAllowed
        | Refusal::Changed
        | Refusal::ExecOnly(_)
        | Refusal::Unsafe(_)
        | Refusal::Manifest { .. }
        | Refusal::NoAnswer => about_manifest(refusal),
        Refusal::NeedsAnswer(_)
        | Refusal::Denied
        | Refusal::Muted(_)
        | Refusal::NoPinentry
        | Refusal::PinentryFailed
        | Refusal::NotRecorded(_) => about_asks(refusal),
        Refusal::RecipientExists => Failure::failed("that recipient can read the vault already"),
        Refusal::NoSuchRecipient => Failure::failed("there is no such recipient")
            .hint("`keyagent recipients list` shows them"),
        Refusal::OwnRecipient => {
            Failure::failed("cannot take out the vault's own identity: nobody could write it")
                .hint("`keyagent rekey` gives it another")
        }
        Refusal::TooLong(seconds) => {
            let most = crate::date::span(*seconds);
            Failure::usage(format!("the vault may stay open for {most} at most"))
                .hint("`hard` under `[lock]` in the user's config.toml, 12h at most")
        }
        Refusal::Unsealer(why) => unsealer(*why),
        Refusal::Helper => Failure::failed("a helper of the agent failed")
            .hint("`keyagent status` names the agent's log"),
    }
}

/// The same, with the way out spelled: where the vault file is, as the agent's status has it.
pub(crate) fn failure_at(refusal: &Refusal, vault_path: &[u8]) -> Failure {
    match refusal {
        Refusal::Vault { file, fault, backup } => vault(*file, *fault, *backup, Some(vault_path)),
        other => failure(other),
    }
}

/// Names that do not lead where they should.
fn about_names(refusal: &Refusal) -> Failure {
    let no_such = |text| Failure::new(Kind::NoSuchSecret, text);
    match refusal {
        Refusal::NoSuchSecret(names) => no_such(format!("no such secret: {}", list(names)))
            .hint("`keyagent list` shows the names"),
        Refusal::NoSuchVersion(number) => no_such(format!("that secret has no version {number}"))
            .hint("`keyagent show NAME` lists its versions"),
        Refusal::Exists(name) => Failure::failed(format!("there is a secret `{name}` already")),
        Refusal::Unbound(var) => Failure::failed(format!("the manifest binds no `{var}`")),
        Refusal::NoSuchProfile(profile) => {
            Failure::failed(format!("the manifest has no profile `{profile}`"))
        }
        _ => Failure::failed("the vault keeps no original of that file")
            .hint("`keyagent import --undo FILE` names the file that was imported"),
    }
}

/// Manifests that may not have what they ask for, or cannot be read.
fn about_manifest(refusal: &Refusal) -> Failure {
    let refused = |text| Failure::new(Kind::Refused, text);
    match refusal {
        Refusal::Changed => {
            refused("this project's keyagent.toml changed since it was allowed".to_owned())
                .hint("`keyagent allow` shows what changed, and asks")
        }
        Refusal::ExecOnly(names) => refused(format!("never exported: {}", list(names)))
            .hint("`keyagent exec -- CMD` may have them"),
        Refusal::Unsafe(why) => not_safe(*why),
        Refusal::Manifest { line, column, fault } => Failure::failed(format!(
            "cannot read keyagent.toml, line {line}, column {column}: {}",
            manifest_fault(*fault)
        )),
        Refusal::NoAnswer => {
            Failure::failed("cannot read keyagent.toml: the file system does not answer")
                .hint("`stat -f .` hangs, too, for as long as that is so")
        }
        _ => refused("this project is not allowed".to_owned())
            .hint("`keyagent allow` shows what it would get, and asks"),
    }
}

/// What a human was asked, or should have been; and what could not be recorded.
fn about_asks(refusal: &Refusal) -> Failure {
    let refused = |text| Failure::new(Kind::Refused, text);
    match refusal {
        Refusal::NeedsAnswer(names) => refused(format!("not confirmed: {}", list(names)))
            .hint("`keyagent exec -- CMD` asks, and hands it to CMD"),
        Refusal::Muted(seconds) => {
            let left = crate::date::span(*seconds);
            refused(format!("denied too often: nothing is asked for {left}")).hint(
                "it ends by itself; where you type a passphrase, `keyagent lock`, then \
                     `keyagent unlock`, ends it at once",
            )
        }
        Refusal::NoPinentry => refused("nobody can be asked: no pinentry for here".to_owned())
            .hint("it wants a terminal or a display, and a program: `keyagent doctor` names it"),
        Refusal::PinentryFailed => refused("nobody could answer: the pinentry failed".to_owned())
            .hint("`keyagent doctor` names the agent's log, which says how"),
        Refusal::NotRecorded(errno) => {
            let cause = errno_text(*errno);
            let hint = match Errno::from_raw(*errno) {
                Errno::ENOLCK => {
                    "eight agents write logs there: `keyagent stop` ends one".to_owned()
                }
                _ => format!("`df {}` shows whether the disk is full", state_place()),
            };
            Failure::failed(format!("cannot write the audit log: {cause}; nothing is handed out"))
                .hint(hint)
        }
        _ => refused("denied: the question was not answered with yes".to_owned()),
    }
}

fn unsealer(why: Unsealer) -> Failure {
    let text = match why {
        Unsealer::Missing => "the identity file that opens the vault is not there".to_owned(),
        Unsealer::Unreadable(errno) => {
            format!("cannot read the identity file that opens the vault: {}", errno_text(errno))
        }
        Unsealer::NotPrivate => {
            "others may read or write the identity file that opens the vault".to_owned()
        }
        Unsealer::NotIdentity => "that file has no age identity that keyagent knows".to_owned(),
        Unsealer::NotForUs => "that identity does not open the vault".to_owned(),
        Unsealer::Plugin => "the plugin of that identity is not there, or failed".to_owned(),
        Unsealer::NoKeyring => "there is no OS keyring, or it is locked".to_owned(),
        Unsealer::EmptyKeyring => "the OS keyring has no passphrase of ours".to_owned(),
        Unsealer::NoSsh => {
            "that is an SSH key, and this keyagentd was built without them".to_owned()
        }
        Unsealer::Sealed => "that identity file has a passphrase of its own".to_owned(),
    };
    let hint = match why {
        Unsealer::NoKeyring | Unsealer::EmptyKeyring => {
            "no verb needs one: leave `--keyring` out; `keyagent unlock`, in a terminal, \
             asks for the passphrase"
        }
        Unsealer::NotPrivate => "`chmod 600 FILE` closes it",
        Unsealer::Plugin => "`age-plugin-NAME` must lie in /usr/local/bin, /usr/bin or /bin",
        Unsealer::NoSsh => {
            "`age-keygen -o FILE` makes one that every build knows; in the source, \
             `KEYAGENT_FEATURES=ssh packaging/install.sh` builds one that knows SSH keys"
        }
        Unsealer::Sealed => "`age-keygen -o FILE` makes one that has none",
        Unsealer::NotIdentity => "an identity is a line `AGE-SECRET-KEY-1…` or `AGE-PLUGIN-…`",
        Unsealer::Missing | Unsealer::Unreadable(_) | Unsealer::NotForUs => {
            "`unlock.json`, beside the vault, says which file that is"
        }
    };
    Failure::new(Kind::Locked, text).hint(hint)
}

/// Says which of the two is the older one.
pub(crate) fn other_version(protocol: u16, release: &str) -> Failure {
    let ours = env!("CARGO_PKG_VERSION");
    let release = keyagent_wire::escape(release.as_bytes());
    if protocol > VERSION {
        Failure::failed(format!(
            "this keyagent ({ours}) is older than the running agent ({release})"
        ))
        .hint("use the keyagent that was installed beside that agent, or end it: `keyagent stop`")
    } else {
        Failure::failed(format!(
            "the running agent ({release}) is older than this keyagent ({ours})"
        ))
        .hint("restart the agent: `keyagent stop`, and the next verb starts the new one")
    }
}

fn list(names: &[SecretName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn too_large(limit: Limit) -> &'static str {
    match limit {
        Limit::Request => "the request is larger than 128 KiB",
        Limit::Reply => "the values asked for are more than 1 MiB together: ask for fewer",
        Limit::Names => "more than 256 names in one request",
        Limit::Staged => "too much for one write of the vault: do it in parts",
        Limit::Vault => "the vault would be larger than 16 MiB",
        Limit::Recipients => "more than 32 recipients beside the vault's own",
    }
}

fn vault(
    file: VaultFile,
    fault: VaultFault,
    backup: Option<u8>,
    vault_path: Option<&[u8]>,
) -> Failure {
    let name = match (file, fault) {
        (VaultFile::Identity, _) => "identity.age",
        // The state is what remembers; the vault is what is old.
        (VaultFile::Vault, _) | (VaultFile::State, VaultFault::Rollback { .. }) => "vault.age",
        (VaultFile::State, _) => "state.json",
    };
    let failure = Failure::failed(format!("cannot use {name}: {}", vault_fault(fault)));
    let accept = "`keyagent unlock --accept-rollback`";
    let failure = match (fault, backup, vault_path) {
        (VaultFault::Rollback { .. }, ..) => failure.hint(format!("{accept} takes it as it is")),
        (_, Some(number), Some(path)) => {
            let path = pasted(Path::new(OsStr::from_bytes(path)));
            failure.hint(format!(
                "the backup vault.age.{number} is good: `cp {path}.{number} {path}`, then {accept}"
            ))
        }
        _ if file == VaultFile::Identity => {
            failure.hint("only a copy of it opens the vault; no backup is kept beside it")
        }
        _ => failure.hint("`keyagent status` names the vault file"),
    };
    match (fault, backup, vault_path) {
        (VaultFault::Rollback { .. }, Some(number), _) | (_, Some(number), None) => {
            failure.hint(format!("the backup vault.age.{number} is good, too"))
        }
        _ => failure,
    }
}

fn vault_fault(fault: VaultFault) -> String {
    let text = match fault {
        VaultFault::Missing => "it is not there",
        VaultFault::Unreadable(errno) => return errno_text(errno),
        VaultFault::NotRegular => "it is no regular file",
        VaultFault::Owner => "it belongs to another user",
        VaultFault::Mode => "others may read or write it",
        VaultFault::TooLarge => "it is larger than 16 MiB",
        VaultFault::HeaderTooLarge => "its header is larger than 16 KiB or 256 lines",
        VaultFault::TooMuchWork => "it asks for more scrypt work than keyagent does",
        VaultFault::NotAge => "it is no age file",
        VaultFault::Corrupt => "it is damaged or cut short",
        VaultFault::NotForUs => "it is sealed for another identity",
        VaultFault::Forged => "it was not sealed by this identity",
        VaultFault::Malformed => "what is inside is no vault",
        VaultFault::NewerFormat(format) => {
            return format!("a newer keyagent wrote it (format {format})");
        }
        VaultFault::Rollback { found, seen } => {
            return format!("it is older than the one seen last ({found}, not {seen})");
        }
        VaultFault::Linked => "it has another name, a hard link: put a copy in its place",
    };
    text.to_owned()
}

fn not_safe(why: Unsafe) -> Failure {
    let (text, hint) = match why {
        Unsafe::NotRegular => ("keyagent.toml is no regular file", None),
        Unsafe::Owner => ("keyagent.toml belongs to another user", None),
        Unsafe::Writable => {
            ("others may write keyagent.toml", Some("`chmod go-w`, on that file, closes it"))
        }
        Unsafe::DirectoryOwner => ("the project's directory belongs to another user", None),
        Unsafe::DirectoryWritable => {
            ("others may write the project's directory", Some("`chmod go-w`, on it, closes it"))
        }
        Unsafe::NoPath => ("keyagent.toml has no path that can be named", None),
        Unsafe::Linked => (
            "keyagent.toml has another name, a hard link",
            Some("`cp keyagent.toml new && mv new keyagent.toml` parts them"),
        ),
    };
    let failure = Failure::new(Kind::Refused, text);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn manifest_fault(fault: ManifestFault) -> String {
    let text = match fault {
        ManifestFault::Syntax => "not TOML",
        ManifestFault::NotUtf8 => "not UTF-8",
        ManifestFault::TooLarge => "more than 64 KiB",
        ManifestFault::TooManyNames => "more than 256 names",
        ManifestFault::Character => "a control or bidi character",
        ManifestFault::UnknownKey => "a key that manifests do not have",
        ManifestFault::Duplicate => "a key that is there twice",
        ManifestFault::WrongType => "a value of the wrong type",
        ManifestFault::Variable(why) => return not_a("variable that it may set", why),
        ManifestFault::Secret(why) => return not_a("name of a secret", why),
        ManifestFault::Profile(why) => return not_a("name of a profile or a project", why),
    };
    text.to_owned()
}

fn not_a(what: &str, why: NameError) -> String {
    format!("not a {what}: {why}")
}

#[cfg(test)]
mod tests;
