//! `doctor`: what is set up, how well the agent is protected here, and what mends the rest.
//! Starts the agent if need be, and has something to say where that fails, too.

use crate::connection::{self, Connection};
use crate::date;
use crate::json::{self, Object};
use crate::project::{config_directory, pasted, show};
use crate::report::{self, Failure};
use crate::verbs::opening::Opening;
use crate::verbs::status::{SCHEMA, words};
use crate::verbs::{audit, findings};
use crate::{session, start};
use keyagent_wire::event::Verified;
use keyagent_wire::health::{Check, Finding, Health};
use keyagent_wire::reply::{Status, VaultState};
use keyagent_wire::request::Audit;
use keyagent_wire::{Refusal, Reply, Request, escape};
use std::env::var_os;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How much of a shell's start-up file is looked at, in bytes.
const START_UP_BYTES_MAX: u64 = 1024 * 1024;

/// What was found.
struct Report {
    agent: Result<Agent, Failure>,
    socket: String,
    config: String,
    hook: String,
}

/// What the agent says of itself.
struct Agent {
    status: Status,
    /// None of one that has never heard of it.
    health: Option<Health>,
    /// When the audit log was written last, by the wall clock.
    logged: Option<u64>,
    /// What the check of that log found; none while the vault is locked.
    verified: Result<Option<Verified>, Failure>,
}

/// Prints it. Fails if anything is less than it should be.
pub(crate) fn run(as_json: bool) -> Result<(), Failure> {
    let report = Report {
        agent: agent(),
        socket: show(&connection::place()?.path()),
        config: config(),
        hook: hook(),
    };
    report::answer(&if as_json { report.json() } else { report.sheet().into_bytes() })?;
    match report.lacking() {
        None => Ok(()),
        Some(what) => Err(Failure::failed(what)),
    }
}

fn agent() -> Result<Agent, Failure> {
    let mut connection = start::connect()?;
    let status = session::status(&mut connection)?;
    let health = findings::ask(&mut connection);
    let (logged, verified) = (logged(&mut connection), verified(&mut connection));
    Ok(Agent { status, health, logged, verified })
}

/// When the newest event that is told of was written, if there is one.
fn logged(connection: &mut Connection) -> Option<u64> {
    let newest = Request::Audit(Audit { before: None, secret: None, count: 1 });
    match connection.ask(&newest, &[]) {
        Ok(Reply::Events { events, .. }) => events.last().map(|event| event.time),
        _ => None,
    }
}

/// Checks the audit log, if the vault is open.
fn verified(connection: &mut Connection) -> Result<Option<Verified>, Failure> {
    match connection.ask(&Request::VerifyAudit, &[])? {
        Reply::Refused(Refusal::Locked | Refusal::NoVault) => Ok(None),
        reply => match session::accept(reply)? {
            Reply::Verified(verified) => Ok(Some(verified)),
            _ => Err(session::unexpected()),
        },
    }
}

/// The user's configuration.
fn config() -> String {
    let Some(path) = config_directory().map(|config| config.join("keyagent/config.toml")) else {
        return "none: HOME is not set".to_owned();
    };
    let shown = show(&path);
    if path.exists() { shown } else { format!("no `{shown}`: these are the defaults") }
}

/// The hook of the shell that the user logs in with.
fn hook() -> String {
    let shell = var_os("SHELL").map(PathBuf::from);
    let name = shell.as_deref().and_then(|path| path.file_name()?.to_str()).unwrap_or_default();
    let home = var_os("HOME").map(PathBuf::from);
    let (file, line) = match name {
        "bash" => (home.map(|home| home.join(".bashrc")), "eval \"$(keyagent hook bash)\""),
        "zsh" => {
            let place = var_os("ZDOTDIR").map(PathBuf::from).or(home);
            (place.map(|place| place.join(".zshrc")), "eval \"$(keyagent hook zsh)\"")
        }
        "fish" => (
            config_directory().map(|config| config.join("fish/config.fish")),
            "keyagent hook fish | source",
        ),
        _ => return "`keyagent hook --help` has the line for each shell".to_owned(),
    };
    let Some(file) = file else { return "none: HOME is not set".to_owned() };
    let mut text = Vec::new();
    let _ = File::open(&file).map(|file| file.take(START_UP_BYTES_MAX).read_to_end(&mut text));
    let has_it = text.windows(13).any(|window| window == b"keyagent hook");
    match has_it {
        true => format!("{name}, in {}", show(&file)),
        false => format!("none for {name}: `echo '{line}' >>{}`", pasted(&file)),
    }
}

impl Agent {
    fn rows(&self, mut row: impl FnMut(&str, &str)) {
        let status = &self.status;
        let release = escape(status.release.as_bytes());
        row("agent", &format!("{release}, pid {}", status.pid));
        row("vault", &words(&status.vault));
        if let Some(opening) = self.opening() {
            row("opens", &opening.words());
        }
        row("file", &escape(&status.vault_path));
        row("log", &escape(&status.log_path));
        match &self.verified {
            Ok(Some(Verified { bad: Some(bad), .. })) => {
                row("audit", &audit::found(*bad));
                row("", "`keyagent audit verify` says what to do");
            }
            Ok(Some(verified)) => row("audit", audit::good(verified).trim_end()),
            Ok(None) => {}
            Err(failure) => row("audit", &format!("could not be checked: {}", failure.text)),
        }
    }

    fn members(&self, json: Object) -> Object {
        let status = &self.status;
        let bad = self.verified.as_ref().ok().and_then(|verified| verified.as_ref()?.bad);
        json.text("release", &escape(status.release.as_bytes()))
            .number("pid", status.pid.into())
            .text("vault", &words(&status.vault))
            .text_or_null("opens", self.opening().map(|opening| opening.name()))
            .text("file", &escape(&status.vault_path))
            .text("log", &escape(&status.log_path))
            .text_or_null("audited", self.logged.map(date::rfc3339).as_deref())
            .text_or_null("tampered", bad.map(audit::found).as_deref())
    }

    fn opening(&self) -> Option<Opening> {
        Opening::of(Path::new(OsStr::from_bytes(&self.status.vault_path)))
    }
}

impl Report {
    fn health(&self) -> Option<&Health> {
        self.agent.as_ref().ok()?.health.as_ref()
    }

    /// What is less than it should be, in one line.
    fn lacking(&self) -> Option<String> {
        match &self.agent {
            Err(failure) => Some(failure.text.clone()),
            Ok(Agent { health: None, .. }) => {
                Some("the agent is too old to say how it is protected".to_owned())
            }
            Ok(Agent { status: Status { vault: vault @ VaultState::Unusable(_), .. }, .. }) => {
                Some(words(vault))
            }
            Ok(Agent { verified: Ok(Some(Verified { bad: Some(bad), .. })), .. }) => {
                Some(audit::found(*bad))
            }
            Ok(Agent { verified: Err(failure), .. }) => {
                Some(format!("the audit log could not be checked: {}", failure.text))
            }
            Ok(Agent { health: Some(health), .. }) if !findings::is_full(health) => {
                Some(format!("the agent's protection is {}", findings::level(health)))
            }
            Ok(_) => None,
        }
    }

    fn sheet(&self) -> String {
        let mut sheet = String::new();
        let mut row = |name: &str, text: &str| {
            // Writing into a String cannot fail.
            let _ = writeln!(sheet, "{name:<10} {text}");
        };
        match &self.agent {
            Ok(agent) => agent.rows(&mut row),
            Err(failure) => {
                row("agent", &failure.text);
                failure.hints.iter().for_each(|hint| row("", hint));
            }
        }
        row("socket", &self.socket);
        row("hook", &self.hook);
        row("config", &self.config);
        let Some(health) = self.health() else { return sheet };
        for setting in health.settings.iter().filter(|setting| !setting.value.is_empty()) {
            row("", &format!("{} = {}", escape(setting.key.as_bytes()), setting.value));
        }
        row("level", &findings::level(health));
        for finding in &health.findings {
            let grade = findings::grade(finding.grade);
            let (name, words) = (findings::name(finding.check), findings::words(finding));
            row("", &format!("{grade}  {name}: {words}{}", self.more(finding)));
            if let Some(mend) = findings::mend(finding) {
                row("", &format!("      {mend}"));
            }
        }
        sheet
    }

    /// What there is to add to a finding.
    fn more(&self, finding: &Finding) -> String {
        let logged = || self.agent.as_ref().ok()?.logged;
        let pinentry = || setting(self.health()?, "ask.pinentry");
        match finding.check {
            Check::Audit => logged().map(|at| format!("; last written {}", date::rfc3339(at))),
            Check::Pinentry => pinentry().map(|program| format!(": {program}")),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn json(&self) -> Vec<u8> {
        let json = Object::new()
            .number("schema", SCHEMA)
            .text("socket", &self.socket)
            .text("config", &self.config)
            .text("hook", &self.hook)
            .text_or_null("lacking", self.lacking().as_deref());
        let json = match &self.agent {
            Ok(agent) => agent.members(json),
            Err(_) => json,
        };
        let mut json = match self.health() {
            Some(health) => self.protections(json, health),
            None => json.text_or_null("level", None),
        }
        .end();
        json.push(b'\n');
        json
    }

    fn protections(&self, json: Object, health: &Health) -> Object {
        let settings = health.settings.iter().fold(Object::new(), |settings, setting| {
            settings.text(&escape(setting.key.as_bytes()), &setting.value)
        });
        let findings = health.findings.iter().map(|finding| {
            let words = format!("{}{}", findings::words(finding), self.more(finding));
            Object::new()
                .text("check", findings::name(finding.check))
                .text("grade", findings::grade(finding.grade))
                .text("words", &words)
                .text_or_null("mend", findings::mend(finding).as_deref())
                .end()
        });
        let level = if findings::is_full(health) { "full" } else { "degraded" };
        json.text("level", level)
            .raw("findings", &json::list(findings))
            .raw("settings", &settings.end())
    }
}

/// What a key of the configuration comes to, if that is anything.
fn setting<'a>(health: &'a Health, key: &str) -> Option<&'a str> {
    let found = health.settings.iter().find(|setting| setting.key == key);
    found.map(|setting| setting.value.as_str()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal;
    use keyagent_wire::frame::VERSION;

    fn agent(verified: Result<Option<Verified>, Failure>) -> Agent {
        let (findings, settings) = (Vec::new(), Vec::new());
        let health = Health { findings, settings, idle_seconds: None, hard_seconds: None };
        let status = Status {
            release: "1".to_owned(),
            protocol: VERSION,
            pid: 1,
            vault: VaultState::Locked,
            vault_path: b"/none/vault.age".to_vec(),
            log_path: Vec::new(),
            stale: None,
        };
        Agent { status, health: Some(health), logged: None, verified }
    }

    #[test]
    fn a_log_that_could_not_be_checked_is_not_one_that_is_locked() {
        let told = |verified| {
            let nothing = String::new;
            let agent = Ok(agent(verified));
            let report = Report { agent, socket: nothing(), config: nothing(), hook: nothing() };
            (report.sheet().contains("\naudit "), report.lacking())
        };
        assert_eq!(told(Ok(None)), (false, None));
        let (row, lacking) = told(Err(refusal::failure(&Refusal::Busy)));
        let words = "the audit log could not be checked: the agent is busy";
        assert_eq!((row, lacking.as_deref()), (true, Some(words)));
    }
}
