//! A token file from anywhere (SafeNet XML): no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::import::safenet::parse;

fuzz_target!(|text: &str| {
    let _ = parse(text, "auto");
});
