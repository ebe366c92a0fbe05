//! Conversations with the OS keyring, by way of a helper: what it has, keeps and forgets is a
//! copy of the passphrase.
//!
//! A keyring may ask its human, or hang: nothing is held while it is waited for.

use crate::spawner::keyring::{DONE, EMPTY, HELPER_SECONDS_MAX};
use crate::spawner::{Job, Spawner};
use keyagent_wire::{Refusal, Unsealer, VALUE_BYTES_MAX, Value};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How much longer than it lives a helper is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// The passphrase that is kept under that name.
pub async fn get(spawner: &Spawner, entry: &str) -> Result<Value, Refusal> {
    ask(spawner, Job::KeyringGet { entry: entry.to_owned() }, None).await
}

/// Keeps a passphrase under that name.
pub async fn keep(spawner: &Spawner, entry: &str, passphrase: &Value) -> Result<(), Refusal> {
    let job = Job::KeyringKeep { entry: entry.to_owned() };
    ask(spawner, job, Some(passphrase)).await.map(drop)
}

/// Takes the one of that name away, if it is there.
pub async fn forget(spawner: &Spawner, entry: &str) -> Result<(), Refusal> {
    match ask(spawner, Job::KeyringForget { entry: entry.to_owned() }, None).await {
        Ok(_) | Err(Refusal::Unsealer(Unsealer::EmptyKeyring)) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

async fn ask(spawner: &Spawner, job: Job, passphrase: Option<&Value>) -> Result<Value, Refusal> {
    let limit = Duration::from_secs(HELPER_SECONDS_MAX.into()) + GRACE;
    let asked = timeout(limit, converse(spawner, &job, passphrase)).await;
    match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok((DONE, kept)) => Ok(kept),
        Ok((EMPTY, _)) => Err(Refusal::Unsealer(Unsealer::EmptyKeyring)),
        Ok(_) => Err(Refusal::Unsealer(Unsealer::NoKeyring)),
        Err(error) => {
            tracing::warn!(%error, "the helper for the OS keyring failed");
            Err(Refusal::Unsealer(Unsealer::NoKeyring))
        }
    }
}

/// What the helper found, as its byte and a passphrase.
async fn converse(
    spawner: &Spawner,
    job: &Job,
    passphrase: Option<&Value>,
) -> io::Result<(u8, Value)> {
    let stream = spawner.start(job)?;
    // std would do this by ioctl, which the sandbox does not let be called.
    fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut helper = UnixStream::from_std(stream)?;
    if let Some(passphrase) = passphrase {
        helper.write_u32_le(passphrase.byte_count() as u32).await?;
        helper.write_all(passphrase.expose()).await?;
    }
    let found = helper.read_u8().await?;
    let length = helper.read_u32_le().await? as usize;
    if length > VALUE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut kept = Zeroizing::new(vec![0; length]);
    helper.read_exact(&mut kept).await?;
    Ok((found, Value::new(&kept).map_err(|_| io::ErrorKind::InvalidData)?))
}
