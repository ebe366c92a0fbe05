//! A vault file that is not as we left it: refused by its fault, never written over, and
//! the backup that opens is named.

use keyagent_tests::wire::{done, refused};
use keyagent_tests::{Agent, Home, Random, Wire, eventually};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Key, Unlock};
use keyagent_wire::{Refusal, Request, VaultFault, VaultFile};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// How many flips are tried of a file that has more bytes than that.
const FLIPS_MAX: usize = 2_000;

/// A home whose vault holds the canary, and a connection to its agent, which is locked.
struct Locked {
    home: Home,
    _agent: Agent,
    wire: Wire,
    good: Vec<u8>,
}

impl Locked {
    fn new() -> Self {
        let (home, agent) = Home::with_vault();
        let mut wire = home.wire();
        wire.put("vault/canary", home.canary().as_bytes());
        wire.put("vault/second", b"second");
        done(wire.ask(&Request::Lock));
        let good = fs::read(home.vault()).expect("there is a vault");
        Self { home, _agent: agent, wire, good }
    }

    fn place(&self, bytes: &[u8]) {
        write_private(&self.home.vault(), bytes);
    }

    fn unlock(&mut self, accept_rollback: bool) -> keyagent_wire::Reply {
        self.wire.ask(&Request::Unlock(Unlock { key: Key::Stored, accept_rollback, seconds: None }))
    }

    /// The refusal's fault, after checking all else about it.
    fn fault(&mut self) -> VaultFault {
        let Refusal::Vault { file, fault, backup } = refused(self.unlock(false)) else {
            panic!("the vault file is at fault");
        };
        assert_eq!(file, VaultFile::Vault, "{fault:?}");
        assert_eq!(backup, Some(1), "{fault:?}: the backup that opens is named");
        assert_eq!(refused(self.wire.ask(&Request::Commit)), Refusal::Locked);
        fault
    }

    /// The fault of a vault file of these bytes, which must be left as it is.
    fn fault_of(&mut self, bytes: &[u8]) -> VaultFault {
        self.place(bytes);
        let fault = self.fault();
        assert!(fs::read(self.home.vault()).expect("it is there") == bytes, "{fault:?}: touched");
        fault
    }

    /// The good vault still opens when it is put back.
    fn opens_again(mut self) {
        let _ = fs::remove_file(self.home.vault());
        self.place(&self.good);
        done(self.unlock(false));
        assert_eq!(self.wire.get("vault/canary"), Ok(self.home.canary().as_bytes().to_vec()));
    }
}

/// Replaces a file as an editor or a sync would: whole, and closed to others.
fn write_private(path: &Path, bytes: &[u8]) {
    let temp = path.with_extension("test");
    fs::write(&temp, bytes).expect("it is ours");
    fs::set_permissions(&temp, Permissions::from_mode(0o600)).expect("it is ours");
    fs::rename(&temp, path).expect("it is ours");
}

#[test]
fn t60_any_flipped_byte_is_refused() {
    let mut locked = Locked::new();
    let mut random = Random::new();
    let good = locked.good.clone();
    let all = good.len() <= FLIPS_MAX;
    for n in 0..good.len().min(FLIPS_MAX) {
        let at = if all { n } else { random.below(good.len()) };
        let mut bytes = good.clone();
        bytes[at] ^= 1 << random.below(8);
        let fault = locked.fault_of(&bytes);
        let expected = [VaultFault::Corrupt, VaultFault::NotAge, VaultFault::NotForUs];
        assert!(expected.contains(&fault), "byte {at}, KEYAGENT_SEED={}: {fault:?}", random.seed());
    }
    locked.opens_again();
}

#[test]
fn t60_any_truncation_is_refused() {
    let mut locked = Locked::new();
    let good = locked.good.clone();
    for len in (0..good.len()).step_by(64).chain([good.len() - 1]) {
        assert_eq!(locked.fault_of(&good[..len]), VaultFault::Corrupt, "cut at {len}");
    }
    let longer = [&good[..], b"x"].concat();
    assert_eq!(locked.fault_of(&longer), VaultFault::Corrupt);
    locked.opens_again();
}

#[test]
fn t60_the_backup_that_is_named_opens() {
    let mut locked = Locked::new();
    assert_eq!(locked.fault_of(b"not a vault"), VaultFault::NotAge);
    fs::copy(locked.home.data().join("vault.age.1"), locked.home.vault()).expect("it is there");
    let rollback = VaultFault::Rollback { found: 2, seen: 3 };
    let refusal = refused(locked.unlock(false));
    assert!(
        matches!(refusal, Refusal::Vault { file: VaultFile::State, fault, .. } if fault == rollback),
        "{refusal:?}"
    );
    done(locked.unlock(true));
    assert_eq!(locked.wire.names(), ["vault/canary"]);
    assert_eq!(locked.wire.get("vault/canary"), Ok(locked.home.canary().as_bytes().to_vec()));
}

#[test]
fn t62_an_older_vault_is_refused_until_it_is_accepted() {
    let mut locked = Locked::new();
    let older = locked.good.clone();
    done(locked.unlock(false));
    locked.wire.put("vault/third", b"third");
    done(locked.wire.ask(&Request::Lock));
    locked.place(&older);
    let Refusal::Vault { file, fault, .. } = refused(locked.unlock(false)) else {
        panic!("the vault is older");
    };
    assert_eq!(file, VaultFile::State);
    assert_eq!(fault, VaultFault::Rollback { found: 3, seen: 4 });
    assert!(fs::read(locked.home.vault()).expect("it is there") == older, "it is left as it is");
    done(locked.unlock(true));
    assert_eq!(locked.wire.names(), ["vault/canary", "vault/second"]);
    locked.wire.put("vault/fourth", b"fourth");
    done(locked.wire.ask(&Request::Lock));
    done(locked.unlock(false));
    assert_eq!(locked.wire.names(), ["vault/canary", "vault/fourth", "vault/second"]);
}

/// SECURITY.md says so: nothing on this machine remembers more than the two together.
#[test]
fn t62_an_older_vault_with_its_state_is_not_noticed() {
    let mut locked = Locked::new();
    let state = locked.home.state().join("state.json");
    let (older, older_state) = (locked.good.clone(), fs::read(&state).expect("it is there"));
    done(locked.unlock(false));
    locked.wire.put("vault/third", b"third");
    done(locked.wire.ask(&Request::Lock));
    assert_ne!(fs::read(&state).expect("it is there"), older_state, "the new vault was seen");
    locked.place(&older);
    write_private(&state, &older_state);
    done(locked.unlock(false));
    assert_eq!(locked.wire.names(), ["vault/canary", "vault/second"]);
}

/// The fault says that it was: only what measures a header before it is parsed gives it, and
/// age's own parser would take a minute to say something else.
#[test]
fn t59_a_hostile_header_is_refused_at_once() {
    let mut locked = Locked::new();
    let magic = b"age-encryption.org/v1\n";
    let stanza = |bytes: usize| [&magic[..], b"-> X25519 ", &vec![b'A'; bytes]].concat();
    let lines = {
        let line = [&[b'A'; 64][..], b"\n"].concat();
        [&magic[..], b"-> X25519 a\n", &line.repeat(1_500_000 / 65), b"\n--- x\n"].concat()
    };
    let stanzas = [&magic[..], &b"-> X a\nAAAA\n".repeat(100_000), b"--- x\n"].concat();
    for bytes in [stanza(16 * 1024 + 1), stanza(1_500_000), stanza(10_000_000), lines, stanzas] {
        assert_eq!(locked.fault_of(&bytes), VaultFault::HeaderTooLarge);
    }
    let too_large = vec![b'A'; 16 * 1024 * 1024 + 1];
    assert_eq!(locked.fault_of(&too_large), VaultFault::TooLarge);
    locked.opens_again();
}

#[test]
fn t68_what_is_no_private_file_is_refused_and_hangs_nothing() {
    let mut locked = Locked::new();
    let vault = locked.home.vault();
    let mode = |mode| Permissions::from_mode(mode);
    for open in [0o644, 0o640, 0o604, 0o660] {
        fs::set_permissions(&vault, mode(open)).expect("it is ours");
        assert_eq!(locked.fault(), VaultFault::Mode, "{open:o}");
    }
    fs::set_permissions(&vault, mode(0o600)).expect("it is ours");
    let aside = locked.home.data().join("aside");
    fs::rename(&vault, &aside).expect("it is ours");
    assert_eq!(locked.fault(), VaultFault::Missing);
    symlink(&aside, &vault).expect("it is ours");
    assert_eq!(locked.fault(), VaultFault::NotRegular, "a link, even to the vault");
    fs::remove_file(&vault).expect("it is ours");
    nix::unistd::mkfifo(&vault, nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
    assert_eq!(locked.fault(), VaultFault::NotRegular, "a fifo");
    fs::remove_file(&vault).expect("it is ours");
    fs::create_dir(&vault).expect("it is ours");
    assert_eq!(locked.fault(), VaultFault::NotRegular, "a directory");
    fs::remove_dir(&vault).expect("it is ours");
    locked.opens_again();
}

/// A write that was cut off leaves the vault with two names, both of them ours.
#[test]
fn t68_a_vault_with_another_name_elsewhere_is_refused() {
    let mut locked = Locked::new();
    let (vault, data) = (locked.home.vault(), locked.home.data());
    let other = locked.home.work().join("other");
    fs::hard_link(&vault, &other).expect("it is ours");
    assert_eq!(locked.fault(), VaultFault::Linked);
    fs::remove_file(&other).expect("it is ours");
    let first = data.join("vault.age.1");
    fs::remove_file(&first).expect("it is ours");
    fs::hard_link(&vault, &first).expect("it is ours");
    done(locked.unlock(false));
    locked.wire.put("vault/third", b"third");
    assert!(fs::read(&first).expect("it is there") == locked.good, "the one before is kept");
    fs::hard_link(&vault, &other).expect("it is ours");
    let refusal = locked.wire.try_put("vault/fourth", b"fourth").expect("it answers");
    let linked = Refusal::Vault { file: VaultFile::Vault, fault: VaultFault::Linked, backup: None };
    assert_eq!(refusal, Err(linked), "and it is not written over");
    assert_eq!(locked.wire.get("vault/third"), Ok(b"third".to_vec()), "what is open is served");
    fs::remove_file(&other).expect("it is ours");
    locked.wire.put("vault/fourth", b"fourth");
}

/// What the vault stands on is guarded as it is.
#[test]
fn t68_an_identity_or_a_state_with_another_name_is_refused() {
    let mut locked = Locked::new();
    let other = locked.home.work().join("other");
    for (path, file) in [
        (locked.home.data().join("identity.age"), VaultFile::Identity),
        (locked.home.state().join("state.json"), VaultFile::State),
    ] {
        fs::hard_link(&path, &other).expect("it is ours");
        let refusal = refused(locked.unlock(false));
        let is_it = matches!(refusal, Refusal::Vault { file: found, fault: VaultFault::Linked, .. }
            if found == file);
        assert!(is_it, "{refusal:?}");
        fs::remove_file(&other).expect("it is ours");
    }
    locked.opens_again();
}

#[test]
fn needs_root_t68_another_owners_vault_is_refused() {
    let mut locked = Locked::new();
    let other = nix::unistd::Uid::from_raw(4321);
    let vault = locked.home.vault();
    nix::unistd::chown(&vault, Some(other), None).expect("root can");
    assert_eq!(locked.fault(), VaultFault::Unreadable(13), "root's agent has no more rights");
    fs::set_permissions(&vault, fs::Permissions::from_mode(0o640)).expect("root can");
    assert_eq!(locked.fault(), VaultFault::Owner);
    locked.opens_again();
}

/// Seals a text with stock age.
fn seal(home: &Home, recipient: &str, text: &[u8]) -> Vec<u8> {
    let sealed = home.command("age").args(["-r", recipient]).stdin(text).run().code(0);
    sealed.stdout
}

fn plain_of(home: &Home) -> String {
    let identity = home.data().join("identity.age");
    let age = home.command("age").arg("-d").arg("-i").arg(identity).arg(home.vault());
    age.run().quietly().stdout_text()
}

fn recipient_of(home: &Home) -> String {
    let text = fs::read_to_string(home.data().join("identity.age")).expect("it is plain");
    let line = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    line.expect("the recipient is in a comment").to_owned()
}

#[test]
fn needs_age_t61_another_sealers_vault_is_refused() {
    let mut locked = Locked::new();
    let (plain, ours) = (plain_of(&locked.home), recipient_of(&locked.home));
    assert!(plain.contains(locked.home.canary()), "stock age reads the vault");
    let generation = plain.replace("\"generation\":3", "\"generation\":4");
    assert_ne!(generation, plain);
    let renamed = plain.replace("vault/second", "vault/fourth");
    let format = plain.replacen("\"format\":2", "\"format\":1", 1);
    for forged in [generation, renamed, format] {
        let sealed = seal(&locked.home, &ours, forged.as_bytes());
        assert_eq!(locked.fault_of(&sealed), VaultFault::Forged);
    }
    let newer = plain.replacen("\"format\":2", "\"format\":3", 1);
    let sealed = seal(&locked.home, &ours, newer.as_bytes());
    assert_eq!(locked.fault_of(&sealed), VaultFault::NewerFormat(3));
    let no_vault = seal(&locked.home, &ours, b"[\"not a vault\"]");
    assert_eq!(locked.fault_of(&no_vault), VaultFault::Malformed);
    let key = locked.home.command("age-keygen").run().code(0).stdout_text();
    let theirs = key.lines().find_map(|line| line.strip_prefix("# public key: "));
    let theirs = seal(&locked.home, theirs.expect("age-keygen names it"), plain.as_bytes());
    assert_eq!(locked.fault_of(&theirs), VaultFault::NotForUs);
    // What was ours all along is taken, whoever has sealed it again.
    let again = seal(&locked.home, &ours, plain.as_bytes());
    locked.place(&again);
    done(locked.unlock(false));
    assert_eq!(locked.wire.get("vault/canary"), Ok(locked.home.canary().as_bytes().to_vec()));
}

#[test]
fn a_newer_vault_from_elsewhere_is_served() {
    let (ours, _agent) = Home::with_vault();
    ours.wire().put("vault/canary", ours.canary().as_bytes());
    let elsewhere = Home::new();
    elsewhere.make_directory("data/keyagent");
    for name in ["identity.age", "vault.age"] {
        fs::copy(ours.data().join(name), elsewhere.data().join(name)).expect("both are ours");
    }
    let _other = elsewhere.agent();
    elsewhere.wire().put("vault/new", b"from elsewhere");
    let newer = fs::read(elsewhere.vault()).expect("it is there");
    write_private(&ours.vault(), &newer);
    let mut wire = ours.wire();
    eventually("the newer vault is served", || {
        (wire.get("vault/new") == Ok(b"from elsewhere".to_vec())).then_some(())
    });
    assert_eq!(wire.get("vault/canary"), Ok(ours.canary().as_bytes().to_vec()));
    // Both write now: the one that comes from elsewhere is no successor of ours.
    wire.put("vault/fork", b"ours");
    elsewhere.wire().put("vault/fork", b"theirs");
    let fork = fs::read(elsewhere.vault()).expect("it is there");
    write_private(&ours.vault(), &fork);
    eventually("the fork is noticed", || {
        (wire.status().stale == Some(Refusal::Conflict)).then_some(())
    });
    assert_eq!(wire.try_put("vault/more", b"more").expect("it answers"), Err(Refusal::Conflict));
    assert_eq!(wire.get("vault/fork"), Ok(b"ours".to_vec()));
    assert!(fs::read(ours.vault()).expect("it is there") == fork, "it is not written over");
}

#[test]
fn a_damaged_vault_is_reported_and_the_last_good_one_served() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("vault/canary", home.canary().as_bytes());
    let good = fs::read(home.vault()).expect("it is there");
    let mut damaged = good.clone();
    *damaged.last_mut().expect("it has bytes") ^= 1;
    write_private(&home.vault(), &damaged);
    let corrupt =
        Refusal::Vault { file: VaultFile::Vault, fault: VaultFault::Corrupt, backup: None };
    eventually("the damage is reported", || (wire.status().stale.is_some()).then_some(()));
    let status = wire.status();
    assert_eq!(status.stale, Some(corrupt.clone()));
    assert!(matches!(status.vault, VaultState::Open { secrets: 1, .. }), "{:?}", status.vault);
    assert_eq!(wire.get("vault/canary"), Ok(home.canary().as_bytes().to_vec()));
    assert_eq!(wire.try_put("vault/new", b"new").expect("it answers"), Err(corrupt));
    assert!(fs::read(home.vault()).expect("it is there") == damaged, "it is not written over");
    write_private(&home.vault(), &good);
    eventually("the good one is taken again", || wire.status().stale.is_none().then_some(()));
    wire.put("vault/new", b"new");
}
