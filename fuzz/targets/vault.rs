//! libFuzzer's way to [`keyagent_fuzz::vault`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::vault::run(data));
