//! The formats of token files by their names, and reading a file of any of them.

use std::collections::BTreeMap;

use super::pskc::Protection;
use super::{ImportError, Parsed, dpw, etoken, oath_csv, pskc, safenet, yubikey_csv};
use crate::facts::Random;

/// The format of a token file: the `type` of `admin/loadtokens` (reference tokens 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `SafeNet` and Aladdin XML.
    SafeNet,
    /// OATH CSV.
    OathCsv,
    /// Both CSV dialects of Yubico's tools.
    YubikeyCsv,
    /// The XML of Feitian.
    Feitian,
    /// PSKC, RFC 6030.
    Pskc,
    /// A list of day passwords.
    Dpw,
    /// `eToken` and `SafeWord` DAT.
    EToken,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 7] =
        [Self::SafeNet, Self::OathCsv, Self::YubikeyCsv, Self::Feitian, Self::Pskc, Self::Dpw, Self::EToken];

    /// Its name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SafeNet => "aladdin-xml",
            Self::OathCsv => "oathcsv",
            Self::YubikeyCsv => "yubikeycsv",
            Self::Feitian => "feitian",
            Self::Pskc => "pskc",
            Self::Dpw => "dpw",
            Self::EToken => "dat",
        }
    }

    /// The format with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What single formats need to know beside the file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `aladdin_hashlib`: the hash of all tokens of a `SafeNet` file; `auto` or nothing leaves it to the seed.
    pub hashlib: String,
    /// What opens the secrets of a PSKC file.
    pub protection: Protection,
    /// `pskc_checkserial`: serials of another form than that of the checked ones are skipped.
    pub checks_serials: bool,
    /// `startdate`: the day from which devices of a DAT file count.
    pub start_date: String,
}

/// Reads a file.
///
/// Of two tokens with the same serial the second one is a failed row: which of them is meant cannot be known. `random` has to be the same for the same file, or a repeated import makes tokens anew whose serial is not in it.
///
/// # Errors
/// When the file as a whole is not of this format, or too large.
pub fn read(
    format: Format,
    text: &str,
    options: &Options,
    random: &mut Random,
) -> Result<Parsed, ImportError> {
    let parsed = match format {
        Format::SafeNet => safenet::parse(text, &options.hashlib),
        Format::OathCsv => oath_csv::parse(text),
        Format::YubikeyCsv => yubikey_csv::parse(text, random),
        Format::Feitian => pskc::parse_feitian(text),
        Format::Pskc => pskc::parse(text, &options.protection, options.checks_serials),
        Format::Dpw => dpw::parse(text),
        Format::EToken => etoken::parse(text, &options.start_date),
    }?;
    Ok(without_repeated(parsed))
}

fn without_repeated(mut parsed: Parsed) -> Parsed {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = Vec::with_capacity(parsed.rows.len());
    for row in std::mem::take(&mut parsed.rows) {
        let serial = row.serial().to_owned();
        if let Some(first) = places.get(&serial) {
            let problem = format!("the serial {serial} is that of line {first} already");
            parsed.fail(ImportError::at(row.place, problem));
            continue;
        }
        places.insert(serial, row.place);
        rows.push(row);
    }
    parsed.rows = rows;
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_the_names_of_the_interface() {
        let names = Format::ALL.map(Format::name);
        assert_eq!(names, ["aladdin-xml", "oathcsv", "yubikeycsv", "feitian", "pskc", "dpw", "dat"]);
        assert_eq!(Format::find("pskc"), Some(Format::Pskc));
        assert_eq!((Format::find("vasco"), Format::find("")), (None, None));
    }

    #[test]
    fn a_serial_may_stand_in_a_file_once() {
        let text = "A,3132\nB,3132\nA,3133\n";
        let parsed = read(Format::OathCsv, text, &Options::default(), &mut Random::new(&[1; 32])).unwrap();
        let places: Vec<usize> = parsed.rows.iter().map(|row| row.place).collect();
        assert_eq!(places, [1, 2]);
        let failed: Vec<String> = parsed.failed.iter().map(ToString::to_string).collect();
        assert_eq!(failed, ["line 3: the serial A is that of line 1 already"]);
    }
}
