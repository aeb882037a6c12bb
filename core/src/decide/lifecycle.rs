//! What administrators do to existing tokens (reference http-api 10, tokens 12.2).

use std::collections::{BTreeMap, BTreeSet};

use super::enrollment::{Place, StoredAs, limit_owned, limit_realms, random_pin, stored_pin};
use super::pin::store_device_pin;
use super::rights::{require_selection, require_tokens, require_user};
use super::selection::{Count, Selection, note_tokens};
use super::user::{Identified, KnownUser, UserParams, identify, realms_of, tokens_of};
use super::validate::lane;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::{Action, admin};
use crate::record::{IndexKey, Key, Pin, TokenType, TokenV1};
use crate::secret::SecretText;
use crate::user::{RealmName, Serial};

/// `admin/remove`: removes tokens with their usage and challenges (reference http-api 10.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remove {
    /// Serials, without wild cards.
    pub serials: Vec<String>,
    /// Whose tokens are removed as well.
    pub user: UserParams,
}

/// `admin/enable` and `admin/disable` (reference http-api 10.2). The count includes tokens that were in that state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetActive {
    /// The tokens.
    pub selection: Selection,
    /// `true` enables.
    pub active: bool,
}

/// `admin/assign`: gives tokens to a user (reference http-api 10.3). No serial: nothing happens. No user: the tokens lose
/// owner and realms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assign {
    /// Serials, without wild cards.
    pub serials: Vec<String>,
    /// The new owner.
    pub user: UserParams,
    /// The new OTP PIN.
    pub pin: Option<SecretText>,
}

/// `admin/unassign`: takes a token from its owner; it stays in its realms (reference http-api 10.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unassign {
    /// The token.
    pub serial: Option<String>,
    /// The new OTP PIN; without one the PIN stays.
    pub pin: Option<SecretText>,
}

/// `admin/reset`: sets the fail counter to 0 (reference http-api 10.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// The tokens.
    pub selection: Selection,
}

/// `admin/setPin`: sets the device PIN of token types that have one (reference http-api 10.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPin {
    /// The token.
    pub serial: Option<String>,
    /// `userpin`.
    pub user_pin: Option<SecretText>,
}

impl Request for Remove {
    type Reply = Count;

    fn lane(&self) -> Option<String> {
        lane_of(&self.user, &self.serials)
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Count, Stop> {
        if self.serials.is_empty() && self.user.user.is_empty() {
            return Err(Refusal::MissingParameter("user or serial").into());
        }
        require_tokens(cx, &admin::REMOVE, &named(&self.serials))?;
        let mut serials = existing(cx, &self.serials)?;
        let user = identify(cx, &self.user)?;
        if user != Identified::NoUser {
            require_user(cx, &admin::REMOVE, &self.user, &user)?;
        }
        if let Some(user) = user.known()? {
            serials.extend(tokens_of(cx, &user)?);
        }
        serials.sort_unstable();
        serials.dedup();
        note_tokens(cx, &serials);
        for serial in &serials {
            remove_token(cx, serial);
        }
        cx.audit.success = !serials.is_empty();
        let selection = Selection { serial: None, user: self.user.clone() };
        Ok(selection.count(serials.len()))
    }
}

/// The lane of the user, or of the only token.
fn lane_of(user: &UserParams, serials: &[String]) -> Option<String> {
    match serials {
        [] => Some(lane(user, None)),
        [serial] if user.user.is_empty() => Some(lane(user, Some(serial))),
        _ => None,
    }
}

/// Removes a token, its usage and its challenges.
pub(crate) fn remove_token(cx: &mut Context<'_>, serial: &Serial) {
    for challenge in cx.view.index(&IndexKey::ChallengesOfToken(serial.clone())) {
        cx.view.delete(challenge);
    }
    if cx.view.get(&Key::Usage(serial.clone())).is_some() {
        cx.view.delete(Key::Usage(serial.clone()));
    }
    cx.view.delete(Key::Token(serial.clone()));
}

fn named(serials: &[String]) -> Vec<Serial> {
    serials.iter().map(|serial| Serial::from(serial.as_str())).collect()
}

/// All serials, which have to exist.
fn existing(cx: &mut Context<'_>, serials: &[String]) -> Result<Vec<Serial>, Refusal> {
    serials.iter().map(|serial| existing_one(cx, serial).map(|_| Serial::from(serial.as_str()))).collect()
}

fn existing_one(cx: &mut Context<'_>, serial: &str) -> Result<TokenV1, Refusal> {
    match cx.view.token(&Serial::from(serial)) {
        Some(token) => Ok(TokenV1::clone(&token)),
        None => {
            cx.audit.serial = serial.into();
            Err(Refusal::UnknownSerial(serial.to_owned()))
        }
    }
}

impl Request for SetActive {
    type Reply = Count;
    /// A wild card lists tokens.
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Count, Stop> {
        let action = if self.active { &admin::ENABLE } else { &admin::DISABLE };
        let selected = self.selection.resolve(cx)?;
        require_selection(cx, action, &self.selection, &selected)?;
        if let Some(serial) = self.selection.exact_serial()
            && self.active
        {
            existing_one(cx, serial)?;
        }
        let serials = selected.serials;
        if self.active {
            limit_enabled(cx, &serials)?;
        }
        for serial in &serials {
            change_token(cx, serial, |token| token.active = self.active);
        }
        cx.audit.success = !serials.is_empty();
        Ok(self.selection.count(serials.len()))
    }
}

/// Rewrites a token's definition if that changes it.
pub(super) fn change_token(cx: &mut Context<'_>, serial: &Serial, change: impl FnOnce(&mut TokenV1)) {
    let Some(stored) = cx.view.token(serial) else { return };
    let mut token = TokenV1::clone(&stored);
    change(&mut token);
    if token != *stored {
        cx.view.put_token(serial, token);
    }
}

/// Sets a token's fail counter to 0.
pub(crate) fn clear_failures(cx: &mut Context<'_>, serial: &Serial) {
    let stored = cx.view.usage(serial);
    if stored.fail_count != 0 {
        let mut usage = crate::record::UsageV1::clone(&stored);
        usage.fail_count = 0;
        cx.view.put_usage(serial, usage);
    }
}

/// The stored form of an OTP PIN.
pub(super) fn hashed_pin(cx: &mut Context<'_>, pin: &SecretText) -> Result<Pin, Stop> {
    let salt = cx.random.bytes();
    Ok(Pin::Hashed(cx.facts.keyring.hash_pin(pin.expose(), salt)?))
}

impl Request for Assign {
    /// The number of serials; 0 if none was given and nothing was done.
    type Reply = u32;

    fn lane(&self) -> Option<String> {
        lane_of(&self.user, &self.serials)
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<u32, Stop> {
        if self.serials.is_empty() {
            cx.audit.success = true;
            return Ok(0);
        }
        let user = identify(cx, &self.user)?;
        require_tokens(cx, &admin::ASSIGN, &named(&self.serials))?;
        if user != Identified::NoUser {
            require_user(cx, &admin::ASSIGN, &self.user, &user)?;
        }
        let owner = new_owner(user)?;
        let serials = existing(cx, &self.serials)?;
        note_tokens(cx, &serials);
        let realms = owner.as_ref().map(|user| realms_of(cx, &user.owner)).unwrap_or_default();
        let place = Place::of(cx, owner.as_ref(), &self.user);
        limit_assigned(cx, &place, &serials, &realms)?;
        for serial in &serials {
            let given = random_pin(cx, &place)?.or_else(|| self.pin.clone());
            let stored_as = StoredAs { reversible: false, realms: &realms };
            let pin = match given {
                Some(pin) => Some(stored_pin(cx, &place, serial, &pin, stored_as)?),
                None => None,
            };
            change_token(cx, serial, |token| {
                token.owner = owner.as_ref().map(|user| user.owner.clone());
                token.realms.clone_from(&realms);
                token.pin = pin.unwrap_or_else(|| token.pin.clone());
            });
            clear_failures(cx, serial);
        }
        cx.audit.success = true;
        Ok(u32::try_from(serials.len()).unwrap_or(u32::MAX))
    }
}

/// Limits of the new owner and of the realms the tokens come into.
fn limit_assigned(
    cx: &mut Context<'_>,
    place: &Place,
    serials: &[Serial],
    realms: &[RealmName],
) -> Result<(), Stop> {
    let mut coming = BTreeMap::new();
    let mut active = BTreeSet::new();
    for serial in serials {
        let Some(token) = cx.view.token(serial) else { continue };
        coming.insert(serial.clone(), token.token_type);
        if token.active {
            active.insert(serial.clone());
        }
    }
    limit_owned(cx, place, &coming)?;
    limit_realms(cx, place, &active, realms)
}

/// Limits of the realms of tokens that are enabled; those that were enabled before are counted already.
fn limit_enabled(cx: &mut Context<'_>, serials: &[Serial]) -> Result<(), Stop> {
    let mut coming: BTreeMap<RealmName, BTreeSet<Serial>> = BTreeMap::new();
    for serial in serials {
        let Some(token) = cx.view.token(serial).filter(|token| !token.active) else { continue };
        for realm in &token.realms {
            coming.entry(realm.clone()).or_default().insert(serial.clone());
        }
    }
    for (realm, tokens) in &coming {
        let Some(token) = tokens.first().and_then(|serial| cx.view.token(serial)) else { continue };
        let place = Place::of_token(cx, &token)?;
        limit_realms(cx, &place, tokens, std::slice::from_ref(realm))?;
    }
    Ok(())
}

/// The user a token is given to; naming nobody takes it away, naming somebody unknown is refused (number 1112).
fn new_owner(identified: Identified) -> Result<Option<KnownUser>, Refusal> {
    match identified {
        Identified::NoUser => Ok(None),
        Identified::Known(user) => Ok(Some(user)),
        Identified::Ambiguous(user) => Err(Refusal::AmbiguousUser(user.login)),
        Identified::Unknown(user) => Err(Refusal::UnknownOwner {
            login: user.login,
            realm: user.realm.map_or_else(String::new, |realm| realm.to_string()),
        }),
    }
}

impl Request for Unassign {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let serial = required(self.serial.as_deref(), "serial")?;
        require_tokens(cx, &admin::UNASSIGN, &[Serial::from(serial)])?;
        existing_one(cx, serial)?;
        let serial = Serial::from(serial);
        note_tokens(cx, std::slice::from_ref(&serial));
        let pin = self.pin.as_ref().map(|pin| hashed_pin(cx, pin)).transpose()?;
        change_token(cx, &serial, |token| {
            token.owner = None;
            token.pin = pin.unwrap_or_else(|| token.pin.clone());
        });
        clear_failures(cx, &serial);
        cx.audit.success = true;
        Ok(())
    }
}

/// A parameter that must be present and not empty.
pub(super) fn required<'a>(value: Option<&'a str>, name: &'static str) -> Result<&'a str, Refusal> {
    value.filter(|text| !text.is_empty()).ok_or(Refusal::MissingParameter(name))
}

impl Request for Reset {
    type Reply = Count;
    /// A wild card lists tokens.
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Count, Stop> {
        let selected = self.selection.resolve(cx)?;
        require_selection(cx, &admin::RESET, &self.selection, &selected)?;
        let serials = selected.serials;
        for serial in &serials {
            clear_failures(cx, serial);
        }
        cx.audit.success = !serials.is_empty();
        Ok(self.selection.count(serials.len()))
    }
}

/// The right that the device PIN of a token type needs; types without such a PIN are refused anyway.
const fn device_pin_right(token_type: TokenType) -> Option<&'static Action<bool>> {
    match token_type {
        TokenType::Motp => Some(&admin::SET_MOTP_PIN),
        TokenType::Ocra2 => Some(&admin::SET_OCRA_PIN),
        TokenType::Hmac
        | TokenType::Totp
        | TokenType::Pw
        | TokenType::Spass
        | TokenType::Dpw
        | TokenType::Yubikey
        | TokenType::Forward
        | TokenType::Yubico => None,
    }
}

impl Request for SetPin {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let serial = required(self.serial.as_deref(), "serial")?;
        let user_pin = self.user_pin.as_ref().ok_or(Refusal::MissingParameter("userpin"))?;
        let serial = Serial::from(serial);
        if let Some(action) = cx.view.token(&serial).and_then(|token| device_pin_right(token.token_type)) {
            require_tokens(cx, action, std::slice::from_ref(&serial))?;
        }
        let mut token = existing_one(cx, serial.as_str())?;
        note_tokens(cx, std::slice::from_ref(&serial));
        if !token.token_type.rules().has_device_pin() {
            let token_type = token.token_type.name();
            return Err(Refusal::Unsupported { operation: "setPin", token_type }.into());
        }
        token.user_pin = Some(store_device_pin(cx, &serial, user_pin)?);
        cx.view.put_token(&serial, token);
        cx.audit.success = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{add_challenge, add_token, exists, owner_of, token_exists};
    use super::super::selection::Missing;
    use super::*;
    use crate::test_state::TestState;
    use crate::user::{RealmName, TransactionId};

    /// H1 and H2 belong to alice, H3 to bob, X1 to nobody; all have three failures.
    fn state() -> TestState {
        let mut state = TestState::with_users();
        for (serial, owner) in [
            ("H1", Some(("staff", "u1"))),
            ("H2", Some(("staff", "u1"))),
            ("H3", Some(("staff", "u2"))),
            ("X1", None),
        ] {
            add_token(&mut state, serial, owner, &["corp"]);
            state.change_usage(serial, |usage| {
                usage.fail_count = 3;
                usage.next_counter = 7;
            });
        }
        state
    }

    fn remove(serials: &[&str], user: &str) -> Remove {
        let serials = serials.iter().map(|serial| (*serial).to_owned()).collect();
        Remove { serials, user: UserParams::login(user) }
    }

    fn selection(serial: &str, user: &str) -> Selection {
        Selection { serial: Some(serial.to_owned()), user: UserParams::login(user) }
    }

    fn count(tokens: u32) -> Result<Count, Refusal> {
        Ok(Count { tokens, missing: None })
    }

    fn none_of_serial(serial: &str) -> Result<Count, Refusal> {
        Ok(Count { tokens: 0, missing: Some(Missing::Serial(serial.into())) })
    }

    fn none_of_user(user: &str) -> Result<Count, Refusal> {
        Ok(Count { tokens: 0, missing: Some(Missing::User(user.into())) })
    }

    /// Reference http-api 10.1.
    #[test]
    fn removal_takes_serials_and_users_together() {
        let all = ["H1", "H2", "H3", "X1"];
        let unknown = || Err(Refusal::UnknownSerial("H9".into()));
        type Row<'a> = (&'a [&'a str], &'a str, Result<Count, Refusal>, &'a [&'a str]);
        let table: [Row<'_>; 9] = [
            (&[], "", Err(Refusal::MissingParameter("user or serial")), &all),
            (&["H1"], "", count(1), &["H2", "H3", "X1"]),
            (&["H1", "X1"], "", count(2), &["H2", "H3"]),
            (&["H1", "H9"], "", unknown(), &all),
            (&["H*"], "", Err(Refusal::UnknownSerial("H*".into())), &all),
            (&[], "alice", count(2), &["H3", "X1"]),
            (&["H1", "H3"], "alice", count(3), &["X1"]),
            (&[], "nobody", none_of_user("nobody"), &all),
            (&["H9"], "alice", unknown(), &all),
        ];
        for (serials, user, expected, left) in table {
            let mut state = state();
            let accepted = expected.as_ref().is_ok_and(|count| count.tokens > 0);
            assert_eq!(state.run(&remove(serials, user)), expected, "{serials:?} {user}");
            assert_eq!(state.last_audit().success, accepted, "{serials:?} {user}");
            for serial in all {
                assert_eq!(
                    token_exists(&state, serial),
                    left.contains(&serial),
                    "{serials:?} {user}: {serial}"
                );
            }
        }
    }

    #[test]
    fn removal_leaves_neither_usage_nor_challenges() {
        let mut state = state();
        add_challenge(&mut state, "1", "H1");
        add_challenge(&mut state, "2.01", "H1");
        add_challenge(&mut state, "2.02", "H2");
        state.run(&remove(&["H1"], "")).unwrap();
        let challenge = |id: &str| Key::Challenge(TransactionId::from(id));
        assert!(!exists(&state, &Key::Usage(Serial::from("H1"))));
        assert!(!exists(&state, &challenge("1")) && !exists(&state, &challenge("2.01")));
        assert!(exists(&state, &challenge("2.02")));
        assert_eq!(&*state.last_audit().serial, "H1");
        assert_eq!(&*state.last_audit().token_type, "HMAC");
    }

    /// Reference http-api 10.2.
    #[test]
    fn tokens_are_switched_and_counted_as_selected() {
        let unknown = Err(Refusal::UnknownSerial("H9".into()));
        let table = [
            ("H1", "", count(1), count(1)),
            ("H*", "", count(3), count(3)),
            ("", "alice", count(2), count(2)),
            ("H1", "alice", count(2), count(2)),
            ("H9", "", none_of_serial("H9"), unknown.clone()),
            ("H9", "alice", none_of_serial("H9"), unknown),
            ("Z*", "", none_of_serial("Z*"), none_of_serial("Z*")),
            ("", "nobody", none_of_user("nobody"), none_of_user("nobody")),
            ("", "", count(0), count(0)),
        ];
        for (serial, user, disabled, enabled) in table {
            let mut state = state();
            let selection = selection(serial, user);
            let off = SetActive { selection: selection.clone(), active: false };
            assert_eq!(state.run(&off), disabled, "disable {serial} {user}");
            // Again: tokens that are in that state already count as well.
            assert_eq!(state.run(&off), disabled, "disable {serial} {user}");
            assert_eq!(state.run(&SetActive { selection, active: true }), enabled, "enable {serial} {user}");
        }
        let mut state = state();
        state.run(&SetActive { selection: selection("H1", ""), active: false }).unwrap();
        assert!(!state.token("H1").active && state.token("H2").active);
        state.run(&SetActive { selection: selection("H1", ""), active: true }).unwrap();
        assert!(state.token("H1").active);
    }

    fn assign(serials: &[&str], user: &str, realm: &str, pin: Option<&str>) -> Assign {
        Assign {
            serials: serials.iter().map(|serial| (*serial).to_owned()).collect(),
            user: UserParams { user: user.into(), realm: Some(realm.into()), res_conf: None },
            pin: pin.map(SecretText::from),
        }
    }

    /// Reference http-api 10.3, tokens 12.2.
    #[test]
    fn assignment_replaces_owner_and_realms_and_clears_failures() {
        let mut state = state();
        state.add_realm("second", &["staff"]);
        state.change_token("X1", |token| token.realms = vec![RealmName::from("lab")]);
        assert_eq!(state.run(&assign(&["X1", "H3"], "alice", "", None)), Ok(2));
        for serial in ["X1", "H3"] {
            let token = state.token(serial);
            assert_eq!(token.owner, Some(owner_of("staff", "u1")));
            assert_eq!(token.realms, [RealmName::from("corp"), RealmName::from("second")]);
            assert_eq!(token.pin, Pin::Unset);
            assert_eq!((state.usage(serial).fail_count, state.usage(serial).next_counter), (0, 7));
        }
        let row = state.last_audit();
        assert_eq!((&*row.user, &*row.realm, &*row.serial, row.success), ("alice", "corp", "X1 H3", true));
    }

    #[test]
    fn assignment_sets_the_pin_only_if_one_is_sent() {
        let mut state = state();
        state.run(&assign(&["X1"], "alice", "", Some("1234"))).unwrap();
        let Pin::Hashed(hash) = state.token("X1").pin.clone() else { panic!("no PIN") };
        assert!(state.keyring.verify_pin(&hash, "1234").unwrap());
        state.run(&assign(&["X1"], "bob", "", None)).unwrap();
        assert_eq!(state.token("X1").pin, Pin::Hashed(hash));
    }

    #[test]
    fn assignment_refuses_unknown_tokens_and_users_as_a_whole() {
        let mut state = state();
        let unknown = Refusal::UnknownOwner { login: "nobody".into(), realm: "corp".into() };
        assert_eq!(state.run(&assign(&["X1"], "nobody", "", None)), Err(unknown));
        assert_eq!(
            state.run(&assign(&["X1", "H9"], "alice", "", None)),
            Err(Refusal::UnknownSerial("H9".into()))
        );
        assert_eq!(state.token("X1").owner, None);
        assert_eq!(state.usage("X1").fail_count, 3);
        assert_eq!(state.run(&assign(&[], "alice", "", None)), Ok(0));
    }

    #[test]
    fn assignment_to_nobody_takes_owner_and_realms() {
        let mut state = state();
        assert_eq!(state.run(&assign(&["H1"], "", "", None)), Ok(1));
        assert_eq!(state.token("H1").owner, None);
        assert!(state.token("H1").realms.is_empty());
        assert_eq!(state.usage("H1").fail_count, 0);
    }

    /// Reference http-api 10.4.
    #[test]
    fn unassignment_keeps_realms_and_pin() {
        let mut state = state();
        state.run(&assign(&["H1"], "alice", "", Some("1234"))).unwrap();
        state.change_usage("H1", |usage| usage.fail_count = 2);
        let pin = state.token("H1").pin.clone();
        let unassign = |serial: &str| Unassign { serial: Some(serial.into()), pin: None };
        assert_eq!(state.run(&unassign("H1")), Ok(()));
        let token = state.token("H1");
        assert_eq!((&token.owner, &token.pin), (&None, &pin));
        assert_eq!(token.realms, [RealmName::from("corp")]);
        assert_eq!(state.usage("H1").fail_count, 0);
        assert_eq!(state.run(&unassign("H9")), Err(Refusal::UnknownSerial("H9".into())));
        assert_eq!(state.run(&unassign("")), Err(Refusal::MissingParameter("serial")));
        assert_eq!(state.run(&Unassign::default()), Err(Refusal::MissingParameter("serial")));
    }

    /// Reference http-api 10.5.
    #[test]
    fn reset_clears_failures_only() {
        let mut state = state();
        let reset = |serial, user| Reset { selection: selection(serial, user) };
        assert_eq!(state.run(&reset("", "alice")), count(2));
        assert_eq!((state.usage("H1").fail_count, state.usage("H1").next_counter), (0, 7));
        assert_eq!(state.usage("H3").fail_count, 3);
        assert_eq!(state.run(&reset("H*", "")), count(3));
        assert_eq!(state.usage("H3").fail_count, 0);
        assert_eq!(state.run(&reset("H9", "")), none_of_serial("H9"));
        assert_eq!(state.run(&reset("", "")), count(0));
    }

    /// Reference http-api 10.7.
    #[test]
    fn device_pins_are_refused_by_types_without_one() {
        let mut state = state();
        let set = |serial: Option<&str>, pin: Option<&str>| SetPin {
            serial: serial.map(Into::into),
            user_pin: pin.map(SecretText::from),
        };
        let table = [
            (set(None, Some("1")), Refusal::MissingParameter("serial")),
            (set(Some("H1"), None), Refusal::MissingParameter("userpin")),
            (set(Some("H9"), Some("1")), Refusal::UnknownSerial("H9".into())),
            (set(Some("H1"), Some("1")), Refusal::Unsupported { operation: "setPin", token_type: "hmac" }),
        ];
        for (request, refusal) in table {
            assert_eq!(state.run(&request), Err(refusal));
        }
    }
}
