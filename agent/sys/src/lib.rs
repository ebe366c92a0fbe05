//! The kernel's side of keyagentd.
