//! Tokens and administrators for the tests of this folder.

use std::sync::Arc;

use crate::facts::Administrator;
use crate::record::{
    AdminV1, ChallengeV1, Key, Pin, RealmV1, Record, ResolverKind, ResolverV1, TokenInfo, TokenType, TokenV1,
};
use crate::secret::Purpose;
use crate::test_state::TestState;
use crate::time::UnixMillis;
use crate::user::{AdminLogin, Owner, RealmName, ResolverName, Serial, TransactionId, UserId};

use super::realm::ADMIN_REALM;
use super::resolver::{LOCAL_ADMIN_RESOLVER, spec};

/// Stores a HOTP token; the owner is `(resolver, user id)`.
pub(super) fn add_token(state: &mut TestState, serial: &str, owner: Option<(&str, &str)>, realms: &[&str]) {
    let token = TokenV1 {
        token_type: TokenType::Hmac,
        seed: None,
        pin: Pin::Unset,
        user_pin: None,
        owner: owner.map(|(resolver, id)| owner_of(resolver, id)),
        realms: realms.iter().map(|realm| RealmName::from(*realm)).collect(),
        description: "".into(),
        digits: 6,
        count_window: 10,
        sync_window: 1000,
        fail_count_max: 10,
        active: true,
        created_at: UnixMillis::from_seconds(1_795_000_000),
        info: TokenInfo::new(),
    };
    state.put(Key::Token(Serial::from(serial)), Record::Token(Arc::new(token)));
}

pub(super) fn owner_of(resolver: &str, id: &str) -> Owner {
    Owner { resolver: TestState::spec(resolver), user_id: UserId::from(id) }
}

pub(super) fn exists(state: &TestState, key: &Key) -> bool {
    use crate::view::StateRead;
    state.record(key).is_some()
}

pub(super) fn token_exists(state: &TestState, serial: &str) -> bool {
    exists(state, &Key::Token(Serial::from(serial)))
}

/// Stores a challenge of a token.
pub(super) fn add_challenge(state: &mut TestState, id: &str, serial: &str) {
    let challenge = ChallengeV1 {
        serial: Serial::from(serial),
        message: "".into(),
        data: "".into(),
        created_at: state.now,
        expires_at: state.now.plus_seconds(120),
        open: true,
        confirmed: None,
        received_count: 0,
        received: false,
        valid: false,
    };
    state.put(Key::Challenge(TransactionId::from(id)), Record::Challenge(Arc::new(challenge)));
}

/// Stores the admin realm with the local administrators' resolver, and the administrator `root`, password `toor`.
pub(super) fn add_admins(state: &mut TestState) {
    let resolver = ResolverV1 { kind: ResolverKind::Sql, parameters: Default::default(), readonly: true };
    state.put(Key::Resolver(ResolverName::from(LOCAL_ADMIN_RESOLVER)), Record::Resolver(Arc::new(resolver)));
    let realm = RealmV1 { resolvers: vec![spec(ResolverKind::Sql, LOCAL_ADMIN_RESOLVER)] };
    state.put(Key::Realm(RealmName::from(ADMIN_REALM)), Record::Realm(Arc::new(realm)));
    let password = state.keyring.seal(Purpose::Administrator, "root", b"hash of toor", [1; 12]).unwrap();
    state.put(Key::Admin(AdminLogin::from("root")), Record::Admin(Arc::new(AdminV1 { password })));
}

/// The administrator `root` as a caller.
pub(super) fn root() -> Administrator {
    let resolver = spec(ResolverKind::Sql, LOCAL_ADMIN_RESOLVER);
    Administrator { login: "root".to_owned(), realm: ADMIN_REALM.to_owned(), resolver }
}
