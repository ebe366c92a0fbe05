//! `set`, `get`, `rm`, `mv`: one secret by its name.

use crate::args::{GetArgs, MvArgs, RmArgs, SetArgs, When};
use crate::report::{self, Failure};
use crate::secret_input;
use crate::session::{Session, unexpected};
use keyagent_wire::reply::Outcome;
use keyagent_wire::request::{Clash, Put};
use keyagent_wire::{Confirm, Reply, Request};
use zeroize::Zeroizing;

/// Adds a secret, or makes a new version of it.
pub(crate) fn set(args: SetArgs) -> Result<(), Failure> {
    let value = secret_input::value(&args.name, args.raw)?;
    let put = Put {
        name: args.name,
        value,
        clash: Clash::NewVersion,
        exec_only: args.exec_only.then_some(true),
        confirm: args.confirm.map(confirm),
        note: args.note,
    };
    let mut session = Session::begin()?;
    session.ask(&Request::Put(put))?;
    let Reply::Committed(written) = session.ask(&Request::Commit)? else {
        return Err(unexpected());
    };
    for written in written {
        let name = &written.name;
        report::note(match written.outcome {
            Outcome::Created => format!("`{name}` is new"),
            Outcome::Updated(version) => format!("`{name}` has version {version} now"),
            Outcome::Same => format!("`{name}` has that value already"),
            Outcome::Altered => {
                format!("`{name}` keeps its value; what was said with it is new")
            }
        });
    }
    Ok(())
}

fn confirm(when: When) -> Confirm {
    match when {
        When::None => Confirm::None,
        When::Session => Confirm::Session,
        When::Always => Confirm::Always,
    }
}

/// Prints one value: its bytes, and a newline only for a human.
pub(crate) fn get(args: GetArgs) -> Result<(), Failure> {
    let shown = report::stdout_is_tty();
    if shown && !args.reveal {
        return Err(Failure::usage("stdout is a terminal, and the value would be shown on it")
            .hint(format!("`keyagent get --reveal {}` shows it", args.name)));
    }
    let get = Request::Get { name: args.name, version: args.version };
    let Reply::Value(value) = Session::begin()?.ask(&get)? else { return Err(unexpected()) };
    if !shown {
        return report::answer(value.expose());
    }
    let mut line = Zeroizing::new(Vec::with_capacity(value.byte_count() + 1));
    line.extend_from_slice(value.expose());
    line.push(b'\n');
    report::answer(&line)
}

/// Takes secrets out, all or none.
pub(crate) fn remove(args: RmArgs) -> Result<(), Failure> {
    done(&Request::Remove { names: args.names })
}

/// Gives a secret another name.
pub(crate) fn rename(args: MvArgs) -> Result<(), Failure> {
    done(&Request::Move { old: args.old, new: args.new })
}

fn done(request: &Request) -> Result<(), Failure> {
    match Session::begin()?.ask(request)? {
        Reply::Done => Ok(()),
        _ => Err(unexpected()),
    }
}
