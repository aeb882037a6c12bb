//! Lists of day password tokens: serial, blank, secret (reference tokens 13.5).

use super::{ImportError, Parsed, Row, lines, token};

/// Reads a list.
///
/// # Errors
/// When a line is too long.
pub fn parse(text: &str) -> Result<Parsed, ImportError> {
    let mut parsed = Parsed::default();
    for line in lines(text) {
        let (place, line) = line?;
        match line.split_once(char::is_whitespace).map(|(serial, secret)| (serial, secret.trim())) {
            Some((serial, secret)) if !serial.is_empty() && !secret.is_empty() => {
                parsed.add(Row { place, token: token("dpw", serial, secret), counter: None })?;
            }
            _ if line.trim().is_empty() => {}
            _ => parsed.skip(place, "not a serial, a blank and a secret"),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn serial_ends_at_the_first_blank() {
        let text = "DOTP1 3412\r\nDOTP2\t a b c  \n DOTP3 1234\nDOTP4\n\nDOTP5  \n";
        let parsed = parse(text).unwrap();
        assert_eq!(shown(&parsed), ["1 dpw DOTP1 3412 desc=imported", "2 dpw DOTP2 a b c desc=imported"]);
        let skipped: Vec<usize> = parsed.skipped.iter().map(|skipped| skipped.place).collect();
        assert_eq!(skipped, [3, 4, 6]);
    }
}
