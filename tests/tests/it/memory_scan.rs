//! Nothing of a value is left in memory where root can read it: not in the agent in any of
//! its states, not in a core that root makes of it, and not in a client that is done.

use crate::stub::{self, Stub};
use keyagent_tests::memory::{self, Mapping, scan};
use keyagent_tests::wire::{done, put, refused, secret, value};
use keyagent_tests::{Agent, Home, Needles, eventually};
use keyagent_wire::reply::VaultState;
use keyagent_wire::request::{Ask, Asked, Key, Reseal, Screen, Seal, Unlock};
use keyagent_wire::{Confirm, Refusal, Request};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const PASSPHRASE: &str = "Tr0ub4dor-and-a-passphrase";
/// How often the states are gone through; the first time all that can be read is looked at,
/// then all that can be written.
const ROUNDS: usize = 100;
const GETS: usize = 1_000;
/// In how many rounds the vault is locked once.
const LOCKED_EVERY: usize = 10;

/// How an identity begins, and how many characters follow.
const IDENTITY: &str = "AGE-SECRET-KEY-1";
const IDENTITY_CHARS: usize = 58;
/// The characters of bech32, by the five bits that each stands for.
const BECH32: &str = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

/// An open vault with the canary in it, whose agent asks by a stub, and what must not be found
/// in that agent: the canary, the passphrase, the identity as text and as the key that it is.
/// All of them may be in secret memory, while the vault is open, which even root cannot read.
struct Scanned {
    home: Home,
    agent: Agent,
    stub: Stub,
    needles: Vec<Vec<u8>>,
}

impl Scanned {
    fn new(agent: impl FnOnce(&Home) -> Agent) -> Self {
        let home = Home::new();
        let stub = Stub::new(&home);
        stub.answers("hold");
        stub.knows(&home, PASSPHRASE);
        stub::configure(&home, &stub.program(), "5m");
        let agent = agent(&home);
        home.wire().init(None);
        // Its text can be read as long as nothing seals it.
        let text = fs::read_to_string(home.data().join("identity.age")).expect("it is plain");
        let identity = text.lines().last().expect("it ends with the identity");
        assert_eq!(identity.len(), IDENTITY.len() + IDENTITY_CHARS);
        let seal = Seal::Passphrase(value(PASSPHRASE));
        done(home.wire().ask(&Request::Reseal(Reseal { key: Key::Stored, seal })));
        home.add_canary(PASSPHRASE.as_bytes());
        home.add_canary(identity.as_bytes());
        home.wire().put("memory/canary", home.canary().as_bytes());
        let mut asked = put("memory/asked", home.canary().as_bytes());
        asked.confirm = Some(Confirm::Always);
        let mut wire = home.wire();
        done(wire.ask(&Request::Put(asked)));
        wire.commit().expect("it is written");
        let [canary, passphrase] = [home.canary(), PASSPHRASE].map(|text| text.as_bytes().to_vec());
        let needles = vec![canary, passphrase, identity.as_bytes().to_vec(), key_of(identity)];
        Self { home, agent, stub, needles }
    }

    /// In round 0 all that can be read is looked at, then all that can be written.
    fn holds_nothing(&self, round: usize, state: &str) {
        let is_asked = |mapping: &Mapping| round == 0 || mapping.is_own();
        let (found, bytes) = scan(self.agent.pid(), &self.needles, is_asked);
        assert!(bytes > 500_000, "only {bytes} bytes could be read");
        assert!(found.is_empty(), "round {round}, {state}: {found:x?}");
        // Any identity: the program itself has the prefix that it looks for.
        let (found, _) = scan(self.agent.pid(), &[IDENTITY.into()], Mapping::is_own);
        assert!(found.is_empty(), "round {round}, {state}, an identity: {found:x?}");
    }

    fn gets(&self, count: usize) {
        let mut wire = self.home.wire();
        for _ in 0..count {
            assert_eq!(wire.get("memory/canary"), Ok(self.home.canary().as_bytes().to_vec()));
        }
    }

    /// Looks while that request waits for a human, who then says yes.
    fn during(&self, request: &Request, look: impl FnOnce()) {
        self.stub.hold();
        let before = self.stub.dialogs().len();
        let mut wire = self.home.wire();
        wire.send(request).expect("the agent listens");
        eventually("the human is asked", || (self.stub.dialogs().len() > before).then_some(()));
        look();
        self.stub.go();
        done(wire.try_reply().expect("the agent answers"));
    }

    /// Looks at a core that root makes of the agent, all that can be read included.
    fn core_holds_nothing(&self, state: &str) {
        let to = self.home.root().join("core");
        let mut gcore = Command::new("gcore");
        gcore.args(["-a", "-o"]).arg(&to).arg(self.agent.pid().to_string());
        let made = gcore.stdin(Stdio::null()).output().expect("there is a gcore");
        let file = to.with_extension(self.agent.pid().to_string());
        let core = fs::read(&file);
        let core = core.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)));
        fs::remove_file(file).expect("it is ours");
        assert!(core.len() > 500_000, "{} bytes", core.len());
        let needles = Needles::of(&self.needles);
        assert!(!needles.are_in(&core), "{state}: a value or a key is in the core");
        assert!(!has_identity(&core), "{state}: an identity is in the core");
        assert!(self.agent.is_alive());
    }
}

/// What asks the human before a secret leaves.
fn about_asked() -> Request {
    let about = Asked::One { name: secret("memory/asked"), version: None };
    Request::Ask(Ask { about, screen: Screen::default() })
}

/// What asks the human for the passphrase.
fn unlock_by_pinentry() -> Request {
    let key = Key::Pinentry(Screen::default());
    Request::Unlock(Unlock { key, accept_rollback: false, seconds: None })
}

/// The 32 bytes that an identity's text spells, less the checksum.
fn key_of(identity: &str) -> Vec<u8> {
    let text = &identity[IDENTITY.len()..identity.len() - 6];
    let five = |c| BECH32.find(c).expect("it is bech32") as u8;
    let bits: Vec<u8> = text
        .chars()
        .map(five)
        .flat_map(|five| (0..5).rev().map(move |at| five >> at & 1))
        .collect();
    bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

/// Whether the text of any identity is there.
fn has_identity(bytes: &[u8]) -> bool {
    let is_char = |byte: &u8| BECH32.as_bytes().contains(byte);
    let long = IDENTITY.len() + IDENTITY_CHARS;
    bytes.windows(long).any(|text| {
        text.starts_with(IDENTITY.as_bytes()) && text[IDENTITY.len()..].iter().all(is_char)
    })
}

#[test]
fn an_identity_is_found_where_one_is() {
    // All of whose bits are 0.
    let zero = format!("{IDENTITY}{}", "Q".repeat(IDENTITY_CHARS));
    assert_eq!(key_of(&zero), [0; 32]);
    assert!(has_identity(format!("x{zero}y").as_bytes()));
    assert!(!has_identity(format!("{IDENTITY}: {}", "Q".repeat(IDENTITY_CHARS)).as_bytes()));
}

#[test]
fn needs_root_the_scan_finds_what_is_there() {
    let home = Home::new();
    for text in [home.canary().to_owned(), hex(home.canary())] {
        let mut holder = Command::new("sh");
        home.surround(&mut holder);
        let holder = holder.args(["-c", "read -r held; read -r rest"]).stdin(Stdio::piped());
        let mut holder = holder.spawn().expect("there is a sh");
        let mut stdin = holder.stdin.take().expect("it is piped");
        stdin.write_all(format!("{text}\n").as_bytes()).expect("it reads");
        let values = [home.canary().as_bytes().to_vec()];
        eventually("the canary is found where one is", || {
            (!scan(holder.id(), &values, |_| true).0.is_empty()).then_some(())
        });
        drop(stdin);
        holder.wait().expect("it is our child");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn needs_root_needs_secretmem_t26_no_value_and_no_key_is_in_the_agents_memory_in_any_state() {
    let scanned = Scanned::new(Home::agent);
    let home = &scanned.home;
    for round in 0..ROUNDS {
        let look = |state: &str| scanned.holds_nothing(round, state);
        look("unlocked");
        scanned.gets(if round == 0 { GETS } else { 10 });
        look("after gets");
        // A connection that stays open keeps what it was sent with.
        let mut wire = home.wire();
        wire.put("memory/other", format!("{}-{round}", home.canary()).as_bytes());
        done(wire.stage("memory/staged", home.canary().as_bytes()));
        look("after set");
        scanned.during(&about_asked(), || look("during an ask"));
        // Each costs a second of scrypt.
        if round % LOCKED_EVERY > 0 {
            continue;
        }
        done(wire.ask(&Request::Lock));
        look("locked");
        let wrong = Some("not the passphrase");
        assert_eq!(refused(wire.unlock(wrong)), Refusal::WrongPassphrase);
        look("after a failed unlock");
        scanned.during(&unlock_by_pinentry(), || look("while the passphrase is asked for"));
    }
}

#[test]
fn needs_root_needs_secretmem_needs_gdb_t29_no_value_and_no_key_is_in_a_core_that_root_makes() {
    let scanned = Scanned::new(Home::agent);
    scanned.gets(10);
    let look = |state: &str| scanned.core_holds_nothing(state);
    look("unlocked");
    scanned.during(&about_asked(), || look("during an ask"));
    done(scanned.home.wire().ask(&Request::Lock));
    look("locked");
    scanned.during(&unlock_by_pinentry(), || look("while the passphrase is asked for"));
    look("unlocked again");
}

#[test]
fn needs_root_needs_strace_t30_without_secret_memory_it_is_locked_and_not_dumped() {
    let scanned = Scanned::new(|home| {
        let mut command = Command::new("strace");
        home.surround(&mut command);
        let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=memfd_secret"];
        command.args(inject).args(["-e", "inject=memfd_secret:error=ENOSYS"]);
        command.arg(home.program("keyagentd"));
        home.start(command)
    });
    scanned.gets(10);
    let Scanned { home, agent, needles, .. } = &scanned;
    let names = memory::mappings(agent.pid());
    assert!(!names.iter().any(|m| m.name.contains("secretmem")), "it was denied");
    assert!(home.log().contains("check: Memory, grade: Weak"), "the log says so: {}", home.log());
    let locked: Vec<_> = names
        .iter()
        .filter(|m| m.is_own())
        .map(|m| (m, memory::flags(agent.pid(), m.range.0)))
        .filter(|(_, flags)| flags.iter().any(|flag| flag == "lo"))
        .collect();
    assert_eq!(locked.len(), 2, "keys and scratch: {locked:?}");
    assert!(
        locked.iter().all(|(_, flags)| ["dd", "dc"].iter().all(|f| flags.contains(&(*f).into())))
    );
    let is_locked = |m: &Mapping| locked.iter().any(|(arena, _)| arena.range == m.range);
    let (found, _) = scan(agent.pid(), needles, |m| m.is_own() && !is_locked(m));
    assert!(found.is_empty(), "outside of the arena: {found:x?}");
    // In it the identity may be, since root reads what is only locked: as long as it is open.
    let (found, _) = scan(agent.pid(), needles, is_locked);
    assert_eq!(found.len(), 1, "the identity is in the arena of keys: {found:x?}");
    done(home.wire().ask(&Request::Lock));
    let (found, _) = scan(agent.pid(), needles, Mapping::is_own);
    assert!(found.is_empty(), "after a lock: {found:x?}");
}

#[test]
fn needs_root_t31_little_lockable_memory_is_reported_and_harms_nothing() {
    for kib in ["0", "64"] {
        let home = Home::of_uid(4321);
        let script = format!("ulimit -l {kib}; exec \"$0\" --detach");
        let mut agent = Command::new("sh");
        home.surround(&mut agent);
        agent.args(["-c", &script]).arg(home.program("keyagentd"));
        // It keeps its stderr, which nobody may wait for.
        let said = agent.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("a sh");
        assert_eq!(said.stdout, b"ready\n");
        home.keyagent(["init", "--no-passphrase"]).run().code(0);
        home.keyagent(["set", "memory/canary"]).stdin(home.canary()).run().code(0);
        for _ in 0..20 {
            let got = home.keyagent(["get", "memory/canary"]).run().code(0);
            got.prints(home.canary());
        }
        home.keyagent(["lock"]).run().code(0);
        home.keyagent(["unlock"]).run().code(0);
        assert!(home.log().contains("check: Memory, grade: Bad"), "{kib} KiB: {}", home.log());
    }
}

#[test]
fn what_is_left_of_a_reply_after_a_lock_is_not_sent() {
    let (home, _agent) = Home::with_vault();
    let large = [home.canary().as_bytes(), &[b'x'; 65_000]].concat();
    home.wire().put("memory/large", &large);
    let get = Request::Get { name: secret("memory/large"), version: None };
    // Nobody reads, until the replies fill the socket and one is sent in part.
    let mut slow = home.wire();
    for _ in 0..16 {
        slow.send(&get).expect("requests are small");
    }
    let all = 16 * (large.len() + 10);
    eventually("a reply waits", || {
        let waiting = unread_bytes(&slow);
        std::thread::sleep(std::time::Duration::from_millis(20));
        (waiting > 0 && waiting == unread_bytes(&slow)).then_some(())
    });
    done(home.wire().ask(&Request::Lock));
    let sent = unread_bytes(&slow);
    assert!(sent < all, "{sent} of {all} bytes fit into the socket");
    assert_eq!(home.wire().status().vault, VaultState::Locked);
    let got = slow.rest().expect("it ends");
    assert_eq!(got.len(), sent, "what was sent before the lock, and not a byte more");
}

/// How many bytes wait to be read.
fn unread_bytes(wire: &keyagent_tests::Wire) -> usize {
    use std::os::fd::AsRawFd;
    let mut bytes = vec![0; 4 * 1024 * 1024];
    let flags = nix::sys::socket::MsgFlags::MSG_PEEK | nix::sys::socket::MsgFlags::MSG_DONTWAIT;
    nix::sys::socket::recv(wire.socket().as_raw_fd(), &mut bytes, flags).unwrap_or(0)
}

#[test]
fn needs_root_t35_a_client_that_exported_keeps_nothing() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("memory/canary", home.canary().as_bytes());
    home.write("keyagent.toml", "[env]\nA_KEY = \"memory/canary\"\n");
    home.keyagent(["allow", "--yes"]).run().code(0);
    let mut child = Command::new("sh");
    home.surround(&mut child);
    child
        .args(["-c", "read -r go; exec \"$0\" export --format json"])
        .arg(home.program("keyagent"));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a sh");
    let pid = Pid::from_raw(child.id() as i32);
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXIT).expect("root may trace");
    child.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
    loop {
        match waitpid(pid, None).expect("it is our child") {
            WaitStatus::PtraceEvent(..) => break,
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).expect("it is stopped"),
            other => panic!("it ended: {other:?}"),
        }
    }
    let values = [home.canary().as_bytes().to_vec()];
    let (found, bytes) = scan(child.id(), &values, Mapping::is_own);
    ptrace::detach(pid, None).expect("it is stopped");
    let output = child.wait_with_output().expect("it is our child");
    assert!(home.has_value(&output.stdout), "it did export");
    assert!(bytes > 50_000, "only {bytes} bytes could be read");
    assert!(found.is_empty(), "left in the client: {found:x?}");
}
