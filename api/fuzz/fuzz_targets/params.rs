//! Arbitrary bytes as the parameters of a request: no panic, and nothing found that was not sent.
//!
//! The input is a content type, a query string and a body, separated by the first two zero bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_api::params::{BodyKind, MAX_PARAMETERS, decode};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let content_type = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let query = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let Ok(params) = decode(Some(&query), BodyKind::of(Some(&content_type)), body) else { return };
    assert!(params.iter().count() <= MAX_PARAMETERS);
    for (name, text) in params.iter() {
        assert_eq!(params.text(name).unwrap_or_default(), text);
        assert!(!matches!(name, "session" | "httperror" | "client" | "csrf_token"));
        let _ = params.flag(name);
        let _ = params.number::<i64>(name);
    }
    assert!(!params.is_damaged() || params.is_empty());
    let _ = params.lowercased().list("serial");
});
