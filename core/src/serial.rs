//! Serial numbers: generated ones, and proposals for free ones (reference tokens 3).

use crate::decide::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::facts::Random;
use crate::record::{IndexKey, Key, TokenType};
use crate::user::Serial;
use crate::view::View;

/// The longest serial number, in characters.
pub const LENGTH_MAX: usize = 40;

/// Number and random digits together have at least this many characters.
const BEHIND_PREFIX: usize = 8;
/// So many random parts are tried before the number is raised.
const TRIES_PER_NUMBER: u64 = 16;

/// Checks a serial number given by an administrator. A `*` would make it a wild card wherever it is used.
///
/// # Errors
/// When it is too long or contains a wild card or control character.
pub fn parse(text: &str) -> Result<Serial, Refusal> {
    let refuse = |problem: &str| {
        Err(Refusal::InvalidParameter { name: "serial".to_owned(), problem: problem.to_owned() })
    };
    if text.chars().count() > LENGTH_MAX {
        return refuse("longer than 40 characters");
    }
    if text.chars().any(|c| c == '*' || c.is_control()) {
        return refuse("'*' and control characters are not allowed");
    }
    Ok(Serial::from(text))
}

/// A serial number no token has: prefix, number of tokens of the type plus one, random digits.
///
/// # Errors
/// When the prefix leaves no room or cannot be part of a serial.
pub fn generate(
    view: &mut View<'_>,
    random: &mut Random,
    token_type: TokenType,
    prefix: Option<&str>,
) -> Result<Serial, Refusal> {
    let prefix = prefix.filter(|prefix| !prefix.is_empty()).unwrap_or(token_type.rules().serial_prefix());
    // Only an estimate, hence not recorded: what counts is that the candidate is free, and that read is.
    let tokens = view.unrecorded().index_len(&IndexKey::TokensOfType(token_type));
    let mut number = u64::try_from(tokens).unwrap_or(u64::MAX).saturating_add(1);
    let mut tries = 0_u64;
    loop {
        let serial = parse(&candidate(prefix, number, random))?;
        if is_free(view, &serial) {
            return Ok(serial);
        }
        tries += 1;
        // Nothing random remains behind a number of eight digits.
        if tries.is_multiple_of(TRIES_PER_NUMBER) || number >= 10_000_000 {
            number = number.saturating_add(1);
        }
    }
}

fn candidate(prefix: &str, number: u64, random: &mut Random) -> String {
    let digits = format!("{number:04}");
    let room = BEHIND_PREFIX.saturating_sub(digits.len());
    let mut serial = format!("{prefix}{digits}");
    for _ in 0..room {
        serial.push(char::from_digit(random.below(16), 16).unwrap_or('0').to_ascii_uppercase());
    }
    serial
}

fn is_free(view: &mut View<'_>, serial: &Serial) -> bool {
    view.get(&Key::Token(serial.clone())).is_none()
}

/// `admin/check_serial`: is this serial number free, and if not, which similar one is?
#[derive(Clone, Debug)]
pub struct CheckSerialFree {
    /// The wanted serial number.
    pub serial: String,
}

/// The answer to [`CheckSerialFree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialProposal {
    /// Whether the wanted serial number is free.
    pub unique: bool,
    /// The wanted one, or with `_01`, `_02`, … appended the first free one.
    pub new_serial: Serial,
}

impl Request for CheckSerialFree {
    type Reply = SerialProposal;

    fn decide(&self, cx: &mut Context<'_>) -> Result<SerialProposal, Stop> {
        cx.audit.serial = self.serial.as_str().into();
        cx.audit.success = true;
        Ok(propose(&mut cx.view, &self.serial))
    }
}

/// The wanted serial number if it is free, else the first free one with a number appended.
pub fn propose(view: &mut View<'_>, wanted: &str) -> SerialProposal {
    let mut new_serial = Serial::from(wanted);
    let unique = is_free(view, &new_serial);
    let mut number = 0_u64;
    while !is_free(view, &new_serial) {
        number += 1;
        new_serial = Serial::from(format!("{wanted}_{number:02}"));
    }
    SerialProposal { unique, new_serial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::enroll::{Init, SeedSource};
    use crate::test_state::TestState;

    fn init(serial: Option<&str>, prefix: Option<&str>, token_type: &str) -> Init {
        Init {
            token_type: Some(token_type.to_owned()),
            serial: serial.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            seed: SeedSource { given: None, generate: true },
            ..Init::default()
        }
    }

    #[track_caller]
    fn enroll(state: &mut TestState, prefix: Option<&str>, token_type: &str) -> String {
        state.run(&init(None, prefix, token_type)).unwrap().serial.to_string()
    }

    #[test]
    fn generated_serial_has_prefix_number_and_random_digits() {
        let mut state = TestState::new();
        let is_upper_hex = |text: &str| text.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'));
        for number in 1..=3 {
            let serial = enroll(&mut state, None, "HMAC");
            let (head, random) = serial.split_at(8);
            assert_eq!(head, format!("OATH{number:04}"));
            assert!(random.len() == 4 && is_upper_hex(random), "{serial}");
        }
        assert!(enroll(&mut state, None, "totp").starts_with("TOTP0001"));
        let own = enroll(&mut state, Some("my-"), "hmac");
        assert!(own.starts_with("my-0004") && own.len() == 11, "{own}");
    }

    #[test]
    fn number_uses_up_the_room_of_the_random_digits() {
        let mut random = Random::new(&[1; 32]);
        assert_eq!(candidate("P", 123_456, &mut random).len(), 9);
        assert_eq!(candidate("P", 12_345_678, &mut random), "P12345678");
        assert_eq!(candidate("P", 123_456_789, &mut random), "P123456789");
    }

    /// With all sixteen last digits taken only a higher number is free.
    #[test]
    fn taken_serials_are_not_generated_again() {
        let mut state = TestState::new();
        for digit in 0..16 {
            state.run(&init(Some(&format!("P1000000{digit:X}")), None, "totp")).unwrap();
        }
        let configuration = std::sync::Arc::new(crate::configuration::Configuration::load(&state));
        let mut view = View::new(&state, configuration);
        let mut random = Random::new(&[1; 32]);
        for _ in 0..64 {
            let serial = parse(&candidate("P", 1_000_000, &mut random)).unwrap();
            assert!(!is_free(&mut view, &serial), "{serial}");
        }
        let serial = generate(&mut view, &mut random, TokenType::Hmac, Some("P1000000")).unwrap();
        assert!(is_free(&mut view, &serial));
    }

    #[test]
    fn unusable_serials_are_refused() {
        assert!(parse(&"x".repeat(40)).is_ok());
        for bad in ["x".repeat(41), "a*".to_owned(), "a\nb".to_owned()] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
        let mut state = TestState::new();
        assert!(state.run(&init(None, Some(&"p".repeat(33)), "hmac")).is_err());
    }

    #[test]
    fn proposals_are_numbered_until_free() {
        let mut state = TestState::new();
        let propose = |state: &mut TestState| {
            let proposal = state.run(&CheckSerialFree { serial: "S".to_owned() }).unwrap();
            (proposal.unique, proposal.new_serial.to_string())
        };
        assert_eq!(propose(&mut state), (true, "S".to_owned()));
        for (taken, next) in [("S", "S_01"), ("S_01", "S_02"), ("S_03", "S_02"), ("S_02", "S_04")] {
            state.run(&init(Some(taken), None, "hmac")).unwrap();
            assert_eq!(propose(&mut state), (false, next.to_owned()));
        }
    }
}
