//! A project as its descriptors show it: which directory, and which bytes its manifest has.
//!
//! The bytes are read once; what is hashed is what is parsed. The client found the files,
//! so everything about them is asked of the kernel again. Behind a descriptor may be a
//! mount that does not answer: [`glance`] never waits, [`look`] may.

use super::{MANIFEST_BYTES_MAX, Manifest, parse};
use crate::grant::Directory;
use keyagent_sys::cached;
use keyagent_wire::{Refusal, Unsafe};
use nix::errno::Errno;
use nix::fcntl::readlink;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::uio::pread;
use nix::unistd::{getegid, geteuid};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

/// How many parsed manifests are remembered, by the hash of their bytes.
const REMEMBERED_MAX: usize = 64;
/// `S_IWOTH` and `S_IWGRP`, as inode(7) has them.
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;

/// A directory with a manifest, checked and parsed.
pub struct Project {
    /// The directory.
    pub directory: Directory,
    /// SHA-256 of the manifest's bytes.
    pub hash: [u8; 32],
    /// The manifest's text.
    pub text: String,
    /// What it says.
    pub manifest: Rc<Manifest>,
}

/// Parsed manifests by hash: the same bytes always say the same.
#[derive(Default)]
pub struct Parsed(RefCell<HashMap<[u8; 32], Rc<Manifest>>>);

/// What a directory and its manifest were when they were looked at.
pub struct Seen {
    directory: Directory,
    bytes: Vec<u8>,
}

/// How the kernel is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// For what it has at hand.
    Cached,
    /// For what is so, however long that takes.
    Sure,
}

/// Looks at a directory and its open manifest without waiting. None if that cannot be done,
/// or if anything is wrong: [`look`] will say what.
///
/// A file system that reads without waiting has no server, so its facts are never stale;
/// the directory must lie on that same one.
pub fn glance(directory: &OwnedFd, manifest: &OwnedFd) -> Option<Seen> {
    let (seen, device) = Ask::Cached.see(directory, manifest).ok()?;
    (seen.directory.device == device).then_some(seen)
}

/// Looks at a directory and its open manifest. Waits for their file systems.
pub fn look(directory: &OwnedFd, manifest: &OwnedFd) -> Result<Seen, Refusal> {
    Ask::Sure.see(directory, manifest).map(|(seen, _)| seen)
}

/// Looks at a directory alone, whoever it belongs to and whoever may write it: trust can be
/// taken from any. Waits for its file system.
pub fn look_at_directory(directory: &OwnedFd) -> Result<Directory, Refusal> {
    let facts = Ask::Sure.facts(directory)?;
    match kind(&facts) {
        SFlag::S_IFDIR => named(directory, &facts),
        _ => Err(Refusal::Unsafe(Unsafe::NotRegular)),
    }
}

impl Project {
    /// What was seen, hashed and parsed.
    pub fn of(seen: Seen, parsed: &Parsed) -> Result<Self, Refusal> {
        let Seen { directory, bytes } = seen;
        let hash = Sha256::digest(&bytes).into();
        let manifest = parsed.parse(hash, &bytes)?;
        let text = String::from_utf8(bytes).expect("what parses is UTF-8");
        Ok(Self { directory, hash, text, manifest })
    }
}

impl Ask {
    /// Also tells on which device the manifest is.
    fn see(self, directory: &OwnedFd, manifest: &OwnedFd) -> Result<(Seen, u64), Refusal> {
        let directory = self.directory(directory)?;
        let facts = self.facts(manifest)?;
        check_manifest(&facts)?;
        let bytes = self.read_once(manifest, facts.st_size)?;
        Ok((Seen { directory, bytes }, facts.st_dev))
    }

    /// The directory behind a descriptor: ours, and closed to the pens of others.
    fn directory(self, fd: &OwnedFd) -> Result<Directory, Refusal> {
        let facts = self.facts(fd)?;
        check_directory(&facts)?;
        named(fd, &facts)
    }

    fn facts(self, fd: &OwnedFd) -> Result<FileStat, Refusal> {
        let facts = match self {
            Self::Cached => cached::stat(fd.as_fd()),
            Self::Sure => fstat(fd),
        };
        facts.map_err(unreadable)
    }

    /// Reads to the end, or to one byte more than is allowed: the parser says that it is too
    /// large. The kernel's size is only where the buffer begins.
    fn read_once(self, file: &OwnedFd, size: i64) -> Result<Vec<u8>, Refusal> {
        let size = usize::try_from(size).unwrap_or(0).min(MANIFEST_BYTES_MAX);
        let mut bytes = vec![0; size + 1];
        let mut filled = 0;
        while filled <= MANIFEST_BYTES_MAX {
            if filled == bytes.len() {
                bytes.resize(MANIFEST_BYTES_MAX + 1, 0);
            }
            let (rest, offset) = (&mut bytes[filled..], filled as i64);
            let read = match self {
                Self::Cached => cached::pread(file.as_fd(), rest, offset),
                Self::Sure => pread(file.as_fd(), rest, offset),
            };
            match read {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(unreadable(errno)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

impl Parsed {
    fn parse(&self, hash: [u8; 32], bytes: &[u8]) -> Result<Rc<Manifest>, Refusal> {
        if let Some(known) = self.0.borrow().get(&hash) {
            return Ok(known.clone());
        }
        let manifest = Rc::new(parse(bytes).map_err(|fault| fault.refusal(bytes))?);
        let mut remembered = self.0.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(hash, manifest.clone());
        Ok(manifest)
    }
}

/// A mount whose server is gone says so by an error, if it says anything.
fn unreadable(errno: Errno) -> Refusal {
    match errno {
        Errno::EIO | Errno::ENOTCONN | Errno::ESTALE | Errno::ETIMEDOUT => Refusal::NoAnswer,
        _ => Refusal::Unsafe(Unsafe::NotRegular),
    }
}

/// The kernel makes the path of names that it holds, and asks no file system.
fn named(fd: &OwnedFd, facts: &FileStat) -> Result<Directory, Refusal> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = readlink(link.as_str()).map_err(|_| Refusal::Unsafe(Unsafe::NoPath))?.into_vec();
    Ok(Directory { device: facts.st_dev, inode: facts.st_ino, path })
}

fn check_directory(facts: &FileStat) -> Result<(), Refusal> {
    let fault = match () {
        () if kind(facts) != SFlag::S_IFDIR => Unsafe::NotRegular,
        () if facts.st_uid != geteuid().as_raw() => Unsafe::DirectoryOwner,
        () if others_write(facts) => Unsafe::DirectoryWritable,
        () if facts.st_nlink == 0 => Unsafe::NoPath,
        () => return Ok(()),
    };
    Err(Refusal::Unsafe(fault))
}

fn check_manifest(facts: &FileStat) -> Result<(), Refusal> {
    let owner = facts.st_uid;
    let fault = match () {
        () if kind(facts) != SFlag::S_IFREG => Unsafe::NotRegular,
        () if owner != geteuid().as_raw() && owner != 0 => Unsafe::Owner,
        () if others_write(facts) => Unsafe::Writable,
        () if facts.st_nlink == 0 => Unsafe::NoPath,
        // Whoever can write where its other name is may change what is allowed here.
        () if facts.st_nlink > 1 => Unsafe::Linked,
        () => return Ok(()),
    };
    Err(Refusal::Unsafe(fault))
}

fn kind(facts: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(facts.st_mode & SFlag::S_IFMT.bits())
}

/// Our own primary group may write: where every user has a group of their own, umask 002
/// is the rule.
fn others_write(facts: &FileStat) -> bool {
    let group = facts.st_mode & GROUP_WRITES != 0 && facts.st_gid != getegid().as_raw();
    facts.st_mode & OTHERS_WRITE != 0 || group
}
