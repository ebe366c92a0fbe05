//! Runs a command with the keys that keyagentd holds.

fn main() {}
