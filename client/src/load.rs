//! `export --hook`: what direnv and the hooks of shells ask for at a prompt.
//!
//! What is to be watched is printed whatever comes of the keys, so that a project that is
//! locked or not allowed loads by itself once it may. The keys are all there, or none.
//! Nobody is ever asked for anything.

mod answer;

use crate::args::{ExportArgs, Format};
use crate::billing;
use crate::connection;
use crate::project::{self, Project};
use crate::record;
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use crate::stamp::Stamp;
use keyagent_wire::reply::Loaded;
use keyagent_wire::request::Binding;
use keyagent_wire::{ProfileName, Reply, Request};
use std::path::PathBuf;

/// Who evaluates what is printed, and how they quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// `use_keyagent`, in the bash that direnv runs.
    Direnv,
    /// `hook.bash` and `hook.zsh`.
    Posix,
    /// `hook.fish`.
    Fish,
    /// `hook.nu`, which evaluates nothing: it gets JSON.
    Nu,
}

/// The manifest that counts here, and what tells that it is to be asked about again.
struct Stand {
    project: Project,
    stamp: Option<Stamp>,
    /// For the hooks: there as long as the stamp is what it is now.
    mark: Option<PathBuf>,
}

/// Prints it. A failure is one line, after what is to be watched.
pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    load(args).map_err(Failure::on_one_line)
}

fn load(args: &ExportArgs) -> Result<(), Failure> {
    let (reader, profile) = (reader(args.format)?, args.profile.as_ref());
    let (stand, env) = match project::nearest_or_own() {
        Ok(Some(project)) => {
            // An agent that starts bumps all stamps: first the agent, then the stamp.
            let session = match args.if_running {
                true => Session::begin_if_running(),
                false => Session::begin_at_prompt(),
            };
            let stand = Stand::of(project, reader);
            let env = session.and_then(|mut session| {
                stand.must_be_watched(reader)?;
                ask(&mut session, &stand, profile)
            });
            (Some(stand), env)
        }
        Ok(None) if reader == Reader::Direnv => (None, Err(project::none_found())),
        Ok(None) => (None, Ok(Vec::new())),
        Err(failure) => (None, Err(failure)),
    };
    let env = match (reader, &stand) {
        (Reader::Nu, Some(stand)) => env.and_then(|env| as_text(stand, env)),
        _ => env,
    };
    report::answer(&answer::compose(reader, stand.as_ref(), profile, env.as_deref().ok()))?;
    let env = env?;
    // What this shell has already was warned of when it got it.
    let had = record::of_environment();
    let vars = env.iter().map(|loaded| &loaded.binding.var);
    billing::warn_of_exported(vars.filter(|var| !had.iter().any(|record| record.names(var))));
    Ok(())
}

/// What direnv is to watch for a project.
pub(crate) fn watch_lines(project: &Project) -> Vec<u8> {
    let mut out = Vec::new();
    answer::watch(&mut out, Some(project), stamp(project).as_ref());
    out
}

fn reader(format: Format) -> Result<Reader, Failure> {
    match format {
        Format::Direnv => Ok(Reader::Direnv),
        Format::Bash | Format::Zsh => Ok(Reader::Posix),
        Format::Fish => Ok(Reader::Fish),
        Format::Nu => Ok(Reader::Nu),
        Format::Sh | Format::Json | Format::Dotenv => {
            Err(Failure::usage("`--hook` goes with the formats bash, zsh, fish, nu and direnv"))
        }
    }
}

impl Stand {
    fn of(project: Project, reader: Reader) -> Self {
        let stamp = stamp(&project);
        let mark = stamp.as_ref().filter(|_| reader != Reader::Direnv).and_then(Stamp::mark);
        Self { project, stamp, mark }
    }

    /// Where nobody could tell a shell that it should ask again, it gets no key: it would have
    /// it after a lock.
    fn must_be_watched(&self, reader: Reader) -> Result<(), Failure> {
        let is_watched = match reader {
            Reader::Direnv => self.stamp.is_some(),
            _ => self.mark.is_some(),
        };
        if is_watched {
            return Ok(());
        }
        let place = connection::place()?;
        let directory = project::show(&keyagent_wire::stamp::directory(&place));
        Err(Failure::failed(format!(
            "cannot tell when keys change: no file can be made in `{directory}`"
        ))
        .hint("`keyagent exec -- CMD` needs none"))
    }

    /// The user's own manifest is there wherever no project is, so a profile of a project is
    /// none of its.
    fn profile<'a>(&self, asked: Option<&'a ProfileName>) -> Option<&'a ProfileName> {
        asked.filter(|_| !self.project.is_own())
    }
}

fn stamp(project: &Project) -> Option<Stamp> {
    connection::place().ok().and_then(|place| Stamp::of(&place, &project.path()))
}

fn ask(
    session: &mut Session,
    stand: &Stand,
    profile: Option<&ProfileName>,
) -> Result<Vec<Loaded>, Failure> {
    let load = Request::Load { profile: stand.profile(profile).cloned() };
    match session.ask_about(&load, Some(&stand.project))? {
        Reply::Loaded(env) => Ok(env),
        _ => Err(unexpected()),
    }
}

/// The same, if all of it is UTF-8, as all of Nushell's environment is.
fn as_text(stand: &Stand, env: Vec<Loaded>) -> Result<Vec<Loaded>, Failure> {
    let odd = env.iter().find(|loaded| std::str::from_utf8(loaded.value.expose()).is_err());
    if let Some(Loaded { binding: Binding { var, .. }, .. }) = odd {
        return Err(Failure::failed(format!(
            "cannot load `{var}` into Nushell: its value is not UTF-8"
        ))
        .hint("`keyagent exec -- CMD` hands it out"));
    }
    let directory = stand.project.path();
    if directory.to_str().is_none() {
        return Err(Failure::failed(format!(
            "cannot load `{}` into Nushell: its path is not UTF-8",
            project::show(&directory)
        )));
    }
    Ok(env)
}
