//! The user's own manifest, beside the user's config: read here only to tell whether its
//! shells should ask again. It needs no grant, so no vault knows what it binds.

use super::{MANIFEST_BYTES_MAX, parse};
use crate::places::Places;
use keyagent_wire::SecretName;
use nix::fcntl::OFlag;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;

/// Whether it binds one of these secrets. One that is no manifest may: its shells are to say so.
pub fn binds_any(places: &Places, secrets: &BTreeSet<SecretName>) -> bool {
    match read(places) {
        None => false,
        Some(text) => {
            parse(&text).map_or(true, |manifest| !manifest.secrets().is_disjoint(secrets))
        }
    }
}

/// The path of its directory, as the kernel has it.
pub fn directory(places: &Places) -> Option<Vec<u8>> {
    places.config().canonicalize().ok().map(|path| path.into_os_string().into_vec())
}

fn read(places: &Places) -> Option<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let path = places.config().join("keyagent.toml");
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return None;
    }
    let mut text = Vec::new();
    // A byte more than is allowed, so that the parser refuses what is larger.
    file.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut text).ok()?;
    Some(text)
}
