//! What opens the vault can be changed, and the vault's identity too: nothing is lost by it,
//! and what opened it before opens it no more.

use crate::stub::{self, Stub};
use keyagent_tests::wire::{done, refused, value};
use keyagent_tests::{Agent, Home, Random, Wire, copy_program, eventually, process};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Init, Key, Reseal, Screen, Seal, Unlock};
use keyagent_wire::{Refusal, Reply, Request, Unsealer, VaultFault};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

const OLD: &str = "the old passphrase";
/// An identity of a plugin that lies beside this file.
const MIRROR: &str = "AGE-PLUGIN-MIRROR-1QYRZU7V8";
/// How often an agent is killed in a rekeying.
const KILLS: usize = 40;
const NEW: &str = "the new passphrase";

fn with_passphrase() -> Home {
    let home = Home::new();
    home.add_canary(OLD.as_bytes());
    home.add_canary(NEW.as_bytes());
    home.agent();
    home.wire().init(Some(OLD));
    home.wire().put("ways/canary", home.canary().as_bytes());
    home
}

fn key(text: &str) -> Key {
    Key::Passphrase(value(text))
}

fn reseal(wire: &mut Wire, key: Key, seal: Seal) -> Reply {
    wire.ask(&Request::Reseal(Reseal { key, seal }))
}

/// Locks, and opens with that key: the canary is there.
fn opens(home: &Home, key: Key) {
    let mut wire = home.wire();
    done(wire.ask(&Request::Lock));
    done(wire.ask(&Request::Unlock(Unlock { key, accept_rollback: false, seconds: None })));
    assert_eq!(wire.get("ways/canary"), Ok(home.canary().as_bytes().to_vec()));
}

fn does_not_open(home: &Home, key: Key) -> Refusal {
    let mut wire = home.wire();
    done(wire.ask(&Request::Lock));
    refused(wire.ask(&Request::Unlock(Unlock { key, accept_rollback: false, seconds: None })))
}

/// An age identity of the human's own, as `age-keygen` writes it.
fn own_identity(home: &Home, name: &str) -> PathBuf {
    let script = format!("age-keygen 2>/dev/null >{name}");
    let path = home.write(name, "");
    home.command("sh").args(["-c", &script]).run().quietly();
    path
}

fn by_identity(path: &Path) -> Seal {
    Seal::Identity(path.as_os_str().as_bytes().to_vec())
}

#[test]
fn the_passphrase_is_changed_open_or_locked() {
    let home = with_passphrase();
    let mut wire = home.wire();
    let wrong = reseal(&mut wire, key("wrong"), Seal::Passphrase(value(NEW)));
    assert_eq!(refused(wrong), Refusal::WrongPassphrase);
    let none = reseal(&mut wire, Key::Stored, Seal::Nothing);
    assert_eq!(refused(none), Refusal::NeedsPassphrase, "though it is open");
    done(reseal(&mut wire, key(OLD), Seal::Passphrase(value(NEW))));
    assert_eq!(wire.get("ways/canary"), Ok(home.canary().as_bytes().to_vec()), "still open");
    assert_eq!(does_not_open(&home, key(OLD)), Refusal::WrongPassphrase);
    done(reseal(&mut wire, key(NEW), Seal::Passphrase(value(OLD))));
    assert_eq!(wire.status().vault, VaultState::Locked, "it needs not be open");
    opens(&home, key(OLD));
    done(reseal(&mut wire, key(OLD), Seal::Nothing));
    opens(&home, Key::Stored);
    done(reseal(&mut wire, Key::Stored, Seal::Passphrase(value(NEW))));
    opens(&home, key(NEW));
}

/// Its time holds though another has opened the vault by then.
#[test]
fn an_unlock_that_came_second_still_shortens_the_time() {
    let home = Home::new();
    let stub = Stub::new(&home);
    stub::configure(&home, &stub.program(), "600s");
    stub.knows(&home, OLD);
    home.add_canary(OLD.as_bytes());
    home.agent();
    home.wire().init(Some(OLD));
    let mut first = home.wire();
    done(first.ask(&Request::Lock));
    let mut second = home.wire();
    let key = Key::Pinentry(Screen::default());
    let unlock = Unlock { key, accept_rollback: false, seconds: Some(30) };
    second.send(&Request::Unlock(unlock)).expect("the agent listens");
    eventually("it is asked", || (!stub.dialogs().is_empty()).then_some(()));
    done(first.unlock(Some(OLD)));
    stub.go();
    done(second.try_reply().expect("it answers"));
    let Reply::Health(health) = first.ask(&Request::Health) else { panic!("it is well") };
    assert!(health.hard_seconds.is_some_and(|left| left <= 30), "{:?}", health.hard_seconds);
}

#[test]
fn needs_age_an_identity_of_ones_own_opens_it() {
    let home = Home::new();
    let (first, second) = (own_identity(&home, "first.txt"), own_identity(&home, "second.txt"));
    let _agent = home.agent();
    let mut wire = home.wire();
    let init = Init { seal: by_identity(&first), recipients: Vec::new() };
    done(wire.ask(&Request::Init(init)));
    wire.put("ways/canary", home.canary().as_bytes());
    opens(&home, Key::Stored);
    let script = format!(
        "age -d -i '{}' identity.age >'{1}' && age -d -i '{1}' vault.age | grep -c ways/canary",
        first.display(),
        home.write("ours.txt", "").display()
    );
    home.command("sh").args(["-c", &script]).dir(home.data()).run().quietly().prints("1\n");
    done(reseal(&mut wire, Key::Stored, by_identity(&second)));
    opens(&home, Key::Stored);
    fs::remove_file(&first).expect("it is ours");
    opens(&home, Key::Stored);
    fs::set_permissions(&second, Permissions::from_mode(0o644)).expect("it is ours");
    let why = does_not_open(&home, Key::Stored);
    assert_eq!(why, Refusal::Unsealer(Unsealer::NotPrivate));
    fs::remove_file(&second).expect("it is ours");
    assert_eq!(does_not_open(&home, Key::Stored), Refusal::Unsealer(Unsealer::Missing));
}

#[test]
fn what_is_no_identity_seals_nothing() {
    let (home, _agent) = Home::with_vault();
    let before = fs::read(home.data().join("identity.age")).expect("it is there");
    for (text, why) in [
        ("", Unsealer::NotIdentity),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", Unsealer::NoSsh),
        ("age-encryption.org/v1\n", Unsealer::Sealed),
    ] {
        let path = home.write("odd.txt", text);
        let reply = reseal(&mut home.wire(), Key::Stored, by_identity(&path));
        assert_eq!(refused(reply), Refusal::Unsealer(why), "{text}");
    }
    let missing = by_identity(&home.work().join("missing"));
    let reply = reseal(&mut home.wire(), Key::Stored, missing);
    assert_eq!(refused(reply), Refusal::Unsealer(Unsealer::Missing));
    let relative = Seal::Identity(b"odd.txt".to_vec());
    assert_eq!(refused(reseal(&mut home.wire(), Key::Stored, relative)), Refusal::Malformed);
    assert!(fs::read(home.data().join("identity.age")).expect("it is there") == before);
    assert!(!home.data().join("unlock.json").exists(), "nothing is written down");
}

#[test]
fn without_a_keyring_nothing_is_changed() {
    let home = with_passphrase();
    let reply = reseal(&mut home.wire(), key(OLD), Seal::Keyring(value(NEW)));
    assert_eq!(refused(reply), Refusal::Unsealer(Unsealer::NoKeyring));
    opens(&home, key(OLD));
}

#[test]
fn a_new_identity_opens_everything_and_the_old_one_nothing() {
    let home = with_passphrase();
    home.wire().put("ways/second", b"second");
    let before = fs::read(home.data().join("identity.age")).expect("it is there");
    let mut wire = home.wire();
    let rekey = |wire: &mut Wire, key| wire.ask(&Request::Rekey { key });
    assert_eq!(refused(rekey(&mut wire, key("wrong"))), Refusal::WrongPassphrase);
    assert_eq!(refused(rekey(&mut wire, Key::Stored)), Refusal::NeedsPassphrase);
    done(rekey(&mut wire, key(OLD)));
    assert!(!home.data().join("identity.age.next").exists());
    wire.put("ways/third", b"third");
    opens(&home, key(OLD));
    assert_eq!(wire.get("ways/third"), Ok(b"third".to_vec()));
    // A backup is the new identity's, too.
    for number in 1..=3 {
        done(wire.ask(&Request::Lock));
        let backup = home.data().join(format!("vault.age.{number}"));
        fs::copy(backup, home.vault()).expect("both are ours");
        let unlock = Unlock { key: key(OLD), accept_rollback: true, seconds: None };
        done(wire.ask(&Request::Unlock(unlock)));
        assert_eq!(wire.get("ways/canary"), Ok(home.canary().as_bytes().to_vec()), "{number}");
    }
    // The old identity, with the right passphrase, opens nothing of it.
    done(wire.ask(&Request::Lock));
    fs::write(home.data().join("identity.age"), before).expect("it is ours");
    let why = does_not_open(&home, key(OLD));
    let not_for_us = matches!(why, Refusal::Vault { fault: VaultFault::NotForUs, .. });
    assert!(not_for_us, "{why:?}");
}

#[test]
fn recipients_come_and_go_but_the_vaults_own_stays() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    let other = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned();
    let list = |wire: &mut Wire| match wire.ask(&Request::Recipients) {
        Reply::Recipients(all) => all,
        _ => panic!("it lists recipients"),
    };
    let own = list(&mut wire).remove(0);
    let add = |wire: &mut Wire, recipient: &str| {
        wire.ask(&Request::AddRecipient { recipient: recipient.to_owned() })
    };
    let remove = |wire: &mut Wire, recipient: &str| {
        wire.ask(&Request::RemoveRecipient { recipient: recipient.to_owned() })
    };
    assert_eq!(refused(add(&mut wire, "age1")), Refusal::BadRecipient);
    assert_eq!(refused(add(&mut wire, &own)), Refusal::RecipientExists);
    assert_eq!(refused(remove(&mut wire, &other)), Refusal::NoSuchRecipient);
    done(add(&mut wire, &other));
    assert_eq!(list(&mut wire), [own.clone(), other.clone()]);
    assert_eq!(refused(remove(&mut wire, &own)), Refusal::OwnRecipient);
    done(wire.ask(&Request::Rekey { key: Key::Stored }));
    let after = list(&mut wire);
    assert_ne!(after[0], own, "a new identity");
    assert_eq!(after[1..], *std::slice::from_ref(&other), "the others stay");
    done(remove(&mut wire, &other));
    assert_eq!(list(&mut wire), [after[0].clone()]);
}

#[test]
fn the_verbs_do_it_and_say_so() {
    let home = with_passphrase();
    let bash = |script: &str| home.command("bash").args(["-c", script]).run();

    let old = home.write("old", OLD);
    let new = home.write("new", NEW);

    let fds = format!("3<'{}' 4<'{}'", old.display(), new.display());
    bash(&format!("keyagent passphrase --passphrase-fd 4 --new-passphrase-fd 3 {fds}"))
        .fails(1)
        .complains("does not open");
    bash(&format!("keyagent passphrase --passphrase-fd 3 --new-passphrase-fd 3 {fds}"))
        .fails(2)
        .complains("3<OLD 4<NEW");
    bash("keyagent passphrase --passphrase-fd 3 --new-passphrase-fd 4 3<old 4</dev/null")
        .fails(2)
        .complains("`keyagent passphrase --none`");
    bash(&format!("keyagent passphrase --passphrase-fd 3 --new-passphrase-fd 4 {fds}"))
        .code(0)
        .complains("the passphrase is changed");
    opens(&home, key(NEW));
    // Where there is no terminal, it says how a passphrase is given.
    bash("setsid -w keyagent rekey").fails(2).complains("--passphrase-fd 3");
    bash(&format!("keyagent rekey --passphrase-fd 4 {fds}")).code(0).complains("new identity");
    home.keyagent(["lock"]).run().code(0);
    bash(&format!("keyagent rekey --passphrase-fd 3 {fds}")).fails(1).complains("does not open");
    bash(&format!("keyagent rekey --passphrase-fd 4 {fds}")).code(0).complains("new identity");
    let other = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    home.keyagent(["recipients", "add", other]).run().code(0);
    let listed = home.keyagent(["recipients", "list"]).run().quietly().stdout_text();
    assert!(listed.lines().nth(1) == Some(other), "{listed}");
    home.keyagent(["recipients"]).run().quietly().prints(&listed);
    let removed = home.keyagent(["recipients", "rm", other]).run().code(0);
    assert_eq!(removed.stdout_text(), "ways/canary\n", "what is to be rotated");
    removed.complains("could read what is printed here");
    home.keyagent(["recipients", "rm", other]).run().fails(1).complains("no such recipient");
}

/// The two states in which a crash can leave the files, and both end well.
#[test]
fn a_rekeying_that_was_cut_off_is_finished_or_forgotten() {
    let home = with_passphrase();
    let file = |name: &str| home.data().join(name);
    let (identity, next) = (file("identity.age"), file("identity.age.next"));
    let before = fs::read(&identity).expect("it is there");
    let mut wire = home.wire();
    done(wire.ask(&Request::Rekey { key: key(OLD) }));
    let after = fs::read(&identity).expect("it is there");
    let leave = |here: &[u8], beside: &[u8]| {
        fs::copy(&identity, &next).expect("both are ours");
        fs::write(&next, beside).expect("it is ours");
        fs::write(&identity, here).expect("it is ours");
    };
    // Behind the vault: the next one is the one.
    leave(&before, &after);
    opens(&home, key(OLD));
    assert!(fs::read(&identity).expect("it is there") == after && !next.exists());
    leave(&before, &after);
    done(wire.ask(&Request::Lock));
    done(reseal(&mut wire, key(OLD), Seal::Passphrase(value(NEW))));
    opens(&home, key(NEW));
    assert!(!next.exists());
    // Before the vault: it never was one.
    let now = fs::read(&identity).expect("it is there");
    leave(&now, &before);
    opens(&home, key(NEW));
    assert!(fs::read(&identity).expect("it is there") == now && !next.exists());
}

#[test]
fn kills_in_a_rekeying_lose_nothing() {
    let (home, mut agent) = Home::with_vault();
    home.wire().put("ways/canary", home.canary().as_bytes());
    let mut random = Random::new();
    for round in 0..KILLS {
        home.wire().send(&Request::Rekey { key: Key::Stored }).expect("the agent listens");
        // At a random moment of it, which is the point.
        thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        agent.kill();
        agent = home.agent();
        let canary = Ok(home.canary().as_bytes().to_vec());
        assert_eq!(home.wire().get("ways/canary"), canary, "round {round}");
        let next = home.data().join("identity.age.next");
        assert!(!next.exists(), "round {round}: what was cut off is finished, or gone");
    }
}

/// An agent that finds those plugins, and its PATH.
fn agent_with(home: &Home, plugins: &Path) -> (Agent, String) {
    let path = format!("{}:{}", plugins.display(), std::env::var("PATH").expect("it is set"));
    let mut command = Command::new(home.program("keyagentd"));
    home.surround(&mut command);
    command.env("PATH", &path);
    (home.start(command), path)
}

#[test]
fn needs_age_needs_python3_an_identity_of_a_plugin_opens_it() {
    let home = Home::new();
    let plugins = home.make_directory("plugins");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/age-plugin-mirror");
    copy_program(&ours, &plugins.join("age-plugin-mirror"));
    let file = home.write("mirror.txt", format!("{MIRROR}\n"));
    let (mut agent, path) = agent_with(&home, &plugins);
    let init = Init { seal: by_identity(&file), recipients: Vec::new() };
    done(home.wire().ask(&Request::Init(init)));
    home.wire().put("ways/canary", home.canary().as_bytes());
    opens(&home, Key::Stored);
    done(home.wire().ask(&Request::Rekey { key: Key::Stored }));
    opens(&home, Key::Stored);
    let script = format!("age -d -i '{}' identity.age | grep -c AGE-SECRET-KEY", file.display());
    let stock = home.command("sh").args(["-c", &script]).env("PATH", &path).dir(home.data());
    stock.run().quietly().prints("1\n");
    agent.terminate();
    let _agent = home.agent();
    let gone = does_not_open(&home, Key::Stored);
    assert_eq!(gone, Refusal::Unsealer(Unsealer::Plugin), "it is not on this agent's PATH");
}

/// Neither the plugin stays nor what has started it.
#[test]
fn a_plugin_that_hangs_ends_with_the_agent() {
    let home = Home::new();
    let plugins = home.make_directory("plugins");
    let program = plugins.join("age-plugin-mirror");
    let pid_file = home.work().join("pid");
    fs::write(&program, format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 1000\n", pid_file.display()))
        .expect("it is ours");
    fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("it is ours");
    let file = home.write("mirror.txt", format!("{MIRROR}\n"));
    let (mut agent, _) = agent_with(&home, &plugins);
    let init = Init { seal: by_identity(&file), recipients: Vec::new() };
    home.wire().send(&Request::Init(init)).expect("the agent listens");
    let pid: u32 = eventually("it runs", || {
        fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok())
    });
    agent.kill();
    eventually("the plugin is gone", || (!process::is_alive(pid)).then_some(()));
}

#[test]
fn the_passphrase_comes_from_a_socket_too() {
    let home = with_passphrase();
    done(home.wire().ask(&Request::Lock));
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    writeln!(ours, "{OLD}").expect("there is room");
    let mut unlock = Command::new(home.program("keyagent"));
    home.surround(&mut unlock);
    unlock.args(["unlock", "--passphrase-fd", "0"]).stdin(OwnedFd::from(theirs));
    assert!(unlock.status().expect("it runs").success());
}
