//! An import file must never make the reader panic, and what is read is exported and read again as the same.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tessera_core::policy::Policy;
use tessera_core::policy::exchange::{export, import};
use tessera_core::user::PolicyName;

fuzz_target!(|file: &str| {
    let Ok(policies) = import(file) else { return };
    for (name, record) in policies {
        // Only such names are written; a text with all kinds of quotation marks has no form in a file.
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let texts = [&record.action, &record.realm, &record.user, &record.client, &record.time, &record.scope];
        if !plain || texts.iter().any(|text| text.contains(['\'', '\r', '\n']) || text.trim().is_empty()) {
            continue;
        }
        let before = Policy::compile(PolicyName::from(name), Arc::new(record));
        let again = import(&export([&before])).expect("an exported file is read");
        let (name, record) = again.into_iter().next().expect("it has one policy");
        let after = Policy::compile(PolicyName::from(name), Arc::new(record));
        assert_eq!((after.name, after.fields), (before.name, before.fields));
    }
});
