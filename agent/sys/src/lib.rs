//! The kernel's side of keyagentd: protected memory, hardening, descriptors, detaching,
//! messages with descriptors. The one crate with unsafe code; each block says why it is sound.
//!
//! It decides nothing and keeps nothing: what it cannot do, it reports.

pub mod arena;
pub mod cached;
pub mod detach;
pub mod harden;
pub mod heap;
mod layout;
pub mod life;
pub mod message;
mod region;
pub mod stack;
