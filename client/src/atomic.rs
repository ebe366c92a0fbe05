//! Puts a file in place: whole, synced and under its name, or not at all.
//!
//! One writer at a time in a directory (flock), so that what a killed writer left behind
//! has a known name and is cleared by the next.

use crate::project::show;
use crate::report::{Failure, cause};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory in which we alone write, among ourselves.
pub(crate) struct Workplace {
    directory: File,
    path: PathBuf,
}

/// A file's place and room in a directory, beside its name, until this is dropped. Whoever
/// could not write the file knows it by then.
pub(crate) struct Room<'a> {
    place: &'a Workplace,
    beside: OsString,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        // `put` has taken it, or the next writer clears it.
        let _ = self.place.clear(&self.beside);
    }
}

/// How the file shall look.
pub(crate) enum Look<'a> {
    /// Like that one: its mode and its owner.
    Like(&'a Metadata),
    /// That mode, less the umask.
    New(u32),
}

impl Workplace {
    /// Takes the directory, until this is dropped.
    pub(crate) fn claim(path: &Path) -> Result<Self, Failure> {
        let cannot =
            |why: &str| Failure::failed(format!("cannot write in `{}`: {why}", show(path)));
        let directory = File::open(path).map_err(|e| cannot(&cause(&e)))?;
        match directory.try_lock() {
            // Some file systems have no locks for directories: better without than not.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { directory, path: path.into() }),
            Err(TryLockError::WouldBlock) => Err(cannot("another keyagent is at work there")),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Holds room for a file of that size and look, which `put` then takes.
    pub(crate) fn make_room(
        &self,
        name: &OsStr,
        byte_count: usize,
        look: &Look<'_>,
    ) -> Result<Room<'_>, Failure> {
        let room = Room { place: self, beside: beside(name) };
        let made = self.write(&room.beside, &vec![b'\n'; byte_count], look);
        made.map_err(|e| self.cannot_write(name, &e)).map(|()| room)
    }

    /// Writes these bytes under that name.
    pub(crate) fn put(&self, name: &OsStr, bytes: &[u8], look: &Look<'_>) -> Result<(), Failure> {
        let beside = beside(name);
        let put = self.write(&beside, bytes, look).and_then(|()| {
            renameat(&self.directory, beside.as_os_str(), &self.directory, name)?;
            self.directory.sync_all()
        });
        put.map_err(|e| {
            // It may be gone already; then there is nothing to clear.
            let _ = self.clear(&beside);
            self.cannot_write(name, &e)
        })
    }

    fn cannot_write(&self, name: &OsStr, error: &io::Error) -> Failure {
        let path = self.path.join(name);
        Failure::failed(format!("cannot write `{}`: {}", show(&path), cause(error)))
    }

    fn write(&self, name: &OsStr, bytes: &[u8], look: &Look<'_>) -> io::Result<()> {
        self.clear(name)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = match look {
            Look::Like(_) => 0o600,
            Look::New(mode) => *mode,
        };
        let mut file =
            File::from(openat(&self.directory, name, flags, Mode::from_bits_truncate(mode))?);
        if let Look::Like(model) = look {
            dress(&file, model)?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn clear(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Where a file is written before it gets its name.
fn beside(name: &OsStr) -> OsString {
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".keyagent-new");
    beside
}

/// The owner first: a change of it may take bits off the mode.
fn dress(file: &File, model: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (model.uid(), model.gid()) {
        let (uid, gid) = (Uid::from_raw(model.uid()), Gid::from_raw(model.gid()));
        fchown(file, Some(uid), Some(gid))?;
    }
    Ok(fchmod(file, Mode::from_bits_truncate(model.mode() & 0o7777))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of its own for a test, gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keyagent-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the temp directory takes a new one");
            Self(path)
        }

        fn names(&self) -> Vec<OsString> {
            let entries = fs::read_dir(&self.0).expect("it is there");
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_keeps_its_mode_and_nothing_stays_beside_it() {
        let scratch = Scratch::new("mode");
        let path = scratch.0.join(".envrc");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        fs::write(scratch.0.join("..envrc.keyagent-new"), "left by a kill").expect("written");
        let model = fs::metadata(&path).expect("it is there");
        let place = Workplace::claim(&scratch.0).unwrap_or_else(|e| panic!("{e}"));
        let put = place.put(OsStr::new(".envrc"), b"new", &Look::Like(&model));
        assert!(put.is_ok());
        assert_eq!(fs::read(&path).expect("it is there"), b"new");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o640);
        assert_eq!(scratch.names(), [".envrc"]);
    }

    #[test]
    fn room_is_held_until_it_is_taken_or_given_up() {
        let scratch = Scratch::new("room");
        let place = Workplace::claim(&scratch.0).unwrap_or_else(|e| panic!("{e}"));
        let make = || {
            let room = place.make_room(OsStr::new("a"), 10_000, &Look::New(0o644));
            room.unwrap_or_else(|e| panic!("{e}"))
        };
        let room = make();
        assert_eq!(scratch.names(), [".a.keyagent-new"]);
        assert!(place.put(OsStr::new("a"), b"new", &Look::New(0o644)).is_ok());
        drop(room);
        assert_eq!(scratch.names(), ["a"]);
        drop(make());
        assert_eq!(scratch.names(), ["a"]);
        assert_eq!(fs::read(scratch.0.join("a")).expect("it is there"), b"new");
    }

    #[test]
    fn two_do_not_write_in_one_directory_at_once() {
        let scratch = Scratch::new("lock");
        let first = Workplace::claim(&scratch.0);
        assert!(first.is_ok());
        assert!(Workplace::claim(&scratch.0).is_err_and(|e| e.text.contains("at work")));
        drop(first);
        assert!(Workplace::claim(&scratch.0).is_ok());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old() {
        let scratch = Scratch::new("fail");
        fs::create_dir(scratch.0.join("taken")).expect("made");
        let place = Workplace::claim(&scratch.0).unwrap_or_else(|e| panic!("{e}"));
        assert!(place.put(OsStr::new("taken"), b"x", &Look::New(0o644)).is_err());
        assert_eq!(scratch.names(), ["taken"]);
    }
}
