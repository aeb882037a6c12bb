//! Removing what has expired.

use super::{Context, Request};
use crate::decision::Stop;
use crate::record::Key;

/// Removes records whose time is over. The node hands in candidates it found in the state; each is looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoveExpired {
    /// Candidates.
    pub keys: Vec<Key>,
}

impl Request for RemoveExpired {
    /// How many were removed.
    type Reply = u32;
    const AUDITED: bool = false;

    fn decide(&self, cx: &mut Context<'_>) -> Result<u32, Stop> {
        let mut removed = 0;
        for key in &self.keys {
            let expires_at = cx.view.get(key).and_then(|record| record.expires_at());
            if expires_at.is_some_and(|end| end <= cx.facts.now) {
                cx.view.delete(key.clone());
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{add_challenge, add_token, exists, token_exists};
    use super::*;
    use crate::test_state::TestState;
    use crate::user::{Serial, TransactionId};

    #[test]
    fn only_what_has_expired_is_removed_and_nothing_is_audited() {
        let mut state = TestState::with_users();
        add_token(&mut state, "H1", None, &[]);
        add_challenge(&mut state, "1", "H1");
        let challenge = Key::Challenge(TransactionId::from("1"));
        let gone = Key::Challenge(TransactionId::from("2"));
        let keys = vec![Key::Token(Serial::from("H1")), challenge.clone(), gone];
        let request = RemoveExpired { keys };
        let end = state.now.plus_seconds(120);
        state.now.0 = end.0 - 1;
        assert_eq!(state.run(&request), Ok(0));
        assert!(exists(&state, &challenge));
        state.now = end;
        assert_eq!(state.run(&request), Ok(1));
        assert!(!exists(&state, &challenge));
        assert!(token_exists(&state, "H1"));
        assert!(state.audit.is_empty());
    }
}
