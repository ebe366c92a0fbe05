//! T52: each way to a value, with each constraint. Nothing leaves where the table says no, and
//! nobody need be there to say so: there is no pinentry.

use crate::given::{allow, manifest};
use keyagent_tests::wire::{done, put, secret};
use keyagent_tests::{Home, Wire, describe};
use keyagent_wire::request::{Channel, Part, Resolve};
use keyagent_wire::{Confirm, Reply, Request, Value};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A way to a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Get,
    OldVersion,
    ByHand(Channel),
    Manifest(Channel),
    Load,
}

const WAYS: [Way; 7] = [
    Way::Get,
    Way::OldVersion,
    Way::ByHand(Channel::Exec),
    Way::ByHand(Channel::Export),
    Way::Manifest(Channel::Exec),
    Way::Manifest(Channel::Export),
    Way::Load,
];

/// What the design says of one cell.
fn may_leave(way: Way, exec_only: bool, confirm: Confirm, allowed: bool) -> bool {
    let is_export =
        matches!(way, Way::ByHand(Channel::Export) | Way::Manifest(Channel::Export) | Way::Load);
    let needs_grant = matches!(way, Way::Manifest(_) | Way::Load);
    confirm == Confirm::None && !(is_export && exec_only) && (allowed || !needs_grant)
}

fn opened(path: &Path) -> OwnedFd {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).expect("it is ours")
}

fn resolve(channel: Channel, extra: Option<&str>) -> Request {
    let binding = |name: &str| keyagent_wire::request::Binding {
        var: keyagent_wire::EnvName::new("A").expect("a name"),
        secret: secret(name),
    };
    let extra = extra.map(binding).into_iter().collect();
    Request::Resolve(Resolve { channel, profile: None, only: Vec::new(), extra })
}

fn take(wire: &mut Wire, way: Way, name: &str, directory: &Path) -> Reply {
    let here = [opened(directory), opened(&directory.join("keyagent.toml"))];
    let here = [here[0].as_fd(), here[1].as_fd()];
    let get = |version| Request::Get { name: secret(name), version };
    match way {
        Way::Get => wire.ask(&get(None)),
        Way::OldVersion => wire.ask(&get(Some(1))),
        Way::ByHand(channel) => wire.ask(&resolve(channel, Some(name))),
        Way::Manifest(channel) => wire.ask_with(&resolve(channel, None), &here),
        Way::Load => wire.ask_with(&Request::Load { profile: None }, &here),
    }
}

/// Whether a value is in there.
fn has_left(reply: &Reply) -> bool {
    match reply {
        Reply::Refused(_) => false,
        Reply::Value(_) => true,
        Reply::Env(env) => !env.is_empty(),
        Reply::Loaded(env) => !env.is_empty(),
        other => panic!("no answer to that: {}", describe(other)),
    }
}

#[test]
fn t52_each_way_and_each_constraint_is_as_the_table_says() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    let mut left = 0;
    for (number, confirm) in [Confirm::None, Confirm::Session, Confirm::Always].iter().enumerate() {
        for (exec_only, allowed) in [(false, false), (false, true), (true, false), (true, true)] {
            let name = format!("app/{number}{exec_only}{allowed}");
            for value in ["an older value", home.canary()] {
                let mut put = put(&name, value.as_bytes());
                (put.exec_only, put.confirm) = (Some(exec_only), Some(*confirm));
                done(wire.ask(&Request::Put(put)));
                wire.commit().expect("it is written");
            }
            let directory = home.work().join(name.replace('/', "-"));
            manifest(&home, &directory, &format!("[env]\nA = \"{name}\"\n"));
            if allowed {
                allow(&home, &directory);
            }
            for way in WAYS {
                let reply = take(&mut wire, way, &name, &directory);
                let may = may_leave(way, exec_only, *confirm, allowed);
                let cell = format!("{way:?} {exec_only} {confirm:?} {allowed}");
                assert_eq!(has_left(&reply), may, "{cell}: {}", describe(&reply));
                left += usize::from(may);
            }
        }
    }
    assert_eq!(left, 4 + 7 + 3 + 4, "some do");
}

#[test]
fn t52_an_original_goes_to_nobody_once_the_vault_is_locked() {
    let (home, _agent) = Home::with_vault();
    let mut wire = home.wire();
    let bytes = Value::new(home.canary().as_bytes()).expect("a value");
    let part = Part { path: b"/f".to_vec(), part: 0, parts: 1, after: [0; 32], bytes };
    done(wire.ask(&Request::PutOriginal(part)));
    wire.commit().expect("it is written");
    let original = Request::Original { path: b"/f".to_vec(), part: 0 };
    assert!(matches!(wire.ask(&original), Reply::Original { .. }));
    done(wire.ask(&Request::Lock));
    assert!(matches!(wire.ask(&original), Reply::Refused(_)));
}
