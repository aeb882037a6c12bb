//! The time zone policies are evaluated in, in the notation of POSIX.
//!
//! IEEE Std 1003.1, section 8.3, variable `TZ`: such as `CET-1CEST,M3.5.0,M10.5.0/3`. It contains its own rules, so that
//! all nodes agree without a database of zones.

use super::condition::time::Moment;
use crate::calendar::DateTime;
use crate::time::UnixMillis;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// A zone; UTC by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset: i64,
    start: Change,
    end: Change,
}

/// When the clock is changed, on the clock as it shows before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    /// Seconds from midnight.
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// 1 to 365; 29 February is never counted.
    Julian(u64),
    /// 0 to 365; 29 February is counted.
    OfYear(u64),
    /// The n-th day of the week in a month; 5 is the last.
    OfMonth { month: u64, week: u64, weekday: u64 },
}

impl Zone {
    /// Reads a zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = Rest(text.trim());
        if rest.0.eq_ignore_ascii_case("utc") {
            return Some(Self::default());
        }
        rest.name()?;
        let standard = -rest.clock(24)?;
        if rest.0.is_empty() {
            return Some(Self { standard, summer: None });
        }
        rest.name()?;
        let offset = if rest.0.starts_with(',') { standard + HOUR } else { -rest.clock(24)? };
        rest.literal(',')?;
        let start = rest.change()?;
        rest.literal(',')?;
        let end = rest.change()?;
        rest.0.is_empty().then_some(Self { standard, summer: Some(Summer { offset, start, end }) })
    }

    /// What the clock on the wall shows at an instant.
    #[must_use]
    pub fn moment(&self, instant: UnixMillis) -> Moment {
        let seconds = i64::try_from(instant.seconds()).unwrap_or(i64::MAX / 2);
        Moment::of(instant_of(seconds.saturating_add(self.offset(seconds))))
    }

    /// Seconds east of Greenwich at an instant.
    fn offset(&self, seconds: i64) -> i64 {
        let Some(Summer { offset, start, end }) = &self.summer else { return self.standard };
        let year = DateTime::of(instant_of(seconds.saturating_add(self.standard))).year;
        let (Some(start), Some(end)) = (start.in_year(year), end.in_year(year)) else { return self.standard };
        let (start, end) = (start - self.standard, end - offset);
        // South of the equator summer goes over the turn of the year.
        let summer =
            if start <= end { (start..end).contains(&seconds) } else { !(end..start).contains(&seconds) };
        if summer { *offset } else { self.standard }
    }
}

fn instant_of(seconds: i64) -> UnixMillis {
    UnixMillis::from_seconds(u64::try_from(seconds).unwrap_or(0))
}

impl Change {
    /// The seconds from 1970 on the clock before the change.
    fn in_year(self, year: u64) -> Option<i64> {
        let midnight = |month| {
            let date = DateTime { year, month, day: 1, hour: 0, minute: 0, second: 0 };
            date.instant().and_then(|instant| i64::try_from(instant.seconds()).ok())
        };
        let days = |count: u64| i64::try_from(count).ok()?.checked_mul(DAY);
        let leap = midnight(3)? - midnight(2)? == 29 * DAY;
        let day = match self.day {
            Day::OfYear(day) => midnight(1)? + days(day)?,
            Day::Julian(day) => midnight(1)? + days(day - 1 + u64::from(leap && day > 59))?,
            Day::OfMonth { month, week, weekday } => {
                let first = midnight(month)?;
                let first_weekday = u64::try_from((first / DAY + 4) % 7).ok()?;
                let mut day = first + days((weekday + 7 - first_weekday) % 7 + (week - 1) * 7)?;
                let next_month = if month == 12 {
                    midnight(1)? + 365 * DAY + i64::from(leap) * DAY
                } else {
                    midnight(month + 1)?
                };
                if day >= next_month {
                    day -= 7 * DAY;
                }
                day
            }
        };
        Some(day + self.time)
    }
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn literal(&mut self, c: char) -> Option<()> {
        self.0 = self.0.strip_prefix(c)?;
        Some(())
    }

    /// Skips a name: letters, or anything printable between angle brackets.
    fn name(&mut self) -> Option<()> {
        if let Some(quoted) = self.0.strip_prefix('<') {
            let (name, rest) = quoted.split_once('>')?;
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-');
            self.0 = rest;
            return (name.len() >= 3 && name.chars().all(legal)).then_some(());
        }
        let end = self.0.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.0.len());
        self.0 = self.0.get(end..)?;
        (end >= 3).then_some(())
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        if digits.len() > 3 { None } else { digits.parse().ok() }
    }

    /// `[+|-]hh[:mm[:ss]]` in seconds.
    fn clock(&mut self, hours_max: u64) -> Option<i64> {
        let negative = self.0.starts_with('-');
        self.0 = self.0.strip_prefix(['+', '-']).unwrap_or(self.0);
        let hours = self.number().filter(|hours| *hours <= hours_max)?;
        let mut seconds = hours * 3600;
        for unit in [60, 1] {
            if let Some(rest) = self.0.strip_prefix(':') {
                self.0 = rest;
                seconds += self.number().filter(|part| *part < 60)? * unit;
            } else {
                break;
            }
        }
        let seconds = i64::try_from(seconds).ok()?;
        Some(if negative { -seconds } else { seconds })
    }

    /// A day, and a time that is 02:00 if it is not given.
    fn change(&mut self) -> Option<Change> {
        let day = if self.literal('M').is_some() {
            let month = self.number()?;
            self.literal('.')?;
            let week = self.number()?;
            self.literal('.')?;
            let weekday = self.number()?;
            let legal = (1..=12).contains(&month) && (1..=5).contains(&week) && weekday <= 6;
            legal.then_some(Day::OfMonth { month, week, weekday })?
        } else if self.literal('J').is_some() {
            Day::Julian(self.number().filter(|day| (1..=365).contains(day))?)
        } else {
            Day::OfYear(self.number().filter(|day| *day <= 365)?)
        };
        let time = if self.literal('/').is_some() { self.clock(167)? } else { 2 * HOUR };
        Some(Change { day, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `TZ=<zone> date -d @<seconds> '+%M %H %d %m %w %Y'`.
    #[test]
    fn the_clock_on_the_wall_is_that_of_date() {
        for (zone, seconds, expected) in [
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1774745999, [59, 1, 29, 3, 0, 2026]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, [0, 3, 29, 3, 0, 2026]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1792889999, [59, 2, 25, 10, 0, 2026]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, [0, 2, 25, 10, 0, 2026]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1795293000, [30, 21, 21, 11, 6, 2026]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 0, [0, 1, 1, 1, 4, 1970]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 1893456000, [0, 1, 1, 1, 2, 2030]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 4102444799, [59, 0, 1, 1, 5, 2100]),
            ("EST5EDT,M3.2.0,M11.1.0", 1772953199, [59, 1, 8, 3, 0, 2026]),
            ("EST5EDT,M3.2.0,M11.1.0", 1772953200, [0, 3, 8, 3, 0, 2026]),
            ("EST5EDT,M3.2.0,M11.1.0", 1793512799, [59, 1, 1, 11, 0, 2026]),
            ("EST5EDT,M3.2.0,M11.1.0", 1793512800, [0, 1, 1, 11, 0, 2026]),
            ("EST5EDT,M3.2.0,M11.1.0", 1767225599, [59, 18, 31, 12, 3, 2025]),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1775318399, [59, 2, 5, 4, 0, 2026]),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1775318400, [0, 2, 5, 4, 0, 2026]),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1791043199, [59, 1, 4, 10, 0, 2026]),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1791043200, [0, 3, 4, 10, 0, 2026]),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1767225600, [0, 11, 1, 1, 4, 2026]),
            ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1774745999, [59, 21, 28, 3, 6, 2026]),
            ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1774737999, [46, 19, 28, 3, 6, 2026]),
            ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1774742400, [0, 21, 28, 3, 6, 2026]),
            ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1792886400, [0, 22, 24, 10, 6, 2026]),
            ("IST-5:30", 1795293000, [0, 2, 22, 11, 0, 2026]),
            ("XST-1XDT,J60,J300", 1772323199, [59, 0, 1, 3, 0, 2026]),
            ("XST-1XDT,J60,J300", 1772326800, [0, 3, 1, 3, 0, 2026]),
            ("XST-1XDT,J60,J300", 1835481600, [0, 1, 1, 3, 3, 2028]),
            ("YST-1YDT,59,299/0", 1772323199, [59, 0, 1, 3, 0, 2026]),
            ("YST-1YDT,59,299/0", 1772319600, [0, 0, 1, 3, 0, 2026]),
            ("YST-1YDT,59,299/0", 1835395200, [0, 1, 29, 2, 2, 2028]),
            ("UTC0", 1795293000, [30, 20, 21, 11, 6, 2026]),
        ] {
            let [minute, hour, day, month, weekday, year] = expected;
            let moment = Zone::parse(zone)
                .unwrap_or_else(|| panic!("{zone}"))
                .moment(UnixMillis::from_seconds(seconds));
            assert_eq!(moment, Moment { minute, hour, day, month, weekday, year }, "{zone} {seconds}");
        }
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in [
            "",
            "CET",
            "-1",
            "CE-1",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-25",
            "CET-1CEST,M3.6.0,M10.5.0",
            "CET-1CEST,M3.5.7,M10.5.0",
            "CET-1CEST,J0,J1",
            "Europe/Berlin",
            "CET-1x",
            "CET-1CEST,M3.5.0,M10.5.0/200",
            "<+0-3",
            "CET-1:60",
            "CET-99999999999999999999",
        ] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
        assert_eq!(Zone::parse("utc"), Some(Zone::default()));
    }
}
