//! Where the agent's files are. The one place that reads the environment for paths.

use directories::ProjectDirs;
use keyagent_wire::socket::{self, Place, Surroundings};
use std::env::var_os;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every path that the agent uses.
#[derive(Debug, Clone)]
pub struct Places {
    data: PathBuf,
    state: PathBuf,
    config: PathBuf,
    socket: Place,
}

impl Places {
    /// The places of the user who runs us; none without a home.
    pub fn of_user() -> Option<Self> {
        let dirs = ProjectDirs::from("", "", "keyagent")?;
        let around = Surroundings {
            keyagent_sock: var_os("KEYAGENT_SOCK"),
            xdg_runtime_dir: var_os("XDG_RUNTIME_DIR"),
            xdg_state_home: var_os("XDG_STATE_HOME"),
            home: var_os("HOME"),
            uid: nix::unistd::geteuid().as_raw(),
        };
        Some(Self {
            data: dirs.data_dir().to_owned(),
            state: socket::state_directory(&around)?,
            config: dirs.config_dir().to_owned(),
            socket: socket::choose(&around, |dir| is_private(dir, around.uid))?,
        })
    }

    /// `$XDG_DATA_HOME/keyagent`
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `$XDG_STATE_HOME/keyagent`
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// `$XDG_CONFIG_HOME/keyagent`, where the user's own manifest is.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The user's own configuration.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Where we listen.
    pub fn socket(&self) -> &Place {
        &self.socket
    }

    /// The age identity.
    pub fn identity(&self) -> PathBuf {
        self.data.join("identity.age")
    }

    /// A new identity, until the vault is sealed to it.
    pub fn next_identity(&self) -> PathBuf {
        self.data.join("identity.age.next")
    }

    /// How the identity opens without a passphrase.
    pub fn unlock_file(&self) -> PathBuf {
        self.data.join("unlock.json")
    }

    /// The vault file.
    pub fn vault(&self) -> PathBuf {
        self.data.join("vault.age")
    }

    /// The lock of every write.
    pub fn lock(&self) -> PathBuf {
        self.data.join("vault.lock")
    }

    /// What was seen of the vault.
    pub fn state_file(&self) -> PathBuf {
        self.state.join("state.json")
    }

    /// The agent's own log.
    pub fn log(&self) -> PathBuf {
        self.state.join("agent.log")
    }
}

/// A directory, no link, ours, and closed to everybody else.
fn is_private(dir: &Path, uid: u32) -> bool {
    dir.symlink_metadata()
        .is_ok_and(|facts| facts.is_dir() && facts.uid() == uid && facts.mode() & 0o077 == 0)
}
