//! Where the socket is. Both ends follow this one rule; neither reads the environment here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The socket's name in its directory.
pub const SOCKET_NAME: &str = "agent.sock";

/// The part of the environment that decides.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `KEYAGENT_SOCK`
    pub keyagent_sock: Option<OsString>,
    /// `XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<OsString>,
    /// `XDG_STATE_HOME`
    pub xdg_state_home: Option<OsString>,
    /// `HOME`
    pub home: Option<OsString>,
    /// The effective uid.
    pub uid: u32,
}

/// The directory and the file name of the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory, which is ours alone.
    pub directory: PathBuf,
    /// The socket's name in it.
    pub name: OsString,
}

impl Place {
    /// The whole path, to be shown.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// Chooses the place: `KEYAGENT_SOCK`; else `$XDG_RUNTIME_DIR/keyagent` if that directory is
/// absolute, ours and private; else `/run/user/UID/keyagent`, tested alike; else
/// `$XDG_STATE_HOME/keyagent/run`. `is_private` tells whether a directory is there, is no
/// link, belongs to us, and is closed to everybody else. Never under `/tmp`.
pub fn choose(around: &Surroundings, is_private: impl Fn(&Path) -> bool) -> Option<Place> {
    if let Some(sock) = &around.keyagent_sock {
        return named(Path::new(sock));
    }
    let runtime = around.xdg_runtime_dir.iter().map(PathBuf::from);
    let fallback = PathBuf::from(format!("/run/user/{}", around.uid));
    let directory = runtime
        .chain([fallback])
        .find(|dir| dir.is_absolute() && is_private(dir))
        .map(|dir| dir.join("keyagent"))
        .or_else(|| state_directory(around).map(|dir| dir.join("run")))?;
    Some(Place { directory, name: SOCKET_NAME.into() })
}

/// `$XDG_STATE_HOME/keyagent`, by default `~/.local/state/keyagent`.
pub fn state_directory(around: &Surroundings) -> Option<PathBuf> {
    absolute(&around.xdg_state_home)
        .or_else(|| absolute(&around.home).map(|home| home.join(".local/state")))
        .map(|dir| dir.join("keyagent"))
}

fn named(sock: &Path) -> Option<Place> {
    let directory = sock.parent().filter(|_| sock.is_absolute())?.to_path_buf();
    Some(Place { directory, name: sock.file_name()?.into() })
}

fn absolute(variable: &Option<OsString>) -> Option<PathBuf> {
    variable.as_ref().map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            xdg_runtime_dir: Some("/run/x".into()),
            home: Some("/home/a".into()),
            uid: 7,
            ..Surroundings::default()
        }
    }

    fn path(around: &Surroundings, private: &[&str]) -> Option<String> {
        choose(around, |dir| private.iter().any(|p| dir == Path::new(p)))
            .map(|p| p.path().display().to_string())
    }

    #[test]
    fn the_first_private_directory_wins() {
        let both = ["/run/x", "/run/user/7"];
        assert_eq!(path(&around(), &both).as_deref(), Some("/run/x/keyagent/agent.sock"));
        assert_eq!(path(&around(), &both[1..]).as_deref(), Some("/run/user/7/keyagent/agent.sock"));
        let last = "/home/a/.local/state/keyagent/run/agent.sock";
        assert_eq!(path(&around(), &[]).as_deref(), Some(last));
        let relative = Surroundings { xdg_runtime_dir: Some("run/x".into()), ..around() };
        assert_eq!(path(&relative, &["run/x"]).as_deref(), Some(last));
    }

    #[test]
    fn a_named_socket_must_be_absolute() {
        let named = |sock: &str| Surroundings { keyagent_sock: Some(sock.into()), ..around() };
        assert_eq!(path(&named("/a/b.sock"), &[]).as_deref(), Some("/a/b.sock"));
        assert_eq!(path(&named("b.sock"), &["/run/x"]), None);
        assert_eq!(path(&named("/"), &["/run/x"]), None);
    }
}
