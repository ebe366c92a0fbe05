//! `audit`: who had what, when, as the agent's log has it. `audit verify` checks that log.

use crate::args::{AuditArgs, AuditCheck};
use crate::date;
use crate::json::{self, Object};
use crate::project::pasted;
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use crate::verbs::status::SCHEMA;
use keyagent_wire::event::{Bad, Deed, Event, LogFault, Process, Verified, Way, What, Why};
use keyagent_wire::request::Audit;
use keyagent_wire::{Refusal, Reply, Request, SecretName, escape};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Does what was asked.
pub(crate) fn run(args: AuditArgs) -> Result<(), Failure> {
    match args.check {
        Some(AuditCheck::Verify) => verify(),
        None => tell(&args),
    }
}

fn tell(args: &AuditArgs) -> Result<(), Failure> {
    let mut session = Session::begin()?;
    let events = newest(&mut session, args)?;
    let text = if args.json {
        let list = json::list(events.iter().map(object));
        let mut text = Object::new().number("schema", SCHEMA).raw("events", &list).end();
        text.push(b'\n');
        text
    } else {
        events.iter().map(line).collect::<String>().into_bytes()
    };
    report::answer(&text)?;
    match &args.secret {
        Some(name) if events.is_empty() && args.count > 0 => none_about(&mut session, name),
        _ => {}
    }
    Ok(())
}

/// A name that was mistyped looks like a secret that nobody had. A locked vault cannot tell.
fn none_about(session: &mut Session, name: &SecretName) {
    report::note(format!("no events about `{name}`"));
    let absent = Refusal::NoSuchSecret(vec![name.clone()]);
    let show = Request::Show { name: name.clone() };
    if let Ok(None) = session.ask_unless(&show, &absent) {
        report::hint("there is no such secret: `keyagent list` shows the names");
    }
}

/// Page by page, from the newest back.
fn newest(session: &mut Session, args: &AuditArgs) -> Result<VecDeque<Event>, Failure> {
    let mut all = VecDeque::new();
    loop {
        let count = args.count.saturating_sub(all.len() as u32);
        let before = all.front().map(|event: &Event| event.seq);
        let ask = Request::Audit(Audit { before, secret: args.secret.clone(), count });
        let Reply::Events { events, more } = session.ask(&ask)? else { return Err(unexpected()) };
        let is_empty = events.is_empty();
        events.into_iter().rev().for_each(|event| all.push_front(event));
        if !more || is_empty || all.len() >= args.count as usize {
            return Ok(all);
        }
    }
}

fn verify() -> Result<(), Failure> {
    let mut session = Session::begin()?;
    let Reply::Verified(verified) = session.ask(&Request::VerifyAudit)? else {
        return Err(unexpected());
    };
    match verified.bad {
        None => report::answer(good(&verified).as_bytes()),
        Some(bad) => {
            let log = session.status()?.log_path;
            let state = Path::new(OsStr::from_bytes(&log)).parent();
            Err(tampered(&verified, bad, state.unwrap_or(Path::new("/"))))
        }
    }
}

/// What was found, and what a human does about it. Only what is kept aside while no agent
/// writes it ends the complaint: a running agent knows that its log was longer.
fn tampered(verified: &Verified, bad: Bad, state: &Path) -> Failure {
    let (place, evidence) = (pasted(state), pasted(&evidence(state)));
    let failure = Failure::failed(found(bad))
        .hint(format!("{} events are good; `keyagent audit` shows the log as it is", verified.good))
        .hint(format!("it lies in {place}, and is evidence: change nothing in it"));
    // A second agent of the same user has a log of its own, and nobody says whose is whose.
    let (failure, logs) = match state.join("audit-2.lock").exists() {
        true => (failure.hint("more than one agent wrote logs there: stop each first"), "audit*.*"),
        false => (failure, "audit.*"),
    };
    failure.hint(format!(
        "`keyagent stop; mkdir -m 700 {evidence} && mv {place}/{logs} {evidence} && keyagent \
         unlock` keeps it aside and begins a new log"
    ))
}

/// What `doctor` says of it, too.
pub(crate) fn found(bad: Bad) -> String {
    let fault = match bad.fault {
        LogFault::Changed => "was changed, or is not ours",
        LogFault::Missing => "is missing",
        LogFault::Order => "is at the wrong place",
        LogFault::Epoch => "is sealed by the key of another time",
        LogFault::Unreadable => "cannot be read",
    };
    format!("the audit log was tampered with: event {} {fault}", bad.seq)
}

/// The first name that is free.
fn evidence(state: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let path = state.join(format!("evidence-{number}"));
        if path.symlink_metadata().is_err() {
            return path;
        }
        number += 1;
    }
}

/// The same, where nothing was.
pub(crate) fn good(verified: &Verified) -> String {
    let Verified { good, unanchored, .. } = verified;
    format!("{good} events, all as they were written; {unanchored} since the last anchor\n")
}

fn line(event: &Event) -> String {
    let (what, how) = words(event.what);
    let mut line = format!("{}  {:>6}  {what}", date::rfc3339(event.time), event.seq);
    if !how.is_empty() {
        line.push_str(&format!(" ({how})"));
    }
    if let Some(why) = refusal(&event.what) {
        line.push_str(&format!(": {why}"));
    }
    if let What::Lost(count) = event.what {
        line.push_str(&format!(" ({count})"));
    }
    if !event.secrets.is_empty() {
        let names: Vec<_> = event.secrets.iter().map(named).collect();
        line.push_str(&format!("  {}", names.join(", ")));
    }
    if let Some(project) = &event.project {
        line.push_str(&format!("  in {}", escape(project)));
    }
    if let Some(by) = &event.by {
        line.push_str(&format!("  {}", process(by)));
    }
    line.push('\n');
    line
}

/// The nearest processes by name: unverified, and said so.
fn process(by: &Process) -> String {
    let programs: Vec<_> = by.ancestry.iter().map(|(_, name)| escape(name.as_bytes())).collect();
    let mut text = format!("by pid {}", by.pid);
    if !programs.is_empty() {
        text.push_str(&format!(" (unverified: {})", programs.join(" < ")));
    }
    if let Some(tty) = &by.tty {
        text.push_str(&format!(" on {}", escape(tty.as_bytes())));
    }
    if let Some(assistant) = &by.assistant {
        text.push_str(&format!(", assistant {}", escape(assistant.as_bytes())));
    }
    if matches!(by.uid, uid if uid != nix::unistd::geteuid().as_raw()) {
        text.push_str(&format!(", uid {}", by.uid));
    }
    text
}

fn named((name, version): &(SecretName, Option<u32>)) -> String {
    version.map_or(name.as_str().to_owned(), |version| format!("{name}@{version}"))
}

fn object(event: &Event) -> Vec<u8> {
    let (what, how) = words(event.what);
    let secret = |(name, version): &(SecretName, Option<u32>)| {
        let object = Object::new().text("name", name.as_str());
        object.number_or_null("version", version.map(u64::from)).end()
    };
    let mut object = Object::new()
        .number("seq", event.seq)
        .text("time", &date::rfc3339(event.time))
        .text("event", what)
        .text_or_null("how", Some(how).filter(|how| !how.is_empty()))
        .text_or_null("refusal", refusal(&event.what));
    if let What::Lost(count) = event.what {
        object = object.number("count", count);
    }
    let project = event.project.as_ref().map(|project| String::from_utf8_lossy(project));
    object = object
        .text_or_null("project", project.as_deref())
        .raw("secrets", &json::list(event.secrets.iter().map(secret)));
    match &event.by {
        Some(by) => object.raw("by", &process_object(by)).end(),
        None => object.raw("by", b"null").end(),
    }
}

fn process_object(by: &Process) -> Vec<u8> {
    let ancestor = |(pid, program): &(i32, String)| {
        Object::new().raw("pid", pid.to_string().as_bytes()).text("program", program).end()
    };
    Object::new()
        .number("uid", by.uid.into())
        .raw("pid", by.pid.to_string().as_bytes())
        .raw("sid", by.sid.to_string().as_bytes())
        .text_or_null("tty", by.tty.as_deref())
        .text_or_null("assistant", by.assistant.as_deref())
        .raw("unverified", &json::list(by.ancestry.iter().map(ancestor)))
        .end()
}

/// The name of the refusal, where the log has one.
fn refusal(what: &What) -> Option<&str> {
    match what {
        What::RefusedFor(_, why) => Some(why.as_str()),
        _ => None,
    }
}

fn words(what: What) -> (&'static str, &'static str) {
    match what {
        What::Started => ("started", ""),
        What::Stopped => ("stopped", ""),
        What::Made => ("vault made", ""),
        What::Unlocked => ("unlocked", ""),
        What::UnlockFailed => ("unlock failed", ""),
        What::Locked(why) => ("locked", why_word(why)),
        What::Released(way) => ("released", way_word(way)),
        What::Refused(way) | What::RefusedFor(way, _) => ("refused", way_word(way)),
        What::Allowed => ("allowed by the human", ""),
        What::Denied => ("denied by the human", ""),
        What::Changed(deed) => ("changed", deed_word(deed)),
        What::Reloaded => ("vault file reloaded", ""),
        What::Broken => ("log broken", ""),
        What::Lost(_) => ("events lost", ""),
        What::Stranger => ("stranger turned away", ""),
        What::Assistant => ("assistant seen", ""),
    }
}

fn why_word(why: Why) -> &'static str {
    match why {
        Why::Asked => "asked",
        Why::Stopped => "stopped",
        Why::Signal => "signal",
        Why::Idle => "idle",
        Why::Deadline => "deadline",
        Why::Sleep => "sleep",
        Why::Screen => "screen",
        Why::Logout => "logout",
        Why::Usurped => "usurped",
    }
}

fn way_word(way: Way) -> &'static str {
    match way {
        Way::Exec => "exec",
        Way::Export => "export",
        Way::Load => "load",
        Way::Get => "get",
        Way::Original => "original",
    }
}

fn deed_word(deed: Deed) -> &'static str {
    match deed {
        Deed::Set => "set",
        Deed::Removed => "removed",
        Deed::Moved => "moved",
        Deed::Allowed => "allowed",
        Deed::Denied => "denied",
        Deed::Resealed => "resealed",
        Deed::RecipientAdded => "recipient added",
        Deed::RecipientRemoved => "recipient removed",
        Deed::Rekeyed => "rekeyed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::event::Reason;

    fn event() -> Event {
        Event {
            seq: 7,
            time: 86_400,
            what: What::Released(Way::Exec),
            by: Some(Process {
                uid: nix::unistd::geteuid().as_raw(),
                pid: 42,
                sid: 40,
                tty: Some("pts/3".to_owned()),
                ancestry: vec![(42, "keyagent".to_owned()), (40, "ba\u{1b}sh".to_owned())],
                assistant: Some("claude".to_owned()),
            }),
            project: Some(b"/home/ada/\x1bacme".to_vec()),
            secrets: vec![(SecretName::new("a/B").expect("a name"), Some(3))],
        }
    }

    #[test]
    fn events_are_a_line_each_and_bare_of_control_characters() {
        let line = line(&event());
        assert_eq!(
            line,
            "1970-01-02T00:00:00Z       7  released (exec)  a/B@3  in /home/ada/\\x1bacme  \
             by pid 42 (unverified: keyagent < ba\\x1bsh) on pts/3, assistant claude\n"
        );
    }

    #[test]
    fn events_are_told_to_tools() {
        let json = String::from_utf8(object(&event())).expect("UTF-8");
        assert!(json.starts_with(r#"{"seq":7,"time":"1970-01-02T00:00:00Z","event":"released""#));
        assert!(json.contains(r#""secrets":[{"name":"a/B","version":3}]"#), "{json}");
        assert!(json.contains(r#""how":"exec","refusal":null,"#), "{json}");
        assert!(json.contains(r#""assistant":"claude","unverified":[{"pid":42"#), "{json}");
    }
    #[test]
    fn a_refusal_says_why() {
        let why = Reason::new("exec-only").expect("a name");
        let event = Event { what: What::RefusedFor(Way::Export, why), ..event() };
        assert!(line(&event).contains("  refused (export): exec-only  a/B@3  in "));
        let json = String::from_utf8(object(&event)).expect("UTF-8");
        let wanted = r#""event":"refused","how":"export","refusal":"exec-only","#;
        assert!(json.contains(wanted), "{json}");
    }
}
