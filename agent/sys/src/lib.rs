//! The kernel's side of keyagentd: hardening, descriptors, detaching, messages with
//! descriptors. The one crate with unsafe code; each block says why it is sound.
//!
//! It decides nothing and keeps nothing: what it cannot do, it reports.

pub mod cached;
pub mod detach;
pub mod harden;
pub mod heap;
pub mod message;
