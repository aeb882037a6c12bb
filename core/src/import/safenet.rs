//! `SafeNet` and Aladdin XML (reference tokens 13.1).

use super::xml::Document;
use super::{ImportError, Parsed, Row, token};

/// Reads a file. `hashlib` overrides the hash of all tokens, unless it is `auto`.
///
/// # Errors
/// When the file is no XML of this kind.
pub fn parse(text: &str, hashlib: &str) -> Result<Parsed, ImportError> {
    let mut document = Document::open(text)?;
    if document.root != "Tokens" {
        return Err(document.error("No toplevel element Tokens"));
    }
    let mut parsed = Parsed::default();
    while let Some(element) = document.child()? {
        if element.name != "Token" {
            continue;
        }
        let place = element.line;
        let serial = element.attribute("serial").map(str::trim).filter(|serial| !serial.is_empty());
        let application = element.find("Applications/Application");
        let seed = application.and_then(|found| found.text_at("Seed")).filter(|seed| !seed.is_empty());
        let (Some(serial), Some(seed)) = (serial, seed) else {
            parsed.skip(place, "no serial or no seed");
            continue;
        };
        let by_length = if seed.len() == 64 { "sha256" } else { "sha1" };
        let mut row = token("hmac", serial, seed);
        row.hashlib = Some(if matches!(hashlib, "" | "auto") { by_length } else { hashlib }.to_owned());
        let counter =
            application.and_then(|found| found.text_at("MovingFactor")).filter(|text| !text.is_empty());
        let counter = counter.map(str::parse).transpose();
        let counter = counter.map_err(|_| ImportError::at(place, "the MovingFactor is not a number"))?;
        parsed.add(Row { place, token: row, counter })?;
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    fn file() -> String {
        let long = "ab".repeat(32);
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Tokens xmlns=\"urn:x\">\n\
             <Token serial=\"00040008CFA5\">\n<CaseModel>5</CaseModel><ProductName>eTPASS 6.10</ProductName>\n\
             <Applications><Application ConnectorID=\"{{ab1397d2}}\">\n<Seed>123412354</Seed>\
             <MovingFactor>1</MovingFactor></Application></Applications></Token>\n\
             <Token serial=\"00040008CFA52\"><Applications><Application><Seed>{long}</Seed></Application>\
             </Applications></Token>\n<Token><Applications/></Token>\n<Token serial=\"x\"/>\n</Tokens>"
        )
    }

    #[test]
    fn tokens_have_serial_seed_and_counter() {
        let long = "ab".repeat(32);
        let parsed = parse(&file(), "auto").unwrap();
        assert_eq!(
            shown(&parsed),
            [
                "3 hmac 00040008CFA5 123412354 hash=sha1 count=1 desc=imported".to_owned(),
                format!("7 hmac 00040008CFA52 {long} hash=sha256 desc=imported"),
            ]
        );
        assert_eq!(parsed.skipped.len(), 2);
        assert!(shown(&parse(&file(), "sha512").unwrap()).iter().all(|row| row.contains("hash=sha512")));
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(parse("<Other/>", "").unwrap_err().problem, "No toplevel element Tokens");
        let broken = file().replace("<MovingFactor>1<", "<MovingFactor>one<");
        assert_eq!(parse(&broken, "").unwrap_err().to_string(), "line 3: the MovingFactor is not a number");
    }
}
