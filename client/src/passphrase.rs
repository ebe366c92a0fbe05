//! A passphrase: from a descriptor, or from the terminal, hidden.

use crate::report::{self, Failure, Kind, cause};
use crate::session::ask_passphrase;
use crate::tty::Tty;
use keyagent_wire::request::{Key, Seal};
use keyagent_wire::{Refusal, Reply, VALUE_BYTES_MAX, Value};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Reads up to the first newline of a descriptor that the caller left open for us.
pub(crate) fn from_descriptor(fd: RawFd) -> Result<Value, Failure> {
    let cannot = |e: &io::Error| {
        Failure::usage(format!("cannot read the passphrase from descriptor {fd}: {}", cause(e)))
    };
    let mut file = open(fd).map_err(|e| cannot(&e))?;
    let line = first_line(&mut file).map_err(|e| cannot(&e))?;
    Value::new(&line).map_err(|e| Failure::failed(format!("cannot take that passphrase: {e}")))
}

/// Opened anew by its number, because to take over a bare number would need unsafe code; but
/// stdin, which may be a socket that cannot be opened, as it is.
fn open(fd: RawFd) -> io::Result<File> {
    let stdin = io::stdin();
    if fd == stdin.as_raw_fd() {
        return stdin.as_fd().try_clone_to_owned().map(File::from);
    }
    File::open(format!("/proc/self/fd/{fd}"))
}

/// What opens the vault now: read, or asked for. Without a terminal, what needs no human.
pub(crate) fn current_key(fd: Option<RawFd>) -> Result<Key, Failure> {
    if let Some(fd) = fd {
        return from_descriptor(fd).map(Key::Passphrase);
    }
    let Some(mut tty) = Tty::open() else { return Ok(Key::Stored) };
    let prompt = "passphrase of the vault now (Enter if it needs none): ";
    let typed = ask_passphrase(&mut tty, prompt)?;
    Ok(if typed.byte_count() > 0 { Key::Passphrase(typed) } else { Key::Stored })
}

/// What the agent says of such a key; where nobody could be asked for it, how to give it.
pub(crate) fn answered(reply: Reply) -> Result<Reply, Failure> {
    if matches!(reply, Reply::Refused(Refusal::NeedsPassphrase)) {
        terminal()?;
    }
    Ok(reply)
}

/// What shall seal the identity, as the line says.
pub(crate) struct Sealing<'a> {
    /// Nothing.
    pub(crate) none: bool,
    /// A passphrase, with a copy in the OS keyring.
    pub(crate) keyring: bool,
    /// The identity in that file.
    pub(crate) identity: Option<&'a Path>,
    /// Where the passphrase is read from, if it is not asked for.
    pub(crate) passphrase_fd: Option<RawFd>,
    /// What to do instead of an empty passphrase.
    pub(crate) without: &'static str,
}

impl Sealing<'_> {
    /// The seal, with a passphrase if it needs one.
    pub(crate) fn seal(&self) -> Result<Seal, Failure> {
        if self.none {
            report::warning(
                "the identity is not sealed: whoever can read its file has every key of the vault",
            );
            return Ok(Seal::Nothing);
        }
        if let Some(path) = self.identity {
            return Ok(Seal::Identity(real_path(path)?.into_os_string().into_vec()));
        }
        let passphrase = match self.passphrase_fd {
            Some(fd) => self.not_empty(from_descriptor(fd)?)?,
            None => self.new_from_terminal()?,
        };
        Ok(if self.keyring { Seal::Keyring(passphrase) } else { Seal::Passphrase(passphrase) })
    }

    /// Asks for a new one twice.
    fn new_from_terminal(&self) -> Result<Value, Failure> {
        let mut tty = terminal()?;
        let first = self.not_empty(ask_passphrase(&mut tty, "new passphrase: ")?)?;
        let again = ask_passphrase(&mut tty, "the same again: ")?;
        if first.same_as(&again) {
            Ok(first)
        } else {
            Err(Failure::failed("the two passphrases are not the same"))
        }
    }

    fn not_empty(&self, passphrase: Value) -> Result<Value, Failure> {
        if passphrase.byte_count() > 0 {
            return Ok(passphrase);
        }
        Err(Failure::usage("the passphrase is empty").hint(self.without))
    }
}

/// The agent looks for the file from another directory, and follows no link.
fn real_path(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|e| {
        let shown = keyagent_wire::escape(path.as_os_str().as_bytes());
        Failure::failed(format!("cannot find the identity file `{shown}`: {}", cause(&e)))
            .hint("`age-keygen -o FILE` makes one")
    })
}

/// Asks on the terminal.
pub(crate) fn from_terminal() -> Result<Value, Failure> {
    // Still locked, which is what the exit code says.
    let mut tty = terminal().map_err(|failure| Failure { kind: Kind::Locked, ..failure })?;
    ask_passphrase(&mut tty, "passphrase of the vault: ")
}

fn terminal() -> Result<Tty, Failure> {
    Tty::open().ok_or_else(|| {
        Failure::usage("there is no terminal to ask for a passphrase on")
            .hint("`--passphrase-fd N` reads it from a descriptor: `--passphrase-fd 3 3<FILE`")
    })
}

/// Byte by byte, because what follows the newline is not ours; into a buffer of full size.
fn first_line(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 1));
    let mut byte = Zeroizing::new([0]);
    while line.len() <= VALUE_BYTES_MAX {
        match from.read(byte.as_mut_slice()) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line() {
        let line = |text: &[u8]| first_line(&mut &*text).map(|line| line.to_vec()).ok();
        assert_eq!(line(b"a b\nc").as_deref(), Some(&b"a b"[..]));
        assert_eq!(line(b"a").as_deref(), Some(&b"a"[..]));
        assert_eq!(line(b"").as_deref(), Some(&b""[..]));
        let long = vec![b'a'; VALUE_BYTES_MAX + 9];
        assert_eq!(line(&long).map(|line| line.len()), Some(VALUE_BYTES_MAX + 1));
    }

    #[test]
    fn an_empty_one_is_refused() {
        let value = |bytes| Value::new(bytes).expect("a value");
        let without = "`keyagent init --no-passphrase`";
        let sealing =
            Sealing { none: false, keyring: false, identity: None, passphrase_fd: None, without };
        assert!(sealing.not_empty(value(b"")).is_err_and(|failure| failure.hints == [without]));
        assert!(sealing.not_empty(value(b"a")).is_ok());
    }
}
