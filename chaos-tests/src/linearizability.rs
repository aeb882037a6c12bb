//! Whether a history of requests and answers can be explained by one order of the requests.
//!
//! A history is *linearizable* (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", 1990)
//! if every request can be given one moment between its sending and its answer at which it took effect, such that all
//! answers are those of a sequential object. The search is Wing and Gong's ("Testing and verifying concurrent objects",
//! 1993) with Lowe's improvement ("Testing for linearizability", 2017): whoever comes a second time to the same set of
//! placed requests in the same state of the object need not go on.
//!
//! A request whose outcome is not known has no answer to explain and no end: it may have taken effect at any moment after
//! it was sent, or never.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

/// The sequential object.
pub trait Specification {
    /// What it remembers.
    type State: Clone + Eq + Hash;
    /// A request together with its answer, or without one.
    type Operation;

    /// The object at the beginning.
    fn initial(&self) -> Self::State;

    /// The object after the operation; `None` if the operation cannot get this answer in this state.
    fn apply(&self, state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<O> {
    /// What was asked, and answered.
    pub operation: O,
    /// When it was sent.
    pub sent: Duration,
    /// When the answer was there; `None` if the outcome is not known.
    pub answered: Option<Duration>,
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains all answers.
    Linearizable,
    /// There is none. This call's answer, by its place in the history, is the first that no order explains.
    Unexplained(usize),
    /// The search was given up.
    Undecided,
}

/// Searches for an order. After `limit` different situations it gives up.
pub fn check<S: Specification>(object: &S, calls: &[Call<S::Operation>], limit: usize) -> Verdict {
    let mut search = Search::new(object, calls);
    search.run(limit)
}

/// No event: before the first and behind the last one.
const NONE: usize = usize::MAX;

/// A request was sent, or its answer arrived, in a list from which events can be taken and put back.
#[derive(Debug, Clone, Copy)]
struct Event {
    call: usize,
    is_answer: bool,
    previous: usize,
    next: usize,
}

struct Search<'a, S: Specification> {
    object: &'a S,
    calls: &'a [Call<S::Operation>],
    events: Vec<Event>,
    head: usize,
    /// Places of each call's two events.
    sent_at: Vec<usize>,
    answered_at: Vec<usize>,
    placed: Vec<u64>,
    state: S::State,
    seen: HashSet<(Vec<u64>, S::State)>,
    /// What was placed, with the state before.
    path: Vec<(usize, S::State)>,
}

impl<'a, S: Specification> Search<'a, S> {
    fn new(object: &'a S, calls: &'a [Call<S::Operation>]) -> Self {
        // At the same moment sending goes before answering: then the two are concurrent, which excuses more.
        let mut order: Vec<(Duration, bool, usize)> = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            order.push((call.sent, false, number));
            order.extend(call.answered.map(|answered| (answered, true, number)));
        }
        order.sort_unstable();
        let (mut sent_at, mut answered_at) = (vec![NONE; calls.len()], vec![NONE; calls.len()]);
        let last = order.len().wrapping_sub(1);
        let mut events = Vec::with_capacity(order.len());
        for (place, (_, is_answer, call)) in order.into_iter().enumerate() {
            let places = if is_answer { &mut answered_at } else { &mut sent_at };
            if let Some(slot) = places.get_mut(call) {
                *slot = place;
            }
            let next = if place == last { NONE } else { place.wrapping_add(1) };
            events.push(Event { call, is_answer, previous: place.wrapping_sub(1), next });
        }
        let head = if events.is_empty() { NONE } else { 0 };
        let placed = vec![0; calls.len().div_ceil(64)];
        let (state, seen, path) = (object.initial(), HashSet::new(), Vec::new());
        Self { object, calls, events, head, sent_at, answered_at, placed, state, seen, path }
    }

    fn run(&mut self, limit: usize) -> Verdict {
        let mut waiting = self.calls.iter().filter(|call| call.answered.is_some()).count();
        // The answer that could not be reached on the way that explained most.
        let (mut fewest, mut unexplained) = (usize::MAX, 0);
        let mut at = self.head;
        while waiting > 0 {
            match self.events.get(at).copied() {
                Some(event) if !event.is_answer => {
                    if self.place(event.call) {
                        waiting = waiting.saturating_sub(usize::from(self.is_answered(event.call)));
                        at = self.head;
                        if self.seen.len() > limit {
                            return Verdict::Undecided;
                        }
                    } else {
                        at = event.next;
                    }
                }
                stuck => {
                    if let Some(event) = stuck
                        && waiting < fewest
                    {
                        (fewest, unexplained) = (waiting, event.call);
                    }
                    let Some(call) = self.take_back() else { return Verdict::Unexplained(unexplained) };
                    waiting = waiting.saturating_add(usize::from(self.is_answered(call)));
                    at = self
                        .sent_at
                        .get(call)
                        .and_then(|place| self.events.get(*place))
                        .map_or(NONE, |event| event.next);
                }
            }
        }
        Verdict::Linearizable
    }

    fn is_answered(&self, call: usize) -> bool {
        self.calls.get(call).is_some_and(|call| call.answered.is_some())
    }

    /// Lets a call take effect now, if it can and that leads to something new.
    fn place(&mut self, call: usize) -> bool {
        let Some(operation) = self.calls.get(call).map(|call| &call.operation) else { return false };
        let Some(next) = self.object.apply(&self.state, operation) else { return false };
        self.flip(call);
        if !self.seen.insert((self.placed.clone(), next.clone())) {
            self.flip(call);
            return false;
        }
        self.path.push((call, std::mem::replace(&mut self.state, next)));
        self.unlink(self.sent_at.get(call).copied());
        self.unlink(self.answered_at.get(call).copied());
        true
    }

    fn take_back(&mut self) -> Option<usize> {
        let (call, state) = self.path.pop()?;
        self.state = state;
        self.flip(call);
        // In the opposite order, so that each finds its neighbours as it left them.
        self.relink(self.answered_at.get(call).copied());
        self.relink(self.sent_at.get(call).copied());
        Some(call)
    }

    fn flip(&mut self, call: usize) {
        if let Some(word) = self.placed.get_mut(call / 64) {
            *word ^= 1 << (call % 64);
        }
    }

    fn unlink(&mut self, place: Option<usize>) {
        let Some(Event { previous, next, .. }) = place.and_then(|place| self.events.get(place)).copied()
        else {
            return;
        };
        self.join(previous, next, next, previous);
    }

    fn relink(&mut self, place: Option<usize>) {
        let Some((place, Event { previous, next, .. })) =
            place.and_then(|place| Some((place, *self.events.get(place)?)))
        else {
            return;
        };
        self.join(previous, place, next, place);
    }

    /// Behind `previous` comes `behind`, before `next` comes `before`.
    fn join(&mut self, previous: usize, behind: usize, next: usize, before: usize) {
        match self.events.get_mut(previous) {
            Some(event) => event.next = behind,
            None => self.head = behind,
        }
        if let Some(event) = self.events.get_mut(next) {
            event.previous = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register of one number, 0 at first.
    struct Register;

    #[derive(Debug, Clone)]
    enum Access {
        Write(u64),
        Read(u64),
        /// Swaps the value if it is the expected one; with its answer, if there was one.
        Swap(u64, u64, Option<bool>),
    }
    use Access::{Read, Swap, Write};

    impl Specification for Register {
        type State = u64;
        type Operation = Access;

        fn initial(&self) -> u64 {
            0
        }

        fn apply(&self, state: &u64, access: &Access) -> Option<u64> {
            match access {
                Write(value) => Some(*value),
                Read(value) => (value == state).then_some(*state),
                Swap(expected, value, answer) => {
                    let done = expected == state;
                    let after = if done { *value } else { *state };
                    answer.is_none_or(|answer| answer == done).then_some(after)
                }
            }
        }
    }

    fn call(sent: u64, answered: u64, operation: Access) -> Call<Access> {
        let answered = Some(Duration::from_millis(answered));
        Call { operation, sent: Duration::from_millis(sent), answered }
    }

    fn unknown(sent: u64, operation: Access) -> Call<Access> {
        Call { operation, sent: Duration::from_millis(sent), answered: None }
    }

    #[track_caller]
    fn expect(calls: &[Call<Access>], expected: Verdict) {
        assert_eq!(check(&Register, calls, 1_000_000), expected);
    }

    #[test]
    fn sequential_histories_are_judged_like_a_program() {
        expect(&[], Verdict::Linearizable);
        expect(&[call(0, 1, Write(5)), call(2, 3, Read(5))], Verdict::Linearizable);
        expect(&[call(0, 1, Write(5)), call(2, 3, Read(0))], Verdict::Unexplained(1));
        let behind = [call(0, 1, Write(5)), call(2, 3, Read(5)), call(4, 5, Read(6)), call(6, 7, Read(5))];
        expect(&behind, Verdict::Unexplained(2));
    }

    /// Herlihy and Wing's figure of a register: a read beside a write may see the old or the new value.
    #[test]
    fn concurrent_requests_may_take_effect_in_any_order() {
        for seen in [0, 5] {
            expect(&[call(0, 10, Write(5)), call(1, 9, Read(seen))], Verdict::Linearizable);
        }
        expect(&[call(0, 10, Write(5)), call(1, 9, Read(7))], Verdict::Unexplained(1));
        // Sent at the very moment of the other's answer counts as concurrent.
        expect(&[call(0, 10, Write(5)), call(10, 12, Read(0))], Verdict::Linearizable);
    }

    /// The classic that is not linearizable although each read alone could be explained: the new value, then the old one.
    #[test]
    fn a_value_once_seen_does_not_vanish_again() {
        let new_then_old = [call(0, 100, Write(5)), call(10, 20, Read(5)), call(30, 40, Read(0))];
        expect(&new_then_old, Verdict::Unexplained(2));
        let old_then_new = [call(0, 100, Write(5)), call(10, 20, Read(0)), call(30, 40, Read(5))];
        expect(&old_then_new, Verdict::Linearizable);
    }

    /// Two readers that disagree about the order of two writes.
    #[test]
    fn readers_must_agree_on_one_order() {
        let calls = |third, fourth| {
            [
                call(0, 100, Write(1)),
                call(0, 100, Write(2)),
                call(10, 20, Read(1)),
                call(30, 40, Read(2)),
                call(10, 21, Read(third)),
                call(30, 41, Read(fourth)),
            ]
        };
        expect(&calls(1, 2), Verdict::Linearizable);
        assert!(matches!(check(&Register, &calls(2, 1), 1_000_000), Verdict::Unexplained(_)));
    }

    #[test]
    fn of_two_swaps_from_one_value_only_one_succeeds() {
        let both = [call(0, 10, Swap(0, 1, Some(true))), call(0, 10, Swap(0, 2, Some(true)))];
        assert!(matches!(check(&Register, &both, 1_000_000), Verdict::Unexplained(_)));
        let one = [call(0, 10, Swap(0, 1, Some(true))), call(0, 10, Swap(0, 2, Some(false)))];
        expect(&one, Verdict::Linearizable);
    }

    #[test]
    fn a_request_of_unknown_outcome_may_have_happened_or_not_at_any_time_later() {
        let seen = |value| [unknown(0, Write(5)), call(10, 20, Read(0)), call(30, 40, Read(value))];
        expect(&seen(0), Verdict::Linearizable);
        expect(&seen(5), Verdict::Linearizable);
        expect(&seen(6), Verdict::Unexplained(2));
        // But not before it was sent, and not twice.
        expect(&[call(0, 10, Read(5)), unknown(20, Write(5))], Verdict::Unexplained(0));
        let twice = [
            unknown(0, Swap(0, 5, None)),
            call(10, 20, Read(5)),
            call(30, 40, Write(0)),
            call(50, 60, Read(0)),
            call(70, 80, Read(5)),
        ];
        expect(&twice, Verdict::Unexplained(4));
        expect(&[unknown(0, Write(5)), unknown(1, Write(6))], Verdict::Linearizable);
    }

    #[test]
    fn a_search_that_grows_too_large_is_given_up() {
        let mut calls: Vec<_> = (0..20).map(|value| unknown(0, Write(value + 1))).collect();
        calls.push(call(10, 20, Read(99)));
        assert_eq!(check(&Register, &calls, 1_000), Verdict::Undecided);
    }

    /// The search against the definition: all orders of all subsets, on random small histories.
    #[test]
    fn the_search_agrees_with_trying_every_order() {
        let mut choices = crate::environment::Choices::new(20_261_122);
        let (mut yes, mut no) = (0, 0);
        for _ in 0..3_000 {
            let count = choices.between(1, 5);
            let calls: Vec<Call<Access>> = (0..count)
                .map(|_| {
                    let sent = choices.between(0, 20);
                    let value = choices.between(0, 2);
                    let other = choices.between(0, 2);
                    let done = choices.between(0, 1) == 1;
                    let known = choices.between(0, 3) > 0;
                    let operation = match choices.between(0, 2) {
                        0 => Write(value),
                        1 if known => Read(value),
                        _ => Swap(value, other, known.then_some(done)),
                    };
                    let answered = sent + choices.between(1, 12);
                    if known { call(sent, answered, operation) } else { unknown(sent, operation) }
                })
                .collect();
            let expected = exists_order(&calls, &mut vec![false; calls.len()], 0);
            let found = check(&Register, &calls, 1_000_000) == Verdict::Linearizable;
            assert_eq!(found, expected, "{calls:?}");
            if expected { yes += 1 } else { no += 1 }
        }
        assert!(yes > 500 && no > 500, "{yes} and {no}: the histories show nothing");
    }

    /// The definition, without any cleverness.
    fn exists_order(calls: &[Call<Access>], placed: &mut Vec<bool>, state: u64) -> bool {
        if calls.iter().zip(placed.iter()).all(|(call, placed)| *placed || call.answered.is_none()) {
            return true;
        }
        for next in 0..calls.len() {
            let too_early = |other: usize| {
                !placed[other] && calls[other].answered.is_some_and(|answered| answered < calls[next].sent)
            };
            if placed[next] || (0..calls.len()).any(too_early) {
                continue;
            }
            if let Some(after) = Register.apply(&state, &calls[next].operation) {
                placed[next] = true;
                if exists_order(calls, placed, after) {
                    return true;
                }
                placed[next] = false;
            }
        }
        false
    }
}
