//! `completions`: what a shell sources to complete our verbs, options and names. The scripts
//! only ask and show: what may come next is the client's to say, in `completion`.

use crate::args::CompletedShell;
use crate::report::{self, Failure};

/// Prints the script.
pub(crate) fn run(shell: CompletedShell) -> Result<(), Failure> {
    let script = match shell {
        CompletedShell::Bash => include_str!("../../../shell/complete.bash"),
        CompletedShell::Zsh => include_str!("../../../shell/complete.zsh"),
        CompletedShell::Fish => include_str!("../../../shell/complete.fish"),
    };
    report::answer(script.as_bytes())
}
