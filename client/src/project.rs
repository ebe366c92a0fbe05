//! Finds the manifest, and opens it and its directory without following a link.
//!
//! It never reads what is inside: the agent does, through the descriptor.

use crate::report::{Failure, cause};
use keyagent_wire::socket::{self, Surroundings};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlink};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::geteuid;
use std::env;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The manifest's name in its directory.
pub(crate) const MANIFEST: &str = "keyagent.toml";

/// A manifest and its directory, open.
pub(crate) struct Project {
    directory: OwnedFd,
    manifest: OwnedFd,
    is_own: bool,
}

impl Project {
    /// What rides beside a request: the directory, then the manifest.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.directory.as_fd(), self.manifest.as_fd()]
    }

    /// Whether it is the user's own manifest, which counts where no project is.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// The path of the directory, as the kernel has it; empty if it has none.
    pub(crate) fn path(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        readlink(link.as_str()).unwrap_or_default().into()
    }

    /// When the manifest changed, in seconds since 1970.
    pub(crate) fn changed(&self) -> Option<i64> {
        fstat(&self.manifest).ok().map(|facts| facts.st_mtime)
    }

    /// The manifest alone.
    pub(crate) fn manifest(&self) -> BorrowedFd<'_> {
        self.manifest.as_fd()
    }
}

/// The project of the working directory: the nearest manifest upward, never above a
/// directory of another owner.
pub(crate) fn nearest() -> Result<Option<Project>, Failure> {
    let mut shown = PathBuf::new();
    let mut directory = directory(Path::new("."))?;
    let mut facts = facts(&directory)?;
    let uid = geteuid().as_raw();
    while facts.st_uid == uid {
        if let Some(manifest) = manifest(&directory, &shown)? {
            return Ok(Some(Project { directory, manifest, is_own: false }));
        }
        shown.push("..");
        let parent = match openat(&directory, "..", directory_flags(), Mode::empty()) {
            Ok(parent) => parent,
            // What we may not look into is not ours.
            Err(Errno::EACCES) => return Ok(None),
            Err(e) => return Err(cannot_open(&shown, e)),
        };
        let above = self::facts(&parent)?;
        if (above.st_dev, above.st_ino) == (facts.st_dev, facts.st_ino) {
            return Ok(None);
        }
        (directory, facts) = (parent, above);
    }
    Ok(None)
}

/// The project of the working directory, or the user's own manifest where there is none.
pub(crate) fn nearest_or_own() -> Result<Option<Project>, Failure> {
    match nearest()? {
        Some(project) => Ok(Some(project)),
        None => match config_directory() {
            Some(config) => {
                let own = in_directory(&config.join("keyagent"))?;
                Ok(own.map(|project| Project { is_own: true, ..project }))
            }
            None => Ok(None),
        },
    }
}

/// The project of just this directory.
pub(crate) fn in_directory(path: &Path) -> Result<Option<Project>, Failure> {
    let directory = match openat(AT_FDCWD, path, directory_flags(), Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(cannot_open(path, e)),
    };
    let manifest = manifest(&directory, path)?;
    Ok(manifest.map(|manifest| Project { directory, manifest, is_own: false }))
}

/// Opens a directory, as the agent wants it.
pub(crate) fn directory(path: &Path) -> Result<OwnedFd, Failure> {
    openat(AT_FDCWD, path, directory_flags(), Mode::empty()).map_err(|e| cannot_open(path, e))
}

/// `$XDG_CONFIG_HOME`, by default `~/.config`.
pub(crate) fn config_directory() -> Option<PathBuf> {
    let absolute =
        |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

/// `$XDG_STATE_HOME/keyagent`, by default `~/.local/state/keyagent`.
pub(crate) fn state_directory() -> Option<PathBuf> {
    let around = Surroundings {
        xdg_state_home: env::var_os("XDG_STATE_HOME"),
        home: env::var_os("HOME"),
        ..Default::default()
    };
    socket::state_directory(&around)
}

/// The same, as a word that can be pasted.
pub(crate) fn state_place() -> String {
    state_directory().map_or_else(|| "~/.local/state/keyagent".to_owned(), |path| pasted(&path))
}

/// The failure where a manifest is needed and there is none.
pub(crate) fn none_found() -> Failure {
    Failure::failed("no keyagent.toml here or above")
        .hint("`keyagent import .envrc` makes one from a file with keys")
}

fn directory_flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn manifest(directory: &OwnedFd, shown: &Path) -> Result<Option<OwnedFd>, Failure> {
    // Not to hang on a pipe; the agent refuses all but regular files.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(directory, MANIFEST, flags, Mode::empty()) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::ELOOP) => Err(Failure::failed(format!(
            "cannot use `{}`: it is a symbolic link",
            show(&shown.join(MANIFEST))
        ))
        .hint("put the file itself there: a link may lead to what nobody allowed")),
        Err(e) => Err(cannot_open(&shown.join(MANIFEST), e)),
    }
}

fn facts(directory: &OwnedFd) -> Result<FileStat, Failure> {
    fstat(directory).map_err(|e| cannot_open(Path::new("."), e))
}

fn cannot_open(path: &Path, error: Errno) -> Failure {
    Failure::failed(format!("cannot open `{}`: {}", show(path), cause(&error.into())))
}

/// A path, made safe to show.
pub(crate) fn show(path: &Path) -> String {
    keyagent_wire::escape(path.as_os_str().as_bytes())
}

/// A path as a word that can be pasted into a shell.
pub(crate) fn pasted(path: &Path) -> String {
    let shown = show(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if shown.chars().all(plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted() {
        assert_eq!(pasted(Path::new("a/.envrc")), "a/.envrc");
        assert_eq!(pasted(Path::new("my app/it's")), "'my app/it'\\''s'");
        assert_eq!(pasted(Path::new("a\x1b")), "'a\\x1b'");
    }
}
