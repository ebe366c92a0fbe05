//! The audit log: who had what, when. Before every release; never a value; and whoever
//! changes it is found out.

use crate::crash::Mounted;
use keyagent_tests::wire::{done, refused, secret, value};
use keyagent_tests::{Home, Wire, describe, eventually};
use keyagent_wire::event::{Deed, Event, LogFault, Reason, Verified, Way, What, Why};
use keyagent_wire::request::{Audit, Channel, Key, Reseal, Resolve, Seal, Unlock};
use keyagent_wire::{Refusal, Reply, Request};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More events than any of these tests makes.
const ALL: u32 = 256;
/// How many records fit where a disk is full: what is left of its last page.
const PAGE_RECORDS_MAX: usize = 64;

/// Whoever runs these tests may be an assistant: that is on record, and is none of them.
fn events(wire: &mut Wire) -> Vec<Event> {
    match wire.ask(&Request::Audit(Audit { before: None, secret: None, count: ALL })) {
        Reply::Events { events, .. } => {
            events.into_iter().filter(|event| event.what != What::Assistant).collect()
        }
        other => panic!("not {}", describe(&other)),
    }
}

/// What the client tells of events, each behind a mark, without that one.
fn of_ours<'a>(told: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    told.split(mark).filter(|event| !event.contains("assistant seen"))
}

fn whats(wire: &mut Wire) -> Vec<What> {
    events(wire).iter().map(|event| event.what).collect()
}

fn verified(wire: &mut Wire) -> Verified {
    match wire.ask(&Request::VerifyAudit) {
        Reply::Verified(verified) => verified,
        other => panic!("not {}", describe(&other)),
    }
}

fn refused_for(way: Way, why: &str) -> What {
    What::RefusedFor(way, Reason::new(why).expect("a name"))
}

fn log(home: &Home) -> PathBuf {
    home.state().join("audit.log")
}

#[test]
fn whatever_happens_is_on_record_by_name_and_never_by_value() {
    let (home, _agent) = Home::with_vault();
    let run = |args: &[&str]| home.keyagent(args).run();
    home.keyagent(["set", "audit/KEY"]).stdin(home.canary()).run().code(0);
    home.keyagent(["set", "audit/KEPT", "--exec-only"]).stdin(home.canary()).run().code(0);
    home.write("keyagent.toml", "[env]\nA_KEY = \"audit/KEY\"\n");
    run(&["exec", "--", "true"]).fails(3);
    run(&["allow", "--yes"]).code(0);
    run(&["exec", "--", "true"]).code(0);
    run(&["export"]).code(0);
    run(&["export", "--hook", "--format", "bash"]).code(0);
    run(&["get", "audit/KEY"]).code(0).prints(home.canary());
    run(&["get", "audit/NONE"]).fails(6);
    run(&["lock"]).code(0);
    run(&["export"]).fails(4);
    run(&["unlock"]).code(0);
    run(&["mv", "audit/KEPT", "audit/MOVED"]).code(0);
    run(&["rm", "audit/MOVED"]).code(0);
    run(&["deny"]).code(0);
    let mut wire = home.wire();
    let expected = [
        What::Started,
        What::Made,
        What::Changed(Deed::Set),
        What::Changed(Deed::Set),
        refused_for(Way::Exec, "not-allowed"),
        What::Changed(Deed::Allowed),
        What::Released(Way::Exec),
        What::Released(Way::Export),
        What::Released(Way::Load),
        What::Released(Way::Get),
        refused_for(Way::Get, "no-such-secret"),
        What::Locked(Why::Asked),
        refused_for(Way::Export, "locked"),
        What::Unlocked,
        What::Changed(Deed::Moved),
        What::Changed(Deed::Removed),
        What::Changed(Deed::Denied),
    ];
    let events = events(&mut wire);
    assert_eq!(events.iter().map(|event| event.what).collect::<Vec<_>>(), expected);
    assert_eq!(events[2].secrets, [(secret("audit/KEY"), Some(1))]);
    assert_eq!(events[4].secrets, [(secret("audit/KEY"), None)]);
    assert_eq!(events[6].secrets, [(secret("audit/KEY"), Some(1))]);
    let here = home.work().canonicalize().expect("it is there");
    assert_eq!(events[6].project.as_deref(), Some(here.as_os_str().as_encoded_bytes()));
    assert_eq!(events[10].secrets, [(secret("audit/NONE"), None)]);
    assert_eq!(events[14].secrets.len(), 2, "the old name and the new one");
    let by = events[6].by.as_ref().expect("somebody asked");
    assert_eq!(by.ancestry.first().map(|(pid, _)| *pid), Some(by.pid));
    assert!(!home.has_value(&fs::read(log(&home)).expect("it is there")));
    let verified = verified(&mut wire);
    assert_eq!((verified.bad, verified.good > expected.len() as u64), (None, true));
}

#[test]
fn the_log_is_told_to_humans_and_to_tools() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    home.wire().put("audit/OTHER", home.canary().as_bytes());
    home.keyagent(["get", "audit/KEY"]).run().code(0);
    let text = home.keyagent(["audit"]).run().quietly().stdout_text();
    let lines: Vec<_> = of_ours(text.trim_end(), "\n").collect();
    assert_eq!(lines.len(), 5, "{text}");
    let last = lines[4];
    assert!(last.contains("  released (get)  audit/KEY@1  by pid "), "{last}");
    assert!(last.contains("(unverified: keyagent < "), "{last}");
    let args = ["audit", "-n", "1", "--secret", "audit/OTHER", "--json"];
    let json = home.keyagent(args).run().quietly().stdout_text();
    let wanted = "\"event\":\"changed\",\"how\":\"set\",";
    assert!(
        json.starts_with("{\"schema\":1,\"events\":[{\"seq\":") && json.contains(wanted),
        "{json}"
    );
    assert!(!json.contains("audit/KEY"), "{json}");
    assert_eq!(home.keyagent(["audit", "-n", "0"]).run().quietly().stdout_text(), "");
    let text = home.keyagent(["audit", "verify"]).run().quietly().stdout_text();
    assert!(text.contains(" events, all as they were written; "), "{text}");
    home.keyagent(["audit", "verify", "--json"]).run().fails(2);
}

#[test]
fn the_log_says_why_nothing_was_handed_out() {
    let (home, _agent) = Home::with_vault();
    let run = |args: &[&str]| home.keyagent(args).run();
    home.keyagent(["set", "audit/KEY", "--exec-only"]).stdin(home.canary()).run().code(0);
    home.write("keyagent.toml", "[env]\nA_KEY = \"audit/KEY\"\n");
    let last = |args: &[&str], between: &str| {
        let text = home.keyagent(["audit", "-n", "3"]).args(args).run().quietly().stdout_text();
        of_ours(text.trim_end(), between).last().expect("there is one").to_owned()
    };
    let told = |way: &str, why: &str| {
        let line = last(&[], "\n");
        assert!(line.contains(&format!("  refused ({way}): {why}  ")), "{line}");
        let json = last(&["--json"], "{\"seq\":");
        let wanted = format!("\"event\":\"refused\",\"how\":\"{way}\",\"refusal\":\"{why}\",");
        assert!(json.contains(&wanted), "{json}");
    };
    run(&["exec", "--", "true"]).fails(3);
    told("exec", "not-allowed");
    run(&["allow", "--yes"]).code(0);
    run(&["export"]).fails(3);
    told("export", "exec-only");
    run(&["get", "audit/NONE"]).fails(6);
    told("get", "no-such-secret");
    run(&["lock"]).code(0);
    run(&["exec", "--", "true"]).fails(4);
    told("exec", "locked");
    run(&["unlock"]).code(0);
    let json = last(&["--json"], "{\"seq\":");
    assert!(json.contains("\"event\":\"unlocked\",\"how\":null,\"refusal\":null,"), "{json}");
}

#[test]
fn a_name_that_no_event_has_is_said_beside_an_empty_answer() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    home.keyagent(["mv", "audit/KEY", "audit/MOVED"]).run().code(0);
    let about =
        |name: &str, more: &str| home.keyagent(["audit", "--secret", name, more]).run().code(0);
    let before = verified(&mut home.wire()).good;
    let note = "keyagent: no events about `audit/KYE`";
    let hint = "keyagent: hint: there is no such secret: `keyagent list` shows the names\n";
    let empty = "{\"schema\":1,\"events\":[]}\n";
    for (more, stdout) in [("-n9", ""), ("--json", empty)] {
        let output = about("audit/KYE", more).prints(stdout);
        assert_eq!(output.stderr_text(), format!("{note}\n{hint}"));
    }
    assert_eq!(about("audit/KYE", "-n0").quietly().stdout_text(), "", "nothing was asked for");
    assert!(!about("audit/KEY", "-n9").quietly().stdout_text().is_empty(), "it was one");
    assert_eq!(verified(&mut home.wire()).good, before, "to look is no event");
    home.keyagent(["lock"]).run().code(0);
    let output = about("audit/KYE", "--json").prints(empty);
    assert_eq!(output.stderr_text(), format!("{note}\n"), "who knows, while it is locked");
}

#[test]
fn a_long_log_is_told_page_by_page() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let mut wire = home.wire();
    for _ in 0..600 {
        wire.get("audit/KEY").expect("it is there");
    }
    let text = home.keyagent(["audit", "-n", "1000"]).run().quietly().stdout_text();
    let seqs: Vec<u64> =
        text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect();
    let seen = text.lines().filter(|line| line.contains("  assistant seen  ")).count();
    assert_eq!(seqs.len(), 603 + seen);
    assert!(seqs.is_sorted(), "oldest first, none twice");
    assert_eq!(verified(&mut wire).bad, None);
}

/// As a client sees them; the 10,000 changes are in the agent's own tests.
#[test]
fn t76_t77_whoever_changes_the_log_is_found_out() {
    let (home, mut agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    for _ in 0..3 {
        home.wire().get("audit/KEY").expect("it is there");
    }
    agent.terminate();
    let state = fs::read(home.state().join("audit.state")).expect("it is there");
    let whole = fs::read_to_string(log(&home)).expect("it is there");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let released = lines.iter().position(|line| line.contains("\"released\"")).expect("one");
    let seq = released as u64 + 1;
    let without: String = [&lines[..released], &lines[released + 1..]].concat().concat();
    let other = whole.replacen("\"how\":\"get\"", "\"how\":\"exe\"", 1);
    for (text, fault) in [
        (without, LogFault::Missing),
        (other, LogFault::Changed),
        (lines[..released].concat(), LogFault::Missing),
    ] {
        fs::write(log(&home), &text).expect("it is ours");
        fs::set_permissions(log(&home), Permissions::from_mode(0o600)).expect("it is ours");
        fs::write(home.state().join("audit.state"), &state).expect("it is ours");
        let mut agent = home.agent();
        let bad = verified(&mut home.wire()).bad.expect("it was changed");
        assert_eq!((bad.seq, bad.fault), (seq, fault));
        let refused = home.keyagent(["audit", "verify"]).run().fails(1);
        refused.complains(&format!("tampered with: event {seq} "));
        agent.terminate();
        for entry in fs::read_dir(home.state()).expect("it is there").flatten() {
            if entry.file_name().to_string_lossy().starts_with("audit.log") {
                fs::remove_file(entry.path()).expect("it is ours");
            }
        }
    }
}

/// Whether the link was made while the agent ran or while it did not.
#[test]
fn t68_a_log_with_another_name_is_left_and_told_of() {
    for runs in [true, false] {
        let (home, mut agent) = Home::with_vault();
        home.wire().put("audit/KEY", home.canary().as_bytes());
        if !runs {
            agent.terminate();
        }
        let other = home.work().join("other");
        fs::hard_link(log(&home), &other).expect("it is ours");
        let written = fs::read(&other).expect("it is ours");
        let _agent = if runs { agent } else { home.agent() };
        for _ in 0..3 {
            home.wire().get("audit/KEY").expect("it is there");
        }
        assert!(fs::read(&other).expect("it is ours") == written, "{runs}: nothing goes there");
        let whats = whats(&mut home.wire());
        let count = |of: What| whats.iter().filter(|what| **what == of).count();
        assert_eq!((count(What::Broken), count(What::Released(Way::Get))), (1, 3), "{runs}");
    }
}

#[test]
fn the_log_goes_on_after_a_kill_and_after_a_restart() {
    let (home, mut agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    for round in 0..4 {
        home.wire().get("audit/KEY").expect("it is there");
        if round % 2 == 0 {
            agent.kill()
        } else {
            agent.terminate()
        }
        agent = home.agent();
        assert_eq!(verified(&mut home.wire()).bad, None, "round {round}");
    }
    let whats = whats(&mut home.wire());
    let count = |of: What| whats.iter().filter(|what| **what == of).count();
    assert_eq!((count(What::Started), count(What::Stopped)), (5, 2));
    assert_eq!((count(What::Released(Way::Get)), count(What::Broken)), (4, 0));
    assert_eq!(count(What::Locked(Why::Stopped)), 2);
}

#[test]
fn two_agents_of_one_user_write_a_log_each() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let socket = home.make_directory("run/other").join("agent.sock");
    let other = |args: &[&str]| home.keyagent(args).env("KEYAGENT_SOCK", &socket).run();
    other(&["get", "audit/KEY"]).code(0).prints(home.canary());
    home.wire().get("audit/KEY").expect("it is there");
    other(&["audit", "verify"]).quietly();
    assert_eq!(verified(&mut home.wire()).bad, None);
    assert!(home.state().join("audit-2.log").is_file());
    other(&["stop"]).code(0);
}

#[test]
fn an_agent_that_finds_no_log_of_its_own_releases_nothing() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let taken: Vec<_> =
        (2..=8).map(|n| claim(&home.state().join(format!("audit-{n}.lock")))).collect();
    let socket = home.make_directory("run/other").join("agent.sock");
    let other = |args: &[&str]| home.keyagent(args).env("KEYAGENT_SOCK", &socket).run();
    other(&["get", "audit/KEY"]).fails(1).complains("eight agents");
    assert_eq!(verified(&mut home.wire()).bad, None);
    // Not by their end alone: a child of another thread may have them open, too, until it runs.
    taken.iter().for_each(|lock| lock.unlock().expect("it is ours"));
    other(&["get", "audit/KEY"]).code(0).prints(home.canary());
    assert!(home.state().join("audit-2.log").is_file());
    other(&["stop"]).code(0);
}

/// Held as by an agent.
fn claim(path: &Path) -> File {
    let lock = File::create(path).expect("it is ours");
    lock.try_lock().expect("nobody has it");
    lock
}

#[test]
fn a_guess_is_on_record_by_whatever_request_it_comes() {
    let home = Home::new();
    let _agent = home.agent();
    let mut wire = home.wire();
    wire.init(Some("the passphrase"));
    let guess = || Key::Passphrase(value("a guess"));
    let mut is_on_record = |request: Request| {
        let before = count(&mut wire, What::UnlockFailed);
        assert_eq!(refused(wire.ask(&request)), Refusal::WrongPassphrase);
        assert_eq!(count(&mut wire, What::UnlockFailed), before + 1);
    };
    is_on_record(Request::Reseal(Reseal { key: guess(), seal: Seal::Nothing }));
    is_on_record(Request::Rekey { key: guess() });
    done(home.wire().ask(&Request::Lock));
    is_on_record(Request::Unlock(Unlock { key: guess(), accept_rollback: false, seconds: None }));
}

fn count(wire: &mut Wire, what: What) -> usize {
    whats(wire).into_iter().filter(|told| *told == what).count()
}

#[test]
fn t76_what_is_made_up_behind_the_last_event_is_found_at_once() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("audit/KEY", home.canary().as_bytes());
    wire.get("audit/KEY").expect("it is there");
    let before = verified(&mut wire);
    assert_eq!(before.bad, None);
    let text = fs::read_to_string(log(&home)).expect("it is ours");
    let last = text.lines().last().expect("there is one");
    let seq = events(&mut wire).last().expect("there is one").seq;
    let next = last.replace(&format!("\"seq\":{seq}"), &format!("\"seq\":{}", seq + 1));
    for made_up in [next.as_str(), "{\"x\":1}", last] {
        fs::write(log(&home), format!("{text}{made_up}\n")).expect("it is ours");
        let bad = verified(&mut wire).bad.expect("it is found");
        assert_eq!(bad.seq, seq + 1, "{made_up}");
    }
    fs::write(log(&home), &text).expect("it is ours");
    assert_eq!(verified(&mut wire), before);
}

#[test]
fn an_agent_whose_log_has_another_place_ends() {
    let (home, agent) = Home::with_vault();
    let mut wire = home.wire();
    wire.put("audit/KEY", home.canary().as_bytes());
    fs::rename(home.state(), home.root().join("away")).expect("it is ours");
    home.make_directory("state/keyagent");
    // It may have seen that by then, and locked, or gone.
    match wire.try_ask(&Request::Get { name: secret("audit/KEY"), version: None }) {
        Err(_) | Ok(Reply::Refused(Refusal::NotRecorded(_) | Refusal::Locked)) => {}
        Ok(other) => panic!("not refused: {}", describe(&other)),
    }
    eventually("it ends", || (!agent.is_alive()).then_some(()));
}

#[test]
fn needs_root_t78_a_log_that_cannot_be_written_releases_nothing_and_locks() {
    let home = Home::new();
    let state = home.make_directory("state/keyagent");
    let disk = Mounted::tmpfs(&state, "size=1m,mode=700");
    let mut agent = home.agent();
    home.wire().init(None);
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let mut wire = home.wire();
    let filler = state.join("filler");
    fs::write(&filler, vec![0; 2 << 20]).expect_err("the disk is full");
    let full = Err(Refusal::NotRecorded(nix::libc::ENOSPC));
    let last = (0..PAGE_RECORDS_MAX).map(|_| wire.get("audit/KEY")).find(Result::is_err);
    assert_eq!(last, Some(full.clone()), "the last page is full after a while");
    for _ in 0..20 {
        assert_eq!(wire.get("audit/KEY"), full);
    }
    let resolve = Resolve {
        channel: Channel::Export,
        profile: None,
        only: Vec::new(),
        extra: vec![keyagent_wire::request::Binding {
            var: keyagent_wire::EnvName::new("A_KEY").expect("a name"),
            secret: secret("audit/KEY"),
        }],
    };
    let refusal = refused(wire.ask(&Request::Resolve(resolve)));
    assert_eq!(refusal, Refusal::NotRecorded(nix::libc::ENOSPC));
    let told = home.keyagent(["get", "audit/KEY"]).run().fails(1);
    let hint = format!("`df {}` shows", state.display());
    told.complains("cannot write the audit log").complains(&hint);
    done(wire.ask(&Request::Lock));
    assert_eq!(wire.get("audit/KEY"), Err(Refusal::Locked));
    fs::remove_file(filler).expect("it is ours");
    done(wire.unlock(None));
    assert_eq!(wire.get("audit/KEY"), Ok(home.canary().as_bytes().to_vec()));
    // Such a word is short, and may still fit where nothing else does.
    let lost = |what| if let What::Lost(count) = what { count } else { 0 };
    let lost: u64 = whats(&mut wire).into_iter().map(lost).sum();
    assert!(lost >= 23, "{lost}");
    assert_eq!(verified(&mut wire).bad, None);
    agent.terminate();
    drop(disk);
}

/// Where the directory cannot be written at all.
#[test]
fn needs_root_t78_a_read_only_log_releases_nothing_and_locks() {
    let home = Home::new();
    let state = home.make_directory("state/keyagent");
    let disk = Mounted::tmpfs(&state, "size=1m,mode=700");
    let mut agent = home.agent();
    home.wire().init(None);
    home.wire().put("audit/KEY", home.canary().as_bytes());
    agent.terminate();
    disk.read_only(true);
    let mut agent = home.agent();
    let mut wire = home.wire();
    assert_eq!(wire.get("audit/KEY"), Err(Refusal::NotRecorded(nix::libc::EROFS)));
    done(wire.ask(&Request::Lock));
    disk.read_only(false);
    done(wire.unlock(None));
    assert_eq!(wire.get("audit/KEY"), Ok(home.canary().as_bytes().to_vec()));
    assert_eq!(verified(&mut wire).bad, None);
    agent.terminate();
    drop(disk);
}

/// What connected is another program by the time that it asks.
#[test]
fn t12_a_peer_that_became_another_program_is_only_a_name_in_the_log() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("audit/KEY", home.canary().as_bytes());
    let get = Request::Get { name: secret("audit/KEY"), version: None };
    let frame = home.write("frame", Wire::frame(&get));
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    home.surround(&mut command);
    let script = format!("cat '{}'; read -r answer", frame.display());
    command.arg("become").arg(home.socket()).args(["sh", "-c", &script]);
    let mut child = command.spawn().expect("it can be run");
    let event = eventually("it is on record", || {
        let last = events(&mut home.wire()).pop().expect("there are events");
        (last.what == What::Released(Way::Get)).then_some(last)
    });
    let _ = child.kill();
    child.wait().expect("it is our child");
    let by = event.by.expect("somebody asked");
    assert_eq!(by.pid, child.id() as i32, "the kernel's word is of connect(2)");
    assert_eq!(by.ancestry[0], (by.pid, "sh".to_owned()), "and the name is of today");
    let text =
        home.keyagent(["audit", "-n", "1", "--secret", "audit/KEY"]).run().quietly().stdout_text();
    assert!(text.contains("(unverified: sh < "), "{text}");
}
