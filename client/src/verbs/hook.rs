//! `hook`: what a shell or direnv sources.

use crate::args::Hook;
use crate::atomic::{Look, Workplace};
use crate::project::{config_directory, show};
use crate::quote;
use crate::report::{self, Failure, cause};
use std::env;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

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

/// Writes a text as one word of a shell.
type Quote = fn(&mut Vec<u8>, &[u8]);

/// Prints the text, or puts it where it is found.
pub(crate) fn run(hook: &Hook) -> Result<(), Failure> {
    match hook {
        Hook::Bash => print(BASH, POSIX_CLIENT, quote::posix),
        Hook::Zsh => print(ZSH, POSIX_CLIENT, quote::posix),
        Hook::Fish => print(FISH, FISH_CLIENT, quote::fish),
        Hook::Nu => print(NU, NU_CLIENT, quote::nu),
        Hook::Direnv { install: true } => install_direnv(),
        Hook::Direnv { install: false } => print(DIRENV, POSIX_CLIENT, quote::posix),
    }
}

/// Prints the text of a hook.
fn print(hook: &str, line: [&str; 2], quote: Quote) -> Result<(), Failure> {
    report::answer(&text(hook, line, quote)?)
}

/// The text of a hook, which asks just this program: what a project puts on PATH is never run
/// at a prompt.
fn text(hook: &str, line: [&str; 2], quote: Quote) -> Result<Vec<u8>, Failure> {
    let (head, tail) = hook.split_once(&line.concat()).expect("a test sees that the line is there");
    let mut out = [head, line[0]].concat().into_bytes();
    quote(&mut out, our_path()?.as_os_str().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(tail.as_bytes());
    Ok(out)
}

/// Where we lie, by the name under which PATH leads to us now: a link that an update changes
/// must lead to the new one.
fn our_path() -> Result<PathBuf, Failure> {
    let ours = env::current_exe()
        .map_err(|e| Failure::failed(format!("cannot tell where keyagent lies: {}", cause(&e))))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let named = ours.file_name().unwrap_or_default();
    let leads_here =
        |path: &PathBuf| path.is_absolute() && path.canonicalize().ok().as_ref() == Some(&ours);
    let linked = env::split_paths(&path).map(|directory| directory.join(named)).find(leads_here);
    Ok(linked.unwrap_or(ours))
}

fn install_direnv() -> Result<(), Failure> {
    // direnv's own variable, for its own directory.
    let named = env::var_os("DIRENV_CONFIG").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = named.or_else(|| Some(config_directory()?.join("direnv"))).ok_or_else(|| {
        Failure::failed("cannot tell where direnv's functions lie: HOME is not set")
    })?;
    let directory = config.join("lib");
    DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(|e| {
        Failure::failed(format!("cannot make `{}`: {}", show(&directory), cause(&e)))
    })?;
    let name = "keyagent.sh";
    let text = text(DIRENV, POSIX_CLIENT, quote::posix)?;
    Workplace::claim(&directory)?.put(OsStr::new(name), &text, &Look::New(0o644))?;
    report::note(format!("wrote `{}`", show(&directory.join(name))));
    report::hint("put `use keyagent` in an .envrc, then `direnv allow`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_has_its_line() {
        let hooks = [
            (DIRENV, POSIX_CLIENT),
            (BASH, POSIX_CLIENT),
            (ZSH, POSIX_CLIENT),
            (FISH, FISH_CLIENT),
            (NU, NU_CLIENT),
        ];
        for (hook, line) in hooks {
            assert_eq!(hook.matches(&line.concat()).count(), 1, "{line:?}");
        }
    }
}
