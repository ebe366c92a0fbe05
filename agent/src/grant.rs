//! Grants: standing permissions of a directory with a manifest. Data, and no judgement.

use keyagent_wire::{Channel, SecretName};
use std::collections::BTreeSet;

/// How many manifests of one directory stay allowed side by side (branches); oldest go first.
pub const GRANTS_PER_DIRECTORY_MAX: usize = 16;

/// A directory as the kernel knows it. All three must match: a copy has another inode, a
/// moved directory another path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
    /// The path, as bytes.
    pub path: Vec<u8>,
}

/// This directory with this manifest may have these secrets by these channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where.
    pub directory: Directory,
    /// SHA-256 of the manifest.
    pub manifest: [u8; 32],
    /// What the manifest named when it was allowed.
    pub secrets: BTreeSet<SecretName>,
    /// By which ways.
    pub channels: BTreeSet<Channel>,
    /// When, in seconds since 1970 (UTC).
    pub created: u64,
}

/// The last grant of a directory, whatever its manifest was.
pub fn latest<'a>(grants: &'a [Grant], directory: &Directory) -> Option<&'a Grant> {
    grants.iter().rev().find(|g| g.directory == *directory)
}

/// The grant of a directory with just this manifest.
pub fn matching<'a>(
    grants: &'a [Grant],
    directory: &Directory,
    manifest: &[u8; 32],
) -> Option<&'a Grant> {
    grants.iter().rev().find(|g| g.manifest == *manifest && g.directory == *directory)
}
