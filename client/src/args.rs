//! The command line, as help and completions show it. What completes a value is told by its
//! type; where that would mislead, its `value_hint` is `Other`: nothing completes it.
//!
//! No value of a secret has a place here: values come from a hidden prompt or from stdin.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use keyagent_wire::request::Binding;
use keyagent_wire::{EnvName, NameError, Note, ProfileName, SecretName};
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// An agent for API keys: one command, direnv or the shell gets them, no file has them
#[derive(Parser)]
#[command(name = "keyagent", version, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 refused, 4 locked, 5 no agent, \
                        6 no such secret.")]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make an identity and a vault, and start the agent
    Init(InitArgs),
    /// Seal the keys of a .envrc, .env or JSON file, and write keyagent.toml
    Import(ImportArgs),
    /// Add a secret, or make a new version of it; the value comes from a prompt or stdin
    Set(SetArgs),
    /// Print one value
    Get(GetArgs),
    /// List the names of all secrets, with what is known of them
    List(JsonArgs),
    /// Show what is known of one secret, never its value
    Show(ShowArgs),
    /// Take secrets out of the vault, all or none
    Rm(RmArgs),
    /// Give a secret another name
    Mv(MvArgs),
    /// Run a command with the keys of the project
    #[command(visible_aliases = ["run", "x"])]
    Exec(ExecArgs),
    /// Print the keys of the project as shell code, JSON or dotenv
    Export(ExportArgs),
    /// Print what a shell or direnv sources
    #[command(subcommand)]
    Hook(Hook),
    /// Trust a keyagent.toml, after showing what it would get
    Allow(AllowArgs),
    /// Take the trust back
    Deny(DenyArgs),
    /// Open the vault
    Unlock(UnlockArgs),
    /// Change the passphrase, or what opens the vault instead of one
    Passphrase(PassphraseArgs),
    /// Who else can read the vault file
    Recipients(RecipientsArgs),
    /// Give the vault a new identity, so that a copy of the old one opens nothing new
    Rekey(RekeyArgs),
    /// Forget every value until the next unlock
    Lock,
    /// Tell how the agent and its vault are; never starts the agent
    Status(JsonArgs),
    /// Tell what is set up, how well the agent is protected, and what mends the rest
    Doctor(JsonArgs),
    /// Tell who had what, when; `audit verify` checks that nobody changed the log
    #[command(args_conflicts_with_subcommands = true)]
    Audit(AuditArgs),
    /// Start the agent
    Start,
    /// Lock and end the agent
    Stop,
    /// Print a completion script
    Completions(CompletionsArgs),
    /// What may come next on a line? For the completion scripts alone, so clap does not know
    /// it, and suggests it to nobody.
    #[command(skip)]
    Complete(Vec<OsString>),
}

/// See [`Verb::Init`].
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Leave the identity unsealed: whoever reads its file has the keys
    #[arg(long, conflicts_with_all = ["passphrase_fd", "keyring", "identity"])]
    pub(crate) no_passphrase: bool,
    /// Keep a copy of the passphrase in the OS keyring, which then opens the vault
    #[arg(long, conflicts_with = "identity")]
    pub(crate) keyring: bool,
    /// Seal to an age identity of your own, which then opens the vault without a passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
    /// Read the passphrase from this descriptor, up to its first newline
    #[arg(long, value_name = "N", value_parser = descriptor)]
    pub(crate) passphrase_fd: Option<RawFd>,
    /// Let this age recipient read the vault file, too
    #[arg(long = "recipient", value_name = "R")]
    pub(crate) recipients: Vec<String>,
}

/// See [`Verb::Import`].
#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The file; .envrc, or else .env, by default
    pub(crate) file: Option<PathBuf>,
    /// Take the sealed keys out of the file, and keep its original in the vault
    #[arg(long)]
    pub(crate) replace: bool,
    /// Exactly these variables
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = env_name)]
    #[arg(value_hint = ValueHint::Other)]
    pub(crate) only: Vec<EnvName>,
    /// Every variable that can be sealed, not only those that look like a secret
    #[arg(long, conflicts_with = "only")]
    pub(crate) all: bool,
    /// Show what would happen, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Put the file back as it was before --replace
    #[arg(long, conflicts_with_all = ["replace", "only", "all", "dry_run"])]
    pub(crate) undo: bool,
}

/// See [`Verb::Set`].
#[derive(Args)]
pub(crate) struct SetArgs {
    /// The secret
    #[arg(value_parser = secret_name)]
    pub(crate) name: SecretName,
    /// Keep every byte of stdin, a newline at its end too, and an empty value
    #[arg(long)]
    pub(crate) raw: bool,
    /// Never export it: only exec and get hand it out
    #[arg(long)]
    pub(crate) exec_only: bool,
    /// Ask before it is handed out: once for each terminal session, or always
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) confirm: Option<When>,
    /// A line for humans
    #[arg(long, value_name = "TEXT", value_parser = note)]
    pub(crate) note: Option<Note>,
}

/// When the human is asked.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum When {
    /// Never
    None,
    /// Once for each terminal session
    Session,
    /// Each time
    Always,
}

/// See [`Verb::Get`].
#[derive(Args)]
pub(crate) struct GetArgs {
    /// The secret
    #[arg(value_parser = secret_name)]
    pub(crate) name: SecretName,
    /// Print it though stdout is a terminal
    #[arg(long)]
    pub(crate) reveal: bool,
    /// That version, not the active one
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,
}

/// Verbs that only say how to print.
#[derive(Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Verb::Show`].
#[derive(Args)]
pub(crate) struct ShowArgs {
    /// The secret
    #[arg(value_parser = secret_name)]
    pub(crate) name: SecretName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Verb::Rm`].
#[derive(Args)]
pub(crate) struct RmArgs {
    /// The secrets
    #[arg(required = true, value_name = "NAME", value_parser = secret_name)]
    pub(crate) names: Vec<SecretName>,
}

/// See [`Verb::Mv`].
#[derive(Args)]
pub(crate) struct MvArgs {
    /// What it is called
    #[arg(value_parser = secret_name)]
    pub(crate) old: SecretName,
    /// What it shall be called
    #[arg(value_parser = secret_name, value_hint = ValueHint::Other)]
    pub(crate) new: SecretName,
}

/// See [`Verb::Exec`]. The hot path fills it without clap.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecArgs {
    /// Use this profile of the manifest
    #[arg(short = 'P', long, value_parser = profile_name)]
    pub(crate) profile: Option<ProfileName>,
    /// Only these variables of the manifest
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = env_name)]
    pub(crate) only: Vec<EnvName>,
    /// Set a variable to a secret that the manifest does not bind
    #[arg(long = "env", value_name = "VAR=NAME", value_parser = binding)]
    pub(crate) env: Vec<Binding>,
    /// Start from a nearly empty environment
    #[arg(long)]
    pub(crate) pristine: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// See [`Verb::Export`]. The hot path fills it without clap.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportArgs {
    /// Use this profile of the manifest
    #[arg(short = 'P', long, value_parser = profile_name)]
    pub(crate) profile: Option<ProfileName>,
    /// For whom
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Print it though stdout is a terminal
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Speak to the hook of a shell or of direnv: print what is to be watched, too, and
    /// that whatever comes of the keys
    #[arg(long, hide = true)]
    pub(crate) hook: bool,
    /// Ask an agent that runs, and start none: whoever stopped it did not mean the next prompt
    #[arg(long, hide = true)]
    pub(crate) if_running: bool,
}

/// Who reads what `export` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    Bash,
    Zsh,
    Fish,
    #[value(hide = true)]
    Nu,
    #[default]
    Sh,
    Direnv,
    Json,
    Dotenv,
}

/// See [`Verb::Hook`].
#[derive(Subcommand)]
pub(crate) enum Hook {
    /// The hook of bash: `eval "$(keyagent hook bash)"` at the end of ~/.bashrc
    Bash,
    /// The hook of zsh: `eval "$(keyagent hook zsh)"` at the end of ~/.zshrc
    Zsh,
    /// The hook of fish: `keyagent hook fish | source` in ~/.config/fish/config.fish
    Fish,
    /// The hook of Nushell: `keyagent hook nu`, saved as keyagent.nu in `$nu.user-autoload-dirs.0`
    Nu,
    /// The use_keyagent function of direnv
    Direnv {
        /// Write it where direnv looks for functions, instead of printing it
        #[arg(long)]
        install: bool,
    },
}

/// See [`Verb::Allow`].
#[derive(Args)]
pub(crate) struct AllowArgs {
    /// The project's directory; the nearest project by default
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// See [`Verb::Deny`].
#[derive(Args)]
pub(crate) struct DenyArgs {
    /// The project's directory; the nearest project by default
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// See [`Verb::Unlock`].
#[derive(Args)]
pub(crate) struct UnlockArgs {
    /// Lock again after this time at the latest: 90s, 15m, 8h, 1h30m
    #[arg(short = 't', long = "time", value_name = "TIME", value_parser = seconds)]
    #[arg(value_hint = ValueHint::Other)]
    pub(crate) seconds: Option<u64>,
    /// Read the passphrase from this descriptor, up to its first newline
    #[arg(long, value_name = "N", value_parser = descriptor)]
    pub(crate) passphrase_fd: Option<RawFd>,
    /// Take the vault file as it is, though a newer one was seen here
    #[arg(long)]
    pub(crate) accept_rollback: bool,
    /// Have a pinentry ask for the passphrase
    #[arg(long, conflicts_with = "passphrase_fd")]
    pub(crate) pinentry: bool,
}

/// See [`Verb::Passphrase`].
#[derive(Args)]
pub(crate) struct PassphraseArgs {
    /// Have none: whoever reads the identity file has the keys
    #[arg(long, conflicts_with_all = ["keyring", "identity", "new_passphrase_fd"])]
    pub(crate) none: bool,
    /// Keep a copy of the new one in the OS keyring, which then opens the vault
    #[arg(long, conflicts_with = "identity")]
    pub(crate) keyring: bool,
    /// Seal to an age identity of your own instead
    #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase_fd")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
    /// Read the one of now from this descriptor, up to its first newline
    #[arg(long, value_name = "N", value_parser = descriptor)]
    pub(crate) passphrase_fd: Option<RawFd>,
    /// Read the new one from this descriptor, up to its first newline
    #[arg(long, value_name = "N", value_parser = descriptor)]
    pub(crate) new_passphrase_fd: Option<RawFd>,
}

/// See [`Verb::Recipients`].
#[derive(Args)]
pub(crate) struct RecipientsArgs {
    #[command(subcommand)]
    pub(crate) what: Option<Recipients>,
}

/// What of them; to list them, if nothing is said.
#[derive(Subcommand)]
pub(crate) enum Recipients {
    /// List them, the vault's own first
    List,
    /// Let one more read the vault file
    Add {
        /// As age writes it: age1…
        #[arg(value_hint = ValueHint::Other)]
        recipient: String,
    },
    /// Let one read it no more, and name the keys to rotate
    Rm {
        /// As age writes it: age1…
        #[arg(value_hint = ValueHint::Other)]
        recipient: String,
    },
}

/// See [`Verb::Rekey`].
#[derive(Args)]
pub(crate) struct RekeyArgs {
    /// Read the passphrase from this descriptor, up to its first newline
    #[arg(long, value_name = "N", value_parser = descriptor)]
    pub(crate) passphrase_fd: Option<RawFd>,
}

/// See [`Verb::Audit`].
#[derive(Args)]
pub(crate) struct AuditArgs {
    /// Check the log instead.
    #[command(subcommand)]
    pub(crate) check: Option<AuditCheck>,
    /// How many events, the newest
    #[arg(short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) count: u32,
    /// Only events with this secret
    #[arg(long, value_name = "NAME", value_parser = secret_name)]
    pub(crate) secret: Option<SecretName>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `audit` can do besides.
#[derive(Subcommand)]
pub(crate) enum AuditCheck {
    /// Check every event that is kept: was one changed, taken out, moved or made up?
    Verify,
}

/// See [`Verb::Completions`].
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: CompletedShell,
}

/// A shell that can complete.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

/// A binding, as `--env` takes it.
pub(crate) fn binding(text: &str) -> Result<Binding, NameError> {
    let (var, secret) = text.split_once('=').ok_or(NameError::Character)?;
    Ok(Binding { var: env_name(var)?, secret: secret_name(secret)? })
}

/// A variable's name.
pub(crate) fn env_name(text: &str) -> Result<EnvName, NameError> {
    EnvName::new(text)
}

/// A profile's name.
pub(crate) fn profile_name(text: &str) -> Result<ProfileName, NameError> {
    ProfileName::new(text)
}

fn secret_name(text: &str) -> Result<SecretName, NameError> {
    SecretName::new(text)
}

fn note(text: &str) -> Result<Note, &'static str> {
    Note::new(text).ok_or("a note is one line of at most 256 bytes")
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    crate::date::seconds_of(text).ok_or("a time looks like 90s, 15m, 8h or 1h30m")
}

fn descriptor(text: &str) -> Result<RawFd, &'static str> {
    text.parse().ok().filter(|fd| *fd >= 0).ok_or("a descriptor is a number from 0")
}
