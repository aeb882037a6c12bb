//! Text from outside that names users, realms, resolvers, tokens and durations must never panic, and what is split must
//! be made of the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_core::decide::resolver::{parse_spec, spec};
use tessera_core::decide::selection::matches_pattern;
use tessera_core::decide::set::Change;
use tessera_core::decide::user::UserParams;
use tessera_core::settings::{check, parse_duration};
use tessera_core::user::RealmName;

fuzz_target!(|input: (String, String, String, bool)| {
    let (user, realm, res_conf, split) = input;
    let params = UserParams { user: user.clone(), realm: Some(realm.clone()), res_conf: Some(res_conf) };
    if let Some(parsed) = params.parse(split) {
        assert!(user.contains(parsed.login));
        assert!(parsed.realm.is_none_or(|name| user.contains(name) || realm.contains(name)));
    }
    if let Ok(name) = RealmName::parse(&realm) {
        assert_eq!(RealmName::parse(name.as_str()).as_ref(), Ok(&name));
        assert_eq!(RealmName::folded(name.as_str()), name);
    }
    if let Some((kind, name)) = parse_spec(&user) {
        assert_eq!(parse_spec(spec(kind, name).as_str()), Some((kind, name)));
    }
    assert!(matches_pattern("*", &user));
    let _ = matches_pattern(&realm, &user);
    let _ = Change::parse(&realm, &user);
    let _ = parse_duration(&user);
    let _ = check(&realm, &user);
});
