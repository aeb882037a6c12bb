//! PSKC, RFC 6030, and the dialect of Feitian (reference tokens 13.4).

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::xml::{Document, Element};
use super::{ImportError, Parsed, Row, token};
use crate::algo::cbc::{decrypt, unpadded};
use crate::algo::hotp::keyed;
use crate::algo::pbkdf2::{self, ITERATIONS_MAX, LENGTH_MAX};
use crate::decide::enroll::OcraParams;
use crate::secret::{SecretText, equal};

/// What opens the secrets of a file.
#[derive(Clone, Debug, Default)]
pub enum Protection {
    /// They are not encrypted.
    #[default]
    Plain,
    /// A pre-shared key, hexadecimal (RFC 6030 section 6.1).
    Key(SecretText),
    /// A password (RFC 6030 section 6.2).
    Password(SecretText),
}

/// Reads a PSKC file. With `checks_serials`, serials that are not four letters or digits and eight hex digits are skipped.
///
/// # Errors
/// When the file is no PSKC, something in it is not supported, or a MAC does not fit.
pub fn parse(text: &str, protection: &Protection, checks_serials: bool) -> Result<Parsed, ImportError> {
    Reading { package: "KeyPackage", id: "Id", protection, checks_serials, keys: None }.read(text)
}

/// Reads a file of Feitian: PSKC with other names, and plain.
///
/// # Errors
/// As [`parse`].
pub fn parse_feitian(text: &str) -> Result<Parsed, ImportError> {
    let protection = &Protection::Plain;
    Reading { package: "Device", id: "KeyId", protection, checks_serials: false, keys: None }.read(text)
}

/// The keys of an encrypted file.
struct Keys {
    encryption: Zeroizing<Vec<u8>>,
    mac: Option<Zeroizing<Vec<u8>>>,
}

struct Reading<'a> {
    /// The element of a token.
    package: &'static str,
    /// The attribute with its identity.
    id: &'static str,
    protection: &'a Protection,
    checks_serials: bool,
    keys: Option<Keys>,
}

impl Reading<'_> {
    fn read(mut self, text: &str) -> Result<Parsed, ImportError> {
        let mut document = Document::open(text)?;
        if !document.root.eq_ignore_ascii_case("KeyContainer") {
            return Err(document.error("the root element is not KeyContainer"));
        }
        let mut parsed = Parsed::default();
        let mut packages = 0_usize;
        while let Some(element) = document.child()? {
            match element.name.as_str() {
                "EncryptionKey" => {
                    let encryption = self.encryption_key(&element)?;
                    self.keys = Some(Keys { encryption, mac: None });
                }
                "MACMethod" => self.set_mac_key(&element)?,
                name if name == self.package => {
                    packages += 1;
                    self.add(&mut parsed, &element)?;
                }
                _ => {}
            }
        }
        if packages == 0 {
            return Err(document.error(&format!("there is no {} in the file", self.package)));
        }
        Ok(parsed)
    }

    fn encryption_key(&self, element: &Element) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        let refuse = |problem: &str| ImportError::at(element.line, problem);
        match (self.protection, element.find("DerivedKey/KeyDerivationMethod")) {
            (Protection::Plain, _) => Err(refuse("the file is encrypted, its key or password is needed")),
            (Protection::Key(key), None) => {
                let key = HEXLOWER.decode(key.expose().trim().to_ascii_lowercase().as_bytes());
                key.map(Zeroizing::new).map_err(|_| refuse("the pre-shared key is not hexadecimal"))
            }
            (Protection::Password(password), Some(method)) => derive(element.line, method, password),
            (Protection::Key(_), Some(_)) => {
                Err(refuse("the file is encrypted with a password, not with a key"))
            }
            (Protection::Password(_), None) => {
                Err(refuse("the file is encrypted with a key, not with a password"))
            }
        }
    }

    fn set_mac_key(&mut self, element: &Element) -> Result<(), ImportError> {
        let refuse = |problem: &str| ImportError::at(element.line, problem);
        let Some(keys) = &mut self.keys else { return Ok(()) };
        if !is_algorithm(element, "#hmac-sha1") {
            return Err(refuse("the MAC algorithm is not hmac-sha1"));
        }
        let method = element.find("MACKey/EncryptionMethod").ok_or_else(|| refuse("there is no MACKey"))?;
        if !is_algorithm(method, "#aes128-cbc") {
            return Err(refuse("the MAC key is not encrypted with aes128-cbc"));
        }
        let cipher = base64_at(element, "MACKey/CipherData/CipherValue")?
            .ok_or_else(|| refuse("the MAC key has no CipherValue"))?;
        let plain = decrypt(&keys.encryption, &cipher).map_err(|problem| refuse(&problem.to_string()))?;
        keys.mac = Some(Zeroizing::new(unpadded(&plain).to_vec()));
        Ok(())
    }

    fn add(&self, parsed: &mut Parsed, element: &Element) -> Result<(), ImportError> {
        let place = element.line;
        let refuse = |problem: &str| ImportError::at(place, problem);
        let key = element.child("Key").ok_or_else(|| refuse("the token has no Key"))?;
        let device = element.child("DeviceInfo").filter(|device| !device.children.is_empty());
        let serial = match device {
            Some(device) => device.text_at("SerialNo").unwrap_or_default(),
            None => key.attribute(self.id).unwrap_or_default().trim(),
        };
        if serial.is_empty() || (self.checks_serials && !is_checked_serial(serial)) {
            parsed.skip(place, "no serial, or not one of four letters and eight hexadecimal digits");
            return Ok(());
        }
        let Some(secret) = self.secret(place, serial, key)? else {
            parsed.skip(place, "neither a plain nor an encrypted secret, or both");
            return Ok(());
        };
        let kind = kind(key).map_err(|unknown| refuse(&format!("the algorithm '{unknown}' is not known")))?;
        let parameters =
            key.child("AlgorithmParameters").ok_or_else(|| refuse("the key has no AlgorithmParameters"))?;
        let mut row = token(kind, serial, &HEXLOWER.encode(&secret));
        let length = parameters.child("ResponseFormat").and_then(|format| format.attribute("Length"));
        let length = length.map_or(Ok(6), str::parse);
        let suite = parameters.text_at("Suite").filter(|suite| !suite.is_empty());
        if kind == "ocra2" {
            row.ocra = OcraParams { suite: suite.map(str::to_owned), ..OcraParams::default() };
        } else {
            row.otplen =
                Some(length.map_err(|_| refuse("the Length of the ResponseFormat is not a number"))?);
            row.hashlib = suite.map(|suite| hash_name(suite).to_owned());
        }
        row.time_step = number_at(key, "Data/TimeInterval/PlainValue")?.filter(|_| kind == "totp");
        let counter = number_at(key, "Data/Counter/PlainValue")?;
        parsed.add(Row { place, token: row, counter })
    }

    /// The secret of a key; `None` if there is none, or one too many.
    fn secret(
        &self,
        place: usize,
        serial: &str,
        key: &Element,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ImportError> {
        let refuse = |problem: &str| ImportError::at(place, problem);
        let plain = base64_at(key, "Data/Secret/PlainValue")?;
        let cipher = base64_at(key, "Data/Secret/EncryptedValue/CipherData/CipherValue")?;
        let cipher = match (plain, cipher) {
            (Some(plain), None) => return Ok(Some(plain)),
            (None, Some(cipher)) => cipher,
            (Some(_), Some(_)) | (None, None) => return Ok(None),
        };
        let keys = self.keys.as_ref().ok_or_else(|| refuse("the file has no EncryptionKey"))?;
        let mac_key = keys.mac.as_ref().ok_or_else(|| refuse("the file has no MACMethod"))?;
        if let Some(method) = key.find("Data/Secret/EncryptedValue/EncryptionMethod") {
            let known = ["#aes128-cbc", "#aes192-cbc", "#aes256-cbc"];
            if !known.iter().any(|known| is_algorithm(method, known)) {
                return Err(refuse("the secret is not encrypted with AES in CBC mode"));
            }
        }
        let sent = base64_at(key, "Data/Secret/ValueMAC")?.unwrap_or_default();
        let mac: Hmac<Sha1> = keyed(mac_key);
        if !equal(&mac.chain_update(&*cipher).finalize().into_bytes(), &sent) {
            return Err(refuse(&format!("The MAC value for {serial} does not fit: a wrong key or password")));
        }
        let plain = decrypt(&keys.encryption, &cipher).map_err(|problem| refuse(&problem.to_string()))?;
        Ok(Some(Zeroizing::new(unpadded(&plain).to_vec())))
    }
}

/// The key behind a password.
fn derive(place: usize, method: &Element, password: &SecretText) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let refuse = |problem: &str| ImportError::at(place, problem);
    if !is_algorithm(method, "#pbkdf2") {
        return Err(refuse("the key derivation is not pbkdf2"));
    }
    let password = password.expose();
    if !(6..=64).contains(&password.len()) || !password.is_ascii() {
        return Err(refuse("the password has 6 to 64 ASCII characters"));
    }
    let parameters = method.child("PBKDF2-params").ok_or_else(|| refuse("there are no PBKDF2-params"))?;
    let salt =
        base64_at(parameters, "Salt/Specified")?.ok_or_else(|| refuse("there is no Salt/Specified"))?;
    let number = |name| number_at(parameters, name)?.ok_or_else(|| refuse(&format!("there is no {name}")));
    let (iterations, length) = (number("IterationCount")?, number("KeyLength")?);
    let iterations = u32::try_from(iterations).ok().filter(|count| (1..=ITERATIONS_MAX).contains(count));
    let length = usize::try_from(length).ok().filter(|length| (1..=LENGTH_MAX).contains(length));
    match (iterations, length) {
        (Some(iterations), Some(length)) => {
            Ok(pbkdf2::with_sha1(password.as_bytes(), &salt, iterations, length))
        }
        _ => Err(refuse("IterationCount or KeyLength is out of bounds")),
    }
}

/// Whether an element's algorithm ends like this.
fn is_algorithm(element: &Element, end: &str) -> bool {
    element.attribute("Algorithm").is_some_and(|algorithm| algorithm.to_ascii_lowercase().ends_with(end))
}

/// The token type of a key; the name of the algorithm if it is not known.
fn kind(key: &Element) -> Result<&'static str, String> {
    let after =
        |text: &str, separator: char| text.rsplit(separator).next().unwrap_or_default().trim().to_owned();
    let name = match (key.attribute("Algorithm"), key.attribute("KeyAlgorithm")) {
        (Some(algorithm), _) => after(algorithm, ':'),
        (None, Some(algorithm)) => after(algorithm, '#'),
        (None, None) => String::new(),
    };
    match name.to_ascii_lowercase().as_str() {
        "hotp" => Ok("hmac"),
        "totp" => Ok("totp"),
        "ocra" => Ok("ocra2"),
        _ => Err(name.chars().take(80).collect()),
    }
}

/// `HMAC-SHA256` becomes `sha256`.
fn hash_name(suite: &str) -> &str {
    match suite.to_ascii_uppercase().as_str() {
        "HMAC-SHA1" => "sha1",
        "HMAC-SHA256" => "sha256",
        "HMAC-SHA512" => "sha512",
        _ => suite,
    }
}

fn is_checked_serial(serial: &str) -> bool {
    serial.len() == 12
        && serial.split_at_checked(4).is_some_and(|(letters, digits)| {
            letters.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// The bytes at the end of a path; blanks inside of base64 do not count.
fn base64_at(element: &Element, path: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ImportError> {
    let Some(text) = element.text_at(path) else { return Ok(None) };
    let compact: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let bytes = BASE64.decode(compact.as_bytes()).map(Zeroizing::new);
    bytes.map(Some).map_err(|_| ImportError::at(element.line, format!("{path} is not base64")))
}

fn number_at(element: &Element, path: &str) -> Result<Option<u64>, ImportError> {
    let Some(text) = element.text_at(path).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ImportError::at(element.line, format!("{path} is not a number")))
}

#[cfg(test)]
mod tests;
