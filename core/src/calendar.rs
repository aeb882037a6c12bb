//! Dates of the proleptic Gregorian calendar in UTC, as integers.

use crate::time::UnixMillis;

/// A second of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Year, 1970 or later.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Hour, 0 to 23.
    pub hour: u64,
    /// Minute, 0 to 59.
    pub minute: u64,
    /// Second, 0 to 59.
    pub second: u64,
}

/// The latest year that is converted; far enough from any overflow.
const YEAR_MAX: u64 = 9999;

impl DateTime {
    /// The second an instant lies in.
    #[must_use]
    pub const fn of(instant: UnixMillis) -> Self {
        let seconds = instant.seconds();
        let (year, month, day) = civil(seconds / 86_400);
        let rest = seconds % 86_400;
        Self { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }

    /// The instant at the beginning of this second; `None` if there is no such date, or outside of 1970 to 9999.
    #[must_use]
    pub fn instant(self) -> Option<UnixMillis> {
        let Self { year, month, day, hour, minute, second } = self;
        let legal = (1970..=YEAR_MAX).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let days = days_before(year, month).checked_add(day.checked_sub(1)?)?;
        legal.then(|| UnixMillis::from_seconds(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of a month; years before 1970 count as 1970 and after 9999 as 9999.
fn days_before(year: u64, month: u64) -> u64 {
    let year = year.clamp(1970, YEAR_MAX);
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    (1..month.min(13)).fold(years, |days, month| days + days_in(year, month))
}

/// Year, month and day of a day counted from 1970-01-01. Counts from a 1 March, so that the leap day is the last of its
/// year; years then begin at multiples of 365.2425 days and months at multiples of 30.6.
const fn civil(days: u64) -> (u64, u64, u64) {
    const TO_0000_03_01: u64 = 719_468;
    let days = days.saturating_add(TO_0000_03_01);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// Parses the form in which validity periods are written, `DD/MM/YY HH:MM` in UTC (reference tokens 1.3). As in
/// POSIX, the years 69 to 99 belong to the last century.
#[must_use]
pub fn parse_validity(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.trim().split_once(' ')?;
    let mut parts = date.split('/');
    let (day, month, year) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let (hour, minute) = time.trim_start().split_once(':')?;
    if parts.next().is_some() {
        return None;
    }
    let year = if year >= 69 { 1900 + year } else { 2000 + year };
    DateTime { year, month, day, hour: number(hour)?, minute: number(minute)?, second: 0 }.instant()
}

/// Writes an instant as [`parse_validity`] reads it.
#[must_use]
pub fn format_validity(instant: UnixMillis) -> String {
    let DateTime { year, month, day, hour, minute, .. } = DateTime::of(instant);
    format!("{day:02}/{month:02}/{:02} {hour:02}:{minute:02}", year % 100)
}

/// One or two digits.
fn number(text: &str) -> Option<u64> {
    let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date -u -d @<seconds>`.
    #[test]
    fn seconds_become_dates_and_back() {
        for (seconds, year, month, day, hour, minute, second) in [
            (0, 1970, 1, 1, 0, 0, 0),
            (68_169_599, 1972, 2, 28, 23, 59, 59),
            (951_782_400, 2000, 2, 29, 0, 0, 0),
            (951_868_800, 2000, 3, 1, 0, 0, 0),
            (1_795_293_016, 2026, 11, 21, 20, 30, 16),
            (4_107_542_399, 2100, 2, 28, 23, 59, 59),
            (4_107_542_400, 2100, 3, 1, 0, 0, 0),
        ] {
            let date = DateTime { year, month, day, hour, minute, second };
            assert_eq!(DateTime::of(UnixMillis::from_seconds(seconds)), date);
            assert_eq!(date.instant(), Some(UnixMillis::from_seconds(seconds)), "{date:?}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_is_its_own() {
        for day in 0..292_194 {
            let instant = UnixMillis::from_seconds(day * 86_400);
            assert_eq!(DateTime::of(instant).instant(), Some(instant), "day {day}");
        }
    }

    #[test]
    fn validity_dates_are_read() {
        let at = |seconds| Some(UnixMillis::from_seconds(seconds));
        for (text, expected) in [
            ("21/11/26 20:30", at(1_795_293_000)),
            ("1/3/00 0:00", at(951_868_800)),
            ("01/01/70 00:00", at(0)),
            ("31/12/69 23:59", None),
            ("29/02/25 12:00", None),
            ("31/04/26 12:00", None),
            ("01/13/26 12:00", None),
            ("00/01/26 12:00", None),
            ("01/01/26 24:00", None),
            ("01/01/26 12:60", None),
            ("01/01/2026 12:00", None),
            ("01/01/26", None),
            ("01/01/26/1 12:00", None),
            ("+1/01/26 12:00", None),
            ("", None),
            ("tomorrow", None),
        ] {
            assert_eq!(parse_validity(text), expected, "{text}");
        }
        assert_eq!(format_validity(UnixMillis::from_seconds(1_795_293_059)), "21/11/26 20:30");
    }
}
