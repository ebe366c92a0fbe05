//! The OS keyring, in a helper: the agent itself speaks to no bus.
//!
//! What is kept there is a copy of the passphrase. Whoever asks for it gets it from the
//! keyring as any program of this user does.

use super::chunk;
use keyagent_wire::VALUE_BYTES_MAX;
use keyring::{Entry, Error};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::alarm;
use std::collections::HashMap;
use std::env;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use zeroize::Zeroizing;

/// How much time of a processor a helper has.
const HELPER_CPU_SECONDS_MAX: u64 = 60;
/// How long a helper lives: a keyring may ask its human for a password, who may be away.
pub const HELPER_SECONDS_MAX: u32 = 60;

/// What a helper found, as one byte.
pub const DONE: u8 = 0;
/// There is no such passphrase.
pub const EMPTY: u8 = 1;
const NO_KEYRING: u8 = 2;

/// By what a keyring finds what is ours, beside the entry's name.
const SERVICE: &str = "keyagent";
/// What a keyring shows its human.
const LABEL: &str = "keyagent: passphrase of the vault";
/// The variable that says where the bus is; without it, it is at its place in the user's
/// runtime directory.
const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// What the keyring gave, or one byte that says why not.
type Found = Result<Zeroizing<Vec<u8>>, u8>;

/// Tells the passphrase that is kept under that name.
pub(super) fn get_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    tell(&stream, with(entry, Entry::get_secret))
}

/// Keeps a passphrase under that name.
pub(super) fn keep_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    let passphrase = chunk::read(&stream, VALUE_BYTES_MAX)?;
    tell(&stream, with(entry, |entry| entry.set_secret(&passphrase).map(|()| Vec::new())))
}

/// Takes the one of that name away.
pub(super) fn forget_here(stream: UnixStream, entry: &str) -> io::Result<()> {
    bound()?;
    tell(&stream, with(entry, |entry| entry.delete_credential().map(|()| Vec::new())))
}

/// A call over the bus that is never answered ends with the helper.
fn bound() -> io::Result<()> {
    alarm::set(HELPER_SECONDS_MAX);
    Ok(setrlimit(Resource::RLIMIT_CPU, HELPER_CPU_SECONDS_MAX, HELPER_CPU_SECONDS_MAX)?)
}

fn with(entry: &str, act: impl FnOnce(&Entry) -> Result<Vec<u8>, Error>) -> Found {
    if !is_here(env::var(BUS).ok().as_deref()) {
        return Err(NO_KEYRING);
    }
    let done = find(entry).and_then(|entry| act(&entry));
    done.map(Zeroizing::new)
        .map_err(|error| if matches!(error, Error::NoEntry) { EMPTY } else { NO_KEYRING })
}

/// Whether a bus is a socket of this machine: an address can also name a program to run, or
/// another machine.
fn is_here(address: Option<&str>) -> bool {
    address.is_none_or(|address| address.starts_with("unix:"))
}

fn find(entry: &str) -> Result<Entry, Error> {
    // This is also what looks for the keyring.
    if Entry::store_status().is_err() {
        return Err(Error::NoDefaultStore);
    }
    let label = HashMap::from([("label", LABEL)]);
    let inner = keyring_core::Entry::new_with_modifiers(SERVICE, entry, &label)?;
    Ok(Entry { inner })
}

fn tell(mut stream: &UnixStream, found: Found) -> io::Result<()> {
    let (found, bytes) = found.map_or_else(|why| (why, Zeroizing::default()), |b| (DONE, b));
    stream.write_all(&[found])?;
    chunk::write(stream, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_socket_of_this_machine() {
        for here in [None, Some("unix:path=/run/user/1000/bus"), Some("unix:abstract=/tmp/x")] {
            assert!(is_here(here), "{here:?}");
        }
        for other in ["", "tcp:host=localhost,port=1", "unixexec:path=/bin/sh", "autolaunch:"] {
            assert!(!is_here(Some(other)), "{other}");
        }
    }
}
