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
const NU: &str = include_str!("../../../shell/hook.nu");

/// The line of a hook that says which program it asks, cut where the program's name begins.
const POSIX_CLIENT: [&str; 2] = ["__keyagent_client=", "keyagent\n"];
const FISH_CLIENT: [&str; 2] = ["set -g __keyagent_client ", "keyagent\n"];
const NU_CLIENT: [&str; 2] = ["const client = ", "\"keyagent\"\n"];

/// Prints the text, or puts it where it is found.
pub(crate) fn run(hook: &Hook) -> Result<(), Failure> {
    match hook {
        Hook::Bash => print(BASH, POSIX_CLIENT, quote::posix),
        Hook::Zsh => print(ZSH, POSIX_CLIENT, quote::posix),
        Hook::Fish => print(FISH, FISH_CLIENT, quote::fish),
        Hook::Nu => print(NU, NU_CLIENT, quote::nu),
        Hook::Direnv { install: true } => install_direnv(),
        Hook::Direnv { install: false } => report::answer(DIRENV.as_bytes()),
    }
}

/// Prints the hook of a shell, which asks just this program: what a project puts on PATH is
/// never run at a prompt.
fn print(hook: &str, line: [&str; 2], quote: fn(&mut Vec<u8>, &[u8])) -> Result<(), Failure> {
    let ours = std::env::current_exe()
        .map_err(|e| Failure::failed(format!("cannot tell where keyagent lies: {}", cause(&e))))?;
    let (head, tail) = hook.split_once(&line.concat()).expect("a test sees that the line is there");
    let mut out = [head, line[0]].concat().into_bytes();
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
        let hooks =
            [(BASH, POSIX_CLIENT), (ZSH, POSIX_CLIENT), (FISH, FISH_CLIENT), (NU, NU_CLIENT)];
        for (hook, line) in hooks {
            assert_eq!(hook.matches(&line.concat()).count(), 1, "{line:?}");
        }
    }
}
