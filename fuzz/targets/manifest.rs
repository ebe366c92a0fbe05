//! libFuzzer's way to [`keyagent_fuzz::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::manifest::run(data));
