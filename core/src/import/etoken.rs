//! `eToken` and `SafeWord` DAT: blocks of `key: value` lines (reference tokens 13.6).

use super::{ImportError, Parsed, Row, lines, token};
use crate::calendar::DateTime;
use crate::decide::enroll::Init;

/// Reads a file. `start_date` is the day from which devices with their own calendar count.
///
/// # Errors
/// When a token has no serial, key or mode, or a number is none.
pub fn parse(text: &str, start_date: &str) -> Result<Parsed, ImportError> {
    let start = parse_start(start_date);
    let mut parsed = Parsed::default();
    let mut block = Block::default();
    for line in lines(text) {
        let (place, line) = line?;
        let content = line.split('#').next().unwrap_or_default();
        if line.trim().is_empty() {
            std::mem::take(&mut block).finish(&mut parsed)?;
        } else if let Some((key, value)) = content.split_once(':') {
            block.place = if block.place == 0 { place } else { block.place };
            block.add(place, key.trim(), value.trim(), start)?;
        }
    }
    block.finish(&mut parsed)?;
    Ok(parsed)
}

/// A token being read.
#[derive(Default)]
struct Block {
    /// The line of its first entry; 0 before that.
    place: usize,
    serial: Option<String>,
    key: Option<String>,
    kind: Option<&'static str>,
    rest: Init,
}

impl Block {
    fn add(&mut self, place: usize, key: &str, value: &str, start: i64) -> Result<(), ImportError> {
        match key {
            "sccAuthenticatorId" => self.serial = Some(value.to_owned()),
            "sccTokenType" => self.describe(value),
            "sccTokenData" => {
                for pair in value.split(';') {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    self.add_data(place, name.trim(), value.trim(), start)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, place: usize, name: &str, value: &str, start: i64) -> Result<(), ImportError> {
        let number =
            || value.parse::<u32>().map_err(|_| ImportError::at(place, format!("{name} is not a number")));
        match name {
            "sccKey" => self.key = Some(value.to_owned()),
            "sccMode" if value == "T" => self.kind = Some("totp"),
            "sccMode" if value == "E" => self.kind = Some("hmac"),
            "sccPwLen" => self.rest.otplen = Some(number()?),
            "sccTick" => self.rest.time_step = Some(number()?.into()),
            "crypto" if value == "HmacSHA256" => self.rest.hashlib = Some("sha256".to_owned()),
            "sccPrTime" => {
                self.describe(value);
                self.rest.time_shift = Some(start.saturating_neg());
            }
            _ => {}
        }
        Ok(())
    }

    fn describe(&mut self, text: &str) {
        self.rest.description = Some(match self.rest.description.take() {
            Some(before) if !before.is_empty() => format!("{before} {text}"),
            _ => text.to_owned(),
        });
    }

    /// The token of the block; a block of comments has none.
    fn finish(self, parsed: &mut Parsed) -> Result<(), ImportError> {
        let Self { place, serial, key, kind, rest } = self;
        if place == 0 {
            return Ok(());
        }
        let missing = |what: &str| ImportError::at(place, format!("the token has no {what}"));
        let serial =
            serial.filter(|serial| !serial.is_empty()).ok_or_else(|| missing("sccAuthenticatorId"))?;
        let kind = kind.ok_or_else(|| missing("sccMode (T or E)"))?;
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| missing("sccKey"))?;
        let base = token(kind, &serial, &key);
        let time_step = rest.time_step.or(Some(30));
        let row =
            Init { token_type: base.token_type, serial: base.serial, seed: base.seed, time_step, ..rest };
        parsed.add(Row { place, token: row, counter: None })
    }
}

/// The start date in seconds since 1970; midnight of 2000-01-01 if it cannot be read.
fn parse_start(text: &str) -> i64 {
    const YEAR_2000: i64 = 946_684_800;
    let text = text.trim();
    let (date, time) = text.split_once(['+', ' ', 'T']).unwrap_or((text, "0:00"));
    let numbers = |text: &str, separator: char| -> Option<Vec<u64>> {
        text.split(separator).map(|part| part.parse().ok()).collect()
    };
    let day = match (numbers(date, '.').as_deref(), numbers(date, '-').as_deref()) {
        (Some(&[day, month, year]), _) | (_, Some(&[year, month, day])) => Some((year, month, day)),
        _ => None,
    };
    let clock = match numbers(time, ':').as_deref() {
        Some(&[hour, minute]) => Some((hour, minute, 0)),
        Some(&[hour, minute, second]) => Some((hour, minute, second)),
        _ => None,
    };
    day.zip(clock)
        .and_then(|((year, month, day), (hour, minute, second))| {
            DateTime { year, month, day, hour, minute, second }.instant()
        })
        .and_then(|instant| i64::try_from(instant.seconds()).ok())
        .unwrap_or(YEAR_2000)
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn blocks_become_tokens() {
        let text = "# ===== SafeWord Authenticator Records $Version: 100$ =====\n\
            dn: sccAuthenticatorId=F800574\n\
            objectclass: sccCustomAuthenticator\n\
            sccAuthenticatorId: F800574\n\
            sccTokenType: eToken-PASS-TS\n\
            sccTokenData: sccKey=1234567890123456789012345678901234567890123456789012345678901234;sccMode=T;\
            sccPwLen=6;sccTick=30;sccPrTime=2013/03/12 00:00:00;crypto=HmacSHA256; # one # two\n\
            sccSignature: MC0CFGh\n\
            \n\
            # only a comment\n\
            \n\
            sccAuthenticatorId: F800575\n\
            sccTokenData: sccKey=11223344;sccMode=E;sccPwLen=8;\n";
        let parsed = parse(text, "1.1.2000").unwrap();
        assert_eq!(
            shown(&parsed),
            [
                "2 totp F800574 1234567890123456789012345678901234567890123456789012345678901234 len=6 \
                 hash=sha256 step=30 shift=-946684800 desc=eToken-PASS-TS 2013/03/12 00:00:00",
                "11 hmac F800575 11223344 len=8 step=30",
            ]
        );
    }

    #[test]
    fn incomplete_tokens_stop_the_import() {
        for (text, problem) in [
            (
                "sccAuthenticatorId: F1\nsccTokenData: sccKey=11;\n",
                "line 1: the token has no sccMode (T or E)",
            ),
            ("\n\nsccTokenData: sccKey=11;sccMode=T\n", "line 3: the token has no sccAuthenticatorId"),
            ("sccAuthenticatorId: F1\nsccTokenData: sccMode=T", "line 1: the token has no sccKey"),
            ("sccAuthenticatorId: F1\nsccTokenData: sccPwLen=x", "line 2: sccPwLen is not a number"),
        ] {
            assert_eq!(parse(text, "").unwrap_err().to_string(), problem);
        }
    }

    /// Expected values by `date -u -d`.
    #[test]
    fn start_dates_are_read() {
        for (text, seconds) in [
            ("1.1.2000", 946_684_800),
            ("12.3.2013 11:20", 1_363_087_200),
            ("12.3.2013+11:20:30", 1_363_087_230),
            ("2013-03-12", 1_363_046_400),
            ("2013-03-12T11:20", 1_363_087_200),
            ("31.2.2013", 946_684_800),
            ("", 946_684_800),
            ("yesterday", 946_684_800),
        ] {
            assert_eq!(parse_start(text), seconds, "{text}");
        }
    }
}
