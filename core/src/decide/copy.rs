//! `admin/copyTokenPin` and `admin/copyTokenUser`: what a token has is given to another (reference tokens 12.2,
//! http-api 10.11).

use super::lifecycle::{change_token, required};
use super::losttoken::copy_pin;
use super::rights::require_tokens;
use super::selection::note_tokens;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::{Action, admin};
use crate::user::Serial;

/// The token that gives and the token that gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromTo {
    /// `from`.
    pub from: Option<String>,
    /// `to`.
    pub to: Option<String>,
}

/// Gives a token the PIN of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyPin(pub FromTo);

/// Gives a token the owner and the realms of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyUser(pub FromTo);

impl FromTo {
    /// Both serials, which have to exist and to be within the caller's reach.
    fn serials(&self, cx: &mut Context<'_>, right: &Action<bool>) -> Result<[Serial; 2], Stop> {
        let from = required(self.from.as_deref(), "from")?;
        let to = required(self.to.as_deref(), "to")?;
        let serials = [Serial::from(from), Serial::from(to)];
        require_tokens(cx, right, &serials)?;
        for serial in &serials {
            if cx.view.token(serial).is_none() {
                cx.audit.serial = serial.as_str().into();
                return Err(Refusal::UnknownSerial(serial.to_string()).into());
            }
        }
        note_tokens(cx, &serials);
        Ok(serials)
    }
}

impl Request for CopyPin {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let [from, to] = self.0.serials(cx, &admin::COPY_TOKEN_PIN)?;
        if let Some(source) = cx.view.token(&from) {
            let pin = copy_pin(cx, &from, &source, &to)?;
            change_token(cx, &to, |token| token.pin = pin);
        }
        cx.audit.success = true;
        Ok(())
    }
}

impl Request for CopyUser {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let [from, to] = self.0.serials(cx, &admin::COPY_TOKEN_USER)?;
        if let Some(source) = cx.view.token(&from) {
            change_token(cx, &to, |token| {
                token.owner.clone_from(&source.owner);
                token.realms.clone_from(&source.realms);
            });
        }
        cx.audit.success = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::add_token;
    use super::*;
    use crate::secret::SecretText;
    use crate::test_state::TestState;

    fn state() -> TestState {
        let mut state = TestState::with_users();
        add_token(&mut state, "H1", Some(("staff", "u1")), &["corp"]);
        add_token(&mut state, "H2", None, &[]);
        state
    }

    fn pair(from: &str, to: &str) -> FromTo {
        FromTo { from: Some(from.to_owned()), to: Some(to.to_owned()) }
    }

    #[test]
    fn a_token_gets_owner_and_realms() {
        let mut state = state();
        state.run(&CopyUser(pair("H1", "H2"))).unwrap();
        let (from, to) = (state.token("H1"), state.token("H2"));
        assert!(to.owner.is_some());
        assert_eq!((&to.owner, &to.realms), (&from.owner, &from.realms));
        assert_eq!(&*state.last_audit().serial, "H1 H2");
        add_token(&mut state, "H3", None, &[]);
        state.run(&CopyUser(pair("H3", "H2"))).unwrap();
        assert_eq!((&state.token("H2").owner, state.token("H2").realms.len()), (&None, 0));
    }

    #[test]
    fn a_token_gets_the_pin() {
        let mut state = state();
        let pin = SecretText::from("1234");
        let set = super::super::lifecycle::Unassign { serial: Some("H1".to_owned()), pin: Some(pin) };
        state.run(&set).unwrap();
        assert_ne!(state.token("H1").pin, state.token("H2").pin);
        state.run(&CopyPin(pair("H1", "H2"))).unwrap();
        assert_eq!(state.token("H1").pin, state.token("H2").pin);
    }

    #[test]
    fn both_tokens_have_to_exist() {
        let unknown = |serial: &str| Err(Refusal::UnknownSerial(serial.to_owned()));
        assert_eq!(state().run(&CopyPin(pair("H9", "H2"))), unknown("H9"));
        assert_eq!(state().run(&CopyUser(pair("H1", "H9"))), unknown("H9"));
        assert_eq!(state().run(&CopyUser(pair("H1", ""))), Err(Refusal::MissingParameter("to")));
        assert_eq!(state().run(&CopyPin(FromTo::default())), Err(Refusal::MissingParameter("from")));
    }
}
