//! One message of every kind: what the golden frames pin, and what the hostile ones mangle.

use keyagent_tests::wire::{put, secret, value};
use keyagent_wire::event::{Bad, Event, LogFault, Process, Reason, Verified, Way, What};
use keyagent_wire::health::{Check, Finding, Grade, Health, Setting};
use keyagent_wire::reply::{
    Bound, Fact, Loaded, Outcome, Review, Reviewed, Status, VaultState, VersionFact, VersionState,
    Written,
};
use keyagent_wire::request::{
    Ask, Asked, Audit, Bind, Binding, Channel, Clash, Init, Key, Part, Put, Reseal, Resolve,
    Screen, ScreenVar, Seal, Unlock,
};
use keyagent_wire::{
    Confirm, EnvName, Limit, ManifestFault, NameError, Note, ProfileName, Refusal, Reply, Request,
    Unsafe, Unsealer, VaultFault, VaultFile,
};

/// Names the variants of an enum, all of them: one that is missing here does not compile.
macro_rules! variants {
    ($name_of:ident, $all:ident, $type:ident: $($variant:ident)*) => {
        /// The name of its variant.
        pub fn $name_of(of: &$type) -> &'static str {
            match of { $($type::$variant { .. } => stringify!($variant),)* }
        }
        /// The names of all variants.
        pub const $all: &[&str] = &[$(stringify!($variant)),*];
    };
}

variants!(request_name, REQUESTS, Request: Status Resolve Get Put PutOriginal Commit List Show
    Remove Move Review Allow Deny Bind Original Init Unlock Lock Stop Load Bindings
    Ask Health Audit VerifyAudit Reseal Recipients AddRecipient RemoveRecipient Rekey);
variants!(reply_name, REPLIES, Reply: Refused Done Status Env Value Committed Page Fact Review
    Manifest Original Loaded Bindings Health Events Verified Recipients);
variants!(refusal_name, REFUSALS, Refusal: Version UnknownOp Malformed TooLarge Busy Locked NoVault
    VaultExists NeedsPassphrase WrongPassphrase BadRecipient Vault NotWritten Conflict NoSuchSecret
    NoSuchVersion Exists Unbound NoSuchProfile NotAllowed Changed ExecOnly Unsafe Manifest
    NoOriginal NoAnswer NeedsAnswer Denied Muted NoPinentry NotRecorded Unsealer RecipientExists
    NoSuchRecipient OwnRecipient TooLong Helper PinentryFailed);
variants!(unsealer_name, UNSEALERS, Unsealer: Missing Unreadable NotPrivate NotIdentity NotForUs
    Plugin NoKeyring EmptyKeyring NoSsh Sealed);
variants!(vault_fault_name, VAULT_FAULTS, VaultFault: Missing Unreadable NotRegular Owner Mode
    TooLarge HeaderTooLarge TooMuchWork NotAge Corrupt NotForUs Forged Malformed NewerFormat
    Rollback Linked);
variants!(unsafe_name, UNSAFES, Unsafe: NotRegular Owner Writable DirectoryOwner DirectoryWritable
    NoPath Linked);
variants!(manifest_fault_name, MANIFEST_FAULTS, ManifestFault: Syntax NotUtf8 TooLarge TooManyNames
    Character UnknownKey Duplicate WrongType Variable Secret Profile);
variants!(limit_name, LIMITS, Limit: Request Reply Names Staged Vault Recipients);

/// Every request. Those with names ask for secrets that no test has.
pub fn requests() -> Vec<Request> {
    let path = b"/home/sample/.envrc".to_vec();
    vec![
        Request::Status,
        Request::Resolve(Resolve {
            channel: Channel::Export,
            profile: Some(profile("prod")),
            only: vec![var("A_KEY")],
            extra: vec![binding()],
        }),
        Request::Get { name: secret("sample/KEY"), version: Some(300) },
        Request::Put(Put {
            clash: Clash::Rename,
            exec_only: Some(true),
            confirm: Some(Confirm::Session),
            note: Note::new("for é"),
            ..put("sample/KEY", b"sample value \xff")
        }),
        Request::PutOriginal(Part {
            path: path.clone(),
            part: 0,
            parts: 2,
            after: [7; 32],
            bytes: value("export A=1\n"),
        }),
        Request::Commit,
        Request::List { after: Some(secret("sample/KEY")) },
        Request::Show { name: secret("sample/KEY") },
        Request::Remove { names: vec![secret("sample/KEY"), secret("sample/OTHER")] },
        Request::Move { old: secret("sample/KEY"), new: secret("sample/OTHER") },
        Request::Review,
        Request::Allow { manifest: [9; 32] },
        Request::Deny,
        Request::Bind(Bind { project: profile("sample"), bindings: vec![binding()] }),
        Request::Original { path, part: 1 },
        Request::Init(Init {
            seal: Seal::Passphrase(value("sample passphrase")),
            recipients: vec!["age1sample".into()],
        }),
        Request::Unlock(Unlock {
            key: Key::Passphrase(value("sample passphrase")),
            accept_rollback: true,
            seconds: Some(28_800),
        }),
        Request::Lock,
        Request::Stop,
        Request::Load { profile: Some(profile("prod")) },
        Request::Bindings { profile: None },
        Request::Ask(Ask {
            about: Asked::One { name: secret("sample/KEY"), version: Some(300) },
            screen: screen(),
        }),
        Request::Health,
        Request::Audit(Audit {
            before: Some(70_000),
            secret: Some(secret("sample/KEY")),
            count: 20,
        }),
        Request::VerifyAudit,
        Request::Reseal(Reseal {
            key: Key::Pinentry(screen()),
            seal: Seal::Identity(b"/home/sample/key.txt".to_vec()),
        }),
        Request::Recipients,
        Request::AddRecipient { recipient: "age1sample".into() },
        Request::RemoveRecipient { recipient: "age1sample".into() },
        Request::Rekey { key: Key::Stored },
    ]
}

fn screen() -> Screen {
    Screen { tty: Some(b"/dev/pts/7".to_vec()), env: vec![(ScreenVar::Term, b"xterm".to_vec())] }
}

fn event() -> Event {
    Event {
        seq: 300,
        time: 1_700_000_000,
        what: What::Released(Way::Exec),
        by: Some(Process {
            uid: 1000,
            pid: 4242,
            sid: 4000,
            tty: Some("pts/7".into()),
            ancestry: vec![(4242, "keyagent".into()), (4000, "bash".into())],
            assistant: Some("claude".into()),
        }),
        project: Some(b"/home/sample/work".to_vec()),
        secrets: vec![(secret("sample/KEY"), Some(2))],
    }
}

/// Every reply but the refusals.
pub fn replies() -> Vec<Reply> {
    let fact = || Fact {
        name: secret("sample/KEY"),
        versions: vec![
            VersionFact { number: 1, created: 1, state: VersionState::Grace },
            VersionFact { number: 2, created: 1_700_000_000, state: VersionState::Active },
        ],
        exec_only: true,
        confirm: Confirm::Always,
        note: Note::new("a note"),
    };
    vec![
        Reply::Done,
        Reply::Status(status(VaultState::Open { secrets: 3, generation: 70_000 })),
        Reply::Env(vec![(var("A_KEY"), value("sample value")), (var("B"), value(""))]),
        Reply::Value(value("sample value")),
        Reply::Committed(vec![
            Written { name: secret("sample/KEY"), outcome: Outcome::Created },
            Written { name: secret("sample/KEY"), outcome: Outcome::Updated(2) },
            Written { name: secret("sample/KEY"), outcome: Outcome::Same },
        ]),
        Reply::Page { secrets: vec![fact()], more: true },
        Reply::Fact(fact()),
        Reply::Review(review()),
        Reply::Manifest("[env]\nA_KEY = \"sample/KEY\"\n".into()),
        Reply::Original { parts: 2, after: [7; 32], bytes: value("export A=1\n") },
        Reply::Loaded(vec![Loaded {
            binding: binding(),
            version: 300,
            value: value("sample value"),
        }]),
        Reply::Bindings {
            allowed: true,
            bound: vec![Bound {
                binding: binding(),
                version: Some(300),
                exec_only: true,
                confirm: Confirm::Always,
            }],
        },
        Reply::Health(Health {
            findings: vec![Finding { check: Check::Memory, grade: Grade::Weak, detail: 38 }],
            settings: vec![Setting { key: "lock.idle".into(), value: "\"15m\"".into() }],
            idle_seconds: Some(900),
            hard_seconds: Some(28_800),
        }),
        Reply::Events { events: vec![event()], more: true },
        Reply::Verified(Verified {
            good: 70_000,
            unanchored: 3,
            bad: Some(Bad { seq: 70_001, fault: LogFault::Epoch }),
        }),
        Reply::Recipients(vec!["age1sample".into()]),
    ]
}

/// Every refusal, and every fact inside one.
pub fn refusals() -> Vec<Refusal> {
    let names = || vec![secret("sample/KEY"), secret("sample/OTHER")];
    let mut refusals = vec![
        Refusal::Version { protocol: 2, release: "0.1.0".into() },
        Refusal::UnknownOp,
        Refusal::Malformed,
        Refusal::Busy,
        Refusal::Locked,
        Refusal::NoVault,
        Refusal::VaultExists,
        Refusal::NeedsPassphrase,
        Refusal::WrongPassphrase,
        Refusal::BadRecipient,
        Refusal::NotWritten { errno: 28 },
        Refusal::Conflict,
        Refusal::NoSuchSecret(names()),
        Refusal::NoSuchVersion(300),
        Refusal::Exists(secret("sample/KEY")),
        Refusal::Unbound(var("A_KEY")),
        Refusal::NoSuchProfile(profile("prod")),
        Refusal::NotAllowed,
        Refusal::Changed,
        Refusal::ExecOnly(names()),
        Refusal::NoOriginal,
        Refusal::NoAnswer,
        Refusal::NeedsAnswer(names()),
        Refusal::Denied,
        Refusal::Muted(300),
        Refusal::NoPinentry,
        Refusal::NotRecorded(28),
        Refusal::RecipientExists,
        Refusal::NoSuchRecipient,
        Refusal::OwnRecipient,
        Refusal::TooLong(28_800),
        Refusal::Helper,
        Refusal::PinentryFailed,
    ];
    refusals.extend(unsealers().into_iter().map(Refusal::Unsealer));
    refusals.extend(limits().into_iter().map(Refusal::TooLarge));
    refusals.extend(vault_faults().into_iter().map(vault_refusal));
    refusals.extend(unsafes().into_iter().map(Refusal::Unsafe));
    let manifest = |fault| Refusal::Manifest { line: 3, column: 300, fault };
    refusals.extend(manifest_faults().into_iter().map(manifest));
    refusals
}

pub fn limits() -> Vec<Limit> {
    vec![Limit::Request, Limit::Reply, Limit::Names, Limit::Staged, Limit::Vault, Limit::Recipients]
}

pub fn unsealers() -> Vec<Unsealer> {
    vec![
        Unsealer::Missing,
        Unsealer::Unreadable(13),
        Unsealer::NotPrivate,
        Unsealer::NotIdentity,
        Unsealer::NotForUs,
        Unsealer::Plugin,
        Unsealer::NoKeyring,
        Unsealer::EmptyKeyring,
        Unsealer::NoSsh,
        Unsealer::Sealed,
    ]
}

pub fn unsafes() -> Vec<Unsafe> {
    vec![
        Unsafe::NotRegular,
        Unsafe::Owner,
        Unsafe::Writable,
        Unsafe::DirectoryOwner,
        Unsafe::DirectoryWritable,
        Unsafe::NoPath,
        Unsafe::Linked,
    ]
}

pub fn vault_faults() -> Vec<VaultFault> {
    vec![
        VaultFault::Missing,
        VaultFault::Unreadable(13),
        VaultFault::NotRegular,
        VaultFault::Owner,
        VaultFault::Mode,
        VaultFault::TooLarge,
        VaultFault::HeaderTooLarge,
        VaultFault::TooMuchWork,
        VaultFault::NotAge,
        VaultFault::Corrupt,
        VaultFault::NotForUs,
        VaultFault::Forged,
        VaultFault::Malformed,
        VaultFault::NewerFormat(2),
        VaultFault::Rollback { found: 3, seen: 70_000 },
        VaultFault::Linked,
    ]
}

pub fn manifest_faults() -> Vec<ManifestFault> {
    vec![
        ManifestFault::Syntax,
        ManifestFault::NotUtf8,
        ManifestFault::TooLarge,
        ManifestFault::TooManyNames,
        ManifestFault::Character,
        ManifestFault::UnknownKey,
        ManifestFault::Duplicate,
        ManifestFault::WrongType,
        ManifestFault::Variable(NameError::Reserved),
        ManifestFault::Secret(NameError::TooLong),
        ManifestFault::Profile(NameError::Character),
    ]
}

/// The file differs with the fault, so that all of them are pinned.
fn vault_refusal(fault: VaultFault) -> Refusal {
    let (file, backup) = match fault {
        VaultFault::Missing => (VaultFile::Identity, None),
        VaultFault::Rollback { .. } => (VaultFile::State, Some(1)),
        _ => (VaultFile::Vault, Some(5)),
    };
    Refusal::Vault { file, fault, backup }
}

fn status(vault: VaultState) -> Status {
    Status {
        release: "0.1.0".into(),
        protocol: 1,
        pid: 4_000_000,
        vault,
        vault_path: b"/home/sample/vault.age".to_vec(),
        log_path: b"/home/sample/agent.log".to_vec(),
        stale: Some(Refusal::Conflict),
    }
}

/// The statuses that the one in [`replies`] leaves out.
pub fn statuses() -> Vec<Reply> {
    let states = [
        VaultState::Missing,
        VaultState::Locked,
        VaultState::Unusable(vault_refusal(VaultFault::Corrupt)),
    ];
    states.into_iter().map(|state| Reply::Status(status(state))).collect()
}

/// What became of a value that stayed, and has another note.
pub fn altered() -> Reply {
    Reply::Committed(vec![Written { name: secret("sample/KEY"), outcome: Outcome::Altered }])
}

/// A page with the event that the one in [`replies`] leaves out: a refusal with its name.
pub fn refused_events() -> Reply {
    let what = What::RefusedFor(Way::Exec, Reason::new("exec-only").expect("a name"));
    Reply::Events { events: vec![Event { what, ..event() }], more: false }
}

fn review() -> Review {
    Review {
        project: Some(profile("sample")),
        directory: b"/home/sample/project".to_vec(),
        manifest: [9; 32],
        allowed: false,
        known: true,
        bindings: vec![Reviewed {
            profile: Some(profile("prod")),
            var: var("A_KEY"),
            secret: secret("sample/KEY"),
            optional: true,
            present: true,
            new: true,
            shared_with: vec![b"/home/sample/other".to_vec()],
        }],
        gone: vec![secret("sample/OTHER")],
    }
}

fn binding() -> Binding {
    Binding { var: var("B_KEY"), secret: secret("sample/KEY") }
}

pub fn var(name: &str) -> EnvName {
    EnvName::new(name).unwrap_or_else(|error| panic!("`{name}` is no variable: {error}"))
}

pub fn profile(name: &str) -> ProfileName {
    ProfileName::new(name).unwrap_or_else(|error| panic!("`{name}` is no profile: {error}"))
}
