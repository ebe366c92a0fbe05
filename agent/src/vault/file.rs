//! Files of the vault's directory: guarded reads, and writes that survive any instant.
//!
//! It knows bytes and file names, not what is in them. A write is acknowledged only when
//! the bytes, read back, and the directory that names them are on disk.

use keyagent_wire::VaultFault;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many older vaults are kept: `vault.age.1` is the newest.
pub const BACKUPS: u8 = 5;
/// How long a write waits for another that holds the lock.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it looks.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Makes a directory, and its parents, ours alone.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a file that must be regular, ours, closed to others, of one name, and not too large.
pub fn read_guarded(path: &Path) -> Result<Vec<u8>, VaultFault> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file =
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(fault_of)?;
    let facts = file.metadata().map_err(fault_of)?;
    if !facts.is_file() {
        return Err(VaultFault::NotRegular);
    }
    if facts.uid() != geteuid().as_raw() {
        return Err(VaultFault::Owner);
    }
    if facts.mode() & 0o077 != 0 {
        return Err(VaultFault::Mode);
    }
    if facts.nlink() > 1 && facts.nlink() > 1 + names_among_backups(path, &facts) {
        return Err(VaultFault::Linked);
    }
    if facts.len() > FILE_BYTES_MAX {
        return Err(VaultFault::TooLarge);
    }
    let mut bytes = Vec::with_capacity(facts.len() as usize + 1);
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault_of)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(VaultFault::TooLarge) } else { Ok(bytes) }
}

/// How many of its backups a file is itself: one, where a write was cut off.
fn names_among_backups(path: &Path, facts: &Metadata) -> u64 {
    (1..=BACKUPS).filter(|number| is_backup(path, *number, facts)).count() as u64
}

fn is_backup(path: &Path, number: u8, facts: &Metadata) -> bool {
    let backup = fs::symlink_metadata(backup_path(path, number));
    backup.is_ok_and(|backup| (backup.dev(), backup.ino()) == (facts.dev(), facts.ino()))
}

fn fault_of(error: io::Error) -> VaultFault {
    match error.raw_os_error() {
        Some(nix::libc::ENOENT) => VaultFault::Missing,
        Some(nix::libc::ELOOP) => VaultFault::NotRegular,
        errno => VaultFault::Unreadable(errno.unwrap_or(nix::libc::EIO)),
    }
}

/// Holds `NAME.lock` in that directory until dropped. The lock is not on the file itself,
/// which a rename would leave behind. Closing it is what unlocks, because that cannot fail.
pub fn lock(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    let end = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                return Err(Errno::EWOULDBLOCK.into());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_LOOK),
        }
    }
}

/// The same, where nobody else holds it.
pub fn try_lock(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    file.try_lock()?;
    Ok(file)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Puts bytes at a path: the old file or the new one, whatever happens. `verify` sees the
/// bytes as they were read back, and can still say no; with `backups` the old file stays as
/// `NAME.1`. It is put back if the new one may not outlive a crash: on any error nothing of
/// ours is left.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    backups: u8,
    verify: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let (temp, directory) = (temp_path(path), open_directory(path)?);
    // With backups, the old one is kept as a file, if there is one.
    let old = if backups > 0 { Err(io::ErrorKind::NotFound.into()) } else { fs::read(path) };
    let kept = write_temp(&temp, bytes, verify)
        .and_then(|()| if backups > 0 { keep_backup(path, backups) } else { Ok(false) })
        .and_then(|kept| fs::rename(&temp, path).map(|()| kept));
    if kept.is_err() {
        let _ = fs::remove_file(&temp);
    }
    let kept = kept?;
    directory.sync_all().inspect_err(|_| {
        let _ = match old {
            _ if kept => fs::rename(backup_path(path, 1), path),
            Ok(old) => write_temp(&temp, &old, |_| true).and_then(|()| fs::rename(&temp, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(path),
            // Without the old one, the new one is better than none.
            Err(_) => Ok(()),
        };
    })
}

/// Adds bytes as the first backup.
pub fn add_backup(path: &Path, backups: u8, bytes: &[u8]) -> io::Result<()> {
    shift_backups(path, backups)?;
    write_new(&backup_path(path, 1), bytes)?;
    open_directory(path)?.sync_all()
}

/// Takes away what a write that was cut off has left.
pub fn remove_leftover(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(temp_path(path)))
}

/// Takes a file away, if it is there, for good.
pub fn remove(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(path))?;
    open_directory(path)?.sync_all()
}

/// Puts one file in the place of another, for good.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    open_directory(to)?.sync_all()
}

/// The path of a backup, from 1.
pub fn backup_path(path: &Path, number: u8) -> PathBuf {
    suffixed(path, &format!(".{number}"))
}

fn temp_path(path: &Path) -> PathBuf {
    suffixed(path, ".tmp")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The lock's holder is the only writer, so a file that is there already is a leftover.
fn write_temp(temp: &Path, bytes: &[u8], verify: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    ignore_missing(fs::remove_file(temp))?;
    write_new(temp, bytes)?;
    let back = fs::read(temp)?;
    if back == bytes && verify(&back) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Keeps the old file, if there is one, as the first backup. `path` itself is never without
/// a file.
fn keep_backup(path: &Path, backups: u8) -> io::Result<bool> {
    let facts = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        facts => facts?,
    };
    // A write that was cut off has kept it.
    if is_backup(path, 1, &facts) {
        return Ok(true);
    }
    shift_backups(path, backups)?;
    let first = backup_path(path, 1);
    // Some filesystems have no hard links.
    fs::hard_link(path, &first).or_else(|_| write_new(&first, &fs::read(path)?)).map(|()| true)
}

fn shift_backups(path: &Path, backups: u8) -> io::Result<()> {
    (1..backups).rev().try_for_each(|n| {
        ignore_missing(fs::rename(backup_path(path, n), backup_path(path, n + 1)))
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    File::open(path.parent().unwrap_or(Path::new("/")))
}
