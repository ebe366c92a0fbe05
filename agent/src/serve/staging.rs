//! What a connection has staged and not committed: sealed as soon as it came. Bounded for one
//! connection and for all of them together; dropped, and so wiped, when the connection ends.

use crate::vault::Original;
use crate::vault::change::{self, Staged};
use crate::vault::sealed::{Kind, Sealed};
use keyagent_wire::request::{Part, Put};
use keyagent_wire::{Limit, Refusal};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// How many values one commit may have.
pub const STAGED_MAX: usize = 4096;
/// How many bytes all connections may have staged at once.
pub const STAGED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What one staged thing counts beside its value.
const OVERHEAD_BYTES: usize = 512;
/// How many parts an original may have.
const PARTS_MAX: u32 = 32;

/// The staged values and originals, in order.
pub struct Staging {
    staged: Vec<Staged>,
    original: Option<Incomplete>,
    /// A lock has taken some of it: what comes next is told, or half of it would be committed.
    is_cut: bool,
    held: Held,
}

/// An original of which parts are missing.
struct Incomplete {
    path: Vec<u8>,
    parts: u32,
    after: [u8; 32],
    came: Vec<Sealed>,
}

/// Bytes that are counted for all connections, until dropped.
struct Held {
    all: Rc<Cell<usize>>,
    bytes: usize,
}

impl Staging {
    /// Nothing staged; `all` counts the bytes of every connection.
    pub fn new(all: Rc<Cell<usize>>) -> Self {
        let (staged, held) = (Vec::new(), Held { all, bytes: 0 });
        Self { staged, original: None, is_cut: false, held }
    }

    /// Stages a value.
    pub fn put(&mut self, put: Put) -> Result<(), Refusal> {
        self.hold(put.value.byte_count())?;
        let value = Sealed::of(&put.value, Kind::Version)?;
        let Put { name, clash, exec_only, confirm, note, .. } = put;
        self.staged.push(Staged::Put(change::Put { name, value, clash, exec_only, confirm, note }));
        Ok(())
    }

    /// Stages a part of an original; the parts of one come in order and together.
    pub fn put_original(&mut self, part: Part) -> Result<(), Refusal> {
        if part.parts > PARTS_MAX || part.part >= part.parts {
            return Err(Refusal::Malformed);
        }
        self.hold(part.bytes.byte_count())?;
        let mut original = match self.original.take() {
            None if part.part == 0 => Incomplete {
                path: part.path.clone(),
                parts: part.parts,
                after: part.after,
                came: Vec::new(),
            },
            Some(begun) if begun.path == part.path && begun.came.len() as u32 == part.part => begun,
            _ => return Err(Refusal::Malformed),
        };
        original.came.push(Sealed::of(&part.bytes, Kind::Original)?);
        if (original.came.len() as u32) < original.parts {
            self.original = Some(original);
        } else {
            let whole = Original { parts: original.came, after: original.after };
            self.staged.push(Staged::Original(original.path, Arc::new(whole)));
        }
        Ok(())
    }

    /// Gives up what is staged, for a commit. There must be something, and all of it.
    pub fn take(&mut self) -> Result<Vec<Staged>, Refusal> {
        self.need_whole()?;
        let begun = self.original.is_some();
        let staged = std::mem::take(&mut self.staged);
        *self = Self::new(self.held.all.clone());
        if begun || staged.is_empty() { Err(Refusal::Malformed) } else { Ok(staged) }
    }

    /// Drops, and so wipes, all of it, because the vault is locked.
    pub fn forget(&mut self) {
        let is_cut = self.is_cut || !self.staged.is_empty() || self.original.is_some();
        *self = Self { is_cut, ..Self::new(self.held.all.clone()) };
    }

    /// Refuses once, if a lock has taken what came before.
    fn need_whole(&mut self) -> Result<(), Refusal> {
        if std::mem::take(&mut self.is_cut) { Err(Refusal::Locked) } else { Ok(()) }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.need_whole()?;
        let all = self.held.all.get() + bytes + OVERHEAD_BYTES;
        if self.staged.len() >= STAGED_MAX || all > STAGED_BYTES_MAX {
            return Err(Refusal::TooLarge(Limit::Staged));
        }
        self.held.all.set(all);
        self.held.bytes += bytes + OVERHEAD_BYTES;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.bytes));
    }
}
