//! The file that is imported: read once, whole, and later compared with what it is then.

use crate::project::{pasted, show};
use crate::report::{self, Failure, cause};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest file that is read.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A file with keys.
pub(crate) struct Source {
    given: PathBuf,
    directory: PathBuf,
    target: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    metadata: Metadata,
}

impl Source {
    /// Reads a regular file of at most 1 MiB.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let (bytes, metadata) = read(path)?;
        let target = path.canonicalize().map_err(|e| cannot_read(path, &cause(&e)))?;
        let directory = directory_of(path)?;
        Ok(Self { given: path.into(), directory, target, bytes, metadata })
    }

    /// Its name, as it was given.
    pub(crate) fn name(&self) -> &OsStr {
        self.given.file_name().unwrap_or_default()
    }

    /// Its path as it was given, to be shown.
    pub(crate) fn shown(&self) -> String {
        show(&self.given)
    }

    /// Its path as it was given, to be pasted.
    pub(crate) fn pasted(&self) -> String {
        pasted(&self.given)
    }

    /// The directory where it was found, which becomes the project's.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it really is, behind every link.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Its name there.
    pub(crate) fn target_name(&self) -> &OsStr {
        self.target.file_name().unwrap_or_default()
    }

    /// Says it if the file has another name: behind a link it may be another project's, and
    /// by a hard link the keys stay.
    pub(crate) fn warn_of_other_names(&self) {
        if self.target.parent() != Some(&self.directory) {
            report::note(format!("`{}` is a link to `{}`", self.shown(), show(&self.target)));
        }
        if self.metadata.nlink() > 1 {
            let shown = self.shown();
            report::warning(format!("`{shown}` has another name, under which its keys stay"));
        }
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its mode and owner.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Fails if it is not what was read.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        let (bytes, _) = read(&self.target)?;
        if *bytes == *self.bytes {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "`{}` changed meanwhile; it stays as it is, and the vault has what was read",
            self.shown()
        ))
        .hint("`keyagent import --replace` once more reads it anew"))
    }
}

/// The whole of a regular file, and its facts.
pub(crate) fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), Failure> {
    // Not to hang on a pipe.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = opened.map_err(|e| cannot_read(path, &cause(&e)))?;
    let metadata = file.metadata().map_err(|e| cannot_read(path, &cause(&e)))?;
    if !metadata.is_file() {
        return Err(cannot_read(path, "it is no regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX as u64 {
        return Err(cannot_read(path, "it is larger than 1 MiB"));
    }
    let bytes = fill(&mut file, metadata.len() as usize)
        .map_err(|e| cannot_read(path, &cause(&e)))?
        .ok_or_else(|| cannot_read(path, "it grows while it is read"))?;
    Ok((bytes, metadata))
}

/// Reads into a buffer of the file's size, which never grows; nothing if the file is longer.
fn fill(file: &mut File, size: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(vec![0; size + 1]);
    let mut filled = 0;
    while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read(space) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok((filled <= size).then_some(bytes))
}

/// The directory that a path's last name lies in, without links.
pub(crate) fn directory_of(path: &Path) -> Result<PathBuf, Failure> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parent.canonicalize().map_err(|e| cannot_read(path, &cause(&e)))
}

fn cannot_read(path: &Path, why: &str) -> Failure {
    Failure::failed(format!("cannot read `{}`: {why}", show(path)))
}
