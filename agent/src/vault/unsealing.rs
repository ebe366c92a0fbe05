//! How the identity opens: by passphrase, by the OS keyring's copy of it, by an age identity
//! of the user's own, or by itself.
//!
//! `unlock.json` says how it opens without a passphrase. What `identity.age` is sealed by is
//! told by that file alone, so the two may be replaced one after the other: at every instant
//! the identity that lies there opens. All of it blocks.

use super::{file, seal};
use crate::places::Places;
use crate::spawner::{Spawner, identity, scrypt};
use crate::vault::seal::Unsealing;
use keyagent_wire::request::Seal;
use keyagent_wire::{Refusal, Unsealer, Value, VaultFault, VaultFile};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// What is in `unlock.json`; no such file means a passphrase, or nothing at all.
#[derive(Serialize, Deserialize, Default, PartialEq)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The user's own identity files: one, or two while one takes the place of the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identities: Vec<String>,
    /// The name under which the OS keyring has the passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyring: Option<String>,
}

/// A passphrase.
pub struct Passphrase {
    value: Value,
    /// Whether it is the OS keyring's copy, and may be an old one.
    is_copy: bool,
}

/// What the identity is to be sealed by, and what `unlock.json` will say of it.
pub struct Sealing {
    way: Way,
    record: Record,
}

/// What an identity is sealed by.
pub enum Way {
    /// Nothing.
    Plain,
    /// A passphrase.
    Passphrase(Value),
    /// The identity in that file.
    Identity(String),
}

/// An identity file that was opened.
pub struct Opened {
    /// The file, as it was.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its plain text.
    pub text: Zeroizing<Vec<u8>>,
    /// What opened it.
    pub way: Way,
}

/// Opens the identity file, with what needs no human if there is no passphrase.
pub fn open(
    places: &Places,
    spawner: &Spawner,
    passphrase: Option<Passphrase>,
) -> Result<Opened, Refusal> {
    let bytes = read(&places.identity())?;
    if !seal::is_age(&bytes) {
        return Ok(Opened { text: bytes.clone(), bytes, way: Way::Plain });
    }
    if seal::wants_passphrase(&bytes) {
        return open_by_passphrase(spawner, bytes, passphrase.ok_or(Refusal::NeedsPassphrase)?);
    }
    let mut refusal = Refusal::Unsealer(Unsealer::Missing);
    for path in Record::read(places)?.identities {
        match identity::unseal(spawner, &bytes, &path) {
            Ok(text) => return Ok(Opened { bytes, text, way: Way::Identity(path) }),
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}

fn open_by_passphrase(
    spawner: &Spawner,
    bytes: Zeroizing<Vec<u8>>,
    Passphrase { value, is_copy }: Passphrase,
) -> Result<Opened, Refusal> {
    let way = Way::Passphrase(value);
    match unseal(spawner, &bytes, &way) {
        // The keyring's copy is another one's: the human knows the right one.
        Err(Refusal::WrongPassphrase) if is_copy => Err(Refusal::NeedsPassphrase),
        text => Ok(Opened { text: text?, bytes, way }),
    }
}

/// The name under which the OS keyring has the passphrase, if that is how the identity opens.
pub fn entry(places: &Places) -> Result<Option<String>, Refusal> {
    let is_wanted = seal::wants_passphrase(&read(&places.identity())?);
    Ok(Record::read(places)?.keyring.filter(|_| is_wanted))
}

/// Reads an identity file, as it is.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    file::read_guarded(path).map(Zeroizing::new).map_err(refusal)
}

/// Unseals the bytes of an identity file.
pub fn unseal(spawner: &Spawner, bytes: &[u8], way: &Way) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    match way {
        _ if !seal::is_age(bytes) => Ok(Zeroizing::new(bytes.to_vec())),
        Way::Plain => Err(Refusal::NeedsPassphrase),
        Way::Identity(path) => identity::unseal(spawner, bytes, path),
        Way::Passphrase(passphrase) => match scrypt::unseal(spawner, bytes, passphrase)? {
            Unsealing::Plain(text) => Ok(text),
            Unsealing::WrongPassphrase => Err(Refusal::WrongPassphrase),
            Unsealing::Fault(fault) => Err(refusal(fault)),
        },
    }
}

/// Seals the text of an identity, and looks whether what comes of it opens again.
pub fn seal(spawner: &Spawner, text: &[u8], way: &Way) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let sealed = match way {
        Way::Plain => return Ok(Zeroizing::new(text.to_vec())),
        Way::Passphrase(passphrase) => scrypt::seal(spawner, text, passphrase)?,
        Way::Identity(path) => identity::seal(spawner, text, path)?,
    };
    match unseal(spawner, &sealed, way)?.as_slice() == text {
        true => Ok(Zeroizing::new(sealed)),
        false => Err(Refusal::Helper),
    }
}

/// Puts an identity that was sealed so in its place; the old one or the new one, whatever
/// happens. The vault's lock is held.
pub fn place(places: &Places, sealed: &[u8], sealing: Sealing) -> Result<(), Refusal> {
    let old = Record::read(places).unwrap_or_default();
    let new = sealing.record;
    if !new.identities.is_empty() {
        // What opens the one, and what opens the other.
        let both = [&new.identities[..], &old.identities[..]].concat();
        Record { identities: both, keyring: old.keyring }.write(places).map_err(failed)?;
    }
    file::replace(&places.identity(), sealed, 0, |_| true).map_err(failed)?;
    // From here on the new one is in force: what fails now costs a question, and no key.
    if let Err(error) = new.write(places) {
        tracing::warn!(%error, "cannot write down how the identity opens");
    }
    Ok(())
}

/// Opens an identity that lies there already, and seals it as is wanted now, unless it is or
/// nothing is wanted: it does not stay open where a human has given a passphrase. The vault's
/// lock is held.
pub fn take_over(
    places: &Places,
    spawner: &Spawner,
    Sealing { way, record }: Sealing,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let is_locked = seal::wants_passphrase(&read(&places.identity())?);
    match way {
        Way::Passphrase(passphrase) if is_locked => {
            let opened = open(places, spawner, Some(Passphrase::typed(passphrase)))?;
            record.write(places).map_err(failed)?;
            Ok(opened.text)
        }
        Way::Plain => Ok(open(places, spawner, None)?.text),
        way => {
            let (text, sealing) = (open(places, spawner, None)?.text, Sealing { way, record });
            place(places, &sealing.seal(spawner, &text)?, sealing)?;
            Ok(text)
        }
    }
}

impl Opened {
    /// Refuses if another agent has put another file in its place since. The vault's lock is
    /// held, so that it stays.
    pub fn is_in_place(&self, places: &Places) -> Result<(), Refusal> {
        if *read(&places.identity())? == *self.bytes { Ok(()) } else { Err(Refusal::Conflict) }
    }
}

impl Passphrase {
    /// One that a human has typed.
    pub fn typed(value: Value) -> Self {
        Self { value, is_copy: false }
    }

    /// One that the OS keyring had.
    pub fn copy(value: Value) -> Self {
        Self { value, is_copy: true }
    }
}

impl Sealing {
    /// A sealing by what that says.
    pub fn by(seal: Seal) -> Result<Self, Refusal> {
        let mut record = Record::default();
        let way = match seal {
            Seal::Nothing => Way::Plain,
            Seal::Passphrase(passphrase) => Way::Passphrase(passphrase),
            Seal::Keyring(passphrase) => {
                record.keyring = Some(super::store::random_id()?);
                Way::Passphrase(passphrase)
            }
            Seal::Identity(path) => {
                let path = String::from_utf8(path).map_err(|_| Refusal::Malformed)?;
                if !Path::new(&path).is_absolute() {
                    return Err(Refusal::Malformed);
                }
                record.identities.push(path.clone());
                Way::Identity(path)
            }
        };
        Ok(Self { way, record })
    }

    /// Seals the text of an identity. No lock is held: it may wait for a human.
    pub fn seal(&self, spawner: &Spawner, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        seal(spawner, text, &self.way)
    }

    /// What the OS keyring is to keep before anything is sealed, and under which name.
    pub fn copy(&self) -> Option<(&str, &Value)> {
        match (&self.record.keyring, &self.way) {
            (Some(entry), Way::Passphrase(passphrase)) => Some((entry, passphrase)),
            _ => None,
        }
    }
}

impl Record {
    fn read(places: &Places) -> Result<Self, Refusal> {
        match file::read_guarded(&places.unlock_file()) {
            Err(VaultFault::Missing) => Ok(Self::default()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| refusal(VaultFault::Malformed)),
            Err(fault) => Err(refusal(fault)),
        }
    }

    /// A record in which nothing is, is no file.
    fn write(&self, places: &Places) -> io::Result<()> {
        let path = places.unlock_file();
        if *self == Self::default() {
            return file::remove(&path);
        }
        let bytes = serde_json::to_vec(self).expect("strings are JSON");
        file::replace(&path, &bytes, 0, |_| true)
    }
}

fn refusal(fault: VaultFault) -> Refusal {
    Refusal::Vault { file: VaultFile::Identity, fault, backup: None }
}

fn failed(error: io::Error) -> Refusal {
    super::store::not_written(error)
}
