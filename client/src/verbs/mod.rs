//! One file per verb, or per family of verbs that share their shape.

mod allow;
mod audit;
mod completions;
mod doctor;
mod findings;
mod here;
mod hook;
mod init;
mod lifecycle;
mod list;
mod lock;
mod opening;
mod passphrase;
mod recipients;
mod rekey;
mod secrets;
mod status;

use crate::args::Verb;
use crate::report::Failure;
use crate::{completion, exec, export, import};

/// Does what was asked.
pub(crate) fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Exec(args) => match exec::run(&args)? {},
        Verb::Export(args) => export::run(&args),
        Verb::Import(args) => import::run(&args),
        Verb::Init(args) => init::run(args),
        Verb::Set(args) => secrets::set(args),
        Verb::Get(args) => secrets::get(args),
        Verb::Rm(args) => secrets::remove(args),
        Verb::Mv(args) => secrets::rename(args),
        Verb::List(args) => list::list(args.json),
        Verb::Show(args) => list::show(args),
        Verb::Hook(hook) => hook::run(&hook),
        Verb::Allow(args) => allow::allow(&args),
        Verb::Deny(args) => allow::deny(&args),
        Verb::Unlock(args) => lock::unlock(&args),
        Verb::Passphrase(args) => passphrase::run(args),
        Verb::Recipients(what) => recipients::run(what),
        Verb::Rekey(args) => rekey::run(&args),
        Verb::Lock => lock::lock(),
        Verb::Status(args) => status::run(args.json),
        Verb::Doctor(args) => doctor::run(args.json),
        Verb::Audit(args) => audit::run(args),
        Verb::Start => lifecycle::start(),
        Verb::Stop => lifecycle::stop(),
        Verb::Completions(args) => completions::run(args.shell),
        Verb::Complete(words) => {
            completion::run(&words);
            Ok(())
        }
    }
}
