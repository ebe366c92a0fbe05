//! `import`: seals the keys of a file, and lets the project have them.
//!
//! The order is the promise: there is room for all that will be written, the vault is written
//! and read back, the manifest is written and allowed, and every value has come back through
//! it as it was, before a byte of the file is touched.

mod keys;
mod neighbour;
mod original;
mod places;
mod plan;
mod project_name;
mod remains;
mod seal;
mod sealed;
mod source;
mod taken;
mod trust;

use crate::args::ImportArgs;
use crate::envfile;
use crate::report::Failure;
use plan::{Names, Plan};
use source::Source;
use std::path::{Path, PathBuf};

/// Imports, shows what an import would do, or undoes one.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let path = path(args)?;
    if args.undo {
        return original::put_back(&path);
    }
    let source = Source::read(&path)?;
    let kind = envfile::kind_of(source.name(), source.bytes());
    let file = envfile::parse(kind, source.bytes())
        .map_err(|e| Failure::failed(format!("cannot read `{}`: {e}", source.shown())))?;
    let chosen = keys::choose(&file, args)?;
    sealed::tell(&chosen.absent, source.directory())?;
    if chosen.keys.is_empty() && !chosen.absent.is_empty() {
        return Ok(());
    }
    if chosen.keys.is_empty() {
        plan::show_nothing(&source, &file, &chosen);
        return Ok(());
    }
    if args.dry_run {
        let names = Names::guess(source.directory());
        Plan::new(&chosen.keys, &names)?.show(&source, &file, &chosen);
        return Ok(());
    }
    let (named, replace) = (!args.only.is_empty(), args.replace);
    seal::run(&seal::Job { source: &source, kind, file: &file, chosen, named, replace })
}

fn path(args: &ImportArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.file {
        return Ok(path.clone());
    }
    let there = |name: &&str| Path::new(name).exists();
    // What is undone may be gone.
    let gone = args.undo.then_some(".envrc");
    [".envrc", ".env"].into_iter().find(there).or(gone).map(PathBuf::from).ok_or_else(|| {
        Failure::usage("there is no .envrc and no .env here")
            .hint("`keyagent import FILE` names the file")
    })
}
