//! The contract between keyagent and keyagentd.
