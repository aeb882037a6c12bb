//! The time column: cron-like windows on the wall clock (reference policies 2.6).

use super::entries;
use crate::calendar::DateTime;
use crate::time::UnixMillis;

/// A minute on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 23.
    pub hour: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// 1 to 12.
    pub month: u64,
    /// Day of the week, 0 is Sunday.
    pub weekday: u64,
    /// The year.
    pub year: u64,
}

impl Moment {
    /// The minute an instant lies in, in UTC.
    #[must_use]
    pub const fn of(instant: UnixMillis) -> Self {
        let DateTime { year, month, day, hour, minute, .. } = DateTime::of(instant);
        // 1970-01-01 was a Thursday.
        let weekday = (instant.seconds() / 86_400 + 4) % 7;
        Self { minute, hour, day, month, weekday, year }
    }
}

/// Windows, tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeCondition(Vec<Entry>);

/// Why a time column cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// An entry has not six fields.
    #[error(
        "'{0}' does not have the six fields minute, hour, day of month, month, day of week (0 is Sunday) and year"
    )]
    Fields(Box<str>),
    /// A field is none of the known forms.
    #[error("'{0}' is none of '*', numbers with commas, a range a-b, or a step */n")]
    Field(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Always,
    Window { negated: bool, fields: [Field; 6] },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Any,
    /// Numbers and inclusive ranges; a range whose end lies before its beginning contains nothing.
    Ranges(Vec<(u64, u64)>),
    /// Every value divisible by this.
    Step(u64),
    /// A range with a step: accepted, matches nothing.
    Never,
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(step) = text.strip_prefix("*/") {
            return number(step).filter(|step| *step > 0).map(Self::Step);
        }
        if let Some((range, step)) = text.split_once('/') {
            let (from, to) = range.split_once('-')?;
            return (number(from).is_some() && number(to).is_some() && number(step).is_some())
                .then_some(Self::Never);
        }
        let range = |item: &str| match item.split_once('-') {
            Some((from, to)) => Some((number(from)?, number(to)?)),
            None => number(item).map(|value| (value, value)),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self::Ranges)
    }

    fn matches(&self, value: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Ranges(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&value)),
            Self::Step(step) => value.is_multiple_of(*step),
            Self::Never => false,
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Entry {
    fn parse(text: &str) -> Result<Self, InvalidTime> {
        if text == "*" {
            return Ok(Self::Always);
        }
        // In contrast to the other columns a blank may follow the sign.
        let (negated, window) = match text.strip_prefix(['-', '!']) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let fields: Vec<Field> = window
            .split_whitespace()
            .map(|field| Field::parse(field).ok_or_else(|| InvalidTime::Field(field.into())))
            .collect::<Result<_, _>>()?;
        let fields = <[Field; 6]>::try_from(fields).map_err(|_| InvalidTime::Fields(text.into()))?;
        Ok(Self::Window { negated, fields })
    }
}

impl TimeCondition {
    /// Parses the column.
    ///
    /// # Errors
    /// [`InvalidTime`].
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        entries(text, ';').map(Entry::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the condition holds at a moment. An entry `*` decides at once, an excluded window as soon as it is met.
    #[must_use]
    pub fn holds(&self, moment: Moment) -> bool {
        let Moment { minute, hour, day, month, weekday, year } = moment;
        let values = [minute, hour, day, month, weekday, year];
        let mut holds = false;
        for entry in &self.0 {
            let Entry::Window { negated, fields } = entry else { return true };
            if !fields.iter().zip(values).all(|(field, value)| field.matches(value)) {
                continue;
            }
            if *negated {
                return false;
            }
            holds = true;
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-12-14 was a Wednesday; the other days are told by their day of the week alone.
    fn at(hour: u64, minute: u64, weekday: u64) -> Moment {
        Moment { minute, hour, day: 14, month: 12, weekday, year: 2016 }
    }

    const WEDNESDAY: u64 = 3;

    /// Reference policies 12.3.
    #[test]
    fn vectors_of_the_reference_hold() {
        let nights_off = "*   *    * * * *; -* 18-23 * * * *; !*  0-6  * * * *";
        for (text, moment, expected) in [
            (nights_off, at(15, 30, WEDNESDAY), true),
            (nights_off, at(18, 0, WEDNESDAY), false),
            (nights_off, at(6, 0, WEDNESDAY), false),
            ("*  7-17  * * * *; ", at(15, 30, WEDNESDAY), true),
            ("*  7-17  * * * *; ", at(18, 0, WEDNESDAY), false),
            ("*  7-17  * * * *; ", at(6, 0, WEDNESDAY), false),
            ("* 6-18 * * 1-5 *", at(18, 59, 1), true),
            ("* 6-18 * * 1-5 *", at(19, 0, 1), false),
            ("* 6-18 * * 1-5 *", at(12, 0, 6), false),
            ("* * * * 0 *", at(12, 0, 0), true),
            ("* * * * 7 *", at(12, 0, 0), false),
            ("*/15 * * * * *", at(10, 45, 2), true),
            ("*/15 * * * * *", at(10, 46, 2), false),
            ("0-30/5 * * * * *", at(10, 10, 2), false),
            ("* 22-6 * * * *", at(23, 0, 2), false),
            ("*; -* 10 * * * *", at(10, 0, 2), true),
            ("-* 10 * * * *; *", at(10, 0, 2), false),
            ("- * 10 * * * *; *", at(10, 0, 2), false),
            ("! * 0-24 * * * *", at(10, 0, 2), false),
            ("* 0-24 * * * *;", at(10, 0, 2), true),
            ("* 8,10,12 * * * *", at(10, 0, 2), true),
            ("* 8,12 * * * *", at(10, 0, 2), false),
            ("* * 14 12 * 2016", at(10, 0, 2), true),
            ("* * 14 12 * 2017", at(10, 0, 2), false),
            ("* * 14 * 1 *", at(10, 0, WEDNESDAY), false),
            ("", at(10, 0, 2), false),
        ] {
            assert_eq!(TimeCondition::parse(text).unwrap().holds(moment), expected, "{text} {moment:?}");
        }
    }

    /// Expected values from `date -u -d @<seconds> '+%M %H %d %m %w %Y'`.
    #[test]
    fn instants_become_moments() {
        for (seconds, minute, hour, day, month, weekday, year) in [
            (1_481_729_400, 30, 15, 14, 12, 3, 2016),
            (0, 0, 0, 1, 1, 4, 1970),
            (1_795_293_016, 30, 20, 21, 11, 6, 2026),
        ] {
            let moment = Moment { minute, hour, day, month, weekday, year };
            assert_eq!(Moment::of(UnixMillis::from_seconds(seconds)), moment);
        }
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for text in [
            "* * * * *",
            "* * * * * * *",
            "MON",
            "* mon * * * *",
            "*/0 * * * * *",
            "1, 2 * * * * *",
            "- *",
            "a",
        ] {
            assert!(TimeCondition::parse(text).is_err(), "{text}");
        }
    }
}
