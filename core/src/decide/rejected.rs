//! A request that was refused before it could be decided: its parameters do not parse, or its sender is not
//! authenticated. It is written to the audit trail like any other (reference http-api 4.3, 21).

use std::convert::Infallible;

use super::user::UserParams;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::user::RealmName;

/// A refusal that only has to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub refusal: Refusal,
    /// The serial parameter of the request, or empty.
    pub serial: String,
    /// The user parameters of the request.
    pub user: UserParams,
}

impl Rejected {
    /// A refusal without tokens or users.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        Self { refusal, serial: String::new(), user: UserParams::default() }
    }
}

impl Request for Rejected {
    /// There is never a reply, only the refusal.
    type Reply = Infallible;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Infallible, Stop> {
        cx.audit.serial = self.serial.as_str().into();
        if let Some(user) = self.user.parse(true) {
            cx.audit.user = user.login.into();
            cx.audit.realm = user.realm.map(RealmName::folded).as_ref().map_or("", RealmName::as_str).into();
        }
        Err(Stop::Refuse(self.refusal.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_state::TestState;

    #[test]
    fn a_rejected_request_is_audited_and_changes_nothing() {
        let mut state = TestState::with_users();
        let refusal = Refusal::MissingParameter("value");
        let request =
            Rejected { refusal: refusal.clone(), serial: "H1".into(), user: UserParams::login("carol@LAB") };
        let decision = state.decide(&request);
        assert!(decision.txn.writes.is_empty());
        assert_eq!(state.run(&request), Err(refusal));
        let row = state.last_audit();
        assert_eq!((&*row.serial, &*row.user, &*row.realm, row.success), ("H1", "carol", "lab", false));
        assert_eq!(&*row.info, "Missing parameter: 'value'");
        assert_eq!(state.run(&Rejected::new(Refusal::NoSelection)), Err(Refusal::NoSelection));
    }
}
