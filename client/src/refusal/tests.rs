//! Every refusal has words, and the exit code that design and scripts rely on.

use super::*;
use keyagent_wire::{EnvName, ProfileName};

fn secret(name: &str) -> SecretName {
    SecretName::new(name).expect("a name")
}

fn all() -> Vec<(Refusal, Kind, &'static str)> {
    let var = EnvName::new("A_KEY").expect("a name");
    let profile = ProfileName::new("prod").expect("a name");
    let older = Refusal::Version { protocol: VERSION - 1, release: "0.0.1".to_owned() };
    let newer = Refusal::Version { protocol: VERSION + 1, release: "9.0.0".to_owned() };
    let rollback = VaultFault::Rollback { found: 3, seen: 5 };
    let vault = Refusal::Vault { file: VaultFile::Vault, fault: rollback, backup: Some(2) };
    let fault = ManifestFault::Variable(NameError::Reserved);
    vec![
        (older, Kind::Failed, "the running agent (0.0.1) is older"),
        (newer, Kind::Failed, "is older than the running agent (9.0.0)"),
        (Refusal::UnknownOp, Kind::Failed, "does not know that request"),
        (Refusal::Malformed, Kind::Failed, "could not read the request"),
        (Refusal::TooLarge(Limit::Reply), Kind::Failed, "more than 1 MiB"),
        (Refusal::Busy, Kind::Failed, "busy"),
        (Refusal::Locked, Kind::Locked, "the vault is locked"),
        (Refusal::NoVault, Kind::Failed, "no vault yet"),
        (Refusal::VaultExists, Kind::Failed, "a vault already"),
        (Refusal::NeedsPassphrase, Kind::Locked, "needs its passphrase"),
        (Refusal::WrongPassphrase, Kind::Failed, "does not open"),
        (Refusal::BadRecipient, Kind::Usage, "not a recipient"),
        (
            vault,
            Kind::Failed,
            "cannot use vault.age: it is older than the one seen last (3, not 5)",
        ),
        (Refusal::NotWritten { errno: 28 }, Kind::Failed, "no space left on device"),
        (Refusal::Conflict, Kind::Failed, "another program wrote"),
        (
            Refusal::NoSuchSecret(vec![secret("a/b"), secret("c")]),
            Kind::NoSuchSecret,
            "no such secret: `a/b`, `c`",
        ),
        (Refusal::NoSuchVersion(7), Kind::NoSuchSecret, "no version 7"),
        (Refusal::Exists(secret("a")), Kind::Failed, "`a` already"),
        (Refusal::Unbound(var), Kind::Failed, "binds no `A_KEY`"),
        (Refusal::NoSuchProfile(profile), Kind::Failed, "no profile `prod`"),
        (Refusal::NotAllowed, Kind::Refused, "not allowed"),
        (Refusal::Changed, Kind::Refused, "changed since it was allowed"),
        (Refusal::ExecOnly(vec![secret("a")]), Kind::Refused, "never exported: `a`"),
        (Refusal::Unsafe(Unsafe::Writable), Kind::Refused, "others may write"),
        (
            Refusal::Manifest { line: 3, column: 9, fault },
            Kind::Failed,
            "line 3, column 9: not a variable that it may set: that variable changes how",
        ),
        (Refusal::NoOriginal, Kind::Failed, "no original"),
        (Refusal::NoAnswer, Kind::Failed, "the file system does not answer"),
        (Refusal::NeedsAnswer(vec![secret("a")]), Kind::Refused, "not confirmed: `a`"),
        (Refusal::Denied, Kind::Refused, "denied"),
        (Refusal::Muted(300), Kind::Refused, "nothing is asked for 5m"),
        (Refusal::NoPinentry, Kind::Refused, "no pinentry"),
        (Refusal::PinentryFailed, Kind::Refused, "nobody could answer"),
        (Refusal::NotRecorded(28), Kind::Failed, "no space left on device; nothing is handed out"),
        (Refusal::Unsealer(Unsealer::NoKeyring), Kind::Locked, "no OS keyring"),
        (Refusal::RecipientExists, Kind::Failed, "can read the vault already"),
        (Refusal::NoSuchRecipient, Kind::Failed, "no such recipient"),
        (Refusal::OwnRecipient, Kind::Failed, "own identity"),
        (Refusal::TooLong(28_800), Kind::Usage, "open for 8h at most"),
        (Refusal::Helper, Kind::Failed, "a helper of the agent failed"),
    ]
}

#[test]
fn each_refusal_has_its_words_and_its_exit_code() {
    for (refusal, kind, words) in all() {
        let failure = failure(&refusal);
        assert_eq!(failure.kind, kind, "{refusal:?}");
        assert!(failure.text.contains(words), "{refusal:?}: {}", failure.text);
    }
}

#[test]
fn what_a_human_can_do_is_a_hint() {
    for refusal in [Refusal::Locked, Refusal::NoVault, Refusal::NotAllowed, Refusal::Changed] {
        assert!(failure(&refusal).hints.iter().any(|hint| hint.contains("`keyagent ")));
    }
}

#[test]
fn every_fault_of_a_file_has_words() {
    let faults = [
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
        VaultFault::NewerFormat(9),
        VaultFault::Rollback { found: 1, seen: 2 },
        VaultFault::Linked,
    ];
    let texts: std::collections::BTreeSet<_> = faults.iter().map(|f| vault_fault(*f)).collect();
    assert_eq!(texts.len(), faults.len(), "no two faults sound alike");
}

#[test]
fn an_agents_release_cannot_steer_the_terminal() {
    let release = "1\x1b[31m".to_owned();
    let text = failure(&Refusal::Version { protocol: 0, release }).text;
    assert!(text.contains("1\\x1b[31m") && !text.contains('\x1b'));
}
