//! keyagentd: the vault, who may have what of it, and the socket that serves it.
//!
//! Arrows point down: `serve → gate → judge → vault`. The loop and its runtime live in
//! `serve` alone; age in `vault/seal.rs` alone.

pub mod ask;
pub mod audit;
pub mod config;
pub mod deadline;
pub mod gate;
pub mod grant;
pub mod health;
pub mod judge;
pub mod log;
pub mod manifest;
pub mod peer;
pub mod places;
pub mod review;
pub mod sandbox;
pub mod serve;
pub mod spawner;
pub mod stamps;
pub mod surroundings;
pub mod vault;
