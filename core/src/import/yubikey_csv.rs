//! The two CSV dialects of Yubico's tools (reference tokens 13.3).

use super::{ImportError, Parsed, Row, lines, token};
use crate::algo::yubikey::decode_modhex;
use crate::facts::Random;

/// Reads a file. Keys without public identity get a random number.
///
/// # Errors
/// When a line is too long, or a number is none.
pub fn parse(text: &str, random: &mut Random) -> Result<Parsed, ImportError> {
    let mut parsed = Parsed::default();
    for line in lines(text) {
        let (place, line) = line?;
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let [kind, second, third, fourth, _, sixth, ..] = *columns.as_slice() else {
            if !line.trim().is_empty() {
                parsed.skip(place, "fewer than six columns");
            }
            continue;
        };
        if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_digit()) {
            yubico(&mut parsed, place, kind, [second, third, fourth])?;
            continue;
        }
        let number = || number_of(fourth);
        match kind.to_ascii_lowercase().as_str() {
            "yubico otp" => {
                let serial = format!("UBAM{:08}_{third}", number().unwrap_or_else(|| any(random)));
                parsed.add(aes(place, &serial, fourth, sixth))?;
            }
            "oath-hotp" => {
                let serial = format!("UBOM{:08}_{third}", number().unwrap_or_else(|| any(random)));
                let mut row = token("hmac", &serial, sixth);
                row.otplen = Some(match columns.get(11).filter(|length| !length.is_empty()) {
                    None => 6,
                    Some(length) => length
                        .parse()
                        .map_err(|_| ImportError::at(place, "the otp length in column 12 is not a number"))?,
                });
                parsed.add(Row { place, token: row, counter: None })?;
            }
            "static password" => parsed.skip(place, "a static password is no token"),
            _ => parsed.skip(place, "neither Yubico OTP nor OATH-HOTP"),
        }
    }
    Ok(parsed)
}

/// `serial, public id, private id, key, access code, date`.
fn yubico(
    parsed: &mut Parsed,
    place: usize,
    serial: &str,
    [public_id, private_id, key]: [&str; 3],
) -> Result<(), ImportError> {
    match private_id {
        "" => parsed.skip(place, "a static password is no token"),
        "0" => {
            let mut row = token("hmac", &format!("UBOM{serial}_X"), key);
            row.otplen = Some(6);
            parsed.add(Row { place, token: row, counter: None })?;
        }
        _ => parsed.add(aes(place, &format!("UBAM{serial}_X"), public_id, key))?,
    }
    Ok(())
}

/// A key in AES mode; its description is the public identity.
fn aes(place: usize, serial: &str, public_id: &str, key: &str) -> Row {
    let mut row = token("yubikey", serial, key);
    row.otplen = u32::try_from(public_id.chars().count()).ok().map(|length| length.saturating_add(32));
    row.description = Some(public_id.to_owned());
    Row { place, token: row, counter: None }
}

/// The number in a public identity: its first four bytes.
fn number_of(public_id: &str) -> Option<u32> {
    let bytes = decode_modhex(&public_id.to_ascii_lowercase()).filter(|bytes| !bytes.is_empty())?;
    Some(bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn any(random: &mut Random) -> u32 {
    u32::from_be_bytes(random.bytes())
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(text, &mut Random::new(&[1; 32])).unwrap()
    }

    /// `ecebeeej` is the modhex form of the bytes 30 31 33 38, which are 808530744.
    #[test]
    fn log_of_the_personalisation_tool() {
        let key = "9163508031b20d2fbb1868954e041729";
        let text = format!(
            "LOGGING START,11.12.2013 18:55\n\
             Yubico OTP,12/11/2013 11:10,1,ecebeeejedecebeg,4092429ab9f5,{key},,,0,0,0,0,0,0,0,0,0,0\n\
             OATH-HOTP,11.12.13 18:55,1,cccccccccccc,,916821d3a138bf855e70069605559a206ba854cd,,,0,0,0,6,0,0,0,0,0,0\n\
             OATH-HOTP,11.12.13 19:06,2,,,8474fc9f6a3d4c7b0af6f6c9d3a5d0a5a9d1d5d6,,,0,0,0,8,0\n\
             Static Password,11.12.13 19:08,1,,d5a3d50327dc,0e8e37b0e38b314a56748c030f58d21d,,,0\n\
             Static Password: Scan Code,11.12.13,1,,,00,,\n\
             oath-hotp,11.12.13 19:06,1,cccccccc,,00112233,,,\n"
        );
        let parsed = read(&text);
        let rows = shown(&parsed);
        assert_eq!(rows[0], format!("2 yubikey UBAM808530744_1 {key} len=48 desc=ecebeeejedecebeg"));
        assert_eq!(
            rows[1],
            "3 hmac UBOM00000000_1 916821d3a138bf855e70069605559a206ba854cd len=6 desc=imported"
        );
        assert!(rows[2].starts_with("4 hmac UBOM") && rows[2].contains("_2 8474fc9f"), "{}", rows[2]);
        assert!(rows[2].ends_with("len=8 desc=imported"));
        assert_eq!(rows[3], "7 hmac UBOM00000000_1 00112233 len=6 desc=imported");
        let skipped: Vec<usize> = parsed.skipped.iter().map(|skipped| skipped.place).collect();
        assert_eq!(skipped, [1, 5, 6]);
    }

    #[test]
    fn list_of_yubico() {
        let key = "9163508031b20d2fbb1868954e041729";
        let text = format!(
            "1382015,ecebeeejedecebeg,adb0ee7dd24a,{key},000000000000,2013-12-12T11:10:00,\n\
             1382016,,0,11223344,000000000000,2013-12-12T11:10:00,\n\
             1382017,,,11223344,000000000000,2013-12-12T11:10:00,\n"
        );
        let parsed = read(&text);
        assert_eq!(
            shown(&parsed),
            [
                format!("1 yubikey UBAM1382015_X {key} len=48 desc=ecebeeejedecebeg"),
                "2 hmac UBOM1382016_X 11223344 len=6 desc=imported".to_owned(),
            ]
        );
        assert_eq!(parsed.skipped.len(), 1, "LinOTP fails on static rows");
    }

    #[test]
    fn broken_numbers_stop_the_import() {
        let text = "OATH-HOTP,d,1,cccccccc,,00,,,0,0,0,six";
        let problem = parse(text, &mut Random::new(&[1; 32])).unwrap_err();
        assert_eq!(problem.to_string(), "line 1: the otp length in column 12 is not a number");
    }
}
