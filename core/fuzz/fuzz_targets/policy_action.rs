//! The action grammar must never panic, and what it reads from a rewritten field must be what stood there before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::policy::Scope;
use tessera_core::policy::forward::{replace_sealed, seal_secrets, servers};
use tessera_core::policy::items::{Items, Written, quoted, with_present_names};
use tessera_core::policy::validate::check_actions;

fuzz_target!(|text: &str| {
    let Ok(items) = Items::parse(text) else { return };
    for scope in Scope::ALL {
        let _ = check_actions(scope.name(), &items, true);
    }
    let _ = with_present_names(text);
    // A value without both kinds of quotation marks can be written and read again.
    for (_, written) in items.iter() {
        if let Written::Text(value) = written
            && !(value.contains('"') && value.contains('\''))
        {
            let again = Items::parse(&format!("k={}", quoted(value))).expect("a quoted value is read");
            assert_eq!(again.get("k"), Some(written));
        }
    }
    let sealed = seal_secrets(text, |_| Ok::<_, ()>("sealed".to_owned())).expect("it was parsed before");
    let _ = servers(text);
    let same = replace_sealed(text, |_| Ok::<_, ()>(None)).expect("it was parsed before");
    assert_eq!(same, text);
    let after = Items::parse(&sealed).expect("a rewritten field is still one");
    for (key, written) in items.iter().filter(|(key, _)| *key != "forward_server") {
        assert_eq!(after.get(key), Some(written));
    }
});
