//! Texts that hold a secret among other things: addresses, connection strings, JSON.

use crate::envfile::verdict::is_harmless;
use zeroize::Zeroizing;

/// Parameters whose value is a secret, as they end, in lower case, and what holds them.
const PARAMETERS: &[(&str, &str)] = &[
    ("password", "a text with a password"),
    ("passwd", "a text with a password"),
    ("passphrase", "a text with a passphrase"),
    ("pwd", "a text with a password"),
    ("secret", "a text with a secret"),
    ("token", "a text with a token"),
    ("apikey", "a text with a key"),
    ("api_key", "a text with a key"),
    ("api-key", "a text with a key"),
    ("accesskey", "an Azure connection string"),
    ("accountkey", "an Azure connection string"),
    ("sharedaccesskey", "an Azure connection string"),
    // Not bare: words end so, like `design`.
    ("?sig", "a signed address"),
    ("&sig", "a signed address"),
    (";sig", "a signed address"),
];

/// What stands between a parameter and its value, in an address and in JSON.
const ASSIGNS: &[&str] = &["=", "\":"];

/// What the text holds, if it holds a secret.
pub(super) fn find(text: &str) -> Option<&'static str> {
    let apart = |c: char| c.is_whitespace() || "\"'=,;()<>".contains(c);
    if has_password(text) || text.split(apart).any(has_password) {
        return Some("an address with a password");
    }
    // Between them may be blanks, and escapes where the text is quoted once more.
    let dense = |c: &char| !c.is_whitespace() && *c != '\\';
    let dense: String = text.chars().filter(dense).map(|c| c.to_ascii_lowercase()).collect();
    let dense = Zeroizing::new(dense);
    PARAMETERS.iter().find(|(name, _)| has_parameter(&dense, name)).map(|(_, what)| *what)
}

fn has_parameter(text: &str, name: &str) -> bool {
    let behind = |(at, _): (usize, &str)| {
        let rest = &text[at + name.len()..];
        ASSIGNS.iter().find_map(|assign| rest.strip_prefix(assign))
    };
    text.match_indices(name).filter_map(behind).any(|rest| {
        let rest = rest.trim_start_matches(['"', '\'']);
        let value = rest.split([';', '&', ',', '"', '\'', '}']).next().unwrap_or_default();
        !is_harmless(value.as_bytes())
    })
}

/// `scheme://user:password@host`.
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@').or_else(|| {
        // A password may hold a bare slash, against the RFC.
        rest.rsplit_once('@').filter(|(login, _)| !login.contains('/') || login.contains(':'))
    }) else {
        return false;
    };
    let password = login.split_once(':').map_or("", |(_, password)| password);
    // A colon too: `jdbc:mysql`.
    !password.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.:".contains(&b))
}

/// Whether what connects to a service is more than an address: a login, or a long random part.
pub(super) fn has_credentials(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return true };
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let login = rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'));
    let random = |part: &str| part.len() >= 16 && part.bytes().any(|b| b.is_ascii_digit());
    login || text.split(|c: char| !c.is_ascii_alphanumeric()).any(random)
}
