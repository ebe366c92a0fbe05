//! A project as its descriptors show it: which directory, and which bytes its manifest has.
//!
//! The bytes are read once; what is hashed is what is parsed. The client found the files,
//! so everything about them is asked of the kernel again.

use super::{MANIFEST_BYTES_MAX, Manifest, parse};
use crate::grant::Directory;
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

impl Project {
    /// Looks at a directory and its open manifest.
    pub fn read(directory: &OwnedFd, manifest: &OwnedFd, parsed: &Parsed) -> Result<Self, Refusal> {
        let directory = checked_directory(directory)?;
        let facts = fstat(manifest).map_err(|_| Refusal::Unsafe(Unsafe::NotRegular))?;
        check_manifest(&facts)?;
        let bytes = read_once(manifest, facts.st_size)?;
        let hash = Sha256::digest(&bytes).into();
        let manifest = parsed.parse(hash, &bytes)?;
        let text = String::from_utf8(bytes).expect("what parses is UTF-8");
        Ok(Self { directory, hash, text, manifest })
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

/// The directory behind a descriptor: ours, and closed to the pens of others.
pub fn checked_directory(fd: &OwnedFd) -> Result<Directory, Refusal> {
    let facts = fstat(fd).map_err(|_| Refusal::Unsafe(Unsafe::NotRegular))?;
    if kind(&facts) != SFlag::S_IFDIR {
        return Err(Refusal::Unsafe(Unsafe::NotRegular));
    }
    if facts.st_uid != geteuid().as_raw() {
        return Err(Refusal::Unsafe(Unsafe::DirectoryOwner));
    }
    if others_write(&facts) {
        return Err(Refusal::Unsafe(Unsafe::DirectoryWritable));
    }
    if facts.st_nlink == 0 {
        return Err(Refusal::Unsafe(Unsafe::NoPath));
    }
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = readlink(link.as_str()).map_err(|_| Refusal::Unsafe(Unsafe::NoPath))?.into_vec();
    Ok(Directory { device: facts.st_dev, inode: facts.st_ino, path })
}

fn check_manifest(facts: &FileStat) -> Result<(), Refusal> {
    let owner = facts.st_uid;
    let fault = match () {
        () if kind(facts) != SFlag::S_IFREG => Unsafe::NotRegular,
        () if owner != geteuid().as_raw() && owner != 0 => Unsafe::Owner,
        () if others_write(facts) => Unsafe::Writable,
        () if facts.st_nlink == 0 => Unsafe::NoPath,
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

/// Reads to the end, or to one byte more than is allowed: the parser says that it is too
/// large. The kernel's size is only where the buffer begins.
fn read_once(file: &OwnedFd, size: i64) -> Result<Vec<u8>, Refusal> {
    let size = usize::try_from(size).unwrap_or(0).min(MANIFEST_BYTES_MAX);
    let mut bytes = vec![0; size + 1];
    let mut filled = 0;
    while filled <= MANIFEST_BYTES_MAX {
        if filled == bytes.len() {
            bytes.resize(MANIFEST_BYTES_MAX + 1, 0);
        }
        match pread(file.as_fd(), &mut bytes[filled..], filled as i64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(_) => return Err(Refusal::Unsafe(Unsafe::NotRegular)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
