//! The user's own age identities, to which ours can be sealed: native, of a plugin, and SSH
//! keys where they are built in.
//!
//! It sees bytes, never paths, and runs in a helper alone: a plugin is a program of somebody
//! else's. No human is there to answer it.

use super::seal;
use age::secrecy::SecretString;
use age::{Callbacks, DecryptError, EncryptError, Encryptor, IdentityFile};
use keyagent_wire::Unsealer;
use zeroize::Zeroizing;

/// How the files of ssh-keygen begin.
const SSH: &[u8] = b"-----BEGIN ";
/// How age's own begin when they are sealed by a passphrase themselves.
const ARMOR: &[u8] = b"-----BEGIN AGE ";

/// The recipients and identities of one file.
type Recipients = Vec<Box<dyn age::Recipient + Send>>;
type Identities = Vec<Box<dyn age::Identity + Send + Sync>>;

/// Seals to whatever identities that file has.
pub fn seal(plain: &[u8], file: &[u8]) -> Result<Vec<u8>, Unsealer> {
    let recipients = recipients_of(file)?;
    let recipients = recipients.iter().map(|r| &**r as &dyn age::Recipient);
    match Encryptor::with_recipients(recipients) {
        Ok(encryptor) => Ok(seal::wrap(encryptor, plain)),
        Err(error) => Err(cannot_seal(&error)),
    }
}

/// Unseals with whichever of that file's identities does.
pub fn unseal(sealed: &[u8], file: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealer> {
    let identities = identities_of(file)?;
    let identities = identities.iter().map(|i| &**i as &dyn age::Identity);
    seal::unwrap(sealed, identities).map_err(|failure| match failure {
        seal::Failure::Age(
            DecryptError::Io(_) | DecryptError::Plugin(_) | DecryptError::PluginResolve(_),
        ) => Unsealer::Plugin,
        _ => Unsealer::NotForUs,
    })
}

fn recipients_of(file: &[u8]) -> Result<Recipients, Unsealer> {
    if file.starts_with(SSH) {
        return ssh::recipients(file);
    }
    parse(file)?.to_recipients().map_err(|error| cannot_seal(&error))
}

fn cannot_seal(error: &EncryptError) -> Unsealer {
    match error {
        EncryptError::Io(_) | EncryptError::Plugin(_) | EncryptError::PluginResolve(_) => {
            Unsealer::Plugin
        }
        _ => Unsealer::NotIdentity,
    }
}

fn identities_of(file: &[u8]) -> Result<Identities, Unsealer> {
    if file.starts_with(SSH) {
        return ssh::identities(file);
    }
    parse(file)?.into_identities().map_err(|_| Unsealer::Plugin)
}

fn parse(file: &[u8]) -> Result<IdentityFile<Nobody>, Unsealer> {
    if seal::is_age(file) {
        return Err(Unsealer::Sealed);
    }
    IdentityFile::from_buffer(file)
        .map(|parsed| parsed.with_callbacks(Nobody))
        .map_err(|_| Unsealer::NotIdentity)
}

/// Nobody sits at a helper: a plugin that asks is told so.
#[derive(Clone, Copy)]
struct Nobody;

impl Callbacks for Nobody {
    fn display_message(&self, _message: &str) {}

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _description: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _description: &str) -> Option<SecretString> {
        None
    }
}

#[cfg(feature = "ssh")]
mod ssh {
    use super::{ARMOR, Identities, Recipients, Unsealer};
    use age::ssh::{Identity, Recipient};

    fn parse(file: &[u8]) -> Result<Identity, Unsealer> {
        if file.starts_with(ARMOR) {
            return Err(Unsealer::Sealed);
        }
        match Identity::from_buffer(file, None) {
            Ok(Identity::Encrypted(_)) => Err(Unsealer::Sealed),
            Ok(Identity::Unsupported(_)) | Err(_) => Err(Unsealer::NotIdentity),
            Ok(identity) => Ok(identity),
        }
    }

    pub(super) fn recipients(file: &[u8]) -> Result<Recipients, Unsealer> {
        let recipient = Recipient::try_from(parse(file)?).map_err(|_| Unsealer::NotIdentity)?;
        Ok(vec![Box::new(recipient)])
    }

    pub(super) fn identities(file: &[u8]) -> Result<Identities, Unsealer> {
        Ok(vec![Box::new(parse(file)?)])
    }
}

#[cfg(not(feature = "ssh"))]
mod ssh {
    use super::{ARMOR, Identities, Recipients, Unsealer};

    fn missing(file: &[u8]) -> Unsealer {
        if file.starts_with(ARMOR) { Unsealer::Sealed } else { Unsealer::NoSsh }
    }

    pub(super) fn recipients(file: &[u8]) -> Result<Recipients, Unsealer> {
        Err(missing(file))
    }

    pub(super) fn identities(file: &[u8]) -> Result<Identities, Unsealer> {
        Err(missing(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::seal::Identity;

    /// Made for this test by `ssh-keygen -t ed25519`; it opens nothing else.
    const SSH_KEY: &[u8] = include_bytes!("foreign/test_ed25519");

    #[test]
    fn a_native_identity_seals_and_unseals() {
        let (ours, theirs) = (Identity::generate().text(), Identity::generate().text());
        let sealed = seal(b"canary", &ours).expect("it is an identity");
        let plain = unseal(&sealed, &ours).map(|plain| plain.to_vec());
        assert_eq!(plain, Ok(b"canary".to_vec()));
        assert_eq!(unseal(&sealed, &theirs).err(), Some(Unsealer::NotForUs));
        let both = [&**ours, &**theirs].concat();
        assert!(unseal(&sealed, &both).is_ok(), "any of them");
    }

    #[test]
    fn what_is_no_identity_is_told_apart() {
        for (file, why) in [
            (b"".as_slice(), Unsealer::NotIdentity),
            (b"# nothing\n", Unsealer::NotIdentity),
            (b"age1abc\n", Unsealer::NotIdentity),
            (b"AGE-SECRET-KEY-1\n", Unsealer::NotIdentity),
            (b"age-encryption.org/v1\n-> scrypt", Unsealer::Sealed),
            (b"-----BEGIN AGE ENCRYPTED FILE-----\n", Unsealer::Sealed),
            (b"AGE-PLUGIN-NONE-THERE-1\n", Unsealer::NotIdentity),
        ] {
            assert_eq!(seal(b"x", file).err(), Some(why), "{}", file.escape_ascii());
        }
    }

    #[cfg(not(feature = "ssh"))]
    #[test]
    fn an_ssh_key_is_told_from_what_is_no_identity() {
        assert_eq!(seal(b"canary", SSH_KEY).err(), Some(Unsealer::NoSsh));
    }

    #[cfg(feature = "ssh")]
    #[test]
    fn an_ssh_key_seals_and_unseals() {
        let sealed = seal(b"canary", SSH_KEY).expect("it is an identity");
        assert_eq!(unseal(&sealed, SSH_KEY).map(|plain| plain.to_vec()), Ok(b"canary".to_vec()));
    }
}
