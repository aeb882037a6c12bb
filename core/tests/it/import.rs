//! Token files that are none, or were damaged: refused or read, but never a panic (fuzz targets do the same for longer).

use proptest::prelude::*;
use tessera_core::facts::Random;
use tessera_core::import::pskc::{Protection, parse_feitian};
use tessera_core::import::{dpw, etoken, oath_csv, pskc, safenet, yubikey_csv};
use tessera_core::secret::SecretText;

fn read_all(text: &str) {
    let _ = oath_csv::parse(text);
    let _ = dpw::parse(text);
    let _ = yubikey_csv::parse(text, &mut Random::new(&[1; 32]));
    let _ = etoken::parse(text, text);
    let _ = safenet::parse(text, "auto");
    let key = Protection::Key(SecretText::from("12345678901234567890123456789012"));
    for protection in [Protection::Plain, key] {
        let _ = pskc::parse(text, &protection, true);
    }
    let _ = parse_feitian(text);
}

/// Pieces from which files of all formats can be put together.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\u{a0}-\u{ff}]{0,12}",
        proptest::sample::select(vec![
            ",",
            "\n",
            "\r\n",
            "#",
            ":",
            ";",
            "=",
            " ",
            "\t",
            "1",
            "0",
            "Yubico OTP",
            "OATH-HOTP",
            "totp",
            "ocra2",
            "<Tokens>",
            "</Tokens>",
            "<Token serial=\"1\">",
            "</Token>",
            "<Seed>",
            "</Seed>",
            "<KeyContainer>",
            "</KeyContainer>",
            "<KeyPackage>",
            "</KeyPackage>",
            "<Key Id=\"1\" Algorithm=\"x:hotp\">",
            "</Key>",
            "<Data><Secret><PlainValue>",
            "</PlainValue></Secret></Data>",
            "MTIz",
            "<!DOCTYPE a>",
            "&lt;",
            "&#0;",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "sccTokenData:",
            "sccKey=",
            "sccMode=T",
            "sccAuthenticatorId: 1",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn no_file_makes_an_importer_panic(pieces in proptest::collection::vec(piece(), 0..60)) {
        read_all(&pieces.concat());
    }
}

/// What is too much for a token file is refused early: the time and memory of these would show.
#[test]
fn hostile_files_are_refused() {
    let nested = "<a>".repeat(1_000_000);
    let line = "x".repeat(20_000_000);
    let laughs =
        "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><KeyContainer>&b;</KeyContainer>";
    for text in [nested.as_str(), line.as_str(), laughs] {
        assert!(pskc::parse(text, &Protection::Plain, false).is_err());
        assert!(safenet::parse(text, "").is_err());
    }
    assert!(
        oath_csv::parse(&line).is_err() && dpw::parse(&line).is_err() && etoken::parse(&line, "").is_err()
    );
}
