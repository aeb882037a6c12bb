//! The cluster answers again within the election bound once a majority is connected.
//!
//! Whenever a majority of the nodes has been up and connected for [`BOUND`], some login that was sent after the majority
//! came together has been answered with yes or no. The clients of a scenario with faults send all the time, so silence
//! means that there is nothing to hear. How long it took in fact is a figure of each run ([`recoveries`]).

use std::time::Duration;

use crate::history::Record;

/// Longer than this the cluster is never silent.
///
/// An election takes half a second (`Timing`, 450 ms and up to 200 ms more), and may have to be repeated. With processes
/// that have yet to start, on a machine that does other things at the same time (8.3 s were seen with six compilers beside
/// it), this is when something is wrong.
pub const BOUND: Duration = Duration::from_secs(15);

/// Every time in which the cluster should have answered and did not.
pub fn violations(record: &Record) -> Vec<String> {
    let silent = |(from, answer, until): &(Duration, Option<Duration>, Duration)| {
        let first = answer.unwrap_or(*until);
        first.saturating_sub(*from) > BOUND
    };
    spans(record)
        .iter()
        .filter(|span| silent(span))
        .map(|(from, answer, until)| {
            format!(
                "a majority was connected from {} to {} ms, but the first answer came {}",
                from.as_millis(),
                until.as_millis(),
                answer.map_or("not at all".to_owned(), |at| format!("at {} ms", at.as_millis()))
            )
        })
        .collect()
}

/// How long it took from each coming together of a majority, but the first, to the next answer.
pub fn recoveries(record: &Record) -> Vec<Duration> {
    let spans = spans(record);
    spans.iter().skip(1).filter_map(|(from, answer, _)| Some((*answer)?.saturating_sub(*from))).collect()
}

/// Times in which there was a majority, each with the end of the first request that was sent and answered in it.
fn spans(record: &Record) -> Vec<(Duration, Option<Duration>, Duration)> {
    let mut answers: Vec<(Duration, Duration)> = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome.is_answer())
        .map(|attempt| (attempt.started, attempt.ended))
        .collect();
    answers.sort_unstable();
    let Some(((first, _), (last, _))) = answers.first().zip(answers.last()) else { return Vec::new() };
    let ends = record.majorities.iter().skip(1).map(|next| next.from).chain([*last]);
    record
        .majorities
        .iter()
        .zip(ends)
        .filter(|(majority, until)| majority.exists && *until > *first)
        .map(|(majority, until)| {
            // Before the first request nobody was there to hear an answer.
            let from = majority.from.max(*first);
            let within = answers.iter().filter(|(sent, _)| (from..until).contains(sent));
            (from, within.map(|(_, answered)| *answered).min(), until)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Majority;
    use crate::history::Outcome::{Accepted, Refused, Unavailable};
    use crate::history::Sent::Right;
    use crate::invariant::histories::{attempt, record};

    const SECOND: u64 = 1000;

    /// There is a majority from 0, none from 10 s on, one again from 20 s on.
    #[track_caller]
    fn expect(attempts: &[crate::history::Attempt], violations: usize, recoveries: &[u64]) {
        let majority = |(seconds, exists)| Majority { from: Duration::from_secs(seconds), exists };
        let majorities = [(0, true), (10, false), (20, true)].map(majority).to_vec();
        let record = Record { majorities, ..record(attempts) };
        let found = super::violations(&record);
        assert_eq!(found.len(), violations, "{found:?}");
        let expected: Vec<Duration> = recoveries.iter().map(|ms| Duration::from_millis(*ms)).collect();
        assert_eq!(super::recoveries(&record), expected);
    }

    #[test]
    fn an_answer_soon_after_the_majority_came_together_is_right() {
        let answered = [
            attempt(SECOND, 1100, 1, Right(0), Accepted),
            attempt(12 * SECOND, 17 * SECOND, 1, Right(1), Unavailable),
            attempt(19 * SECOND, 21 * SECOND, 2, Right(1), Refused),
            attempt(21 * SECOND, 22 * SECOND, 2, Right(2), Accepted),
            attempt(60 * SECOND, 61 * SECOND, 2, Right(3), Accepted),
        ];
        expect(&answered, 0, &[2000]);
    }

    #[test]
    fn a_long_silence_is_found() {
        let silent = [
            attempt(SECOND, 1100, 1, Right(0), Accepted),
            attempt(20 * SECOND, 25 * SECOND, 1, Right(1), Unavailable),
            attempt(27 * SECOND, 36 * SECOND, 2, Right(2), Accepted),
            attempt(60 * SECOND, 61 * SECOND, 2, Right(3), Accepted),
        ];
        expect(&silent, 1, &[16_000]);
        expect(&[silent[0].clone(), silent[1].clone(), silent[3].clone()], 1, &[]);
    }
}
