//! libFuzzer's way to [`keyagent_fuzz::quote`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::quote::run(data));
