//! Sealing and unsealing by passphrase, in a helper: scrypt wants 256 MiB and a second, and
//! what it leaves in memory is gone with the process.

use super::{Job, Spawner, chunk};
use crate::vault::file::FILE_BYTES_MAX;
use crate::vault::seal::{self, Unsealing};
use keyagent_wire::{Refusal, VALUE_BYTES_MAX, Value, VaultFault};
use nix::sys::resource::{Resource, setrlimit};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zeroize::Zeroizing;

/// The largest file that is sealed by passphrase: an identity has a few hundred bytes.
const SEALED_BYTES_MAX: usize = 64 * 1024;
/// How much address space a helper has: scrypt at 2^20 takes 1 GiB.
const HELPER_BYTES_MAX: u64 = 1536 * 1024 * 1024;
/// How much time of a processor.
const HELPER_CPU_SECONDS_MAX: u64 = 120;
/// How long the agent waits for it.
const HELPER_SECONDS_MAX: u64 = 170;

/// What a helper found, as one byte.
const PLAIN: u8 = 0;
const WRONG_PASSPHRASE: u8 = 1;
/// The faults that unsealing can find, from 2.
const FAULTS: [VaultFault; 5] = [
    VaultFault::Corrupt,
    VaultFault::NotAge,
    VaultFault::HeaderTooLarge,
    VaultFault::TooMuchWork,
    VaultFault::NotForUs,
];

/// Unseals. Blocks: about a second.
pub fn unseal(spawner: &Spawner, file: &[u8], passphrase: &Value) -> Result<Unsealing, Refusal> {
    if file.len() > SEALED_BYTES_MAX {
        return Ok(Unsealing::Fault(VaultFault::TooLarge));
    }
    let (found, plain) = ask(spawner, &Job::Unseal, file, passphrase)?;
    Ok(match found {
        PLAIN => Unsealing::Plain(plain),
        WRONG_PASSPHRASE => Unsealing::WrongPassphrase,
        fault => Unsealing::Fault(*FAULTS.get(usize::from(fault) - 2).ok_or(Refusal::Helper)?),
    })
}

/// Seals. Blocks: about a second.
pub fn seal(spawner: &Spawner, plain: &[u8], passphrase: &Value) -> Result<Vec<u8>, Refusal> {
    match ask(spawner, &Job::Seal, plain, passphrase)? {
        (PLAIN, sealed) => Ok(sealed.to_vec()),
        _ => Err(Refusal::WrongPassphrase),
    }
}

fn ask(
    spawner: &Spawner,
    job: &Job,
    bytes: &[u8],
    passphrase: &Value,
) -> Result<(u8, Zeroizing<Vec<u8>>), Refusal> {
    let ask = || {
        let mut stream = spawner.start(job)?;
        stream.set_read_timeout(Some(Duration::from_secs(HELPER_SECONDS_MAX)))?;
        chunk::write(&stream, bytes)?;
        chunk::write(&stream, passphrase.expose())?;
        let mut found = [0];
        stream.read_exact(&mut found)?;
        Ok((found[0], chunk::read(&stream, FILE_BYTES_MAX as usize)?))
    };
    ask().map_err(|error: io::Error| {
        tracing::warn!(%error, "the helper for scrypt failed");
        Refusal::Helper
    })
}

/// The helper's side of [`unseal`].
pub(super) fn unseal_here(stream: UnixStream) -> io::Result<()> {
    let (file, passphrase) = asked(&stream)?;
    match seal::unseal_by_passphrase(&file, &passphrase) {
        Unsealing::Plain(plain) => tell(&stream, PLAIN, &plain),
        Unsealing::WrongPassphrase => tell(&stream, WRONG_PASSPHRASE, &[]),
        Unsealing::Fault(fault) => {
            let at = FAULTS.iter().position(|known| *known == fault).unwrap_or(0);
            tell(&stream, at as u8 + 2, &[])
        }
    }
}

/// The helper's side of [`seal`].
pub(super) fn seal_here(stream: UnixStream) -> io::Result<()> {
    let (plain, passphrase) = asked(&stream)?;
    match seal::seal_by_passphrase(&plain, &passphrase) {
        Some(sealed) => tell(&stream, PLAIN, &sealed),
        None => tell(&stream, WRONG_PASSPHRASE, &[]),
    }
}

fn asked(stream: &UnixStream) -> io::Result<(Zeroizing<Vec<u8>>, Value)> {
    setrlimit(Resource::RLIMIT_AS, HELPER_BYTES_MAX, HELPER_BYTES_MAX)?;
    setrlimit(Resource::RLIMIT_CPU, HELPER_CPU_SECONDS_MAX, HELPER_CPU_SECONDS_MAX)?;
    let bytes = chunk::read(stream, SEALED_BYTES_MAX)?;
    let passphrase = chunk::read(stream, VALUE_BYTES_MAX)?;
    let passphrase = Value::new(&passphrase).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((bytes, passphrase))
}

fn tell(mut stream: &UnixStream, found: u8, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut stream, &[found])?;
    chunk::write(stream, bytes)
}
