//! libFuzzer's way to [`keyagent_fuzz::audit`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyagent_fuzz::audit::run(data));
