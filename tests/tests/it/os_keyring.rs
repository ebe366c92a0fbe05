//! The OS keyring keeps a copy of the passphrase for whoever wants that, and is needed by
//! nobody: a real gnome-keyring, on a bus of the test's own.

use keyagent_tests::wire::{done, refused, value};
use keyagent_tests::{Halted, Home, Output, Wire, eventually};
use keyagent_wire::request::{Init, Key, Reseal, Seal, Unlock};
use keyagent_wire::{Refusal, Request, Unsealer};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const OLD: &str = "the old passphrase";
const NEW: &str = "the new passphrase";
/// What opens the keyring itself.
const PASSWORD: &[u8] = b"the keyring's own\n";
/// A bus on which nothing starts by itself, and so no prompt appears on a screen.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
/// Has the name of what puts prompts on the screen, and reads nothing that is sent to it.
const DEAF_PROMPTER: &str = "import dbus, signal
dbus.SessionBus().request_name('org.gnome.keyring.SystemPrompter')
signal.pause()";

/// A bus, and whatever runs on it.
struct Bus<'a> {
    home: &'a Home,
    address: String,
    children: Vec<Child>,
}

impl<'a> Bus<'a> {
    /// A bus where the user's is: no variable says so.
    fn usual(home: &'a Home) -> Self {
        Self::start(home, home.root().join("run/bus"))
    }

    fn start(home: &'a Home, socket: PathBuf) -> Self {
        let config = home.root().join("bus.conf");
        fs::write(&config, BUS_CONFIG.replace('@', &socket.to_string_lossy())).expect("it is ours");
        let address = format!("unix:path={}", socket.display());
        let mut bus = Self { home, address, children: Vec::new() };
        bus.run(
            Path::new("dbus-daemon"),
            &["--config-file", &config.to_string_lossy(), "--nofork"],
        );
        eventually("the bus listens", || UnixStream::connect(&socket).ok());
        bus
    }

    fn run(&mut self, program: &Path, arguments: &[&str]) -> &mut Child {
        let mut command = Command::new("setpriv");
        self.home.surround(&mut command);
        let child = command
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv can be run");
        self.children.push(child);
        self.children.last_mut().expect("one was pushed")
    }

    /// A keyring on it. One that nothing opens has no collection to keep anything in.
    fn keyring(&mut self, password: Option<&[u8]>) -> u32 {
        let directory = self.home.make_directory("run/keyring");
        let directory = format!("--control-directory={}", directory.display());
        let mut arguments = vec!["--foreground", "--components=secrets", &directory];
        arguments.extend(password.is_some().then_some("--unlock"));
        let child = self.run(Path::new("gnome-keyring-daemon"), &arguments);
        let pid = child.id();
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(password.unwrap_or_default()).expect("it reads");
        drop(stdin);
        self.waits_for("org.freedesktop.secrets");
        pid
    }

    fn tool(&self, line: &str, stdin: &str) -> Output {
        let shell = self.home.command("sh").args(["-c", line]).stdin(stdin);
        shell.env("DBUS_SESSION_BUS_ADDRESS", &self.address).run()
    }

    fn waits_for(&self, name: &str) {
        self.tool(&format!("gdbus wait --session --timeout 60 {name}"), "").code(0);
    }

    fn call(&self, object: &str, method: &str, arguments: &str) -> String {
        let call = format!("gdbus call --session {object} -m {method} {arguments}");
        self.tool(&call, "").code(0).stdout_text()
    }

    /// Closes what the keyring has open.
    fn close_keyring(&self) {
        let object = "-d org.freedesktop.secrets -o /org/freedesktop/secrets";
        let login = "\"['/org/freedesktop/secrets/collection/login']\"";
        self.call(object, "org.freedesktop.Secret.Service.Lock", login);
    }

    /// How many speak on it, whoever asks among them.
    fn speakers(&self) -> usize {
        let object = "-d org.freedesktop.DBus -o /org/freedesktop/DBus";
        self.call(object, "org.freedesktop.DBus.ListNames", "").matches("':").count()
    }

    /// The passphrases that it keeps, each behind what a human sees of it.
    fn kept(&self) -> Vec<(String, String)> {
        let found =
            self.tool("secret-tool search --all --unlock service keyagent", "").stdout_text();
        let all = |field: &str| -> Vec<String> {
            let lines = found.lines().filter_map(|line| line.strip_prefix(field));
            lines.map(str::to_owned).collect()
        };
        all("label = ").into_iter().zip(all("secret = ")).collect()
    }

    fn keeps(&self, passphrases: &[&str]) {
        let label = || "keyagent: passphrase of the vault".to_owned();
        let expected: Vec<_> = passphrases.iter().map(|p| (label(), (*p).to_owned())).collect();
        assert!(self.kept() == expected, "{} kept, not {}", self.kept().len(), expected.len());
    }
}

impl Drop for Bus<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn home() -> Home {
    let home = Home::new();
    home.add_canary(OLD.as_bytes());
    home.add_canary(NEW.as_bytes());
    home.write("old", OLD);
    home.write("new", NEW);
    home
}

/// A verb that has the old passphrase at 3 and the new one at 4.
fn verb(home: &Home, line: &str) -> Output {
    home.command("bash").args(["-c", &format!("keyagent {line} 3<old 4<new 5<new")]).run()
}

/// An agent whose vault opens by the keyring's copy of the old passphrase, or by itself.
fn with_copy(home: &Home) {
    let init = Init { seal: Seal::Keyring(value(OLD)), recipients: Vec::new() };
    done(home.wire().ask(&Request::Init(init)));
    home.wire().put("ways/canary", home.canary().as_bytes());
    done(home.wire().ask(&Request::Lock));
}

fn unlock(key: Key) -> Request {
    Request::Unlock(Unlock { key, accept_rollback: false, seconds: None })
}

fn reseal(seal: Seal) -> Request {
    Request::Reseal(Reseal { key: Key::Passphrase(value(OLD)), seal })
}

fn is_open(home: &Home) {
    assert_eq!(home.wire().get("ways/canary"), Ok(home.canary().as_bytes().to_vec()));
}

/// Locks, and opens by whatever needs no human.
fn opens_unasked(home: &Home) {
    done(home.wire().ask(&Request::Lock));
    done(home.wire().ask(&unlock(Key::Stored)));
    is_open(home);
}

/// Locks. What needs no human does not open it; that passphrase, typed, does.
fn opens_only_by(home: &Home, passphrase: &str) -> Refusal {
    done(home.wire().ask(&Request::Lock));
    let why = refused(home.wire().ask(&unlock(Key::Stored)));
    done(home.wire().ask(&unlock(Key::Passphrase(value(passphrase)))));
    is_open(home);
    why
}

/// Asks, and comes back when a helper hangs at the keyring.
fn hangs(bus: &Bus, request: &Request) -> Wire {
    let before = bus.speakers();
    let mut wire = bus.home.wire();
    wire.send(request).expect("the agent listens");
    eventually("a helper is on the bus", || (bus.speakers() > before).then_some(()));
    wire
}

fn has_no_answer(wire: &mut Wire) {
    wire.socket().set_read_timeout(Some(Duration::from_millis(1))).expect("it is a socket");
    assert!(wire.try_reply().is_err(), "nobody can have answered it");
    wire.socket().set_read_timeout(None).expect("it is a socket");
}

#[test]
fn needs_gnome_keyring_the_vault_opens_without_a_word() {
    let home = home();
    let mut bus = Bus::usual(&home);
    bus.keyring(Some(PASSWORD));
    let mut agent = home.agent();
    verb(&home, "init --keyring --passphrase-fd 3").code(0).complains("the vault is made");
    home.wire().put("ways/canary", home.canary().as_bytes());
    bus.keeps(&[OLD]);
    let sheet = verb(&home, "doctor").stdout_text();
    assert!(sheet.contains("opens      by the OS keyring's copy of its passphrase, or"), "{sheet}");
    verb(&home, "lock").quietly();
    verb(&home, "unlock").quietly();
    is_open(&home);
    verb(&home, "lock").quietly();
    verb(&home, "unlock --passphrase-fd 4").fails(1).complains("does not open");
    verb(&home, "unlock --passphrase-fd 3").quietly();
    agent.kill();
    let _agent = home.agent();
    verb(&home, "unlock").quietly();
    is_open(&home);
    // A new identity is sealed as the old one was.
    done(home.wire().ask(&Request::Rekey { key: Key::Stored }));
    opens_unasked(&home);
    bus.keeps(&[OLD]);
}

#[test]
fn needs_gnome_keyring_the_agent_asks_on_the_bus_of_who_started_it() {
    let home = home();
    let elsewhere = home.make_directory("elsewhere").join("bus");
    let mut bus = Bus::start(&home, elsewhere);
    bus.keyring(Some(PASSWORD));
    let init = "keyagent init --keyring --passphrase-fd 3 3<old";
    bus.tool(init, "").code(0).complains("the vault is made");
    bus.keeps(&[OLD]);
    home.wire().put("ways/canary", home.canary().as_bytes());
    opens_unasked(&home);
    home.keyagent(["stop"]).run().code(0);
    eventually("it is gone", || home.agent_pid().is_none().then_some(()));
    // It begins anew because of the one variable, and keeps the other.
    let mut command = Command::new(home.program("keyagentd"));
    home.surround(&mut command);
    command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address).env("TMPDIR", "/tmp");
    let _agent = home.start(command);
    opens_unasked(&home);
}

#[test]
fn needs_gnome_keyring_it_keeps_what_is_in_force_and_nothing_else() {
    let home = home();
    let mut bus = Bus::usual(&home);
    bus.keyring(Some(PASSWORD));
    let _agent = home.agent();
    home.wire().init(Some(OLD));
    home.wire().put("ways/canary", home.canary().as_bytes());
    bus.keeps(&[]);
    let wrong = "passphrase --keyring --passphrase-fd 5 --new-passphrase-fd 4";
    verb(&home, wrong).fails(1).complains("does not open");
    bus.keeps(&[]);
    verb(&home, "passphrase --keyring --passphrase-fd 3 --new-passphrase-fd 4")
        .code(0)
        .complains("the OS keyring has a copy");
    bus.keeps(&[NEW]);
    opens_unasked(&home);
    verb(&home, wrong).code(0);
    bus.keeps(&[NEW]);
    opens_unasked(&home);
    verb(&home, "passphrase --passphrase-fd 4 --new-passphrase-fd 3").code(0);
    bus.keeps(&[]);
    assert_eq!(opens_only_by(&home, OLD), Refusal::NeedsPassphrase);
    done(home.wire().ask(&reseal(Seal::Keyring(value(NEW)))));
    bus.keeps(&[NEW]);
    verb(&home, "passphrase --none --passphrase-fd 4").code(0);
    bus.keeps(&[]);
    opens_unasked(&home);
}

#[test]
fn needs_gnome_keyring_without_its_copy_the_passphrase_opens_it() {
    let home = home();
    let mut bus = Bus::usual(&home);
    bus.keyring(Some(PASSWORD));
    let _agent = home.agent();
    with_copy(&home);
    // Another one's copy.
    let text = fs::read_to_string(home.data().join("unlock.json")).expect("it says how");
    let entry = text.split('"').nth(3).expect("the entry's name");
    let store = format!("secret-tool store --label=other service keyagent username {entry}");
    bus.tool(&store, NEW).quietly();
    assert_eq!(opens_only_by(&home, OLD), Refusal::NeedsPassphrase);
    verb(&home, "lock").quietly();
    verb(&home, "unlock").fails(4).complains("no terminal");
    // None.
    bus.tool("secret-tool clear service keyagent", "").quietly();
    assert_eq!(opens_only_by(&home, OLD), Refusal::Unsealer(Unsealer::EmptyKeyring));
    verb(&home, "lock").quietly();
    verb(&home, "unlock").fails(4).complains("the OS keyring has no passphrase of ours");
    // A keyring that is closed, where nobody can be asked to open it.
    done(home.wire().ask(&reseal(Seal::Keyring(value(OLD)))));
    opens_unasked(&home);
    bus.close_keyring();
    assert_eq!(opens_only_by(&home, OLD), Refusal::Unsealer(Unsealer::NoKeyring));
    verb(&home, "lock").quietly();
    verb(&home, "unlock").fails(4).complains("there is no OS keyring, or it is locked");
    // No bus.
    drop(bus);
    assert_eq!(opens_only_by(&home, OLD), Refusal::Unsealer(Unsealer::NoKeyring));
    done(home.wire().ask(&reseal(Seal::Passphrase(value(NEW)))));
    assert_eq!(opens_only_by(&home, NEW), Refusal::NeedsPassphrase);
    assert!(home.log().contains("cannot take a passphrase out of the OS keyring"));
}

#[test]
fn needs_gnome_keyring_where_it_can_keep_nothing_nothing_is_made() {
    let home = home();
    let mut bus = Bus::usual(&home);
    let _agent = home.agent();
    let init = "init --keyring --passphrase-fd 3";
    verb(&home, init).fails(4).complains("no OS keyring");
    // A keyring that was never opened has nothing to keep it in.
    bus.keyring(None);
    verb(&home, init).fails(4).complains("no OS keyring");
    let files = fs::read_dir(home.data()).map_or(0, Iterator::count);
    assert_eq!(files, 0, "neither identity nor vault");
    verb(&home, "init --passphrase-fd 3").code(0);
}

#[test]
fn needs_gnome_keyring_one_that_hangs_holds_up_nobody_else() {
    let home = home();
    let mut bus = Bus::usual(&home);
    let keyring = bus.keyring(Some(PASSWORD));
    let mut agent = home.agent();
    with_copy(&home);
    let halted = Halted::of(keyring).expect("it runs");
    let mut first = hangs(&bus, &unlock(Key::Stored));
    done(home.wire().ask(&unlock(Key::Passphrase(value(OLD)))));
    is_open(&home);
    let mut second = hangs(&bus, &reseal(Seal::Keyring(value(NEW))));
    home.wire().put("ways/other", b"other");
    done(home.wire().ask(&Request::Lock));
    has_no_answer(&mut first);
    has_no_answer(&mut second);
    drop(halted);
    // Why, depends on which of the two comes first: what it was given may be the old one by now.
    refused(first.try_reply().expect("it is answered now"));
    let locked = home.wire().get("ways/canary");
    assert_eq!(locked, Err(Refusal::Locked), "what a lock has overtaken opens nothing");
    done(second.try_reply().expect("it is answered now"));
    bus.keeps(&[NEW]);
    opens_unasked(&home);
    // Nor does it hold up the end of the agent.
    done(home.wire().ask(&Request::Lock));
    let halted = Halted::of(keyring).expect("it runs");
    let before = bus.speakers();
    let mut third = hangs(&bus, &unlock(Key::Stored));
    home.keyagent(["stop"]).run().code(0);
    agent.wait();
    assert!(third.try_reply().is_err(), "it ended first");
    eventually("its helper ends with it", || (bus.speakers() == before).then_some(()));
    drop(halted);
}

#[test]
fn needs_dbus_needs_gnome_keyring_a_prompt_that_nobody_answers_holds_up_nobody_else() {
    let home = home();
    let mut bus = Bus::usual(&home);
    bus.keyring(Some(PASSWORD));
    bus.run(Path::new("/usr/bin/python3"), &["-c", DEAF_PROMPTER]);
    bus.waits_for("org.gnome.keyring.SystemPrompter");
    let _agent = home.agent();
    with_copy(&home);
    bus.close_keyring();
    let mut prompted = hangs(&bus, &unlock(Key::Stored));
    done(home.wire().ask(&unlock(Key::Passphrase(value(OLD)))));
    home.wire().put("ways/other", b"other");
    is_open(&home);
    has_no_answer(&mut prompted);
}

#[test]
fn a_bus_elsewhere_is_not_asked() {
    let home = home();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it is a socket");
    let port = listener.local_addr().expect("it is bound").port();
    let touched = home.work().join("touched");
    let program = format!("unixexec:path=/usr/bin/touch,argv1={}", touched.display());
    for address in [format!("tcp:host=127.0.0.1,port={port}"), program] {
        let mut command = Command::new(home.program("keyagentd"));
        home.surround(&mut command);
        command.env("DBUS_SESSION_BUS_ADDRESS", &address);
        let mut agent = home.start(command);
        let init = Init { seal: Seal::Keyring(value(OLD)), recipients: Vec::new() };
        let why = refused(home.wire().ask(&Request::Init(init)));
        assert_eq!(why, Refusal::Unsealer(Unsealer::NoKeyring), "{address}");
        agent.terminate();
    }
    assert!(listener.accept().is_err(), "nobody has connected");
    assert!(!touched.exists(), "nothing was run");
}
