//! Random passwords and PINs of a wanted alphabet (reference tokens 12.1, 12.8).

use crate::facts::Random;
use crate::secret::SecretText;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const SPECIAL: &str = "!#$%&()*+,-./:;<=>?@[]^_";

/// The longest text that is made, in characters.
pub const LENGTH_MAX: u32 = 255;

/// The characters that the letters of a policy value select: `c` lower case, `C` upper case, `n` digits, `s` special ones.
/// A value without any of these letters stands for letters and digits.
#[must_use]
pub fn alphabet(contents: &str) -> String {
    let groups = [('c', LOWER), ('C', UPPER), ('n', DIGITS), ('s', SPECIAL)];
    let chosen: String =
        groups.iter().filter(|(letter, _)| contents.contains(*letter)).map(|(_, group)| *group).collect();
    if chosen.is_empty() { [LOWER, UPPER, DIGITS].concat() } else { chosen }
}

/// A text of this many random characters, at most [`LENGTH_MAX`]; not every group need occur in it.
pub fn make(random: &mut Random, length: u32, alphabet: &str) -> SecretText {
    let letters: Vec<char> = alphabet.chars().collect();
    let count = u32::try_from(letters.len()).unwrap_or(u32::MAX);
    let mut text = String::with_capacity(4 * usize::try_from(length.min(LENGTH_MAX)).unwrap_or_default());
    for _ in 0..length.min(LENGTH_MAX) {
        let at = usize::try_from(random.below(count)).unwrap_or_default();
        text.extend(letters.get(at));
    }
    SecretText::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_select_groups() {
        assert_eq!(alphabet("n"), DIGITS);
        assert_eq!(alphabet("nc"), format!("{LOWER}{DIGITS}"));
        assert_eq!(alphabet("Cs"), format!("{UPPER}{SPECIAL}"));
        for other in ["", "x"] {
            assert_eq!(alphabet(other), format!("{LOWER}{UPPER}{DIGITS}"));
        }
    }

    #[test]
    fn every_letter_occurs_and_no_other() {
        let mut random = Random::new(&[3; 32]);
        let text = make(&mut random, 200, DIGITS);
        assert_eq!(text.expose().len(), 200);
        assert!(DIGITS.chars().all(|digit| text.expose().contains(digit)));
        assert!(text.expose().chars().all(|c| DIGITS.contains(c)));
        assert_ne!(make(&mut random, 200, DIGITS), text);
        assert_eq!(make(&mut random, 10_000, DIGITS).expose().len(), 255);
        assert_eq!(make(&mut random, 5, "").expose(), "");
    }
}
