//! The contract between `keyagent` and `keyagentd`: names, values, frames, requests, replies.
//!
//! Both ends import this crate, so neither can drift from the other. It knows no async
//! runtime and does no I/O but `Read` and `Write`; it never opens, connects or prints.

pub mod codec;
pub mod event;
pub mod fingerprint;
pub mod frame;
pub mod health;
mod name;
mod note;
pub mod outline;
mod refusal;
pub mod reply;
pub mod request;
mod reserved;
pub mod socket;
pub mod stamp;
pub mod terminal;
mod value;

pub use name::{EnvName, NAME_BYTES_MAX, NameError, ProfileName, SecretName};
pub use note::{NOTE_BYTES_MAX, Note, escape, is_printable};
pub use refusal::{Limit, ManifestFault, Refusal, Unsafe, Unsealer, VaultFault, VaultFile};
pub use reply::Reply;
pub use request::{Channel, Confirm, Request};
pub use value::{VALUE_BYTES_MAX, Value, ValueError};
