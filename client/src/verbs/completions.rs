//! `completions`: what a shell sources to complete our verbs and options.

use crate::args::{CommandLine, CompletedShell};
use crate::report::{self, Failure};
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// Prints the script.
pub(crate) fn run(shell: CompletedShell) -> Result<(), Failure> {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "keyagent", &mut script);
    report::answer(&script)
}
