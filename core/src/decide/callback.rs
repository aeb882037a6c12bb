//! Where the app of an OCRA2 token sends what it has computed: `qrtanurl` for answers to challenges, `qrtanurl_init` for
//! the roll-out (reference tokens 10.2, policies 11.8).

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Context;
use super::policies::{Who, known_owner, named_value};
use crate::decision::{Refusal, Stop};
use crate::policy::Scope;
use crate::policy::catalogue::Action;
use crate::record::TokenV1;
use crate::secret::SecretText;
use crate::user::{RealmName, Serial};

/// The realm of a token that is in none, which only `*` matches (reference policies 2.4).
const NO_REALM: &str = "/:no realm:/";

/// What a request says about the call-back.
#[derive(Clone, Debug, Default)]
pub struct CallbackWish {
    /// `no_callback` was present: there is none.
    pub suppressed: bool,
    /// `callback.id`: which of several.
    pub id: Option<String>,
    /// `callback.user`, for the placeholder `<user>`.
    pub user: Option<String>,
    /// `callback.password`, for the placeholder `<password>`.
    pub password: Option<SecretText>,
}

impl CallbackWish {
    /// What the parameters of a request say.
    #[must_use]
    pub fn of(options: &BTreeMap<String, String>) -> Self {
        let option = |name: &str| options.get(name).filter(|text| !text.is_empty());
        Self {
            suppressed: options.contains_key("no_callback"),
            id: option("callback.id").cloned(),
            user: option("callback.user").cloned(),
            password: option("callback.password").map(|text| SecretText::from(text.as_str())),
        }
    }
}

/// The URL for a token; `None` if no policy has one.
///
/// # Errors
/// To ask a user store; a refusal if the token's realms have different URLs.
pub(crate) fn url(
    cx: &mut Context<'_>,
    action: &Action<Box<str>>,
    wish: &CallbackWish,
    (serial, token): (&Serial, &TokenV1),
    transaction: &str,
) -> Result<Option<String>, Stop> {
    if wish.suppressed {
        return Ok(None);
    }
    let name = match &wish.id {
        Some(id) => format!("{}.{id}", action.name),
        None => action.name.to_owned(),
    };
    let Some(template) = template(cx, &name, token)? else { return Ok(None) };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let user = encoded(wish.user.as_deref().unwrap_or_default());
    let password = encoded(wish.password.as_ref().map_or("", SecretText::expose));
    Ok(Some(
        template
            .replace("<serial>", serial.as_str())
            .replace("<transactionid>", transaction)
            .replace("<user>", &user)
            .replace("<password>", &password),
    ))
}

/// What the policies of the owner's realm say, or else those of the token's realms, which must not differ.
fn template(cx: &mut Context<'_>, name: &str, token: &TokenV1) -> Result<Option<Box<str>>, Stop> {
    let given = |url: Option<Box<str>>| url.filter(|url| !url.trim().is_empty());
    if !cx.view.configuration().policies.has_active(Scope::Authentication) {
        return Ok(None);
    }
    if let Some(owner) = known_owner(cx, token)? {
        return Ok(given(named_value(cx, Scope::Authentication, name, Who::user(&owner))?));
    }
    let nowhere = [RealmName::from(NO_REALM)];
    let realms = if token.realms.is_empty() { &nowhere[..] } else { &token.realms };
    let mut found: BTreeMap<Box<str>, Vec<&str>> = BTreeMap::new();
    for realm in realms {
        if let Some(url) = given(named_value(cx, Scope::Authentication, name, Who::realm(realm))?) {
            found.entry(url).or_default().push(realm.as_str());
        }
    }
    if found.len() > 1 {
        let each: Vec<String> =
            found.iter().map(|(url, realms)| format!("{url} in {}", realms.join(", "))).collect();
        let text = format!("the token's realms have different values for {name}: {}", each.join("; "));
        return Err(Refusal::Other(text).into());
    }
    Ok(found.into_keys().next())
}
