//! age: identities, sealing, unsealing. With `foreign.rs` the one file that knows the crate.
//!
//! It sees bytes, never paths. The header is measured before the crate sees it, because
//! its parser is quadratic in the header; scrypt work is bounded on both sides, because
//! the crate's own default follows the machine.

use super::sealed::{self, Locked, Opening};
use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use keyagent_wire::{Value, VaultFault};
use sha2::Sha256;
use std::io::{Read, Write};
use std::str::FromStr;
use zeroize::Zeroizing;

/// The longest header that is looked at, in bytes; ours have a few hundred.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The most lines of a header that is looked at: the crate parses all of it once more for each.
/// Ours have two for each recipient.
const HEADER_LINES_MAX: usize = 256;
/// The scrypt work factor that is written: about a second and 256 MiB.
const WORK_FACTOR: u8 = 18;
/// The largest that is accepted: 1 GiB.
const WORK_FACTOR_MAX: u8 = 20;
/// A full line of a stanza's body; the last one is shorter.
const BODY_LINE_BYTES: usize = 64;
/// How age v1 files begin (C2SP age.md).
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// The age identity of a vault, and what is derived from it. It is made when it is needed,
/// and gone right after: what stays is its text, in the arena.
pub struct Identity {
    age: x25519::Identity,
    mac_key: Zeroizing<[u8; 32]>,
}

/// Somebody who can read a vault file.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl Recipient {
    /// Reads `age1…`. A point of small order is none: anybody could read what is sealed to
    /// it (RFC 7748, section 6.1), and the crate panics rather than do so.
    pub fn parse(text: &str) -> Option<Self> {
        let recipient = x25519::Recipient::from_str(text).ok().map(Self)?;
        let (_, point) = bech32::decode(text).ok()?;
        let point = x25519_dalek::PublicKey::from(<[u8; 32]>::try_from(point).ok()?);
        let shared = x25519_dalek::StaticSecret::from([1; 32]).diffie_hellman(&point);
        shared.as_bytes().iter().any(|byte| *byte != 0).then_some(recipient)
    }

    /// As age writes it.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

impl Identity {
    /// A new identity, from the system's randomness.
    pub fn generate() -> Self {
        Self::from_age(x25519::Identity::generate())
    }

    /// Reads the identity file's text: comments, and one `AGE-SECRET-KEY-1…`.
    pub fn parse(text: &[u8]) -> Result<Self, VaultFault> {
        let text = std::str::from_utf8(text).map_err(|_| VaultFault::Malformed)?;
        let mut lines =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(VaultFault::Malformed);
        };
        x25519::Identity::from_str(line).map(Self::from_age).map_err(|_| VaultFault::Malformed)
    }

    /// The identity that the arena keeps.
    pub fn kept() -> Result<Self, Locked> {
        sealed::with_identity(Self::parse)?.map_err(|_| Locked)
    }

    /// Keeps it in the arena.
    pub fn keep(&self, opening: Opening) -> Result<(), Locked> {
        opening.keep_identity(self.age.to_string().expose_secret().as_bytes())
    }

    /// The text of an identity file, as `age-keygen` writes it.
    pub fn text(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.age.to_string();
        let public = self.age.to_public().to_string();
        let parts = ["# public key: ", &public, "\n", secret.expose_secret(), "\n"];
        Zeroizing::new(parts.concat().into_bytes())
    }

    /// Who can read what this identity can read.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.age.to_public())
    }

    /// A MAC that only the owner of this identity can make (RFC 2104, SHA-256).
    pub fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&*self.mac_key)
            .expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac
    }

    fn from_age(age: x25519::Identity) -> Self {
        let secret = age.to_string();
        let mut mac_key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, secret.expose_secret().as_bytes())
            .expand(b"keyagent vault mac 1", &mut *mac_key)
            .expect("32 bytes are within what HKDF gives");
        Self { age, mac_key }
    }
}

/// Whether a file is age's, and its header short enough to be parsed.
pub fn measure(file: &[u8]) -> Result<(), VaultFault> {
    if !file.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(file) { VaultFault::Corrupt } else { VaultFault::NotAge });
    }
    let head = &file[..file.len().min(HEADER_BYTES_MAX)];
    match head.windows(5).position(|w| w == b"\n--- ") {
        Some(end) if head[..end].split(is_newline).count() > HEADER_LINES_MAX => {
            Err(VaultFault::HeaderTooLarge)
        }
        Some(_) if stanzas_are_whole(head) => Ok(()),
        None if file.len() > head.len() => Err(VaultFault::HeaderTooLarge),
        _ => Err(VaultFault::Corrupt),
    }
}

fn is_newline(byte: &u8) -> bool {
    *byte == b'\n'
}

/// Whether each stanza ends with a line that is not full, as age v1 has it (C2SP age.md). The
/// crate takes some that do not, for files that are older than the format.
fn stanzas_are_whole(head: &[u8]) -> bool {
    let mut in_body = false;
    for line in head[MAGIC.len()..].split(is_newline) {
        let begins = line.starts_with(b"-> ") || line.starts_with(b"---");
        match (in_body, begins) {
            (false, true) if line.starts_with(b"---") => return true,
            (false, true) => in_body = true,
            (true, false) => in_body = line.len() >= BODY_LINE_BYTES,
            (false, false) | (true, true) => return false,
        }
    }
    false
}

/// Whether a file is sealed by a passphrase, and not plain text.
pub fn is_age(file: &[u8]) -> bool {
    file.starts_with(b"age-encryption.org/")
}

/// Whether an age file is sealed by passphrase: scrypt stands alone in its header.
pub fn wants_passphrase(file: &[u8]) -> bool {
    file.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(b"-> scrypt "))
}

/// Seals to recipients.
pub fn seal(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let recipients = recipients.iter().map(|r| &r.0 as &dyn age::Recipient);
    wrap(
        Encryptor::with_recipients(recipients).expect("there is a recipient, and all are X25519"),
        plain,
    )
}

/// Unseals with an identity. Nothing is released before the last chunk has verified.
pub fn unseal(file: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, VaultFault> {
    unwrap(file, std::iter::once(&identity.age as _)).map_err(fault_of)
}

/// Seals by passphrase.
pub fn seal_by_passphrase(plain: &[u8], passphrase: &Value) -> Option<Vec<u8>> {
    let mut recipient = scrypt::Recipient::new(secret_string(passphrase)?);
    recipient.set_work_factor(WORK_FACTOR);
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    Some(wrap(encryptor.expect("scrypt is alone"), plain))
}

/// What a passphrase did to a file.
pub enum Unsealing {
    /// It opened it.
    Plain(Zeroizing<Vec<u8>>),
    /// It is another passphrase's file.
    WrongPassphrase,
    /// The file cannot be opened by any.
    Fault(VaultFault),
}

/// Unseals by passphrase. Takes about a second and 256 MiB.
pub fn unseal_by_passphrase(file: &[u8], passphrase: &Value) -> Unsealing {
    let Some(secret) = secret_string(passphrase) else { return Unsealing::WrongPassphrase };
    let mut identity = scrypt::Identity::new(secret);
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    match unwrap(file, std::iter::once(&identity as _)) {
        Ok(plain) => Unsealing::Plain(plain),
        Err(Failure::Age(DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed)) => {
            Unsealing::WrongPassphrase
        }
        Err(failure) => Unsealing::Fault(fault_of(failure)),
    }
}

/// Why a file was not unsealed.
pub(super) enum Failure {
    /// It is no file for the crate.
    Measure(VaultFault),
    /// What the crate says.
    Age(DecryptError),
    /// It is damaged further on.
    Read,
}

fn fault_of(failure: Failure) -> VaultFault {
    match failure {
        Failure::Measure(fault) => fault,
        Failure::Age(DecryptError::NoMatchingKeys) => VaultFault::NotForUs,
        Failure::Age(DecryptError::ExcessiveWork { .. }) => VaultFault::TooMuchWork,
        Failure::Age(DecryptError::UnknownFormat) => VaultFault::NotAge,
        Failure::Age(_) | Failure::Read => VaultFault::Corrupt,
    }
}

/// age passphrases are text; ours that are not cannot have sealed anything.
fn secret_string(passphrase: &Value) -> Option<SecretString> {
    std::str::from_utf8(passphrase.expose()).ok().map(SecretString::from)
}

/// Seals by whatever that encryptor has.
pub(super) fn wrap(encryptor: Encryptor, plain: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(plain.len() + plain.len() / 4096 + 4096);
    let mut writer = encryptor.wrap_output(&mut file).expect("a Vec takes every write");
    writer.write_all(plain).expect("a Vec takes every write");
    writer.finish().expect("a Vec takes every write");
    file
}

/// Unseals by whichever of these does. The buffer is the size of the file, so it never grows
/// and leaves a copy behind.
pub(super) fn unwrap<'a>(
    file: &[u8],
    identities: impl Iterator<Item = &'a dyn age::Identity>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    measure(file).map_err(Failure::Measure)?;
    let decryptor = Decryptor::new_buffered(file).map_err(Failure::Age)?;
    let mut reader = decryptor.decrypt(identities).map_err(Failure::Age)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(file.len()));
    reader.read_to_end(&mut plain).map_err(|_| Failure::Read)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recipients_unseal() {
        let (ours, theirs) = (Identity::generate(), Identity::generate());
        let file = seal(b"canary", &[ours.recipient()]);
        assert_eq!(
            unseal(&file, &ours).ok().as_deref().map(Vec::as_slice),
            Some(b"canary".as_slice())
        );
        assert_eq!(unseal(&file, &theirs).err(), Some(VaultFault::NotForUs));
        let both = seal(b"canary", &[ours.recipient(), theirs.recipient()]);
        assert!(unseal(&both, &theirs).is_ok());
    }

    #[test]
    fn every_truncation_and_flip_is_refused() {
        let identity = Identity::generate();
        let file = seal(&[b'x'; 300], &[identity.recipient()]);
        for at in 0..file.len() {
            assert!(unseal(&file[..at], &identity).is_err(), "cut at {at}");
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert!(unseal(&flipped, &identity).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn a_huge_header_is_refused_before_it_is_parsed() {
        let identity = Identity::generate();
        let mut file = MAGIC.to_vec();
        file.extend(b"-> X25519 ".iter().chain(&[b'A'; 1 << 20]));
        file.extend(b"\n--- ");
        // The crate would take a minute, and find another fault.
        assert_eq!(unseal(&file, &identity).err(), Some(VaultFault::HeaderTooLarge));
    }

    #[test]
    fn a_recipient_of_small_order_is_none() {
        let encode = |point: [u8; 32]| {
            let prefix = bech32::Hrp::parse("age").expect("age's own");
            bech32::encode::<bech32::Bech32>(prefix, &point).expect("it is short")
        };
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            let text = encode(point);
            assert!(x25519::Recipient::from_str(&text).is_ok(), "the crate takes {text}");
            assert!(Recipient::parse(&text).is_none(), "{text}");
        }
        let good = Identity::generate().recipient().text();
        assert_eq!(Recipient::parse(&good).map(|r| r.text()), Some(good));
    }

    #[test]
    fn an_identity_comes_back_from_its_text() {
        let identity = Identity::generate();
        let again =
            Identity::parse(&identity.text()).unwrap_or_else(|_| panic!("it is what text() wrote"));
        assert_eq!(again.recipient().text(), identity.recipient().text());
        let mac = |i: &Identity| i.mac(&[b"a", b"b"]).finalize().into_bytes();
        assert_eq!(mac(&again), mac(&identity));
        assert!(Identity::parse(b"# nothing\n").is_err());
        assert!(Identity::parse(b"AGE-SECRET-KEY-1\n").is_err());
    }
}
