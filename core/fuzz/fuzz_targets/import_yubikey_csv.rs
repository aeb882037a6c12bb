//! A token file from anywhere (Yubikey CSV): no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::facts::Random;
use tessera_core::import::yubikey_csv::parse;

fuzz_target!(|text: &str| {
    let _ = parse(text, &mut Random::new(&[1; 32]));
});
