//! Which tokens are challenged, of those of a type that can be asked for PIN and OTP together as well (reference
//! policies 6.1, tokens 6.5).

use super::Context;
use crate::decide::pin::realms_concerned;
use crate::decide::policies::{Who, value};
use crate::decide::user::KnownUser;
use crate::decision::Stop;
use crate::policy::catalogue::authentication::CHALLENGE_RESPONSE;
use crate::policy::value::words;
use crate::record::TokenType;
use crate::user::Serial;

/// The types of tokens that are challenged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    all: bool,
    types: Vec<TokenType>,
}

impl Preference {
    /// What counts for a login: the policies of the user's realm, or of the realms of tokens that are checked without a
    /// user. The login of the self-service challenges every type.
    ///
    /// # Errors
    /// To ask a user store; a refusal if a policy cannot be read.
    pub(super) fn of_login(
        cx: &mut Context<'_>,
        user: Option<&KnownUser>,
        serials: &[Serial],
    ) -> Result<Self, Stop> {
        let mut preference = Self { all: cx.facts.caller.action == "userservice/login", types: Vec::new() };
        match user {
            Some(user) => preference.add(value(cx, &CHALLENGE_RESPONSE, Who::user(user))?.as_deref()),
            None => {
                for realm in realms_concerned(cx, serials) {
                    preference.add(value(cx, &CHALLENGE_RESPONSE, Who::realm(&realm))?.as_deref());
                }
            }
        }
        Ok(preference)
    }

    /// A word that is no type stands for nothing.
    fn add(&mut self, list: Option<&str>) {
        for word in words(list.unwrap_or_default()) {
            self.all |= word == "*";
            self.types.extend(TokenType::find(word));
        }
    }

    /// Whether tokens of a type are challenged.
    pub(super) fn includes(&self, token_type: TokenType) -> bool {
        self.all || self.types.contains(&token_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_types_in_any_case_or_all() {
        let read = |list: &str| {
            let mut preference = Preference::default();
            preference.add(Some(list));
            [TokenType::Hmac, TokenType::Totp, TokenType::Pw].map(|kind| preference.includes(kind))
        };
        assert_eq!(read("HMAC totp"), [true, true, false]);
        assert_eq!(read("  pW nosuch"), [false, false, true]);
        assert_eq!(read("*"), [true; 3]);
        assert_eq!(read(""), [false; 3]);
    }
}
