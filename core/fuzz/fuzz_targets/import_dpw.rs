//! A token file from anywhere (dpw): no panic, and no message with what may be a seed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::import::dpw::parse;

fuzz_target!(|text: &str| {
    if let Err(problem) = parse(text) {
        assert!(problem.place > 0 && problem.problem.len() < 300);
    }
});
