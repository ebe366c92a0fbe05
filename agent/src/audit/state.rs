//! The state of the log: where it stood at its last anchor, and the key of that epoch.
//!
//! It lies in the open, ours alone, because the log goes on while the vault is locked and
//! after a restart. Its key opens nothing, and cannot be turned back: whoever steals it can
//! make up what comes after this anchor, and nothing before.

use super::chain::{Chain, EpochKey, LogId, Mac};
use super::record::{parse_hex, push_hex};
use crate::vault::file;
use keyagent_wire::VaultFault;
use serde::Deserialize;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The one format there is.
const FORMAT: u64 = 1;

/// Where a log stood, at the beginning of an epoch.
pub struct State {
    /// Which log.
    pub log: LogId,
    /// The epoch that begins.
    pub epoch: u64,
    /// The number of its first record.
    pub seq: u64,
    /// The MAC of the record before that.
    pub prev: Mac,
    key: EpochKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    format: u64,
    log: &'a str,
    epoch: u64,
    seq: u64,
    prev: &'a str,
    key: &'a str,
}

impl State {
    /// Where a chain stands, if it is at the beginning of an epoch.
    pub fn of(chain: &Chain, log: &LogId) -> Option<Self> {
        let Chain { epoch, seq, prev, .. } = *chain;
        let key = (chain.in_epoch == 0).then(|| chain.key().duplicate())?;
        Some(Self { log: log.clone(), epoch, seq, prev, key })
    }

    /// A chain that stands there.
    pub fn chain(&self) -> Chain {
        Chain::at(self.key.duplicate(), self.epoch, self.seq, self.prev)
    }

    /// Whether a chain stands just there.
    pub fn is_at(&self, chain: &Chain) -> bool {
        let at = (chain.epoch, chain.in_epoch, chain.seq, &chain.prev);
        at == (self.epoch, 0, self.seq, &self.prev) && chain.key().is(&self.key)
    }

    /// Reads it. A missing one is none; one that is not ours alone, or no state, is a fault.
    pub fn read(path: &Path) -> Result<Option<Self>, VaultFault> {
        let bytes = match file::read_guarded(path) {
            Err(VaultFault::Missing) => return Ok(None),
            read => Zeroizing::new(read?),
        };
        Self::parse(&bytes).map(Some).ok_or(VaultFault::Malformed)
    }

    /// Writes it: the old state or the new one, whatever happens.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        file::replace(path, &self.text(), 0, |back| Self::parse(back).is_some())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text: Text<'_> = serde_json::from_slice(bytes).ok()?;
        let key = Zeroizing::new(parse_hex(text.key.as_bytes())?);
        (text.format == FORMAT).then_some(Self {
            log: LogId::parse(text.log)?,
            epoch: text.epoch,
            seq: text.seq,
            prev: parse_hex(text.prev.as_bytes())?,
            key: EpochKey::from_bytes(key),
        })
    }

    fn text(&self) -> Zeroizing<Vec<u8>> {
        // Longer than it gets, so that it never grows and leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(512));
        let (log, epoch, seq) = (self.log.text(), self.epoch, self.seq);
        let begin = format!("{{\"format\":{FORMAT},\"log\":\"{log}\",\"epoch\":{epoch},");
        text.extend_from_slice(begin.as_bytes());
        text.extend_from_slice(format!("\"seq\":{seq},\"prev\":\"").as_bytes());
        push_hex(&mut text, &self.prev);
        text.extend_from_slice(b"\",\"key\":\"");
        self.key.with(|key| push_hex(&mut text, key));
        text.extend_from_slice(b"\"}\n");
        text
    }
}
