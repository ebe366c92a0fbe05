//! Names that say "secret". Words are whole: what stands between underscores, or from one
//! capital to the next, less a number behind it.

use crate::envfile::verdict::{connections, seen};

/// Endings and inner words that make a name a secret's, the longest first.
const WORDS: &[&str] = &[
    "AUTHORIZATION_HEADER",
    "CONNECTION_STRING",
    "AUTHORIZATION",
    "WEBHOOK_URL",
    "PRIVATE_KEY",
    "AUTH_HEADER",
    "SEED_PHRASE",
    "ACCESS_KEY",
    "API_KEY",
    "CREDENTIALS",
    "CREDENTIAL",
    "PASSPHRASE",
    "PASSWORD",
    "PASSWD",
    "PASSCODE",
    "MNEMONIC",
    "PRIVATEKEY",
    "ACCESSKEY",
    "SECRETKEY",
    "APIKEY",
    "SECRETS",
    "SECRET",
    "TOKENS",
    "TOKEN",
    "SIGNING",
    "BEARER",
    "COOKIE",
    "COOKIES",
    "PASS",
    "PWD",
    "KEYS",
    "KEY",
    "DSN",
    "AUTH",
    "PAT",
    "PIN",
    "SALT",
    "PEPPER",
];

/// Words that need nothing before them to stand apart: `PGPASSWORD`, `accesstoken`.
const GLUED: &[&str] = &["PASSPHRASE", "PASSWORD", "PASSWD", "APIKEY", "SECRET", "TOKEN"];

/// Words that hold whatever the value is: people choose numbers for these.
const SURE: &[&str] = &[
    "PRIVATE_KEY",
    "PASSPHRASE",
    "PASSWORD",
    "PASSWD",
    "PASSCODE",
    "SECRET",
    "PASS",
    "PWD",
    "PIN",
];

/// Makers whose own name has such a word.
const MAKERS: &[&str] = &["AUTH0", "ONEPASSWORD", "1PASSWORD", "TIKTOKEN"];

/// Last words that make it something else: where a key is, what it is called, how it is used.
const NOT_LAST: &[&str] = &[
    "FILE",
    "PATH",
    "DIR",
    "FILENAME",
    "NAME",
    "ID",
    "IDS",
    "ENABLED",
    "DISABLED",
    "TYPE",
    "TTL",
    "EXPIRY",
    "EXPIRES",
    "EXPIRATION",
    "TIMEOUT",
    "LENGTH",
    "SIZE",
    "LIMIT",
    "MAX",
    "MIN",
    "URL",
    "URI",
    "ADDRESS",
    "ENDPOINT",
    "HOST",
    "PORT",
    "DOMAIN",
    "ISSUER",
    "AUDIENCE",
    "REGION",
    "VERSION",
    "PREFIX",
    "SUFFIX",
    "HEADER",
    "METHOD",
    "MODE",
    "PROVIDER",
    "ALGORITHM",
    "ALG",
    "COUNT",
    "ROUNDS",
    "FINGERPRINT",
    "SOCK",
    "ALIAS",
    "FORMAT",
    "USER",
    "USERNAME",
    "EMAIL",
    "SCOPE",
    "SCOPES",
    "REALM",
    "BACKEND",
    "STORE",
    "LABEL",
    "HELPER",
    "COMMAND",
    "CMD",
];

/// Words anywhere that say it is meant to be seen.
const PUBLIC: &[&str] = &["PUBLIC", "PUBLISHABLE", "PUB", "PUBKEY", "PRIMARY", "FOREIGN"];

/// Above it, a number is no limit and no lifetime in seconds.
const NUMBER_DIGITS_MAX: usize = 8;

/// The word of the name that makes it a secret's.
pub(super) fn find(var: &str, value: &[u8]) -> Option<&'static str> {
    let words = words(var);
    let joined = format!("_{}_", words.join("_"));
    let has = |word: &&&str| {
        let glued = GLUED.contains(word) && joined.contains(&format!("{word}_"));
        glued || joined.contains(&format!("_{word}_"))
    };
    let found = WORDS.iter().find(has)?;
    let last = words.last()?.as_str();
    let moved = NOT_LAST.contains(&last) && !found.ends_with(last);
    let public = words.iter().any(|w| PUBLIC.contains(&w.as_str()));
    let seen = is_number(value) || seen::is_published(value);
    let loose = seen && !SURE.iter().any(|word| has(&word));
    let address = *found == "DSN" && !connections::has_credentials(value);
    (!moved && !public && !loose && !address && !is_path(value)).then_some(found)
}

/// The words of a name in capitals. `TOKEN_2`, `TOKEN2` and `botToken` are tokens.
pub(super) fn words(var: &str) -> Vec<String> {
    let mut name = String::with_capacity(var.len());
    for c in var.chars() {
        let behind = |b: char| b.is_ascii_lowercase() || b.is_ascii_digit();
        if c.is_ascii_uppercase() && name.ends_with(behind) {
            name.push('_');
        }
        name.push(c);
    }
    let name = name.to_ascii_uppercase();
    let words = name.split('_').filter(|word| !MAKERS.contains(word));
    let words = words.map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A limit, a lifetime, a count.
fn is_number(value: &[u8]) -> bool {
    value.len() <= NUMBER_DIGITS_MAX && value.iter().all(u8::is_ascii_digit)
}

/// A name of a file, or of a socket, is not what is in it.
fn is_path(value: &[u8]) -> bool {
    let starts = [&b"/"[..], b"./", b"../", b"~/"];
    let rooted = starts.iter().any(|start| value.starts_with(start));
    // Base64 has slashes too, but rarely an ending, and a path has no padding.
    let plain = value.iter().all(|b| b.is_ascii_alphanumeric() || b"/._- ~@".contains(b));
    rooted && plain && !value.ends_with(b"=") && (value.len() < 40 || value.contains(&b'.'))
}
