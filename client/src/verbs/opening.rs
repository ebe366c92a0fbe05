//! How the vault opens, as far as its files say: the first line of `identity.age`, and
//! `unlock.json` beside it. What an identity says that lies there in the open is never read.

use keyagent_wire::escape;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How a file begins that is sealed. As long as `AGE-SECRET-KEY`, so that nothing is read of
/// the key that stands there otherwise.
const SEALED: &[u8; 14] = b"age-encryption";
/// What a passphrase has made of the rest of its head.
const SCRYPT: &[u8] = b".org/v1\n-> scrypt ";
/// How much of `unlock.json` is read, in bytes.
const RECORD_BYTES_MAX: u64 = 16 * 1024;

/// What opens the vault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Passphrase,
    /// The OS keyring's copy of the passphrase, or the passphrase.
    Keyring,
    /// An identity file of the user's own, by its path where that is plain.
    Identity(Option<String>),
    /// Nothing is needed.
    Nothing,
}

impl Opening {
    /// What opens the vault of that file; none where no file tells.
    pub(crate) fn of(vault: &Path) -> Option<Self> {
        let directory = vault.parent()?;
        let mut identity = open(&directory.join("identity.age")).ok()?;
        let mut head = [0; SEALED.len()];
        identity.read_exact(&mut head).ok()?;
        if head != *SEALED {
            return Some(Self::Nothing);
        }
        let mut rest = [0; SCRYPT.len()];
        identity.read_exact(&mut rest).ok()?;
        let mut record = Vec::new();
        // No such file means a passphrase.
        let _ = open(&directory.join("unlock.json"))
            .and_then(|file| file.take(RECORD_BYTES_MAX).read_to_end(&mut record));
        Some(Self::by(rest == *SCRYPT, &String::from_utf8_lossy(&record)))
    }

    fn by(is_passphrase: bool, record: &str) -> Self {
        // Within a string of JSON a quote has a backslash before it.
        match is_passphrase {
            true if record.contains("\"keyring\":\"") => Self::Keyring,
            true => Self::Passphrase,
            false => Self::Identity(first_identity(record)),
        }
    }

    /// A word for tools.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Keyring => "keyring",
            Self::Identity(_) => "identity",
            Self::Nothing => "nothing",
        }
    }

    /// The same for humans.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Passphrase => "by its passphrase".to_owned(),
            Self::Keyring => {
                "by the OS keyring's copy of its passphrase, or by the passphrase".to_owned()
            }
            Self::Identity(None) => "by an identity file of your own".to_owned(),
            Self::Identity(Some(path)) => format!("by your identity file {path}"),
            Self::Nothing => "by itself: whoever can read identity.age has every key; \
                              `keyagent passphrase` seals it"
                .to_owned(),
        }
    }
}

/// The first path in the list, safe to show, unless JSON had to write it in another way.
fn first_identity(record: &str) -> Option<String> {
    let (_, list) = record.split_once("\"identities\":[\"")?;
    let (path, _) = list.split_once('"')?;
    (!path.contains('\\')).then(|| escape(path.as_bytes()))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_stands_for_the_passphrase() {
        assert_eq!(Opening::by(true, ""), Opening::Passphrase);
        assert_eq!(Opening::by(true, r#"{"keyring":"0a1b"}"#), Opening::Keyring);
        let path = |record| Opening::by(false, record);
        assert_eq!(path(""), Opening::Identity(None));
        assert_eq!(path(r#"{"identities":["/a\"b"]}"#), Opening::Identity(None));
        let both = r#"{"identities":["/a/new.txt","/a/old.txt"],"keyring":"0a1b"}"#;
        assert_eq!(path(both), Opening::Identity(Some("/a/new.txt".to_owned())));
        let hostile = "{\"identities\":[\"/a\u{202e}\"]}";
        assert_eq!(path(hostile), Opening::Identity(Some("/a\\u{202e}".to_owned())));
    }
}
