//! `recipients`: who else can read the vault file.

use crate::args::{Recipients, RecipientsArgs};
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use crate::verbs::list;
use keyagent_wire::{Reply, Request, escape};

/// Lists them, or changes who they are.
pub(crate) fn run(args: RecipientsArgs) -> Result<(), Failure> {
    match args.what {
        None | Some(Recipients::List) => print(),
        Some(Recipients::Add { recipient }) => add(recipient),
        Some(Recipients::Rm { recipient }) => remove(recipient),
    }
}

fn print() -> Result<(), Failure> {
    let Reply::Recipients(all) = Session::begin()?.ask(&Request::Recipients)? else {
        return Err(unexpected());
    };
    let own = |at: usize| if at == 0 { "  (the vault's own identity)" } else { "" };
    let lines =
        all.iter().enumerate().map(|(at, r)| format!("{}{}\n", escape(r.as_bytes()), own(at)));
    report::answer(lines.collect::<String>().as_bytes())
}

fn add(recipient: String) -> Result<(), Failure> {
    done(Session::begin()?.ask(&Request::AddRecipient { recipient })?)?;
    report::note("the vault is sealed to that recipient, too");
    Ok(())
}

/// What that recipient has read, it has: the keys are named on stdout, to be rotated.
fn remove(recipient: String) -> Result<(), Failure> {
    let mut session = Session::begin()?;
    session.need_open_vault()?;
    let secrets = list::all(&mut session)?;
    done(session.ask(&Request::RemoveRecipient { recipient })?)?;
    report::note("the vault is no longer sealed to that recipient");
    report::warning(
        "it could read what is printed here, and still can in copies and in the backups \
         vault.age.1 to vault.age.5",
    );
    report::hint("make new keys where these came from, then `keyagent set NAME` for each");
    let lines: String = secrets.iter().map(|fact| format!("{}\n", fact.name)).collect();
    report::answer(lines.as_bytes())
}

fn done(reply: Reply) -> Result<(), Failure> {
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(unexpected()) }
}
