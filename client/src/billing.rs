//! Keys that pay for a tool that has a login of its own: once they are exported, the tool may
//! bill them instead. Said, and never acted on.
//!
//! That they do: claude <https://github.com/Lingtai-AI/lingtai/issues/133>,
//! codex <https://github.com/openai/codex/issues/20099> (`CODEX_API_KEY` comes first in all
//! releases: <https://github.com/antonbabenko/deliberation/pull/196>),
//! gemini <https://github.com/google-gemini/gemini-cli/issues/7663>.

use crate::report;
use keyagent_wire::EnvName;
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How much of a tool's file is looked at.
const LOGIN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A tool, the variables that it takes a key from, and the files of its login.
struct Tool {
    program: &'static str,
    vars: &'static [&'static str],
    logins: &'static [Login],
}

/// A file that is there, and has that in it, once the human has logged in.
struct Login {
    /// The variable that names its directory, and where it is under HOME otherwise.
    directory: (&'static str, &'static str),
    file: &'static str,
    sign: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "claude",
        vars: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
        logins: &[
            Login {
                directory: ("CLAUDE_CONFIG_DIR", ".claude"),
                file: ".credentials.json",
                sign: "\"claudeAiOauth\"",
            },
            // Where the tokens are in a keychain, only the account is in a file.
            Login {
                directory: ("CLAUDE_CONFIG_DIR", ""),
                file: ".claude.json",
                sign: "\"oauthAccount\"",
            },
        ],
    },
    Tool {
        program: "codex",
        vars: &["OPENAI_API_KEY", "CODEX_API_KEY"],
        // Without tokens it has but the key that it was given.
        logins: &[Login {
            directory: ("CODEX_HOME", ".codex"),
            file: "auth.json",
            sign: "\"access_token\"",
        }],
    },
    Tool {
        program: "gemini",
        vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        logins: &[Login {
            directory: ("", ".gemini"),
            file: "oauth_creds.json",
            sign: "\"refresh_token\"",
        }],
    },
];

/// Warns of those that a shell gets.
pub(crate) fn warn_of_exported<'a>(vars: impl IntoIterator<Item = &'a EnvName>) {
    let vars: Vec<&str> = vars.into_iter().map(EnvName::as_str).collect();
    for tool in TOOLS {
        warn(tool, vars.iter().copied());
    }
}

/// Warns if the command is such a tool itself. For any other nothing is looked at.
pub(crate) fn warn_of_command<'a>(program: &OsStr, vars: impl IntoIterator<Item = &'a EnvName>) {
    let name = Path::new(program).file_name();
    if let Some(tool) = TOOLS.iter().find(|tool| name == Some(OsStr::new(tool.program))) {
        warn(tool, vars.into_iter().map(EnvName::as_str));
    }
}

fn warn<'a>(tool: &Tool, mut vars: impl Iterator<Item = &'a str>) {
    if let Some(var) = vars.find(|var| tool.vars.contains(var))
        && tool.logins.iter().any(Login::is_there)
    {
        let program = tool.program;
        report::warning(format!(
            "an exported `{var}` changes who is billed: `{program}` may use it instead of its own \
             login; `keyagent set --exec-only` keeps a key out of shells"
        ));
    }
}

impl Login {
    fn is_there(&self) -> bool {
        self.path().is_some_and(|path| has(&path, self.sign.as_bytes()))
    }

    fn path(&self) -> Option<PathBuf> {
        let (variable, below) = self.directory;
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let named = Some(variable).filter(|name| !name.is_empty()).and_then(set);
        let directory = match named {
            Some(directory) => PathBuf::from(directory),
            None => PathBuf::from(set("HOME")?).join(below),
        };
        Some(directory.join(self.file))
    }
}

/// Whether a file has these bytes in it. What was read is wiped: there may be tokens in it.
fn has(path: &Path, sign: &[u8]) -> bool {
    // Not to hang on a pipe.
    if !path.metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= LOGIN_BYTES_MAX) {
        return false;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(LOGIN_BYTES_MAX).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(sign.len()).any(|window| window == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_by_what_is_in_its_file() {
        let path = env::temp_dir().join(format!("keyagent-login-{}", std::process::id()));
        assert!(!has(&path, b"\"tokens\""));
        for (text, there) in [("{\"tokens\":1}", true), ("{}", false), ("", false)] {
            std::fs::write(&path, text).expect("it is ours");
            assert_eq!(has(&path, b"\"tokens\""), there, "{text}");
        }
        std::fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn every_tool_has_names_that_are_names() {
        for tool in TOOLS {
            assert!(!tool.logins.is_empty() && !tool.vars.is_empty());
            assert!(tool.vars.iter().all(|var| EnvName::new(*var).is_ok()), "{}", tool.program);
        }
    }
}
