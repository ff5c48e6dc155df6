#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz_targets::tolerate_caught_panics(), |data: &[u8]| fuzz_targets::jpeg(data));
