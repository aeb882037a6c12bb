//! What the cluster decides about itself: how much history it keeps, which format level it writes.

use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{HistoryAnchorV1, Key, Record};

/// Removes the rows of the history up to one, on every node. The leader's node has verified the chain up to there; the
/// row's number and hash are kept, so that the rest of the chain can still be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimHistory {
    /// Number of the last row to be removed.
    pub number: u64,
    /// Its hash in the chain.
    pub hash: [u8; 32],
}

impl Request for TrimHistory {
    /// Whether anything is removed.
    type Reply = bool;

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let known = match cx.view.get(&Key::HistoryAnchor) {
            Some(Record::HistoryAnchor(anchor)) => anchor.number,
            _ => 0,
        };
        cx.audit.success = true;
        if self.number <= known {
            cx.note("nothing to remove");
            return Ok(false);
        }
        let anchor = HistoryAnchorV1 { number: self.number, hash: self.hash, at: cx.facts.now };
        cx.view.put(Key::HistoryAnchor, Record::HistoryAnchor(anchor));
        cx.note(&format!("rows {} to {} removed", known + 1, self.number));
        Ok(true)
    }
}

/// Raises the format level: from now on every node may write what needs that level. The leader's node has seen that all
/// members support it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaiseFormatLevel {
    /// The level.
    pub level: u32,
}

impl Request for RaiseFormatLevel {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let active = match cx.view.get(&Key::FormatLevel) {
            Some(Record::FormatLevel(level)) => level,
            _ => 1,
        };
        if self.level <= active {
            return Err(
                Refusal::Other(format!("the format level is {active} already and never falls")).into()
            );
        }
        cx.view.put(Key::FormatLevel, Record::FormatLevel(self.level));
        cx.audit.success = true;
        cx.note(&format!("format level {active} raised to {}", self.level));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_state::TestState;
    use crate::view::StateRead as _;

    fn record(state: &TestState, key: &Key) -> Option<Record> {
        state.record(key).map(|slot| slot.record)
    }

    #[test]
    fn the_anchor_only_moves_forward_and_the_removal_is_audited() {
        let mut state = TestState::new();
        assert_eq!(state.run(&TrimHistory { number: 9, hash: [9; 32] }), Ok(true));
        assert_eq!(state.run(&TrimHistory { number: 9, hash: [8; 32] }), Ok(false));
        assert_eq!(state.run(&TrimHistory { number: 5, hash: [5; 32] }), Ok(false));
        let Some(Record::HistoryAnchor(anchor)) = record(&state, &Key::HistoryAnchor) else { panic!() };
        assert_eq!((anchor.number, anchor.hash, anchor.at), (9, [9; 32], state.now));
        assert_eq!(state.run(&TrimHistory { number: 12, hash: [1; 32] }), Ok(true));
        let infos: Vec<&str> = state.audit.iter().map(|row| &*row.info).collect();
        assert_eq!(
            infos,
            ["rows 1 to 9 removed", "nothing to remove", "nothing to remove", "rows 10 to 12 removed"]
        );
    }

    #[test]
    fn the_level_only_rises() {
        let mut state = TestState::new();
        assert!(state.run(&RaiseFormatLevel { level: 1 }).is_err(), "every cluster begins with level 1");
        assert_eq!(state.run(&RaiseFormatLevel { level: 3 }), Ok(()));
        assert!(state.run(&RaiseFormatLevel { level: 2 }).is_err());
        assert_eq!(record(&state, &Key::FormatLevel), Some(Record::FormatLevel(3)));
    }
}
