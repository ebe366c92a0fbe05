//! `hook`: what a shell or direnv sources.

use crate::args::Hook;
use crate::atomic::{Look, Workplace};
use crate::project::{config_directory, show};
use crate::quote;
use crate::report::{self, Failure, cause};
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;

/// The use_keyagent function of direnv.
const DIRENV: &str = include_str!("../../../shell/direnv.sh");
const BASH: &str = include_str!("../../../shell/hook.bash");
const ZSH: &str = include_str!("../../../shell/hook.zsh");
const FISH: &str = include_str!("../../../shell/hook.fish");

/// The line of a hook that says which program it asks, up to the program's name.
const POSIX_CLIENT: &str = "__keyagent_client=";
const FISH_CLIENT: &str = "set -g __keyagent_client ";

/// Prints the text, or puts it where it is found.
pub(crate) fn run(hook: &Hook) -> Result<(), Failure> {
    match hook {
        Hook::Bash => print(BASH, POSIX_CLIENT, quote::posix),
        Hook::Zsh => print(ZSH, POSIX_CLIENT, quote::posix),
        Hook::Fish => print(FISH, FISH_CLIENT, quote::fish),
        Hook::Direnv { install: true } => install_direnv(),
        Hook::Direnv { install: false } => report::answer(DIRENV.as_bytes()),
    }
}

/// Prints the hook of a shell, which asks just this program: what a project puts on PATH is
/// never run at a prompt.
fn print(hook: &str, before: &str, quote: fn(&mut Vec<u8>, &[u8])) -> Result<(), Failure> {
    let ours = std::env::current_exe()
        .map_err(|e| Failure::failed(format!("cannot tell where keyagent lies: {}", cause(&e))))?;
    let (head, tail) = hook
        .split_once(&format!("{before}keyagent\n"))
        .expect("a test sees that the line is there");
    let mut out = [head, before].concat().into_bytes();
    quote(&mut out, ours.as_os_str().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(tail.as_bytes());
    report::answer(&out)
}

fn install_direnv() -> Result<(), Failure> {
    let config = config_directory().ok_or_else(|| {
        Failure::failed("cannot tell where direnv's functions lie: HOME is not set")
    })?;
    let directory = config.join("direnv/lib");
    DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(|e| {
        Failure::failed(format!("cannot make `{}`: {}", show(&directory), cause(&e)))
    })?;
    let name = "keyagent.sh";
    Workplace::claim(&directory)?.put(OsStr::new(name), DIRENV.as_bytes(), &Look::New(0o644))?;
    report::note(format!("wrote `{}`", show(&directory.join(name))));
    report::hint("put `use keyagent` in an .envrc, then `direnv allow`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_has_its_line() {
        for (hook, before) in [(BASH, POSIX_CLIENT), (ZSH, POSIX_CLIENT), (FISH, FISH_CLIENT)] {
            assert_eq!(hook.matches(&format!("{before}keyagent\n")).count(), 1, "{before}");
        }
    }
}
