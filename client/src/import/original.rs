//! The file as it was before an import rewrote it: kept in the vault, put back on request.

use crate::atomic::{Look, Workplace};
use crate::import::source::{self, Source};
use crate::project::{pasted, show};
use crate::refusal;
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use keyagent_wire::request::Part;
use keyagent_wire::{Refusal, Reply, Request, VALUE_BYTES_MAX, Value, fingerprint};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most parts that a file of 1 MiB has.
const PARTS_MAX: u32 = 16;

/// Stages the whole file, to be written together with its keys.
pub(crate) fn stage(
    session: &mut Session,
    source: &Source,
    after: [u8; 32],
) -> Result<(), Failure> {
    let path = source.target().as_os_str().as_bytes();
    let pieces = source.bytes().chunks(VALUE_BYTES_MAX);
    let parts = pieces.len() as u32;
    for (part, piece) in (0..).zip(pieces) {
        let bytes = Value::new(piece)
            .map_err(|e| Failure::failed(format!("cannot keep `{}`: {e}", source.shown())))?;
        let part = Part { path: path.to_vec(), part, parts, after, bytes };
        session.ask(&Request::PutOriginal(part))?;
    }
    Ok(())
}

/// `--undo`: puts the file back, unless somebody edited it since.
pub(crate) fn put_back(path: &Path) -> Result<(), Failure> {
    let target = target(path)?;
    let mut session = Session::begin()?;
    let kept = fetch(&mut session, &target)?;
    let (original, after) = kept.ok_or_else(|| refusal::failure(&Refusal::NoOriginal))?;
    let now = if target.exists() { Some(source::read(&target)?) } else { None };
    if let Some((bytes, _)) = &now {
        if **bytes == *original {
            report::note(format!("nothing to undo: `{}` is as it was", show(path)));
            return Ok(());
        }
        if fingerprint::of(bytes) != after {
            return Err(edited(path));
        }
    }
    write_back(&target, &original, now.as_ref().map(|(_, metadata)| metadata))?;
    report::note(format!("`{}` is as it was; its keys are in plain text again", show(path)));
    Ok(())
}

/// The file at that place as it was before the last import that rewrote it, if one did.
pub(crate) fn find(
    session: &mut Session,
    target: &Path,
) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    Ok(fetch(session, target)?.map(|(bytes, _)| bytes))
}

/// The key under which the vault keeps it: the canonical path, also of a file that is gone.
fn target(path: &Path) -> Result<PathBuf, Failure> {
    match path.canonicalize() {
        Ok(target) => Ok(target),
        Err(_) => Ok(source::directory_of(path)?.join(path.file_name().unwrap_or_default())),
    }
}

/// An original, whole, and the fingerprint of what the import left.
type Kept = (Zeroizing<Vec<u8>>, [u8; 32]);

fn fetch(session: &mut Session, target: &Path) -> Result<Option<Kept>, Failure> {
    let path = target.as_os_str().as_bytes();
    let mut ask = |part| {
        let ask = Request::Original { path: path.to_vec(), part };
        match session.ask_unless(&ask, &Refusal::NoOriginal)? {
            Some(Reply::Original { parts, after, bytes }) if parts <= PARTS_MAX => {
                Ok(Some((parts, after, bytes)))
            }
            Some(_) => Err(unexpected()),
            None => Ok(None),
        }
    };
    let Some((parts, after, first)) = ask(0)? else { return Ok(None) };
    // Sized for the largest, so that it does not grow.
    let mut original = Zeroizing::new(Vec::with_capacity(parts as usize * VALUE_BYTES_MAX));
    original.extend_from_slice(first.expose());
    for part in 1..parts {
        let next = ask(part)?.filter(|(_, same_after, _)| *same_after == after);
        let (_, _, bytes) = next.ok_or_else(|| {
            Failure::failed("the original changed while it was read").hint("try again in a moment")
        })?;
        original.extend_from_slice(bytes.expose());
    }
    Ok(Some((original, after)))
}

fn write_back(target: &Path, original: &[u8], model: Option<&Metadata>) -> Result<(), Failure> {
    let place = Workplace::claim(&source::directory_of(target)?)?;
    let name = target.file_name().unwrap_or_default();
    place.put(name, original, &model.map_or(Look::New(0o600), Look::Like))
}

fn edited(path: &Path) -> Failure {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".edited");
    let (shown, path, aside) = (show(path), pasted(path), pasted(Path::new(&aside)));
    Failure::failed(format!("`{shown}` was edited since keys were taken out of it"))
        .hint(format!("`mv {path} {aside} && keyagent import --undo {path}`"))
}
