#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgcluster::fuzzed::configuration(bytes));
