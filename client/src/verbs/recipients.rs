//! `recipients`: who else can read the vault file.

use crate::args::{Recipients, RecipientsArgs};
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use keyagent_wire::{Reply, Request, SecretName, escape};

/// Lists them, or changes who they are.
pub(crate) fn run(args: RecipientsArgs) -> Result<(), Failure> {
    match args.what {
        None | Some(Recipients::List) => list(),
        Some(Recipients::Add { recipient }) => add(recipient),
        Some(Recipients::Rm { recipient }) => remove(recipient),
    }
}

fn list() -> Result<(), Failure> {
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
    let names = names(&mut session)?;
    done(session.ask(&Request::RemoveRecipient { recipient })?)?;
    report::note("the vault is no longer sealed to that recipient");
    report::warning(
        "it could read what is printed here, and still can in copies and in the backups \
         vault.age.1 to vault.age.5",
    );
    report::hint("make new keys where these came from, then `keyagent set NAME` for each");
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    report::answer(lines.as_bytes())
}

fn done(reply: Reply) -> Result<(), Failure> {
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(unexpected()) }
}

fn names(session: &mut Session) -> Result<Vec<SecretName>, Failure> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let Reply::Page { secrets, more } = session.ask(&Request::List { after })? else {
            return Err(unexpected());
        };
        names.extend(secrets.into_iter().map(|fact| fact.name));
        if !more {
            return Ok(names);
        }
        after = names.last().cloned();
    }
}
