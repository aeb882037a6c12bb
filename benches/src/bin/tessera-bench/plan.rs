//! Which OTP a client sends next and what must come back. No I/O and no clock in here.
//!
//! When the fate of a request is unknown (broken connection, timeout, 503) its OTP may or may not have been used. The
//! next request of that token sends the same OTP again and takes either verdict: afterwards it has been used
//! for certain. So lost replies never push a token out of the server's look-ahead window, and never count as wrong
//! verdicts.

use crate::args::Mode;
use crate::hotp::{Hotp, digits};
use crate::verdict::Verdict;

/// A token of the load generator.
pub(crate) struct BenchToken {
    pub(crate) login: String,
    hotp: Hotp,
    next_counter: u64,
    /// The OTP of `next_counter` was sent, but its fate is unknown.
    unsettled: bool,
    /// OTPs around the counter for which it was computed.
    window: Option<(u64, Vec<u32>)>,
}

impl BenchToken {
    pub(crate) fn new(login: String, hotp: Hotp) -> Self {
        Self { login, hotp, next_counter: 0, unsettled: false, window: None }
    }

    /// An OTP that no counter in or just behind the window has.
    fn wrong(&mut self, random: u64, look_ahead: u64) -> u32 {
        let counter = self.next_counter;
        if self.window.as_ref().is_none_or(|(at, _)| *at != counter) {
            let range = counter.saturating_sub(1)..=counter.saturating_add(look_ahead);
            let mut taken: Vec<u32> = range.map(|counter| self.hotp.number(counter)).collect();
            taken.sort_unstable();
            self.window = Some((counter, taken));
        }
        let taken = self.window.as_ref().map_or(&[][..], |(_, taken)| taken);
        let mut candidate = u32::try_from(random % 1_000_000).unwrap_or_default();
        while taken.binary_search(&candidate).is_ok() {
            candidate = candidate.saturating_add(1) % 1_000_000;
        }
        candidate
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fresh,
    /// The same OTP again, because the fate of its first request is unknown.
    Settle,
    Wrong,
    Replay,
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    token: usize,
    pub(crate) otp: String,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Verdict(Verdict),
    /// It was certainly not sent.
    Unsent,
    /// It may have been carried out.
    Unknown,
}

/// How a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Good,
    Unexpected,
    Settled,
    Error,
}

/// The requests of one client; no other client uses its tokens.
pub(crate) struct Plan {
    mode: Mode,
    tokens: Vec<BenchToken>,
    look_ahead: u64,
    turn: usize,
    position: u32,
    /// Token and OTP of which a replay is due (`replay`), or can be made (`mixed`).
    accepted: Option<(usize, String)>,
    random: u64,
}

impl Plan {
    pub(crate) fn new(mode: Mode, tokens: Vec<BenchToken>, look_ahead: u64, seed: u64) -> Self {
        // Any non-zero start will do for xorshift.
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { mode, tokens, look_ahead, turn: 0, position: 0, accepted: None, random }
    }

    /// The next request, `None` if there are no tokens.
    pub(crate) fn next(&mut self) -> Option<Step> {
        let wanted = self.wanted();
        if wanted == Kind::Replay
            && let Some((token, otp)) = self.accepted.clone()
        {
            return Some(Step { kind: Kind::Replay, token, otp });
        }
        let index = self.turn % self.tokens.len().max(1);
        self.turn = self.turn.wrapping_add(1);
        let (random, look_ahead) = (self.random(), self.look_ahead);
        let token = self.tokens.get_mut(index)?;
        let (kind, number) = match wanted {
            _ if token.unsettled => (Kind::Settle, token.hotp.number(token.next_counter)),
            Kind::Wrong => (Kind::Wrong, token.wrong(random, look_ahead)),
            Kind::Fresh | Kind::Replay | Kind::Settle => (Kind::Fresh, token.hotp.number(token.next_counter)),
        };
        Some(Step { kind, token: index, otp: digits(number) })
    }

    fn wanted(&mut self) -> Kind {
        match self.mode {
            Mode::Fresh => Kind::Fresh,
            Mode::Wrong => Kind::Wrong,
            Mode::Replay if self.accepted.is_some() => Kind::Replay,
            Mode::Replay => Kind::Fresh,
            Mode::Mixed => {
                self.position = self.position.wrapping_add(1) % 10;
                match self.position {
                    8 => Kind::Wrong,
                    9 => Kind::Replay,
                    _ => Kind::Fresh,
                }
            }
        }
    }

    /// Takes note of what became of a request and says how it counts.
    pub(crate) fn done(&mut self, step: &Step, outcome: Outcome) -> Count {
        let verdict = match outcome {
            Outcome::Verdict(verdict) => verdict,
            Outcome::Unsent => return Count::Error,
            Outcome::Unknown => {
                if let (Kind::Fresh, Some(token)) = (step.kind, self.tokens.get_mut(step.token)) {
                    token.unsettled = true;
                }
                return Count::Error;
            }
        };
        match (step.kind, verdict) {
            (Kind::Fresh, Verdict::Accepted) => self.used(step, Count::Good),
            (Kind::Fresh, Verdict::Refused | Verdict::Unreadable) => {
                self.used(step, Count::Unexpected);
                // It was not accepted, so there is nothing to replay.
                self.accepted = None;
                Count::Unexpected
            }
            (Kind::Settle, Verdict::Accepted | Verdict::Refused) => self.used(step, Count::Settled),
            (Kind::Settle, Verdict::Unreadable) => Count::Unexpected,
            (Kind::Wrong, Verdict::Refused) => Count::Good,
            (Kind::Wrong, Verdict::Accepted | Verdict::Unreadable) => Count::Unexpected,
            (Kind::Replay, Verdict::Refused) => self.replayed(Count::Good),
            (Kind::Replay, Verdict::Accepted | Verdict::Unreadable) => self.replayed(Count::Unexpected),
        }
    }

    /// The login of the token of a request.
    pub(crate) fn login(&self, step: &Step) -> &str {
        self.tokens.get(step.token).map_or("", |token| token.login.as_str())
    }

    fn used(&mut self, step: &Step, count: Count) -> Count {
        if let Some(token) = self.tokens.get_mut(step.token) {
            token.next_counter = token.next_counter.saturating_add(1);
            token.unsettled = false;
        }
        self.accepted = Some((step.token, step.otp.clone()));
        count
    }

    fn replayed(&mut self, count: Count) -> Count {
        self.accepted = None;
        count
    }

    /// Xorshift (Marsaglia 2003): wrong OTPs need variety, not secrecy.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Deals the tokens out to the clients, as evenly as possible.
pub(crate) fn deal(tokens: Vec<BenchToken>, clients: usize) -> Vec<Vec<BenchToken>> {
    let mut hands: Vec<Vec<BenchToken>> = (0..clients).map(|_| Vec::new()).collect();
    for (index, token) in tokens.into_iter().enumerate() {
        if let Some(hand) = hands.get_mut(index % clients.max(1)) {
            hand.push(token);
        }
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: Outcome = Outcome::Verdict(Verdict::Accepted);
    const REFUSED: Outcome = Outcome::Verdict(Verdict::Refused);
    const UNREADABLE: Outcome = Outcome::Verdict(Verdict::Unreadable);

    /// One token with the seed of RFC 4226 appendix D.
    fn plan(mode: Mode) -> Plan {
        let hotp = Hotp::new(b"12345678901234567890").unwrap();
        Plan::new(mode, vec![BenchToken::new("alice".to_owned(), hotp)], 32, 0)
    }

    #[track_caller]
    fn check(plan: &mut Plan, kind: Kind, otp: &str, outcome: Outcome, count: Count) {
        let step = plan.next().unwrap();
        assert_eq!((step.kind, step.otp.as_str()), (kind, otp));
        assert_eq!(plan.done(&step, outcome), count);
    }

    #[test]
    fn fresh_otps_follow_the_counter_whatever_the_verdict() {
        let mut plan = plan(Mode::Fresh);
        check(&mut plan, Kind::Fresh, "755224", ACCEPTED, Count::Good);
        check(&mut plan, Kind::Fresh, "287082", REFUSED, Count::Unexpected);
        check(&mut plan, Kind::Fresh, "359152", UNREADABLE, Count::Unexpected);
        check(&mut plan, Kind::Fresh, "969429", ACCEPTED, Count::Good);
    }

    #[test]
    fn an_otp_that_was_not_sent_is_sent_again_and_must_be_accepted() {
        let mut plan = plan(Mode::Fresh);
        check(&mut plan, Kind::Fresh, "755224", Outcome::Unsent, Count::Error);
        check(&mut plan, Kind::Fresh, "755224", REFUSED, Count::Unexpected);
    }

    #[test]
    fn an_otp_of_unknown_fate_is_settled_with_either_verdict() {
        for verdict in [ACCEPTED, REFUSED] {
            let mut plan = plan(Mode::Fresh);
            check(&mut plan, Kind::Fresh, "755224", Outcome::Unknown, Count::Error);
            check(&mut plan, Kind::Settle, "755224", Outcome::Unknown, Count::Error);
            check(&mut plan, Kind::Settle, "755224", Outcome::Unsent, Count::Error);
            check(&mut plan, Kind::Settle, "755224", verdict, Count::Settled);
            check(&mut plan, Kind::Fresh, "287082", ACCEPTED, Count::Good);
        }
    }

    #[test]
    fn every_accepted_otp_is_replayed_once_and_must_be_refused() {
        let mut plan = plan(Mode::Replay);
        check(&mut plan, Kind::Fresh, "755224", ACCEPTED, Count::Good);
        check(&mut plan, Kind::Replay, "755224", REFUSED, Count::Good);
        check(&mut plan, Kind::Fresh, "287082", ACCEPTED, Count::Good);
        check(&mut plan, Kind::Replay, "287082", ACCEPTED, Count::Unexpected);
        check(&mut plan, Kind::Fresh, "359152", Outcome::Unknown, Count::Error);
        check(&mut plan, Kind::Settle, "359152", REFUSED, Count::Settled);
        check(&mut plan, Kind::Replay, "359152", Outcome::Unknown, Count::Error);
        check(&mut plan, Kind::Replay, "359152", REFUSED, Count::Good);
        check(&mut plan, Kind::Fresh, "969429", REFUSED, Count::Unexpected);
        check(&mut plan, Kind::Fresh, "338314", ACCEPTED, Count::Good);
    }

    #[test]
    fn wrong_otps_are_outside_the_window_and_must_be_refused() {
        let mut plan = plan(Mode::Wrong);
        let reference = Hotp::new(b"12345678901234567890").unwrap();
        let window: Vec<String> = (0..=10).map(|counter| reference.otp(counter)).collect();
        for _ in 0..1000 {
            let step = plan.next().unwrap();
            assert_eq!(step.kind, Kind::Wrong);
            assert!(!window.contains(&step.otp), "{}", step.otp);
            assert_eq!(plan.done(&step, REFUSED), Count::Good);
        }
        let step = plan.next().unwrap();
        assert_eq!(plan.done(&step, ACCEPTED), Count::Unexpected);
        assert_eq!(plan.done(&step, UNREADABLE), Count::Unexpected);
    }

    /// The number drawn is itself an OTP of the window: 755224 is that of counter 0.
    #[test]
    fn a_drawn_otp_of_the_window_is_not_sent_as_wrong() {
        let mut token = BenchToken::new("alice".to_owned(), Hotp::new(b"12345678901234567890").unwrap());
        assert_eq!(token.wrong(755_224, 32), 755_225);
        assert_eq!(token.wrong(123, 32), 123);
    }

    #[test]
    fn mixed_sends_all_kinds() {
        let mut plan = plan(Mode::Mixed);
        let mut kinds = Vec::new();
        for _ in 0..100 {
            let step = plan.next().unwrap();
            let outcome = if step.kind == Kind::Fresh { ACCEPTED } else { REFUSED };
            assert_eq!(plan.done(&step, outcome), Count::Good);
            kinds.push(step.kind);
        }
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        assert_eq!((count(Kind::Fresh), count(Kind::Wrong), count(Kind::Replay)), (80, 10, 10));
    }

    #[test]
    fn no_token_is_dealt_twice() {
        let hotp = Hotp::new(b"x").unwrap();
        let tokens = (0..7).map(|n| BenchToken::new(n.to_string(), hotp.clone())).collect();
        let hands = deal(tokens, 3);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 2]);
        let mut logins: Vec<_> = hands.iter().flatten().map(|token| token.login.clone()).collect();
        logins.sort();
        logins.dedup();
        assert_eq!(logins.len(), 7);
    }
}
