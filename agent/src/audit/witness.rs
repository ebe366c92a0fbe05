//! The witness of one request: who asks, and what became of it, on record.
//!
//! It decides nothing. A release that it could not record must not be.

use super::event::{Event, Named};
use super::recorder::Recorder;
use crate::peer::Peer;
use keyagent_wire::event::{Deed, Way, What};
use keyagent_wire::{Refusal, SecretName};
use std::cell::Cell;

/// Who asks, for as long as one request is answered.
pub struct Witness<'a> {
    recorder: &'a Recorder,
    peer: &'a Peer,
    has_refused: Cell<bool>,
}

impl<'a> Witness<'a> {
    /// The witness of what that peer asks now.
    pub fn new(recorder: &'a Recorder, peer: &'a Peer) -> Self {
        Self { recorder, peer, has_refused: Cell::new(false) }
    }

    /// The process that asks.
    pub fn peer(&self) -> &Peer {
        self.peer
    }

    /// Records a release, before it. Unless this is written, there must be none.
    pub fn releases(
        &self,
        way: Way,
        path: Option<&[u8]>,
        secrets: &[Named<'_>],
    ) -> Result<(), Refusal> {
        let who = self.recorder.who(self.peer);
        let what = What::Released(way);
        self.recorder.record(&Event { who: Some(&who), path, secrets, ..Event::told(what) })
    }

    /// Records a refusal, once for each request.
    pub fn refuses(&self, way: Way, refusal: &Refusal, path: Option<&[u8]>, names: &[&SecretName]) {
        // The log that cannot be written takes no word of that either; it counts it.
        if matches!(refusal, Refusal::NotRecorded(_)) || self.has_refused.replace(true) {
            return;
        }
        let secrets = without_versions(names);
        let (who, refusal) = (self.recorder.who(self.peer), Some(refusal));
        let event = Event { refusal, who: Some(&who), path, ..Event::told(What::Refused(way)) };
        self.recorder.note(&Event { secrets: &secrets, ..event });
    }

    /// Records what the human said.
    pub fn answers(&self, allowed: bool, names: &[&SecretName]) {
        let what = if allowed { What::Allowed } else { What::Denied };
        self.tell(what, None, &without_versions(names));
    }

    /// Records a change of the vault.
    pub fn changes(&self, deed: Deed, path: Option<&[u8]>, secrets: &[Named<'_>]) {
        self.tell(What::Changed(deed), path, secrets);
    }

    fn tell(&self, what: What, path: Option<&[u8]>, secrets: &[Named<'_>]) {
        let who = self.recorder.who(self.peer);
        self.recorder.note(&Event { who: Some(&who), path, secrets, ..Event::told(what) });
    }
}

fn without_versions<'a>(names: &[&'a SecretName]) -> Vec<Named<'a>> {
    names.iter().map(|name| Named { name, version: None }).collect()
}
