//! A conversation with the agent: starts it, asks, opens the vault on the way if a human
//! is there to do so, and turns refusals into failures.

use crate::connection::{self, ASK_SECONDS_MAX, Connection, Haste};
use crate::project::Project;
use crate::report::{self, Failure};
use crate::tty::Tty;
use crate::{refusal, screen, start};
use keyagent_wire::reply::{Status, VaultState};
use keyagent_wire::request::{Ask, Asked, Key, Unlock};
use keyagent_wire::{Refusal, Reply, Request, Unsealer, VALUE_BYTES_MAX, Value};
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long we wait before we ask again for room on the screen.
const BUSY: Duration = Duration::from_millis(100);

/// A connection, and whether a passphrase may still be asked for on it.
pub(crate) struct Session {
    connection: Connection,
    may_ask: bool,
    /// Whether the agent may ask the human to confirm what is handed out.
    may_confirm: bool,
}

impl Session {
    /// Starts the agent when it is not there. A locked vault is opened on the first
    /// request, if a human sits at the terminal.
    pub(crate) fn begin() -> Result<Self, Failure> {
        Ok(Self { connection: start::connect()?, may_ask: true, may_confirm: true })
    }

    /// The same, but a locked vault is a failure.
    pub(crate) fn begin_unasked() -> Result<Self, Failure> {
        Ok(Self { connection: start::connect()?, may_ask: false, may_confirm: false })
    }

    /// The same, where a prompt waits for it.
    pub(crate) fn begin_at_prompt() -> Result<Self, Failure> {
        Ok(Self { connection: start::connect_at_prompt()?, may_ask: false, may_confirm: false })
    }

    /// The same, and no agent is a failure, too.
    pub(crate) fn begin_if_running() -> Result<Self, Failure> {
        let running = Connection::open_with(Haste::Prompt)?;
        let connection = running.ok_or_else(connection::none_running)?;
        Ok(Self { connection, may_ask: false, may_confirm: false })
    }

    /// Has the agent ask the human, where that is needed.
    pub(crate) fn let_confirm(&mut self) {
        self.may_confirm = true;
    }

    /// Asks. A refusal is a failure.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        self.ask_with(request, &[])
    }

    /// Asks about a project, or about none.
    pub(crate) fn ask_about(
        &mut self,
        request: &Request,
        project: Option<&Project>,
    ) -> Result<Reply, Failure> {
        match project {
            Some(project) => self.ask_with(request, &project.descriptors()),
            None => self.ask_with(request, &[]),
        }
    }

    /// Asks, with descriptors beside the request.
    pub(crate) fn ask_with(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, Failure> {
        let reply = self.reply_to(request, descriptors)?;
        self.accept(reply)
    }

    /// Asks for what the agent may well not have: nothing, if it refuses with just this.
    pub(crate) fn ask_unless(
        &mut self,
        request: &Request,
        absent: &Refusal,
    ) -> Result<Option<Reply>, Failure> {
        match self.reply_to(request, &[])? {
            Reply::Refused(refusal) if refusal == *absent => Ok(None),
            reply => self.accept(reply).map(Some),
        }
    }

    /// What the agent says, once the human has confirmed what is to be confirmed.
    fn reply_to(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, Failure> {
        let reply = self.reply_when_open(request, descriptors)?;
        match (&reply, asked(request)) {
            (Reply::Refused(Refusal::NeedsAnswer(_)), Some(about)) if self.may_confirm => {
                self.confirm(about, descriptors)?;
                self.connection.ask(request, descriptors)
            }
            _ => Ok(reply),
        }
    }

    /// Has the agent ask. Where many are asked about at once, this one waits for room.
    fn confirm(&mut self, about: Asked, descriptors: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let ask = Request::Ask(Ask { about, screen: screen::ours() });
        let end = Instant::now() + Duration::from_secs(ASK_SECONDS_MAX);
        loop {
            match self.connection.ask(&ask, descriptors)? {
                Reply::Refused(Refusal::Busy) if Instant::now() < end => sleep(BUSY),
                reply => return accept(reply).map(drop),
            }
        }
    }

    /// What the agent says, once the vault is open if a human can open it.
    fn reply_when_open(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, Failure> {
        // Only once, and only first: a new connection would lose what the old one staged.
        let may_ask = std::mem::replace(&mut self.may_ask, false);
        let reply = self.connection.ask(request, descriptors)?;
        if may_ask
            && matches!(reply, Reply::Refused(Refusal::Locked))
            && let Some(mut tty) = Tty::open()
        {
            self.open_vault(&mut tty)?;
            return self.connection.ask(request, descriptors);
        }
        Ok(reply)
    }

    fn accept(&mut self, reply: Reply) -> Result<Reply, Failure> {
        match reply {
            Reply::Refused(refusal @ Refusal::Vault { .. }) => Err(self.way_out(&refusal)),
            reply => accept(reply),
        }
    }

    /// A failure of the vault's files, with the path that its hints need.
    fn way_out(&mut self, refusal: &Refusal) -> Failure {
        match self.status() {
            Ok(status) => refusal::failure_at(refusal, &status.vault_path),
            Err(_) => refusal::failure(refusal),
        }
    }

    /// How the agent is.
    pub(crate) fn status(&mut self) -> Result<Status, Failure> {
        status(&mut self.connection)
    }

    /// Sees to it that the vault is open before anything is staged or asked of a human.
    pub(crate) fn need_open_vault(&mut self) -> Result<(), Failure> {
        let refusal = match self.status()?.vault {
            VaultState::Open { .. } => return Ok(()),
            VaultState::Missing => Refusal::NoVault,
            VaultState::Unusable(why) => why,
            VaultState::Locked => match Tty::open() {
                Some(mut tty) => return self.open_vault(&mut tty),
                None => Refusal::Locked,
            },
        };
        Err(self.way_out(&refusal))
    }

    /// The same, where the key is at hand: it opens a locked vault, and comes back.
    pub(crate) fn open_by(&mut self, key: Key) -> Result<Key, Failure> {
        if self.status()?.vault == VaultState::Locked {
            return self.unlock(key);
        }
        self.need_open_vault().map(|()| key)
    }

    /// Opens the vault, with a passphrase from the terminal if its identity is sealed.
    fn open_vault(&mut self, tty: &mut Tty) -> Result<(), Failure> {
        let unsealed = Unlock { key: Key::Stored, accept_rollback: false, seconds: None };
        match self.connection.ask(&Request::Unlock(unsealed), &[])? {
            Reply::Refused(why) if wants_passphrase(&why) => {}
            Reply::Refused(refusal) => return Err(self.way_out(&refusal)),
            reply => return accept(reply).map(drop),
        }
        let passphrase = ask_passphrase(tty, "passphrase of the vault: ")?;
        self.unlock(Key::Passphrase(passphrase)).map(drop)
    }

    /// Opens the vault by that key, and gives it back.
    fn unlock(&mut self, key: Key) -> Result<Key, Failure> {
        // A human may have taken longer than the agent keeps a silent connection.
        self.connection = start::connect()?;
        let request = Request::Unlock(Unlock { key, accept_rollback: false, seconds: None });
        match (self.connection.ask(&request, &[])?, request) {
            (Reply::Refused(refusal), _) => Err(self.way_out(&refusal)),
            (Reply::Done, Request::Unlock(Unlock { key, .. })) => Ok(key),
            _ => Err(unexpected()),
        }
    }
}

/// What a human can be asked about.
fn asked(request: &Request) -> Option<Asked> {
    match request {
        Request::Resolve(resolve) => Some(Asked::Env(resolve.clone())),
        Request::Get { name, version } => {
            Some(Asked::One { name: name.clone(), version: *version })
        }
        _ => None,
    }
}

/// Whether a passphrase may open what nothing else did. Says so, where one did not expect it.
pub(crate) fn wants_passphrase(why: &Refusal) -> bool {
    match why {
        Refusal::NeedsPassphrase => true,
        Refusal::Unsealer(Unsealer::NoKeyring | Unsealer::EmptyKeyring) => {
            report::note(refusal::failure(why).text);
            true
        }
        _ => false,
    }
}

/// A reply that is no refusal.
pub(crate) fn accept(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Refused(refusal) => Err(refusal::failure(&refusal)),
        reply => Ok(reply),
    }
}

/// The same, where the vault file's path is known: the hints have it.
pub(crate) fn accept_at(reply: Reply, vault_path: &[u8]) -> Result<Reply, Failure> {
    match reply {
        Reply::Refused(refusal) => Err(refusal::failure_at(&refusal, vault_path)),
        reply => Ok(reply),
    }
}

/// How the agent at the other end is; answered across versions.
pub(crate) fn status(connection: &mut Connection) -> Result<Status, Failure> {
    match accept(connection.ask(&Request::Status, &[])?)? {
        Reply::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

/// The failure of a reply that does not answer the request.
pub(crate) fn unexpected() -> Failure {
    Failure::failed("the agent answered something else")
        .hint("`keyagent --version` and `keyagent status` should name one release")
}

/// Asks for a passphrase, hidden.
pub(crate) fn ask_passphrase(tty: &mut Tty, prompt: &str) -> Result<Value, Failure> {
    let typed = tty.hidden(prompt, VALUE_BYTES_MAX)?;
    Value::new(&typed).map_err(|e| Failure::failed(format!("cannot take that passphrase: {e}")))
}
