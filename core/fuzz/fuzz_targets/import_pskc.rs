//! A token file from anywhere (PSKC and Feitian, plain and encrypted): no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::import::pskc::{Protection, parse, parse_feitian};
use tessera_core::secret::SecretText;

fuzz_target!(|text: &str| {
    let key = Protection::Key(SecretText::from("12345678901234567890123456789012"));
    for protection in [Protection::Plain, key] {
        let _ = parse(text, &protection, true);
    }
    let _ = parse_feitian(text);
});
