//! Passwords of the day (reference tokens 8.9). Values of tokens 14.5; the clock from `date -u -d`.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decision::Refusal;
use tessera_core::record::TokenType;
use tessera_core::time::UnixMillis;

use super::{locks, login, of_type, refused};
use crate::state::TestState;
use crate::tokens::enroll;

/// 2012-05-16T00:00:00Z.
const MIDNIGHT: u64 = 1_337_126_400;

fn state() -> TestState {
    let mut state = TestState::with_users();
    let enrolled = enroll(&mut state, &of_type("dpw", "12341234123412341234123412341234"));
    assert!(enrolled.seed_text.is_some() && enrolled.otpauth_url.is_none());
    assert_eq!(state.token("A").token_type, TokenType::Dpw);
    state.now = UnixMillis::from_seconds(MIDNIGHT);
    state
}

#[test]
fn password_of_today_is_good_all_day() {
    let mut state = state();
    login(&mut state, "pin427701", true);
    login(&mut state, "pin028193", false);
    state.now = UnixMillis(MIDNIGHT * 1000 + 86_400_000 - 1);
    login(&mut state, "pin427701", true);
    state.now = UnixMillis(MIDNIGHT * 1000 + 86_400_000);
    login(&mut state, "pin427701", false);
    login(&mut state, "pin028193", true);
    state.now = UnixMillis::from_seconds(MIDNIGHT + 4 * 86_400);
    login(&mut state, "pin000006", true);
    for wrong in ["pin6", "pin084466", "000006", "pin", "pin０00006"] {
        login(&mut state, wrong, false);
    }
}

#[test]
fn wrong_values_lock() {
    locks(&mut state(), "pin427700", "pin427701");
}

#[test]
fn seed_is_required_and_lengths_are_bounded() {
    let without = |generate| Init { seed: SeedSource { given: None, generate }, ..of_type("dpw", "") };
    assert_eq!(refused(&without(false)), Refusal::MissingParameter("otpkey"));
    assert_eq!(refused(&without(true)), Refusal::MissingParameter("otpkey"), "genkey is not enough");
    for digits in [0, 33] {
        let request = Init { otplen: Some(digits), ..of_type("dpw", "k") };
        assert!(matches!(refused(&request), Refusal::InvalidParameter { .. }), "{digits}");
    }
}
