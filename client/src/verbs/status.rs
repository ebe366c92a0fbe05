//! `status`: how the agent and its vault are, and what is loaded here. Never starts the agent.

use crate::connection::{self, Connection};
use crate::json::Object;
use crate::project::show;
use crate::report::{self, Failure};
use crate::verbs::findings;
use crate::verbs::here::Here;
use crate::{date, refusal, session};
use keyagent_wire::escape;
use keyagent_wire::frame::VERSION;
use keyagent_wire::health::Health;
use keyagent_wire::reply::{Status, VaultState};

/// The number that changes when a member of our JSON changes its meaning.
pub(crate) const SCHEMA: u64 = 1;

/// Prints it.
pub(crate) fn run(as_json: bool) -> Result<(), Failure> {
    let mut connection = Connection::open()?.ok_or_else(connection::none_running)?;
    let status = session::status(&mut connection)?;
    let socket = show(&connection::place()?.path());
    if status.protocol != VERSION {
        report::warning(refusal::other_version(status.protocol, &status.release).text);
    }
    if let Some(stale) = &status.stale {
        let why = refusal::failure(stale).text;
        report::warning(format!("{why}; the last good one is served"));
    }
    let health = findings::ask(&mut connection);
    let level = health.as_ref().map(findings::level);
    let locks = health.as_ref().and_then(locks);
    let here = Here::of(&mut connection);
    let text = match as_json {
        true => json(&status, &socket, level.as_deref(), health.as_ref(), &here.json()),
        false => {
            let here = if here.is_nowhere() { String::new() } else { here.sheet() };
            let locks = locks.unwrap_or_default();
            [sheet(&status, &socket, level.as_deref()), locks.into_bytes(), here.into_bytes()]
                .concat()
        }
    };
    report::answer(&text)
}

fn sheet(status: &Status, socket: &str, level: Option<&str>) -> Vec<u8> {
    let release = escape(status.release.as_bytes());
    let level = level.map(|level| format!("level      {level}\n")).unwrap_or_default();
    format!(
        "agent      {release}, protocol {}, pid {}\n{level}socket     {socket}\nvault      {}\n\
         file       {}\nlog        {}\n",
        status.protocol,
        status.pid,
        words(&status.vault),
        escape(&status.vault_path),
        escape(&status.log_path),
    )
    .into_bytes()
}

/// When the vault locks by itself.
fn locks(health: &Health) -> Option<String> {
    let hard = date::span(health.hard_seconds?);
    let idle = date::span(health.idle_seconds.unwrap_or_default());
    Some(format!("locks      in {idle} if nothing is handed out, in {hard} at the latest\n"))
}

/// The vault's state, in words.
pub(crate) fn words(vault: &VaultState) -> String {
    match vault {
        VaultState::Missing => "none yet: `keyagent init` makes one".to_owned(),
        VaultState::Locked => "locked".to_owned(),
        VaultState::Open { secrets, generation } => {
            let plural = if *secrets == 1 { "" } else { "s" };
            format!("open, {secrets} secret{plural}, generation {generation}")
        }
        VaultState::Unusable(why) => refusal::failure(why).text,
    }
}

fn json(
    status: &Status,
    socket: &str,
    level: Option<&str>,
    health: Option<&Health>,
    here: &[u8],
) -> Vec<u8> {
    let idle = health.and_then(|health| health.idle_seconds);
    let hard = health.and_then(|health| health.hard_seconds);
    let vault = match &status.vault {
        VaultState::Missing => Object::new().text("state", "missing"),
        VaultState::Locked => Object::new().text("state", "locked"),
        VaultState::Open { secrets, generation } => Object::new()
            .text("state", "open")
            .number("secrets", *secrets)
            .number("generation", *generation),
        VaultState::Unusable(why) => {
            Object::new().text("state", "unusable").text("why", &refusal::failure(why).text)
        }
    };
    let stale = status.stale.as_ref().map(|why| refusal::failure(why).text);
    let vault =
        vault.text("file", &escape(&status.vault_path)).text_or_null("stale", stale.as_deref());
    let mut json = Object::new()
        .number("schema", SCHEMA)
        .text("release", &status.release)
        .number("protocol", status.protocol.into())
        .number("pid", status.pid.into())
        .text_or_null("level", level)
        .text("socket", socket)
        .text("log", &escape(&status.log_path))
        .raw("vault", &vault.end())
        .number_or_null("idle_seconds", idle)
        .number_or_null("hard_seconds", hard)
        .raw("here", here)
        .end();
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::Refusal;

    fn status(vault: VaultState) -> Status {
        Status {
            release: "0.1.0".to_owned(),
            protocol: 1,
            pid: 7,
            vault,
            vault_path: b"/v/vault\x1b.age".to_vec(),
            log_path: b"/s/agent.log".to_vec(),
            stale: Some(Refusal::Conflict),
        }
    }

    #[test]
    fn every_state_of_the_vault_is_told_apart() {
        for (vault, word, state) in [
            (VaultState::Missing, "none yet", "missing"),
            (VaultState::Locked, "locked", "locked"),
            (VaultState::Open { secrets: 3, generation: 9 }, "open, 3 secrets", "open"),
            (VaultState::Unusable(Refusal::Conflict), "another program", "unusable"),
        ] {
            let status = status(vault);
            let sheet = String::from_utf8(sheet(&status, "/s", Some("full"))).expect("UTF-8");
            assert!(sheet.contains(&format!("vault      {word}")), "{sheet}");
            assert!(sheet.contains(r"/v/vault\x1b.age"), "{sheet}");
            let json = String::from_utf8(json(&status, "/s", None, None, b"{}")).expect("UTF-8");
            assert!(json.starts_with(r#"{"schema":1,"#), "{json}");
            assert!(json.contains(&format!(r#""vault":{{"state":"{state}""#)), "{json}");
        }
    }
}
