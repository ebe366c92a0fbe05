//! Names that say "secret". Words are whole: what stands between underscores.

/// Endings and inner words that make a name a secret's, the longest first.
const WORDS: &[&str] = &[
    "CONNECTION_STRING",
    "WEBHOOK_URL",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "API_KEY",
    "CREDENTIALS",
    "CREDENTIAL",
    "PASSPHRASE",
    "PASSWORD",
    "PASSWD",
    "PASSCODE",
    "PRIVATEKEY",
    "ACCESSKEY",
    "SECRETKEY",
    "APIKEY",
    "APITOKEN",
    "AUTHTOKEN",
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
    "PGPASSWORD",
    "MYSQL_PWD",
];

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
const PUBLIC: &[&str] = &["PUBLIC", "PUBLISHABLE", "PUB", "PRIMARY", "FOREIGN"];

/// The word of the name that makes it a secret's.
pub(super) fn find(var: &str, value: &[u8]) -> Option<&'static str> {
    let name = var.to_ascii_uppercase();
    let mut words: Vec<&str> = name.split('_').filter(|w| !w.is_empty()).collect();
    // `TOKEN_2`, `KEY_OLD` are still keys.
    while words.len() > 1 && words.last().is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit())) {
        words.pop();
    }
    let joined = format!("_{}_", words.join("_"));
    let found = WORDS.iter().find(|word| joined.contains(&format!("_{word}_")))?;
    let last = words.last()?;
    let moved = NOT_LAST.contains(last) && !found.ends_with(last);
    let public = words.iter().any(|w| PUBLIC.contains(w));
    (!moved && !public && !is_path(value)).then_some(found)
}

/// A name of a file, or of a socket, is not what is in it.
fn is_path(value: &[u8]) -> bool {
    let starts = [&b"/"[..], b"./", b"../", b"~/"];
    let rooted = starts.iter().any(|start| value.starts_with(start));
    // Base64 has slashes too, but rarely an ending, and a path has no padding.
    let plain = value.iter().all(|b| b.is_ascii_alphanumeric() || b"/._- ~@".contains(b));
    rooted && plain && !value.ends_with(b"=") && (value.len() < 40 || value.contains(&b'.'))
}
