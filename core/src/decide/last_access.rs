//! When a token was last used: setting `token.last_access` (reference tokens 6.9).

use crate::calendar::DateTime;
use crate::settings::{LastAccess, Settings};
use crate::time::UnixMillis;

/// The time to record for a use now; `None` if none is to be recorded.
///
/// The setting is a switch, or a strftime format that makes the time coarser: what the format does not show is lost, as
/// if the time had been written with it and read again. A format that does not work, or does not show the year, records
/// nothing.
#[must_use]
pub(super) fn stamp(settings: &Settings, now: UnixMillis) -> Option<UnixMillis> {
    match settings.last_access() {
        LastAccess::Off => None,
        LastAccess::Exact => Some(UnixMillis::from_seconds(now.seconds())),
        LastAccess::Coarse(format) => Shown::by(format)?.cut(DateTime::of(now)).instant(),
    }
}

/// The parts of a time that a format shows.
#[derive(Clone, Copy, Default)]
struct Shown {
    year: bool,
    month: bool,
    day: bool,
    hour: bool,
    half_day: bool,
    half: bool,
    minute: bool,
    second: bool,
}

impl Shown {
    /// `None` if the format contains what cannot be read again.
    fn by(format: &str) -> Option<Self> {
        let mut shown = Self::default();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c == '%' {
                shown.add(rest.next()?)?;
            }
        }
        Some(shown)
    }

    fn add(&mut self, directive: char) -> Option<()> {
        match directive {
            'Y' | 'y' => self.year = true,
            'm' | 'b' | 'B' => self.month = true,
            'd' => self.day = true,
            'j' => (self.month, self.day) = (true, true),
            'H' => self.hour = true,
            'I' => self.half_day = true,
            'p' => self.half = true,
            'M' => self.minute = true,
            'S' => self.second = true,
            'x' => self.add_date(),
            'X' => self.add_time(),
            'c' => {
                self.add_date();
                self.add_time();
            }
            // Shown, but of no influence on the time read again.
            'a' | 'A' | 'w' | 'f' | 'U' | 'W' | 'Z' | 'z' | '%' => {}
            _ => return None,
        }
        Some(())
    }

    const fn add_date(&mut self) {
        (self.year, self.month, self.day) = (true, true, true);
    }

    const fn add_time(&mut self) {
        (self.hour, self.minute, self.second) = (true, true, true);
    }

    fn cut(self, time: DateTime) -> DateTime {
        let keep = |shown: bool, value: u64, otherwise: u64| if shown { value } else { otherwise };
        let hour = match (self.hour, self.half_day, self.half) {
            (true, ..) | (_, true, true) => time.hour,
            (false, true, false) => time.hour % 12,
            (false, false, _) => 0,
        };
        DateTime {
            // Year 0 is not a date; without a year there is nothing sensible to record.
            year: keep(self.year, time.year, 0),
            month: keep(self.month, time.month, 1),
            day: keep(self.day, time.day, 1),
            hour,
            minute: keep(self.minute, time.minute, 0),
            second: keep(self.second, time.second, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{SettingV1, SettingValue};
    use crate::user::SettingKey;

    /// 2026-11-21T20:30:16.789Z; expected values from `date -u -d`.
    #[track_caller]
    fn check(setting: &str, expected: Option<u64>) {
        let mut settings = Settings::default();
        let value = SettingValue::Plain(setting.into());
        let entry = SettingV1 { value, kind: "".into(), description: "".into() };
        settings.insert(SettingKey::from("token.last_access"), Arc::new(entry));
        let recorded = stamp(&settings, UnixMillis(1_795_293_016_789));
        assert_eq!(recorded, expected.map(UnixMillis::from_seconds), "{setting}");
    }

    #[test]
    fn switch_records_whole_seconds() {
        for on in ["true", "True", "1", "yes", "on"] {
            check(on, Some(1_795_293_016));
        }
        for off in ["", "false", "False", "0", "no", "off"] {
            check(off, None);
        }
        assert_eq!(stamp(&Settings::default(), UnixMillis(1)), None);
    }

    #[test]
    fn format_makes_the_time_coarser() {
        check("%Y-%m-%d %H:%M:%S", Some(1_795_293_016));
        check("%Y-%m-%d %H:%M", Some(1_795_293_000));
        check("%d.%m.%y %H Uhr", Some(1_795_291_200));
        check("%Y-%m-%d %I %p", Some(1_795_291_200));
        check("%Y-%m-%d %I", Some(1_795_248_000));
        check("%x", Some(1_795_219_200));
        check("%Y-%j", Some(1_795_219_200));
        check("%c", Some(1_795_293_016));
        check("%Y-%m", Some(1_793_491_200));
        check("%Y", Some(1_767_225_600));
    }

    #[test]
    fn format_that_cannot_be_read_again_records_nothing() {
        check("%Y-%Q", None);
        check("%Y-%", None);
        check("%H:%M", None);
        check("yesterday", None);
    }
}
