//! The user's configuration, `config.toml`: every key optional, every unknown key an error.
//!
//! No project, no variable and no client can set any of it. Only this file knows its keys.

use keyagent_wire::health::Setting;
use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_edit::{Document, Item, TableLike};

/// The longest configuration, in bytes.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// The longest that a vault may stay open, whatever the file says.
pub const HARD_SECONDS_MAX: u64 = 12 * 3600;
/// Without anything handed out, where the user says nothing.
const IDLE_SECONDS: u64 = 15 * 60;
/// In all, where the user says nothing.
const HARD_SECONDS: u64 = 8 * 3600;
/// A century.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The longest that a human is waited for.
const ASK_SECONDS_MAX: u64 = 600;

/// What the user has configured, or the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Start only with every protection that there is (`require = "full"`).
    pub require_full: bool,
    /// See [`Lock`].
    pub lock: Lock,
    /// See [`Ask`].
    pub ask: Ask,
}

/// When the vault locks by itself (`[lock]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// After so long without handing out anything (`idle = "15m"`).
    pub idle: Option<Duration>,
    /// After so long, come what may (`hard = "8h"`, 12h at most).
    pub hard: Option<Duration>,
    /// When the machine goes to sleep (`on_sleep = true`).
    pub on_sleep: bool,
    /// When the screen is locked (`on_screen_lock = true`).
    pub on_screen_lock: bool,
    /// When the session ends (`on_logout = true`).
    pub on_logout: bool,
}

/// How the human is asked (`[ask]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The program that asks (`pinentry = "/usr/bin/pinentry"`); found where systems have it
    /// if absent.
    pub pinentry: Option<PathBuf>,
    /// How long it waits for an answer (`timeout = "30s"`).
    pub timeout: Duration,
}

impl Lock {
    /// How long at most without handing out anything.
    pub fn idle(&self) -> Duration {
        self.idle.unwrap_or(Duration::from_secs(IDLE_SECONDS))
    }

    /// How long at most.
    pub fn hard(&self) -> Duration {
        self.hard.unwrap_or(Duration::from_secs(HARD_SECONDS))
    }

    /// How long a vault stays open that opens by itself (`init --no-passphrase`): as long as
    /// the user says, and for ever if the user says nothing, because nobody may be there to
    /// open it again.
    pub fn unsealed(&self) -> Option<(Duration, Duration)> {
        let says = self.idle.is_some() || self.hard.is_some();
        let limit = |limit: Option<Duration>| limit.unwrap_or(FOR_EVER);
        says.then(|| (limit(self.idle), limit(self.hard)))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            require_full: false,
            lock: Lock {
                idle: None,
                hard: None,
                on_sleep: true,
                on_screen_lock: true,
                on_logout: true,
            },
            ask: Ask { pinentry: None, timeout: Duration::from_secs(30) },
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The system would not let us.
    Io(io::Error),
    /// It belongs to another user, or others may write it.
    NotPrivate,
    /// It is longer than any that means well.
    TooLong,
    /// It says what it may not: the line, from 1, and what is wrong there.
    Line(usize, Fault),
}

/// What is wrong in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not TOML.
    Syntax,
    /// A key that there is not, and those that there are.
    UnknownKey(&'static str),
    /// A value that the key does not take, and what it does.
    Wants(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotPrivate => f.write_str("it belongs to another user, or others may write it"),
            Self::TooLong => f.write_str("it is longer than 64 KiB"),
            Self::Line(line, Fault::Syntax) => write!(f, "line {line} is not TOML"),
            Self::Line(line, Fault::UnknownKey(known)) => {
                write!(f, "line {line} has an unknown key: there is {known}")
            }
            Self::Line(line, Fault::Wants(what)) => write!(f, "line {line} wants {what}"),
        }
    }
}

impl Config {
    /// Reads it; the defaults where there is none.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        match text_of(path) {
            Ok(Some(text)) => Self::parse(&text),
            Ok(None) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Parses its text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::Line(line_of(text, at), Fault::Syntax)
        })?;
        let mut config = Self::default();
        for (key, item) in document.as_table().iter() {
            config.set(key, item).map_err(|fault| at(text, document.as_table(), key, fault))?;
            let Some(table) = item.as_table_like() else { continue };
            for (inner, item) in table.iter() {
                config.set_in(key, inner, item).map_err(|fault| at(text, table, inner, fault))?;
            }
        }
        Ok(config)
    }

    /// Every key, and what it comes to.
    pub fn effective(&self) -> Vec<Setting> {
        let level = if self.require_full { "full" } else { "degraded" };
        let pinentry = self.ask.pinentry.as_deref().map(quoted);
        [
            ("require", format!("\"{level}\"")),
            ("lock.idle", format!("\"{}\"", written(self.lock.idle()))),
            ("lock.hard", format!("\"{}\"", written(self.lock.hard()))),
            ("lock.on_sleep", self.lock.on_sleep.to_string()),
            ("lock.on_screen_lock", self.lock.on_screen_lock.to_string()),
            ("lock.on_logout", self.lock.on_logout.to_string()),
            ("ask.pinentry", pinentry.unwrap_or_default()),
            ("ask.timeout", format!("\"{}\"", written(self.ask.timeout))),
        ]
        .map(|(key, value)| Setting { key: key.to_owned(), value })
        .into()
    }

    fn set(&mut self, key: &str, item: &Item) -> Result<(), Fault> {
        match key {
            "require" => {
                self.require_full = match item.as_str() {
                    Some("full") => true,
                    Some("degraded") => false,
                    _ => return Err(Fault::Wants("\"full\" or \"degraded\"")),
                };
            }
            "lock" | "ask" if item.is_table_like() => {}
            "lock" | "ask" => return Err(Fault::Wants("a table")),
            _ => return Err(Fault::UnknownKey("require, [lock] and [ask]")),
        }
        Ok(())
    }

    fn set_in(&mut self, table: &str, key: &str, item: &Item) -> Result<(), Fault> {
        match (table, key) {
            ("lock", "idle") => self.lock.idle = Some(span(item, HARD_SECONDS_MAX)?),
            ("lock", "hard") => self.lock.hard = Some(span(item, HARD_SECONDS_MAX)?),
            ("lock", "on_sleep") => self.lock.on_sleep = flag(item)?,
            ("lock", "on_screen_lock") => self.lock.on_screen_lock = flag(item)?,
            ("lock", "on_logout") => self.lock.on_logout = flag(item)?,
            ("ask", "timeout") => self.ask.timeout = span(item, ASK_SECONDS_MAX)?,
            ("ask", "pinentry") => {
                let path = item.as_str().map(PathBuf::from).filter(|path| path.is_absolute());
                self.ask.pinentry = Some(path.ok_or(Fault::Wants("an absolute path"))?);
            }
            ("lock", _) => return Err(Fault::UnknownKey(LOCK_KEYS)),
            _ => return Err(Fault::UnknownKey("pinentry and timeout in [ask]")),
        }
        Ok(())
    }
}

/// What there is in its table.
const LOCK_KEYS: &str = "idle, hard, on_sleep, on_screen_lock and on_logout in [lock]";

/// A path as TOML has it.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", keyagent_wire::escape(path.as_os_str().as_encoded_bytes()))
}

fn flag(item: &Item) -> Result<bool, Fault> {
    item.as_bool().ok_or(Fault::Wants("true or false"))
}

fn span(item: &Item, seconds_max: u64) -> Result<Duration, Fault> {
    let wanted = Fault::Wants("a time like \"90s\", \"15m\" or \"8h\", 12h at most (600s to ask)");
    let seconds = item.as_str().and_then(seconds_of).ok_or(wanted)?;
    if (1..=seconds_max).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(wanted)
    }
}

/// `90s`, `15m`, `8h`.
fn seconds_of(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| number.parse::<u64>().ok())??
        .checked_mul(unit)
}

/// The other way round.
fn written(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

fn at(text: &str, table: &dyn TableLike, key: &str, fault: Fault) -> ConfigError {
    let span = table.get_key_value(key).and_then(|(key, _)| key.span());
    ConfigError::Line(line_of(text, span.map_or(0, |span| span.start)), fault)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn text_of(path: &Path) -> Result<Option<String>, ConfigError> {
    use io::Read;
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(ConfigError::Io)?,
    };
    let facts = file.metadata().map_err(ConfigError::Io)?;
    let ours = facts.uid() == nix::unistd::geteuid().as_raw() || facts.uid() == 0;
    if !facts.is_file() || !ours || facts.mode() & 0o022 != 0 {
        return Err(ConfigError::NotPrivate);
    }
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text).map_err(ConfigError::Io)?;
    if text.len() as u64 > CONFIG_BYTES_MAX { Err(ConfigError::TooLong) } else { Ok(Some(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_optional_and_known() {
        assert_eq!(Config::parse("").ok(), Some(Config::default()));
        let text = "require = \"full\"\n[lock]\nidle = \"5m\"\nhard = \"1h\"\non_sleep = false\n\
                    [ask]\ntimeout = \"20s\"\npinentry = \"/usr/bin/pinentry-curses\"\n";
        let config = Config::parse(text).expect("it is good");
        assert!(config.require_full && !config.lock.on_sleep && config.lock.on_logout);
        assert_eq!(config.lock.idle, Some(Duration::from_secs(300)));
        assert_eq!(config.lock.hard, Some(Duration::from_secs(3600)));
        assert_eq!(config.ask.timeout, Duration::from_secs(20));
    }

    #[test]
    fn what_is_effective_reads_back_as_itself() {
        let text = "require = \"full\"\nlock.idle = \"90s\"\nlock.hard = \"2h\"\n\
                    ask.pinentry = \"/usr/bin/pinentry\"\n";
        for config in [Config::default(), Config::parse(text).expect("it is good")] {
            let effective = config.effective();
            let lines = effective.iter().filter(|setting| !setting.value.is_empty());
            let text: String = lines.map(|s| format!("{} = {}\n", s.key, s.value)).collect();
            let again = Config::parse(&text).map(|config| config.effective());
            assert_eq!(again.ok(), Some(effective), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, words) in [
            ("a = ", 1, "not TOML"),
            ("\nidle = \"5m\"\n", 2, "unknown key"),
            ("[lock]\nidle = \"5m\"\nidel = 1\n", 3, "there is idle, hard"),
            ("[ask]\npin = 1\n", 2, "there is pinentry and timeout in [ask]"),
            ("[lock]\nidle = 5\n", 2, "wants a time"),
            ("[lock]\nhard = \"13h\"\n", 2, "wants a time"),
            ("[lock]\nhard = \"0s\"\n", 2, "wants a time"),
            ("[lock]\nhard = \"+1h\"\n", 2, "wants a time"),
            ("[lock]\nhard = \"\u{e9}\"\n", 2, "wants a time"),
            ("lock = 1\n", 1, "wants a table"),
            ("[ask]\npinentry = \"pinentry\"\n", 2, "absolute path"),
            ("require = \"all\"\n", 1, "\"full\""),
        ] {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("line {line} ")) && error.contains(words), "{error}");
        }
    }
}
