//! The grammars of user, realm, client and time must never panic, and a list of exclusions alone matches nothing.

#![no_main]

use std::net::IpAddr;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tessera_core::decision::Stop;
use tessera_core::policy::condition::client::ClientCondition;
use tessera_core::policy::condition::realm::RealmCondition;
use tessera_core::policy::condition::time::{Moment, TimeCondition};
use tessera_core::policy::condition::user::UserCondition;
use tessera_core::policy::{Directory, Identity};
use tessera_core::time::UnixMillis;
use tessera_core::user::UserEntry;

/// User stores without users.
struct Nobody;

impl Directory for Nobody {
    fn find(&mut self, _: &str, _: &str) -> Result<Option<Arc<UserEntry>>, Stop> {
        Ok(None)
    }
}

fn excludes_only(list: &str, separator: char) -> bool {
    list.split(separator).map(str::trim).all(|entry| entry.is_empty() || entry.starts_with(['-', '!']))
}

fuzz_target!(|input: (&str, &str, &str, &str, u64, u32)| {
    let (user, realm, client, time, instant, address) = input;
    let who = Identity { login: "hans", realm: Some("r1"), resolver: Some("res1"), entry: None };
    if let Ok(condition) = UserCondition::parse(user) {
        let class = condition.class(&who, &mut Nobody).expect("nobody is asked");
        assert!(class.is_none() || !excludes_only(user, ','));
    }
    let class = RealmCondition::parse(realm).class("r1");
    assert!(class.is_none() || !excludes_only(realm, ','));
    if let Ok(condition) = ClientCondition::parse(client) {
        let class = condition.class(IpAddr::from(address.to_be_bytes()));
        assert!(class.is_none() || !excludes_only(client, ','));
    }
    if let Ok(condition) = TimeCondition::parse(time) {
        assert!(!condition.holds(Moment::of(UnixMillis(instant))) || !excludes_only(time, ';'));
    }
});
