//! What policies of scope `enrollment` say about a new token: how many there may be, which PIN it gets, what apps call it
//! (reference policies 6.3 and 3.5).

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::pin::store_pin;
use super::policies::{Who, known_owner, named_value, value};
use super::resolver::name_of;
use super::user::{KnownUser, UserParams};
use crate::algo::otpauth::Placeholders;
use crate::decision::{Refusal, Stop};
use crate::policy::Scope;
use crate::policy::catalogue::Action;
use crate::policy::catalogue::enrollment::{
    MAXTOKEN, OTP_PIN_ENCRYPT, OTP_PIN_RANDOM, OTP_PIN_RANDOM_CONTENT, TOKENCOUNT, TOKENISSUER, TOKENLABEL,
    max_token_of_type,
};
use crate::policy::value::ActionValue;
use crate::random_text;
use crate::record::{IndexKey, Key, Pin, Record, TokenType, TokenV1};
use crate::secret::SecretText;
use crate::user::{RealmName, Serial};
use crate::view::StateRead;

/// Up to this many tokens of a realm are counted as preconditions of their own, so that two nodes cannot exceed a
/// limit together by enabling tokens. In larger realms only tokens that appear or go are noticed.
const EXACT_COUNT_MAX: usize = 512;

/// The longest random PIN.
const PIN_LENGTH_MAX: i64 = 99;

const ISSUER: &str = "LinOTP";

/// Whom a token is for, and the realms whose policies count: the user's; without a user the one named, or those of the
/// resolver named, or the default realm.
#[derive(Clone, Debug)]
pub(super) struct Place {
    user: Option<KnownUser>,
    realms: Vec<RealmName>,
}

impl Place {
    /// The place of a request.
    pub(super) fn of(cx: &mut Context<'_>, user: Option<&KnownUser>, params: &UserParams) -> Self {
        let configuration = cx.view.configuration();
        let realms = match (user, params.realm(), params.resolver()) {
            (Some(user), _, _) => vec![user.realm.clone()],
            (None, Some(realm), _) => vec![RealmName::folded(realm)],
            (None, None, Some(resolver)) => {
                let contains = |spec| name_of(spec).eq_ignore_ascii_case(resolver);
                let all = configuration.realms.iter();
                let found = all.filter(|(_, realm)| realm.resolvers.iter().any(contains));
                found.map(|(name, _)| name.clone()).collect()
            }
            (None, None, None) => configuration.settings.default_realm().into_iter().collect(),
        };
        Self { user: user.cloned(), realms }
    }

    /// The place of a token that already exists: its owner and its realms. Nobody is asked about the owner as long as no
    /// policy could care.
    pub(super) fn of_token(cx: &mut Context<'_>, token: &TokenV1) -> Result<Self, Stop> {
        let configuration = cx.view.configuration();
        let realms = match token.realms.as_slice() {
            [] => configuration.settings.default_realm().into_iter().collect(),
            realms => realms.to_vec(),
        };
        let asks = configuration.policies.has_active(Scope::Enrollment);
        let user = if asks { known_owner(cx, token)? } else { None };
        Ok(Self { user, realms })
    }

    /// A place without user.
    pub(super) fn of_realms(realms: &[RealmName]) -> Self {
        Self { user: None, realms: realms.to_vec() }
    }

    /// The same user in other realms.
    fn moved(&self, realms: &[RealmName]) -> Self {
        Self { user: self.user.clone(), realms: realms.to_vec() }
    }

    fn who<'w>(&'w self, realm: &'w RealmName) -> Who<'w> {
        match &self.user {
            Some(user) => Who { realm: Some(realm), ..Who::user(user) },
            None => Who::realm(realm),
        }
    }

    /// What the first realm that says something says.
    pub(super) fn first<T: ActionValue>(
        &self,
        cx: &mut Context<'_>,
        action: &Action<T>,
    ) -> Result<Option<T>, Stop> {
        Ok(self.values(cx, action)?.into_iter().next())
    }

    /// What the realms say, those that say something.
    fn values<T: ActionValue>(&self, cx: &mut Context<'_>, action: &Action<T>) -> Result<Vec<T>, Stop> {
        let mut values = Vec::new();
        for realm in &self.realms {
            values.extend(value(cx, action, self.who(realm))?);
        }
        Ok(values)
    }
}

/// Refuses tokens that would be too many for their owner: `maxtoken` and `maxtoken<TYPE>`. A token the owner has already
/// does not count twice.
pub(super) fn limit_owned(
    cx: &mut Context<'_>,
    place: &Place,
    coming: &BTreeMap<Serial, TokenType>,
) -> Result<(), Stop> {
    let Some(user) = &place.user else { return Ok(()) };
    if !cx.view.configuration().policies.has_active(Scope::Enrollment) {
        return Ok(());
    }
    let mut all = coming.clone();
    for key in cx.view.index(&IndexKey::TokensOfOwner(user.owner.clone())) {
        let Key::Token(serial) = key else { continue };
        if let Some(token) = cx.view.token(&serial) {
            all.insert(serial, token.token_type);
        }
    }
    let login = &user.login;
    if exceeds(cx, place, MAXTOKEN.name, all.len())? {
        return Err(Refusal::TooManyTokens(format!("user {login} may not have more tokens")).into());
    }
    for token_type in coming.values().collect::<BTreeSet<_>>() {
        let count = all.values().filter(|other| *other == token_type).count();
        let name = token_type.name();
        if exceeds(cx, place, &max_token_of_type(name), count)? {
            let text = format!("user {login} may not have more {name} tokens");
            return Err(Refusal::TooManyTokensOfType(text).into());
        }
    }
    Ok(())
}

/// Whether a number is above the lowest limit of the realms; a negative limit is none.
fn exceeds(cx: &mut Context<'_>, place: &Place, action: &str, count: usize) -> Result<bool, Stop> {
    let mut limit: Option<i64> = None;
    for realm in &place.realms {
        let found = named_value::<i64>(cx, Scope::Enrollment, action, place.who(realm))?;
        limit = [limit, found.filter(|most| *most >= 0)].into_iter().flatten().min();
    }
    Ok(limit.is_some_and(|most| i64::try_from(count).unwrap_or(i64::MAX) > most))
}

/// Refuses active tokens that would be too many for one of their realms: `tokencount`. A token that is counted already
/// does not count twice.
pub(super) fn limit_realms(
    cx: &mut Context<'_>,
    place: &Place,
    coming: &BTreeSet<Serial>,
    realms: &[RealmName],
) -> Result<(), Stop> {
    let place = place.moved(realms);
    for realm in &place.realms {
        let Some(most) = value(cx, &TOKENCOUNT, place.who(realm))? else { continue };
        let count = active_tokens(cx, realm, coming).saturating_add(coming.len());
        if i64::try_from(count).unwrap_or(i64::MAX) > most {
            let text = format!("no more active tokens are allowed in realm {realm}: the limit is {most}");
            return Err(Refusal::NotAllowed(text).into());
        }
    }
    Ok(())
}

/// The number of active tokens in a realm beside some.
fn active_tokens(cx: &mut Context<'_>, realm: &RealmName, beside: &BTreeSet<Serial>) -> usize {
    let members = cx.view.index(&IndexKey::TokensInRealm(realm.clone()));
    let exact = members.len() <= EXACT_COUNT_MAX;
    let mut count = 0;
    for key in members {
        let Key::Token(serial) = &key else { continue };
        if beside.contains(serial) {
            continue;
        }
        let active = if exact {
            cx.view.token(serial).is_some_and(|token| token.active)
        } else {
            is_active(cx.view.unrecorded(), &key)
        };
        count += usize::from(active);
    }
    count
}

fn is_active(state: &dyn StateRead, key: &Key) -> bool {
    matches!(state.record(key).map(|slot| slot.record), Some(Record::Token(token)) if token.active)
}

/// The PIN that replaces the one given: random, if a policy says so.
pub(super) fn random_pin(cx: &mut Context<'_>, place: &Place) -> Result<Option<SecretText>, Stop> {
    let length = place.values(cx, &OTP_PIN_RANDOM)?.into_iter().max().unwrap_or(0).min(PIN_LENGTH_MAX);
    if length <= 0 {
        return Ok(None);
    }
    let content = place.values(cx, &OTP_PIN_RANDOM_CONTENT)?.into_iter().find(|content| !content.is_empty());
    let alphabet = random_text::alphabet(content.as_deref().unwrap_or_default());
    Ok(Some(random_text::make(&mut cx.random, u32::try_from(length).unwrap_or(0), &alphabet)))
}

/// The stored form of a PIN: sealed if the request or a policy of the token's realms, or else of the place, asks for it.
pub(super) fn stored_pin(
    cx: &mut Context<'_>,
    place: &Place,
    serial: &Serial,
    pin: &SecretText,
    stored_as: StoredAs<'_>,
) -> Result<Pin, Stop> {
    let elsewhere = if stored_as.realms.is_empty() { place.clone() } else { place.moved(stored_as.realms) };
    let by_policy = elsewhere.values(cx, &OTP_PIN_ENCRYPT)?.contains(&1);
    Ok(store_pin(cx, serial, pin.expose(), stored_as.reversible || by_policy)?)
}

/// What is known about how a PIN is to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoredAs<'a> {
    /// The request asks for the reversible form.
    pub(super) reversible: bool,
    /// The token's realms.
    pub(super) realms: &'a [RealmName],
}

/// What an app calls a token: issuer and account.
pub(super) fn names_in_apps(
    cx: &mut Context<'_>,
    place: &Place,
    serial: &Serial,
    description: &str,
) -> Result<(String, String), Stop> {
    let login = place.user.as_ref().map_or("", |user| user.login.as_str());
    let realm = place.user.as_ref().map_or("", |user| user.realm.as_str());
    let placeholders = Placeholders { login, realm, serial: serial.as_str(), description };
    let given = |texts: Vec<Box<str>>| texts.into_iter().find(|text| !text.is_empty());
    let issuer = match given(place.values(cx, &TOKENISSUER)?) {
        Some(issuer) => placeholders.fill(&issuer),
        None => ISSUER.to_owned(),
    };
    let account = match given(place.values(cx, &TOKENLABEL)?) {
        Some(label) => placeholders.fill(&label),
        None if login.is_empty() => serial.to_string(),
        None => login.to_owned(),
    };
    Ok((issuer, account))
}
