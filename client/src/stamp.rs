//! The stamp of a project, as a shell will look at it: which file, and what is in it now.
//!
//! It is read before the values are: a change in between costs a reload, and is never
//! missed. The agent alone writes numbers; here a stamp is made empty, so that there is one
//! to bump.

use keyagent_wire::socket::Place;
use keyagent_wire::stamp::{STAMP_BYTES_MAX, directory, mark, name, number};
use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How often a mark is made that is old by the time it is there.
const MARKS_MAX: u32 = 8;

/// A stamp, and what it showed.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// The file.
    pub(crate) path: PathBuf,
    /// When it changed, in seconds since 1970, as direnv has it.
    pub(crate) changed: i64,
    number: u64,
}

impl Stamp {
    /// The stamp of the project in that directory. None where there can be none: then nobody
    /// could tell a shell that it should ask again.
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

    /// The mark that is there until the agent bumps this stamp. The agent takes away the mark
    /// of the number that it has written over: so the number is looked at again once the mark
    /// is made, or one could be left that nobody takes away.
    pub(crate) fn mark(&self) -> Option<PathBuf> {
        let stamp = self.path.file_name()?.to_str()?;
        let mut number = self.number;
        for _ in 0..MARKS_MAX {
            let path = self.path.with_file_name(mark(stamp, number));
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags());
            options.open(&path).ok()?;
            match read(&self.path) {
                Ok(again) if again.number == number => return Some(path),
                again => {
                    let _ = fs::remove_file(&path);
                    number = again.ok()?.number;
                }
            }
        }
        None
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
    match number(&bytes) {
        0 if !bytes.is_empty() => Err(ErrorKind::InvalidData.into()),
        number => Ok(Stamp { path: path.to_owned(), changed, number }),
    }
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
        let stamp = || Stamp::of(&place, Path::new("/p"));
        let number = || stamp().map(|stamp| stamp.number);
        let path = stamp().expect("it is made").path;
        assert_eq!(number(), Some(0));
        fs::write(&path, "1764000000\n").expect("ours");
        assert_eq!(number(), Some(1_764_000_000));
        for odd in ["x\n", "7 7\n", "-7\n", "7\n7\n", &"1".repeat(40)] {
            fs::write(&path, odd).expect("ours");
            assert_eq!(number(), Some(0), "{odd}");
        }
        fs::remove_file(&path).expect("ours");
        symlink("/dev/zero", &path).expect("ours");
        assert_eq!(number(), Some(0));
        fs::remove_file(&path).expect("ours");
        fs::create_dir(&path).expect("ours");
        assert_eq!(number(), None);
        fs::remove_dir_all(root).expect("ours");
    }

    #[test]
    fn a_mark_is_of_the_number_that_is_there_now() {
        let root = std::env::temp_dir().join(format!("mark-{}", std::process::id()));
        let place = Place { directory: root.clone(), name: "agent.sock".into() };
        let stamp = Stamp::of(&place, Path::new("/p")).expect("it is made");
        let first = stamp.mark().expect("it is made");
        assert!(first.exists() && stamp.mark().as_ref() == Some(&first));
        // The agent bumps between our look and the mark.
        fs::write(&stamp.path, "7\n").expect("ours");
        let second = stamp.mark().expect("it is made");
        assert!(second.exists() && !first.exists() && second.to_string_lossy().ends_with(".7"));
        fs::remove_dir_all(root).expect("ours");
    }
}
