//! OATH CSV: `serial, key, type, otplen or suite, time step, hash` (reference tokens 13.2).

use super::{ImportError, Parsed, Row, hash_by_length, lines, token};
use crate::decide::enroll::OcraParams;

/// Reads a file.
///
/// # Errors
/// When a number is none, or a line is too long.
pub fn parse(text: &str) -> Result<Parsed, ImportError> {
    let mut parsed = Parsed::default();
    for line in lines(text) {
        let (place, line) = line?;
        let mut columns = line.split(',').map(str::trim);
        let mut next = || columns.next().unwrap_or_default();
        let (serial, key, kind, length, step, hash) = (next(), next(), next(), next(), next(), next());
        if serial.is_empty() || serial == "#" {
            continue;
        }
        if key.is_empty() {
            parsed.skip(place, "no key");
            continue;
        }
        let kind = match kind.to_ascii_lowercase().as_str() {
            "" | "hotp" | "hmac" => "hmac".to_owned(),
            other => other.to_owned(),
        };
        let mut row = token(&kind, serial, key);
        if kind == "ocra2" {
            if length.is_empty() {
                parsed.skip(place, "no suite in the fourth column");
                continue;
            }
            row.ocra = OcraParams { suite: Some(length.to_owned()), ..OcraParams::default() };
        } else {
            row.otplen = Some(number(place, "otp length", length, 6)?);
        }
        if kind == "totp" {
            row.time_step = Some(number(place, "time step", step, 30)?);
        }
        let hash = hash.to_ascii_lowercase();
        let known = matches!(hash.as_str(), "sha1" | "sha256" | "sha512");
        row.hashlib = Some(if known { hash } else { hash_by_length(key.len()).to_owned() });
        parsed.add(Row { place, token: row, counter: None })?;
    }
    Ok(parsed)
}

fn number<T: std::str::FromStr>(place: usize, what: &str, text: &str, fallback: T) -> Result<T, ImportError> {
    if text.is_empty() {
        return Ok(fallback);
    }
    text.parse().map_err(|_| ImportError::at(place, format!("the {what} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn columns_are_read_with_their_defaults() {
        let (long, longer) = ("ab".repeat(32), "ab".repeat(64));
        let text = format!(
            "# , comment\n\ntok1, 1212, totp, 8, 60, SHA256\r\ntok2,1212\ntok3, 1212, hotp, 6,, sha1\n\
             tok4, {long}, TOTP\ntok5,{longer},hmac\n tok6 , 1212 , ocra2 , OCRA-1:HOTP-SHA256-8:C-QN08\n\
             tok7, 1212, ocra2\ntok8,,hotp\n,1212,hotp\ntok9,1212,motp\n"
        );
        let parsed = parse(&text).unwrap();
        let expected = [
            "3 totp tok1 1212 len=8 hash=sha256 step=60 desc=imported".to_owned(),
            "4 hmac tok2 1212 len=6 hash=sha1 desc=imported".to_owned(),
            "5 hmac tok3 1212 len=6 hash=sha1 desc=imported".to_owned(),
            format!("6 totp tok4 {long} len=6 hash=sha256 step=30 desc=imported"),
            format!("7 hmac tok5 {longer} len=6 hash=sha512 desc=imported"),
            "8 ocra2 tok6 1212 hash=sha1 suite=OCRA-1:HOTP-SHA256-8:C-QN08 desc=imported".to_owned(),
            "12 motp tok9 1212 len=6 hash=sha1 desc=imported".to_owned(),
        ];
        assert_eq!(shown(&parsed), expected);
        let skipped: Vec<usize> = parsed.skipped.iter().map(|skipped| skipped.place).collect();
        assert_eq!(skipped, [9, 10]);
    }

    #[test]
    fn numbers_that_are_none_stop_the_import() {
        for (text, problem) in [
            ("t1,12\nt2,12,hotp,six", "line 2: the otp length is not a number"),
            ("t1,12,totp,6,-30", "line 1: the time step is not a number"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), problem);
        }
    }
}
