//! The stamp of a project, as a shell will look at it: which file, and what is in it now.
//!
//! It is read before the values are: a change in between costs a reload, and is never
//! missed. The agent alone writes numbers; here a stamp is made empty, so that there is one
//! to bump.

use keyagent_wire::socket::Place;
use keyagent_wire::stamp::{STAMP_BYTES_MAX, directory, name, number};
use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A stamp, and what it showed.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is in it, as a shell reads it: digits, or nothing.
    pub(crate) text: String,
    /// When it changed, in seconds since 1970, as direnv has it.
    pub(crate) changed: i64,
}

impl Stamp {
    /// The stamp of the project in that directory. None where there can be none: then a
    /// shell sees changes of the manifest alone.
    pub(crate) fn of(place: &Place, project: &Path) -> Option<Self> {
        let path = directory(place).join(name(project.as_os_str().as_bytes()));
        match read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => make(&path),
            // What cannot be read is no stamp, and goes.
            Err(_) => fs::remove_file(&path).and_then(|()| make(&path)),
            stamp => stamp,
        }
        .ok()
    }
}

fn read(path: &Path) -> io::Result<Stamp> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags()).open(path)?;
    look(path, file)
}

/// Makes it empty, or reads the one that another has made meanwhile.
fn make(path: &Path) -> io::Result<Stamp> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(flags());
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        made => look(path, made?),
    }
}

/// An error if what is in it is neither a number nor nothing.
fn look(path: &Path, file: File) -> io::Result<Stamp> {
    let changed = file.metadata()?.mtime();
    let mut bytes = Vec::new();
    file.take(STAMP_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let text = match number(&bytes) {
        0 => String::new(),
        number => number.to_string(),
    };
    if bytes.strip_suffix(b"\n").unwrap_or(&bytes) != text.as_bytes() {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(Stamp { path: path.to_owned(), text, changed })
}

fn flags() -> i32 {
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_stamp_is_made_and_whatever_is_none_is_made_anew() {
        let root = std::env::temp_dir().join(format!("stamp-{}", std::process::id()));
        let place = Place { directory: root.clone(), name: "agent.sock".into() };
        let text = || Stamp::of(&place, Path::new("/p")).map(|stamp| stamp.text);
        let path = Stamp::of(&place, Path::new("/p")).expect("it is made").path;
        assert_eq!(text().as_deref(), Some(""));
        fs::write(&path, "1764000000\n").expect("ours");
        assert_eq!(text().as_deref(), Some("1764000000"));
        for odd in ["x\n", " 7\n", "007\n", "7\n\n", &"1".repeat(40)] {
            fs::write(&path, odd).expect("ours");
            assert_eq!(text().as_deref(), Some(""), "{odd}");
        }
        fs::remove_file(&path).expect("ours");
        symlink("/dev/zero", &path).expect("ours");
        assert_eq!(text().as_deref(), Some(""));
        fs::remove_file(&path).expect("ours");
        fs::create_dir(&path).expect("ours");
        assert_eq!(text(), None);
        fs::remove_dir_all(root).expect("ours");
    }
}
