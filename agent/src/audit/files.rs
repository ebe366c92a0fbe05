//! The files of the log: `audit.log`, the eight before it, and `audit.state`.
//!
//! It knows names, modes and sizes, and nothing of what is in them. A log has one writer: a
//! second agent of the same user writes `audit-2.log`, and so on.

use super::chain::Fault;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How large one file grows before the log goes on in the next.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The largest that is read back: nobody but us makes one that is larger than ours.
const READ_BYTES_MAX: u64 = 2 * FILE_BYTES_MAX;
/// How many agents of one user write a log.
const WRITERS_MAX: u8 = 8;
/// How many older files are kept: `audit.log.1` is the newest of them.
pub const KEPT: u8 = 8;

/// Where the log is.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
    /// What their names begin with.
    stem: String,
    /// How large one file grows.
    pub bytes_max: u64,
}

/// Which file it is, and how long: what must be as it was before the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// How many names it has.
    pub names: u64,
    /// Its size.
    pub bytes: u64,
}

/// A file of the log, held open: a rotation meanwhile changes nothing for its reader.
pub struct Kept {
    /// Its name, without its directory.
    pub name: String,
    file: Result<File, Fault>,
}

impl Files {
    /// The first log in that directory.
    pub fn new(directory: &Path) -> Self {
        let (directory, stem) = (directory.to_owned(), "audit".to_owned());
        Self { directory, stem, bytes_max: FILE_BYTES_MAX }
    }

    /// The first log in this directory that nobody writes, and what keeps others from it for
    /// as long as it is held. ENOLCK if each has its writer.
    pub fn claim(&self) -> io::Result<(Self, File)> {
        let mut files = Self::new(&self.directory);
        files.make_directory()?;
        for number in 1..=WRITERS_MAX {
            if number > 1 {
                files.stem = format!("audit-{number}");
            }
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600);
            let lock = options.open(files.named("lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    // What a write that was cut off has left: nobody else writes here.
                    crate::vault::file::remove_leftover(&files.state())?;
                    return Ok((files, lock));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(nix::libc::ENOLCK))
    }

    /// Makes the directory, ours alone.
    pub fn make_directory(&self) -> io::Result<()> {
        crate::vault::file::make_directory(&self.directory)
    }

    /// The file that is written.
    pub fn current(&self) -> PathBuf {
        self.named("log")
    }

    /// Where the log stood.
    pub fn state(&self) -> PathBuf {
        self.named("state")
    }

    /// What is at the current file's place.
    pub fn seen(&self) -> io::Result<Seen> {
        fs::symlink_metadata(self.current()).map(|facts| Seen::of(&facts))
    }

    /// Opens the current file to go on with it, unless it is not ours alone.
    pub fn open(&self) -> io::Result<File> {
        let file = writable().open(self.current())?;
        guard(&file.metadata()?).map_err(|_| io::ErrorKind::PermissionDenied)?;
        Ok(file)
    }

    /// Makes the current file, where there is none.
    pub fn create(&self) -> io::Result<File> {
        writable().create_new(true).mode(0o600).open(self.current())
    }

    /// Takes the current file away.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.current())
    }

    /// Makes room for a new current file. The oldest goes.
    pub fn shift(&self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts all of them aside, under the name of their log: `audit-NAME.log`, `.log.1`, … A
    /// log of another identity follows them.
    pub fn put_aside(&self, log: &str) -> io::Result<()> {
        let aside = |ending: &str| self.directory.join(format!("{}-{log}.{ending}", self.stem));
        let mut moves = vec![(self.current(), aside("log")), (self.state(), aside("state"))];
        moves.extend((1..=KEPT).map(|n| (self.numbered(n), aside(&format!("log.{n}")))));
        for (from, to) in moves {
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// All that there are, the oldest first.
    pub fn kept(&self) -> Vec<Kept> {
        (0..=KEPT).rev().filter_map(|number| Kept::open(&self.numbered(number))).collect()
    }

    fn numbered(&self, number: u8) -> PathBuf {
        if number == 0 { self.current() } else { self.named(&format!("log.{number}")) }
    }

    fn named(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.stem))
    }
}

impl Seen {
    /// What the system says of an open file.
    pub fn of(facts: &Metadata) -> Self {
        Self { device: facts.dev(), inode: facts.ino(), names: facts.nlink(), bytes: facts.len() }
    }
}

impl Kept {
    fn open(path: &Path) -> Option<Self> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
        if file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return None;
        }
        let file = file.map_err(|_| Fault::Unreadable).and_then(|file| {
            let facts = file.metadata().map_err(|_| Fault::Unreadable)?;
            guard(&facts).map(|()| file)
        });
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Self { name, file })
    }

    /// What is in it.
    pub fn text(&self) -> Result<Vec<u8>, Fault> {
        let mut file = self.file.as_ref().map_err(|fault| *fault)?;
        let mut text = Vec::new();
        let mut within = io::Read::by_ref(&mut file).take(READ_BYTES_MAX + 1);
        within.read_to_end(&mut text).map_err(|_| Fault::Unreadable)?;
        if text.len() as u64 > READ_BYTES_MAX { Err(Fault::Unreadable) } else { Ok(text) }
    }
}

fn writable() -> OpenOptions {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags.bits());
    options
}

/// A regular file, ours, closed to others, and not too large.
fn guard(facts: &Metadata) -> Result<(), Fault> {
    let ours = facts.is_file() && facts.uid() == geteuid().as_raw() && facts.mode() & 0o077 == 0;
    if ours && facts.len() <= READ_BYTES_MAX { Ok(()) } else { Err(Fault::Unreadable) }
}
