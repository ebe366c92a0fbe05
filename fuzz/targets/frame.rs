//! libFuzzer's way to [`keyagent_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::frame::run(data));
