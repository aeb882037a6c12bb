//! A token file from anywhere (eToken DAT): no panic. The first line is the start date.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::import::etoken::parse;

fuzz_target!(|text: &str| {
    let (start_date, file) = text.split_once('\n').unwrap_or(("", text));
    let _ = parse(file, start_date);
});
