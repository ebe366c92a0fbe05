//! The audit log: who had what, when. Append-only, chained by a MAC whose key only moves
//! forward, and checked from the identity alone.
//!
//! It decides nothing and never holds a value, or a hash of one. Whoever asks it to record
//! something hears whether that was written, and refuses if it was not.

pub mod ancestry;
pub mod assistant;
pub mod body;
pub mod chain;
pub mod event;
pub mod files;
pub mod log;
pub mod moment;
pub mod read;
pub mod record;
pub mod recorder;
pub mod stat;
pub mod state;
pub mod tail;
pub mod verify;
pub mod witness;
pub mod words;

#[cfg(test)]
mod tests;
