//! `exec`: becomes the command, with the keys in its environment.
//!
//! By execve and never by a child: signals, exit status, terminal and pid are the
//! command's own.

use crate::args::ExecArgs;
use crate::billing;
use crate::project::{self, Project};
use crate::record::{self, Record};
use crate::report::{Failure, Kind, cause};
use crate::session::{Session, unexpected};
use keyagent_wire::request::Resolve;
use keyagent_wire::{Channel, EnvName, Reply, Request, Value, escape};
use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What `--pristine` leaves of our environment, beside `LC_*`.
const PRISTINE_KEPT: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// Becomes the command, or says why not.
pub(crate) fn run(args: &ExecArgs) -> Result<Infallible, Failure> {
    let project = project::nearest_or_own()?;
    if project.is_none() && args.env.is_empty() {
        let example = "`keyagent exec --env VAR=NAME -- CMD` names a secret by hand";
        return Err(project::none_found().hint(example));
    }
    let resolve = Request::Resolve(Resolve {
        channel: Channel::Exec,
        profile: args.profile.clone(),
        only: args.only.clone(),
        extra: args.env.clone(),
    });
    match Session::begin()?.ask_about(&resolve, project.as_ref())? {
        Reply::Env(env) => Err(become_command(args, project.as_ref(), env)),
        _ => Err(unexpected()),
    }
}

/// Returns only if the command could not be run.
fn become_command(
    args: &ExecArgs,
    project: Option<&Project>,
    env: Vec<(EnvName, Value)>,
) -> Failure {
    let Some((program, rest)) = args.command.split_first() else {
        return Failure::usage("which command? none was given");
    };
    billing::warn_of_command(program, env.iter().map(|(var, _)| var));
    let mut command = Command::new(program);
    command.args(rest);
    if args.pristine {
        command.env_clear().envs(env::vars_os().filter(|(variable, _)| is_kept(variable)));
    } else {
        take_away(&mut command, &record::of_environment());
        take_copies_away(&mut command, project);
    }
    for (var, value) in env {
        command.env(var.as_str(), OsString::from_vec(value.expose().to_vec()));
    }
    not_run(program, &command.exec())
}

/// What the shell was given is not its user's own: another project's keys, those of an older
/// version, or ones that `--only` left out. They are what they were before the shell had them.
fn take_away(command: &mut Command, given: &[Record]) {
    for (var, before) in given.iter().flat_map(Record::before) {
        match before {
            Some(value) => command.env(var, value),
            None => command.env_remove(var),
        };
    }
    if !given.is_empty() {
        for (variable, _) in env::vars_os().filter(|(variable, _)| record::belongs(variable)) {
            command.env_remove(variable);
        }
    }
}

/// direnv's own copy of the keys goes, too, if they are another project's.
fn take_copies_away(command: &mut Command, project: Option<&Project>) {
    let Some(record) = record::of(record::BY_DIRENV) else { return };
    if project.is_none_or(|project| project.path() != record.directory) {
        for variable in record::DIRENV_STATE {
            command.env_remove(variable);
        }
    }
}

fn is_kept(variable: &OsStr) -> bool {
    PRISTINE_KEPT.iter().any(|kept| variable == *kept) || variable.as_bytes().starts_with(b"LC_")
}

/// As env(1): 127 if there is no such command, 126 if it cannot be run.
fn not_run(program: &OsStr, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::NotRunnable,
    };
    Failure::new(kind, format!("cannot run `{}`: {}", escape(program.as_bytes()), cause(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pristine_keeps_what_programs_cannot_do_without() {
        for kept in ["PATH", "HOME", "LC_ALL", "LC_CTYPE", "TERM", "TMPDIR"] {
            assert!(is_kept(OsStr::new(kept)), "{kept}");
        }
        for gone in ["LD_PRELOAD", "OPENAI_API_KEY", "PATHS", "SSH_AUTH_SOCK", "lc_all"] {
            assert!(!is_kept(OsStr::new(gone)), "{gone}");
        }
    }

    #[test]
    fn what_cannot_be_run_has_the_exit_code_of_env() {
        let code = |errno| not_run(OsStr::new("x"), &io::Error::from_raw_os_error(errno)).kind;
        assert_eq!(code(2), Kind::NotFound);
        assert_eq!(code(13), Kind::NotRunnable);
        assert_eq!(code(8), Kind::NotRunnable);
    }
}
