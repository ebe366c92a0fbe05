//! Holds the keys of an age-encrypted vault in memory.
