//! What is fuzzed: one function for each reader of bytes that others wrote. Each panics where
//! a promise is broken, and runs no program but the shells that `quote` asks.
//!
//! libFuzzer calls them from `targets/`, and `tests/` with the committed corpus.

pub mod audit;
pub mod dotenv;
#[path = "../../client/src/envfile/mod.rs"]
#[expect(dead_code, reason = "the client is a program, and this is one of its modules")]
mod envfile;
pub mod frame;
pub mod manifest;
pub mod quote;
#[path = "../../client/src/quote/mod.rs"]
#[expect(dead_code, reason = "the client is a program, and this is one of its modules")]
mod quoting;
pub mod shell;
pub mod vault;

use cap::Cap;
use std::alloc::System;

/// The most memory that one input may take, in bytes. What claims more than it brings dies of it.
const HEAP_BYTES_MAX: usize = 64 * 1024 * 1024;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, HEAP_BYTES_MAX);
