//! The OS keyring, in a helper: the agent itself speaks to no bus.
//!
//! What is kept there is a copy of the passphrase. Whoever asks for it gets it from the
//! keyring as any program of this user does.

use super::{Job, Spawner, chunk};
use keyagent_wire::{Refusal, Unsealer, VALUE_BYTES_MAX, Value};
use nix::sys::resource::{Resource, setrlimit};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How much time of a processor a helper has.
const HELPER_CPU_SECONDS_MAX: u64 = 60;
/// How long the agent waits: a keyring may ask its human for a password.
const HELPER_SECONDS_MAX: u64 = 60;

/// What a helper found, as one byte.
const DONE: u8 = 0;
const EMPTY: u8 = 1;
const NO_KEYRING: u8 = 2;

/// The passphrase that is kept under that name. Blocks.
pub fn get(spawner: &Spawner, entry: &str) -> Result<Value, Refusal> {
    ask(spawner, &Job::KeyringGet { entry: entry.to_owned() }, None)
}

/// Keeps a passphrase under that name. Blocks.
pub fn keep(spawner: &Spawner, entry: &str, passphrase: &Value) -> Result<(), Refusal> {
    ask(spawner, &Job::KeyringKeep { entry: entry.to_owned() }, Some(passphrase)).map(drop)
}

/// Takes the one of that name away. Blocks.
pub fn forget(spawner: &Spawner, entry: &str) -> Result<(), Refusal> {
    ask(spawner, &Job::KeyringForget { entry: entry.to_owned() }, None).map(drop)
}

fn ask(spawner: &Spawner, job: &Job, passphrase: Option<&Value>) -> Result<Value, Refusal> {
    let ask = || {
        let mut stream = spawner.start(job)?;
        stream.set_read_timeout(Some(Duration::from_secs(HELPER_SECONDS_MAX)))?;
        if let Some(passphrase) = passphrase {
            chunk::write(&stream, passphrase.expose())?;
        }
        let mut found = [0];
        stream.read_exact(&mut found)?;
        let kept = chunk::read(&stream, VALUE_BYTES_MAX)?;
        Ok((found[0], Value::new(&kept).map_err(|_| io::ErrorKind::InvalidData)?))
    };
    match ask() {
        Ok((DONE, kept)) => Ok(kept),
        Ok((EMPTY, _)) => Err(Refusal::Unsealer(Unsealer::EmptyKeyring)),
        Ok(_) => Err(Refusal::Unsealer(Unsealer::NoKeyring)),
        Err(error) => {
            let error: io::Error = error;
            tracing::warn!(%error, "the helper for the OS keyring failed");
            Err(Refusal::Unsealer(Unsealer::NoKeyring))
        }
    }
}

/// The helper's side of [`get`].
pub(super) fn get_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    tell(&stream, os::get(entry))
}

/// The helper's side of [`keep`].
pub(super) fn keep_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    let passphrase = chunk::read(&stream, VALUE_BYTES_MAX)?;
    tell(&stream, os::keep(entry, &passphrase))
}

/// The helper's side of [`forget`].
pub(super) fn forget_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    tell(&stream, os::forget(entry))
}

fn bound() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CPU, HELPER_CPU_SECONDS_MAX, HELPER_CPU_SECONDS_MAX)?)
}

/// What the keyring gave, or one byte that says why not.
type Found = Result<os::Bytes, u8>;

fn tell(mut stream: &UnixStream, found: Found) -> io::Result<()> {
    let (found, bytes) = found.map_or_else(|why| (why, os::Bytes::default()), |b| (DONE, b));
    stream.write_all(&[found])?;
    chunk::write(stream, &bytes)
}

mod os {
    use super::{EMPTY, Found, NO_KEYRING};
    use keyring::{Entry, Error};

    /// Wiped when dropped.
    pub(super) type Bytes = zeroize::Zeroizing<Vec<u8>>;

    /// The name under which a keyring shows what is ours.
    const SERVICE: &str = "keyagent";

    fn with<T>(entry: &str, act: impl FnOnce(&Entry) -> Result<T, Error>) -> Result<T, u8> {
        let done = Entry::new(SERVICE, entry).and_then(|entry| act(&entry));
        done.map_err(|error| if matches!(error, Error::NoEntry) { EMPTY } else { NO_KEYRING })
    }

    pub(super) fn get(entry: &str) -> Found {
        with(entry, Entry::get_secret).map(Bytes::new)
    }

    pub(super) fn keep(entry: &str, passphrase: &[u8]) -> Found {
        with(entry, |entry| entry.set_secret(passphrase)).map(|()| Bytes::default())
    }

    pub(super) fn forget(entry: &str) -> Found {
        with(entry, Entry::delete_credential).map(|()| Bytes::default())
    }
}
