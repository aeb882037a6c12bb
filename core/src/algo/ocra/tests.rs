//! All tables of RFC 6287 appendix C, and what is no suite.

use super::*;

const KEY64: &[u8] = b"1234567890123456789012345678901234567890123456789012345678901234";

fn suite(text: &str) -> Suite {
    Suite::parse(text).unwrap()
}

/// The value with the shortest of the RFC's keys that the hash calls for.
#[track_caller]
fn check(text: &str, input: Input<'_>, expected: &str) {
    let suite = suite(text);
    let length = match suite.hash {
        HashAlgorithm::Sha1 => 20,
        HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha512 => 64,
    };
    let code = code(&suite, &KEY64[..length], &input).unwrap();
    assert_eq!(code.as_str(), expected, "{text} {input:?}");
    assert!(is_code(&suite, &KEY64[..length], &input, expected));
    assert!(!is_code(&suite, &KEY64[..length], &input, &expected[1..]));
}

/// Questions made of one digit, repeated.
fn repeated(digit: usize, length: usize) -> String {
    digit.to_string().repeat(length)
}

#[test]
fn one_way_challenges_of_rfc_6287() {
    let values = "237653 243178 653583 740991 608993 388898 816933 224598 750600 294470";
    for (digit, value) in values.split(' ').enumerate() {
        let question = &repeated(digit, 8);
        check("OCRA-1:HOTP-SHA1-6:QN08", Input { question, ..Input::default() }, value);
    }
    let values = "65347737 86775851 78192410 71565254 10104329 65983500 70069104 91771096 75011558 08522129";
    for (counter, value) in (0..).zip(values.split(' ')) {
        let input = Input { counter, question: "12345678", pin: b"1234", ..Input::default() };
        check("OCRA-1:HOTP-SHA256-8:C-QN08-PSHA1", input, value);
    }
    let values = "83238735 01501458 17957585 86776967 86807031";
    for (digit, value) in values.split(' ').enumerate() {
        let input = Input { question: &repeated(digit, 8), pin: b"1234", ..Input::default() };
        check("OCRA-1:HOTP-SHA256-8:QN08-PSHA1", input, value);
    }
    let values = "07016083 63947962 70123924 25341727 33203315 34205738 44343969 51946085 20403879 31409299";
    for (digit, value) in values.split(' ').enumerate() {
        let counter = u64::try_from(digit).unwrap();
        let input = Input { counter, question: &repeated(digit, 8), ..Input::default() };
        check("OCRA-1:HOTP-SHA512-8:C-QN08", input, value);
    }
    let values = "95209754 55907591 22048402 24218844 36209546";
    for (digit, value) in values.split(' ').enumerate() {
        let input = Input { question: &repeated(digit, 8), step: 0x0132_d0b6, ..Input::default() };
        check("OCRA-1:HOTP-SHA512-8:QN08-T1M", input, value);
    }
}

#[test]
fn mutual_challenges_of_rfc_6287() {
    let tables = [
        ("OCRA-1:HOTP-SHA256-8:QA08", true, "28247970 01984843 65387857 03351211 83412541"),
        ("OCRA-1:HOTP-SHA256-8:QA08", false, "15510767 90175646 33777207 95285278 28934924"),
        ("OCRA-1:HOTP-SHA512-8:QA08", true, "79496648 76831980 12250499 90856481 12761449"),
        ("OCRA-1:HOTP-SHA512-8:QA08-PSHA1", false, "18806276 70020315 01600026 18951020 32528969"),
    ];
    for (suite, by_server, values) in tables {
        for (number, value) in values.split(' ').enumerate() {
            let (client, server) = (format!("CLI2222{number}"), format!("SRV1111{number}"));
            let question = &if by_server { format!("{client}{server}") } else { format!("{server}{client}") };
            check(suite, Input { question, pin: b"1234", ..Input::default() }, value);
        }
    }
}

#[test]
fn plain_signatures_of_rfc_6287() {
    let values = "53095496 04110475 31331128 76028668 46554205";
    for (number, value) in values.split(' ').enumerate() {
        let question = &format!("SIG1{number}000");
        check("OCRA-1:HOTP-SHA256-8:QA08", Input { question, ..Input::default() }, value);
    }
    let values = "77537423 31970405 10235557 95213541 65360607";
    for (number, value) in values.split(' ').enumerate() {
        let question = &format!("SIG1{number}00000");
        let input = Input { question, step: 0x0132_d0b6, ..Input::default() };
        check("OCRA-1:HOTP-SHA512-8:QA10-T1M", input, value);
    }
}

/// Expected values from Python's `hmac` over the data as RFC 6287 section 5.1 describes it: the session filled up with
/// zeros behind it, hex digits as bytes, no truncation as the whole number.
#[test]
fn inputs_without_a_table_in_the_rfc() {
    let session = Input { question: "12345678", session: "session-1", ..Input::default() };
    check("OCRA-1:HOTP-SHA256-8:QN08-S064", session, SESSION_064);
    check("OCRA-1:HOTP-SHA512-8:QN08-S512", session, SESSION_512);
    let hex = |question| Input { question, ..Input::default() };
    check("OCRA-1:HOTP-SHA1-6:QH08", hex("deadBEEF"), HEX_EVEN);
    check("OCRA-1:HOTP-SHA1-6:QH08", hex("abc"), HEX_ODD);
    check("OCRA-1:HOTP-SHA1-0:QN08", hex("12345678"), WHOLE);
    let long = "9".repeat(64);
    check("OCRA-1:HOTP-SHA1-6:QN64", hex(&long), LONG_NUMBER);
    let pins = Input { question: "1234", pin: b"1234", ..Input::default() };
    check("OCRA-1:HOTP-SHA1-6:QN04-PSHA256", pins, PIN_256);
    check("OCRA-1:HOTP-SHA1-6:QN04-PSHA512", pins, PIN_512);
}

#[test]
fn inputs_that_do_not_fit_have_no_value() {
    let problem = |text: &str, question: &str| {
        code(&suite(text), b"key", &Input { question, ..Input::default() }).err()
    };
    assert_eq!(problem("OCRA-1:HOTP-SHA1-6:QN08", "1234567x"), Some(BadInput::QuestionFormat));
    assert_eq!(problem("OCRA-1:HOTP-SHA1-6:QH08", "1234567g"), Some(BadInput::QuestionFormat));
    assert_eq!(problem("OCRA-1:HOTP-SHA1-6:QA08", "a\nb"), Some(BadInput::QuestionFormat));
    for text in ["QN64", "QH64", "QA64"] {
        let text = format!("OCRA-1:HOTP-SHA1-6:{text}");
        assert_eq!(problem(&text, ""), Some(BadInput::QuestionLength));
        assert_eq!(problem(&text, &"1".repeat(257)), Some(BadInput::QuestionLength));
    }
    let input = Input { question: "1234", session: &"s".repeat(65), ..Input::default() };
    assert_eq!(
        code(&suite("OCRA-1:HOTP-SHA1-6:QN08-S064"), b"key", &input).err(),
        Some(BadInput::SessionLength)
    );
    let fits = |text: &str, question: &str| suite(text).fits(question);
    assert!(fits("OCRA-1:HOTP-SHA1-6:QN08", "12345678") && !fits("OCRA-1:HOTP-SHA1-6:QN08", "123456789"));
    assert!(!fits("OCRA-1:HOTP-SHA1-6:QN08", "") && !fits("OCRA-1:HOTP-SHA1-6:QN08", "1234567a"));
}

#[test]
fn suites_are_read_whatever_their_case_and_order() {
    let full = suite("ocra-1:hotp-sha512-10:T1H30M-S128-psha256-QH40-C");
    assert_eq!((full.hash, full.digits, full.counter), (HashAlgorithm::Sha512, 10, true));
    assert_eq!((full.format, full.question_max), (Format::Hexadecimal, 40));
    assert_eq!((full.pin, full.session), (Some(HashAlgorithm::Sha256), Some(128)));
    assert_eq!(full.step_seconds, Some(5400));
    let short = suite("OCRA-1:HOTP-SHA1-6:QN08-P-T");
    assert_eq!((short.pin, short.step_seconds), (Some(HashAlgorithm::Sha1), Some(60)));
    for bad in [
        "",
        "OCRA-1",
        "OCRA-1:HOTP-SHA1-6",
        "OCRA-1:HOTP-SHA1-6:QN08:",
        "OCRA-2:HOTP-SHA1-6:QN08",
        "OCRA-1:TOTP-SHA1-6:QN08",
        "OCRA-1:HOTP-MD5-6:QN08",
        "OCRA-1:HOTP-SHA1-3:QN08",
        "OCRA-1:HOTP-SHA1-11:QN08",
        "OCRA-1:HOTP-SHA1-x:QN08",
        "OCRA-1:HOTP-SHA1:QN08",
        "OCRA-1:HOTP-SHA1-6:C",
        "OCRA-1:HOTP-SHA1-6:",
        "OCRA-1:HOTP-SHA1-6:QN03",
        "OCRA-1:HOTP-SHA1-6:QN65",
        "OCRA-1:HOTP-SHA1-6:QN8",
        "OCRA-1:HOTP-SHA1-6:QX08",
        "OCRA-1:HOTP-SHA1-6:Q",
        "OCRA-1:HOTP-SHA1-6:QN08-QN08",
        "OCRA-1:HOTP-SHA1-6:C-C-QN08",
        "OCRA-1:HOTP-SHA1-6:QN08-PMD5",
        "OCRA-1:HOTP-SHA1-6:QN08-S100",
        "OCRA-1:HOTP-SHA1-6:QN08-T0S",
        "OCRA-1:HOTP-SHA1-6:QN08-T1",
        "OCRA-1:HOTP-SHA1-6:QN08-T100S",
        "OCRA-1:HOTP-SHA1-6:QN08-T1Ü",
        "OCRA-1:HOTP-SHA1-6:QN08-X",
    ] {
        assert!(Suite::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn numbers_change_their_base() {
    assert_eq!(convert("00000000", 10, 16), [0]);
    assert_eq!(convert("255", 10, 16), [15, 15]);
    assert_eq!(convert("4096", 10, 16), [1, 0, 0, 0]);
    assert_eq!(hex_to_decimal("ff"), "255");
    assert_eq!(hex_to_decimal("ffffffffffffffffffffffffffffffff"), u128::MAX.to_string());
}

const SESSION_064: &str = "69632050";
const SESSION_512: &str = "74071172";
const HEX_EVEN: &str = "354484";
const HEX_ODD: &str = "997312";
const WHOLE: &str = "1539949808";
const LONG_NUMBER: &str = "178418";
const PIN_256: &str = "686119";
const PIN_512: &str = "969979";
