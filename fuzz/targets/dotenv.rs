//! libFuzzer's way to [`keyagent_fuzz::dotenv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::dotenv::run(data));
