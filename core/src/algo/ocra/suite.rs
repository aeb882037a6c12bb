//! OCRA suites: `OCRA-1:HOTP-SHA256-8:C-QN08-PSHA1` (RFC 6287 section 6).

use crate::record::HashAlgorithm;

/// The alphabet of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `A`: text.
    Alphanumeric,
    /// `N`: decimal digits.
    Numeric,
    /// `H`: hexadecimal digits.
    Hexadecimal,
}

impl Format {
    /// Whether a character may occur in a challenge.
    #[must_use]
    pub fn allows(self, c: char) -> bool {
        match self {
            Self::Alphanumeric => !c.is_control(),
            Self::Numeric => c.is_ascii_digit(),
            Self::Hexadecimal => c.is_ascii_hexdigit(),
        }
    }

    /// The characters that challenges made here consist of.
    #[must_use]
    pub const fn alphabet(self) -> &'static str {
        match self {
            Self::Alphanumeric => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            Self::Numeric => "0123456789",
            Self::Hexadecimal => "0123456789abcdef",
        }
    }
}

/// A text is no suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OCRA suite: {0}")]
pub struct BadSuite(pub &'static str);

/// What a device computes, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    text: Box<str>,
    /// The hash below HMAC.
    pub hash: HashAlgorithm,
    /// Digits of a value; 0 stands for the whole number.
    pub digits: u32,
    /// `C`: a counter goes in.
    pub counter: bool,
    /// The challenge's alphabet.
    pub format: Format,
    /// The longest challenge, in characters.
    pub question_max: usize,
    /// `P`: the hash of the PIN that goes in.
    pub pin: Option<HashAlgorithm>,
    /// `S`: bytes of session information that go in.
    pub session: Option<usize>,
    /// `T`: a time step of so many seconds goes in.
    pub step_seconds: Option<u64>,
}

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadSuite> {
        let mut parts = text.split(':');
        let (Some(version), Some(function), Some(inputs), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadSuite("expected three parts separated by ':'"));
        };
        if !version.eq_ignore_ascii_case("OCRA-1") {
            return Err(BadSuite("only version OCRA-1 is known"));
        }
        let (hash, digits) = parse_function(function)?;
        let mut suite = Self {
            text: text.into(),
            hash,
            digits,
            counter: false,
            format: Format::Numeric,
            question_max: 0,
            pin: None,
            session: None,
            step_seconds: None,
        };
        for input in inputs.split('-') {
            suite.add(input)?;
        }
        if suite.question_max == 0 {
            return Err(BadSuite("a challenge (Q) is required"));
        }
        Ok(suite)
    }

    /// The suite as it was written, which goes into each value.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a challenge fits: neither empty nor too long, and in its alphabet.
    #[must_use]
    pub fn fits(&self, question: &str) -> bool {
        (1..=self.question_max).contains(&question.chars().count())
            && question.chars().all(|c| self.format.allows(c))
    }

    /// Adds one of the inputs, each of which may be named once.
    fn add(&mut self, input: &str) -> Result<(), BadSuite> {
        const TWICE: BadSuite = BadSuite("an input is named twice");
        let mut rest = input.chars();
        let kind = rest.next().map(|c| c.to_ascii_uppercase());
        let rest = rest.as_str();
        match kind {
            Some('C') if rest.is_empty() => set(&mut self.counter, true),
            Some('Q') => {
                let (format, length) = parse_question(rest)?;
                self.format = format;
                set(&mut self.question_max, length)
            }
            Some('P') if rest.is_empty() => set(&mut self.pin, Some(HashAlgorithm::Sha1)),
            Some('P') => set(&mut self.pin, Some(parse_hash(rest)?)),
            Some('S') => set(&mut self.session, Some(parse_session(rest)?)),
            Some('T') => set(&mut self.step_seconds, Some(parse_step(rest)?)),
            _ => return Err(BadSuite("inputs are C, Q, P, S and T")),
        }
        .ok_or(TWICE)
    }
}

/// Sets what still has its initial value.
fn set<T: Default + PartialEq>(place: &mut T, value: T) -> Option<()> {
    (*place == T::default()).then(|| *place = value)
}

/// `HOTP-SHA256-8`.
fn parse_function(text: &str) -> Result<(HashAlgorithm, u32), BadSuite> {
    let mut parts = text.split('-');
    let (Some(kind), Some(hash), Some(digits), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadSuite("expected HOTP-<hash>-<digits> in the middle"));
    };
    if !kind.eq_ignore_ascii_case("HOTP") {
        return Err(BadSuite("only functions based on HOTP are known"));
    }
    let digits = match digits.parse() {
        Ok(digits @ (0 | 4..=10)) if text.is_ascii() => digits,
        _ => return Err(BadSuite("the digits are 0 or between 4 and 10")),
    };
    Ok((parse_hash(hash)?, digits))
}

fn parse_hash(text: &str) -> Result<HashAlgorithm, BadSuite> {
    match text.to_ascii_uppercase().as_str() {
        "SHA1" => Ok(HashAlgorithm::Sha1),
        "SHA256" => Ok(HashAlgorithm::Sha256),
        "SHA512" => Ok(HashAlgorithm::Sha512),
        _ => Err(BadSuite("the hash is SHA1, SHA256 or SHA512")),
    }
}

/// `N08` behind the `Q`.
fn parse_question(text: &str) -> Result<(Format, usize), BadSuite> {
    let mut rest = text.chars();
    let format = match rest.next().map(|c| c.to_ascii_uppercase()) {
        Some('A') => Format::Alphanumeric,
        Some('N') => Format::Numeric,
        Some('H') => Format::Hexadecimal,
        _ => return Err(BadSuite("a challenge is QA, QN or QH")),
    };
    match number(rest.as_str()) {
        Some(length @ 4..=64) if rest.as_str().len() == 2 => {
            Ok((format, usize::try_from(length).unwrap_or_default()))
        }
        _ => Err(BadSuite("the length of a challenge is between 04 and 64")),
    }
}

/// `064` behind the `S`.
fn parse_session(text: &str) -> Result<usize, BadSuite> {
    match text {
        "064" => Ok(64),
        "128" => Ok(128),
        "256" => Ok(256),
        "512" => Ok(512),
        _ => Err(BadSuite("session information is S064, S128, S256 or S512")),
    }
}

/// `1M`, `20S`, `2H`, or several of them, behind the `T`; nothing means a minute.
fn parse_step(text: &str) -> Result<u64, BadSuite> {
    const BAD: BadSuite = BadSuite("a time step is a number of H, M and S, for example T30S");
    if text.is_empty() {
        return Ok(60);
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(BAD)?;
        let (digits, unit) = rest.split_at_checked(end).ok_or(BAD)?;
        let mut unit = unit.chars();
        let length: u64 = match unit.next().map(|c| c.to_ascii_uppercase()) {
            Some('S') => 1,
            Some('M') => 60,
            Some('H') => 3600,
            _ => return Err(BAD),
        };
        seconds += number(digits).filter(|_| digits.len() <= 2).ok_or(BAD)? * length;
        rest = unit.as_str();
    }
    if seconds == 0 { Err(BAD) } else { Ok(seconds) }
}

/// Up to two digits.
fn number(text: &str) -> Option<u64> {
    let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
