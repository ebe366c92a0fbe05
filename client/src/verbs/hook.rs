//! `hook`: what a shell or direnv sources.

use crate::args::Hook;
use crate::atomic::{Look, Workplace};
use crate::project::{config_directory, show};
use crate::report::{self, Failure, cause};
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

/// The use_keyagent function of direnv.
const DIRENV: &str = include_str!("../../../shell/direnv.sh");

/// Prints the text, or puts it where it is found.
pub(crate) fn run(hook: &Hook) -> Result<(), Failure> {
    let Hook::Direnv { install } = hook;
    if *install { install_direnv() } else { report::answer(DIRENV.as_bytes()) }
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
