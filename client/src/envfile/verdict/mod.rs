//! Decides whether an assignment holds a secret: by its shape, its name, its randomness.
//! A guess that a human sees before anything happens; it never says what the value is.

mod connections;
mod names;
mod random;
mod seen;
mod shapes;

use crate::envfile::Verdict;
use crate::envfile::why::Why;

/// Judges one assignment.
pub(super) fn of(var: &str, value: &[u8]) -> Verdict {
    let value = value.trim_ascii();
    if is_harmless(value) {
        return Verdict::Plain;
    }
    let text = str::from_utf8(value).ok();
    if let Some(kind) = shapes::find(value).or_else(|| connections::find(text?)) {
        return Verdict::Secret(Why::Shape(kind));
    }
    if let Some(word) = names::find(var, value) {
        return Verdict::Secret(Why::Name(word));
    }
    if random::is_random(var, value) { Verdict::Secret(Why::Random) } else { Verdict::Plain }
}

/// What no name makes a secret: nothing, switches, small numbers, stand-ins.
fn is_harmless(value: &[u8]) -> bool {
    const SWITCHES: &[&str] =
        &["true", "false", "yes", "no", "on", "off", "null", "none", "enabled", "disabled"];
    const STAND_INS: &[&str] = &[
        "changeme",
        "change-me",
        "change_me",
        "replaceme",
        "replace-me",
        "replace_me",
        "todo",
        "tbd",
        "fixme",
        "placeholder",
        "example",
        "redacted",
        "dummy",
        "fill-me-in",
        "...",
    ];
    let Ok(text) = str::from_utf8(value) else { return false };
    let text = text.to_ascii_lowercase();
    let text = zeroize::Zeroizing::new(text);
    let small = text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let filler = text.bytes().all(|b| b == b'x') || text.bytes().all(|b| b"*.-".contains(&b));
    let bracketed = (text.starts_with('<') && text.ends_with('>'))
        || (text.starts_with("{{") && text.ends_with("}}"));
    let yours = ["your-", "your_", "my-secret-here", "insert-", "insert_"];
    let told = text.len() < 40 && yours.iter().any(|start| text.starts_with(start));
    let told = told || (text.starts_with("your") && text.ends_with("here"));
    SWITCHES.contains(&text.as_str())
        || STAND_INS.contains(&text.as_str())
        || small
        || filler
        || bracketed
        || told
}
