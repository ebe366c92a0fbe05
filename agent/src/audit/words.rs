//! The words of the log: how each event is called on disk, and what a word means.
//!
//! They are part of the format: a word is added, and never changed.

use super::chain::Fault;
use super::event::What;
use keyagent_wire::Refusal;
use keyagent_wire::event::{Deed, LogFault, REASON_BYTES_MAX, Reason, Way, What as Told, Why};

const WHYS: [(Why, &str); 9] = [
    (Why::Asked, "asked"),
    (Why::Stopped, "stopped"),
    (Why::Signal, "signal"),
    (Why::Idle, "idle"),
    (Why::Deadline, "deadline"),
    (Why::Sleep, "sleep"),
    (Why::Screen, "screen"),
    (Why::Logout, "logout"),
    (Why::Usurped, "usurped"),
];

const WAYS: [(Way, &str); 5] = [
    (Way::Exec, "exec"),
    (Way::Export, "export"),
    (Way::Load, "load"),
    (Way::Get, "get"),
    (Way::Original, "original"),
];

const DEEDS: [(Deed, &str); 9] = [
    (Deed::Set, "set"),
    (Deed::Removed, "removed"),
    (Deed::Moved, "moved"),
    (Deed::Allowed, "allowed"),
    (Deed::Denied, "denied"),
    (Deed::Resealed, "resealed"),
    (Deed::RecipientAdded, "recipient-added"),
    (Deed::RecipientRemoved, "recipient-removed"),
    (Deed::Rekeyed, "rekeyed"),
];

/// Those that are a word and nothing more.
const PLAIN: [(Told, &str); 10] = [
    (Told::Started, "started"),
    (Told::Stopped, "stopped"),
    (Told::Made, "made"),
    (Told::Unlocked, "unlocked"),
    (Told::UnlockFailed, "unlock-failed"),
    (Told::Allowed, "allowed"),
    (Told::Denied, "denied"),
    (Told::Reloaded, "reloaded"),
    (Told::Stranger, "stranger"),
    (Told::Assistant, "assistant"),
];

/// The event that ends an epoch.
pub const SEALED: &str = "sealed";
/// The event that begins a file after tampering.
pub const BROKEN: &str = "broken";

/// An event in words: what, how or why, and how many.
pub type Words = (&'static str, Option<&'static str>, Option<u64>);

/// How an event is written.
pub fn of(what: What) -> Words {
    match what {
        What::Told(Told::Locked(why)) => ("locked", Some(word(&WHYS, why)), None),
        What::Told(Told::Released(way)) => ("released", Some(word(&WAYS, way)), None),
        What::Told(Told::Refused(way) | Told::RefusedFor(way, _)) => {
            ("refused", Some(word(&WAYS, way)), None)
        }
        What::Told(Told::Changed(deed)) => ("changed", Some(word(&DEEDS, deed)), None),
        What::Told(Told::Broken) => (BROKEN, None, None),
        What::Told(Told::Lost(count)) => ("lost", None, Some(count)),
        What::Told(plain) => (word(&PLAIN, plain), None, None),
        What::Began => ("began", None, None),
        What::Rotated => ("rotated", None, None),
        What::Broken(fault) => (BROKEN, Some(fault_word(fault)), None),
        What::Sealed => (SEALED, None, None),
        What::Repaired(bytes) => ("repaired", None, Some(bytes)),
    }
}

/// What a human is told of that was written so; nothing of the log's own housekeeping.
pub fn meaning(event: &str, how: Option<&str>, count: Option<u64>) -> Option<Told> {
    let how = how.unwrap_or_default();
    Some(match event {
        "locked" => Told::Locked(find(&WHYS, how)?),
        "released" => Told::Released(find(&WAYS, how)?),
        "refused" => Told::Refused(find(&WAYS, how)?),
        "changed" => Told::Changed(find(&DEEDS, how)?),
        "broken" | "repaired" => Told::Broken,
        "lost" => Told::Lost(count.unwrap_or(1)),
        plain => return find(&PLAIN, plain),
    })
}

/// Whether something was handed out, or not, by an event.
pub fn decision(what: What) -> Option<&'static str> {
    match what {
        What::Told(Told::Released(_) | Told::Allowed) => Some("allow"),
        What::Told(Told::Refused(_) | Told::RefusedFor(..) | Told::Denied | Told::Stranger) => {
            Some("deny")
        }
        _ => None,
    }
}

/// The name of a refusal, and nothing of what is in it.
pub fn refusal(refusal: &Refusal) -> String {
    let text = format!("{refusal:?}");
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The same event with the name of its refusal, which a human reads as `exec-only`. A word
/// that none of us has written is left out.
pub fn because(what: Told, refusal: Option<&str>) -> Told {
    match (what, refusal.and_then(reason)) {
        (Told::Refused(way), Some(reason)) => Told::RefusedFor(way, reason),
        (what, _) => what,
    }
}

fn reason(name: &str) -> Option<Reason> {
    let mut text = String::new();
    for letter in name.chars().take(REASON_BYTES_MAX + 1) {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    Reason::new(&text)
}

/// What a client is told of a fault.
pub fn told_fault(fault: Fault) -> LogFault {
    match fault {
        Fault::Changed | Fault::Torn | Fault::Foreign | Fault::Found | Fault::State => {
            LogFault::Changed
        }
        Fault::Missing | Fault::Truncated | Fault::Restarted => LogFault::Missing,
        Fault::Reordered | Fault::Duplicate => LogFault::Order,
        Fault::WrongEpoch => LogFault::Epoch,
        Fault::Unreadable => LogFault::Unreadable,
    }
}

fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Changed => "changed",
        Fault::Missing => "missing",
        Fault::Reordered => "reordered",
        Fault::Duplicate => "duplicate",
        Fault::WrongEpoch => "wrong-epoch",
        Fault::Torn => "torn",
        Fault::Truncated => "truncated",
        Fault::Unreadable => "unreadable",
        Fault::Found => "found",
        Fault::Restarted => "restarted",
        Fault::Foreign => "foreign",
        Fault::State => "state",
    }
}

fn word<T: PartialEq>(table: &[(T, &'static str)], of: T) -> &'static str {
    table.iter().find(|(it, _)| *it == of).map_or("unknown", |(_, word)| word)
}

fn find<T: Copy>(table: &[(T, &str)], text: &str) -> Option<T> {
    table.iter().find(|(_, word)| *word == text).map(|(it, _)| *it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_that_is_told_means_itself() {
        let whys = WHYS.map(|(why, _)| Told::Locked(why)).to_vec();
        let ways = WAYS.iter().flat_map(|(way, _)| [Told::Released(*way), Told::Refused(*way)]);
        let deeds = DEEDS.iter().map(|(deed, _)| Told::Changed(*deed));
        let plain = PLAIN.iter().map(|(plain, _)| *plain);
        let all = whys.into_iter().chain(ways).chain(deeds).chain(plain);
        for told in all.chain([Told::Broken, Told::Lost(7)]) {
            let (event, how, count) = of(What::Told(told));
            assert_eq!(meaning(event, how, count), Some(told));
        }
        for own in [What::Began, What::Rotated, What::Sealed] {
            let (event, how, count) = of(own);
            assert_eq!(meaning(event, how, count), None);
        }
    }

    #[test]
    fn a_refusal_is_its_name_alone() {
        let name = keyagent_wire::SecretName::new("acme/KEY").expect("a name");
        assert_eq!(refusal(&Refusal::ExecOnly(vec![name])), "ExecOnly");
        assert_eq!(refusal(&Refusal::Locked), "Locked");
    }

    #[test]
    fn a_refusal_is_told_by_its_name_or_not_at_all() {
        let told = |name| because(Told::Refused(Way::Exec), name);
        let because_of = |name| Reason::new(name).map(|it| Told::RefusedFor(Way::Exec, it));
        assert_eq!(Some(told(Some("Locked"))), because_of("locked"));
        assert_eq!(Some(told(Some("ExecOnly"))), because_of("exec-only"));
        let long = "A".repeat(REASON_BYTES_MAX);
        for none in [None, Some(""), Some("a b"), Some("\u{1b}[31m"), Some("É"), Some(&*long)] {
            assert_eq!(told(none), Told::Refused(Way::Exec), "{none:?}");
        }
        assert_eq!(because(Told::Started, Some("Locked")), Told::Started);
        let for_it = told(Some("Locked"));
        assert_eq!(of(What::Told(for_it)), of(What::Told(told(None))));
    }
}
