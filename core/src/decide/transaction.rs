//! Checks without a user: what is sent names the challenge or the token.
//!
//! `validate/check_t` and `validate/check_status` answer and watch a challenge, `validate/check_yubikey` finds the token
//! by its OTP (reference http-api 7.4, 7.5, 7.9).

use std::collections::BTreeMap;

use super::authorize::Visitor;
use super::challenge::{self, Found};
use super::login::{Login, check_tokens, detail};
use super::pin::{PinCheck, otp_pin_mode};
use super::user::{Found as Lookup, Identified, UserParams, user_by_id};
use super::validate::Verdict;
use super::{Context, Request};
use crate::algo::yubikey::{OTP_CHARS, decode_modhex};
use crate::decision::{Refusal, Stop};
use crate::record::TokenType;
use crate::secret::SecretText;
use crate::user::{Owner, Serial, TransactionId};

/// `validate/check_t`: is this the answer to a challenge?
#[derive(Clone, Debug, Default)]
pub struct CheckTransaction {
    /// `transactionid` or `state`.
    pub transaction_id: Option<String>,
    /// `pass`: the answer.
    pub pass: Option<SecretText>,
    /// Only tokens of this type, any case.
    pub token_type: Option<String>,
    /// Whether the reply shall tell how long PIN and OTP were.
    pub auth_info: bool,
    /// Every other parameter, for the token types.
    pub options: BTreeMap<String, String>,
}

/// The answer to [`CheckTransaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionVerdict {
    /// No challenge has this id.
    Unknown,
    /// The tokens were checked.
    Checked {
        /// The verdict.
        verdict: Box<Verdict>,
        /// The token that matched, else the last one; and its type as clients know it.
        token: (Serial, &'static str),
        /// That token's fail counter afterwards.
        fail_count: u32,
    },
}

impl Request for CheckTransaction {
    type Reply = TransactionVerdict;

    fn lane(&self) -> Option<String> {
        let root = self.transaction_id.as_deref().unwrap_or_default().split('.').next().unwrap_or_default();
        Some(format!("t\0{root}"))
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<TransactionVerdict, Stop> {
        let wanted = required(self.transaction_id.as_deref(), "transactionid")?;
        let submitted = self.pass.as_ref().ok_or(Refusal::MissingParameter("pass"))?;
        let serials = self.tokens(cx, wanted);
        let Some(last) = serials.last().cloned() else {
            detail(cx, &format!("No challenge for transaction '{wanted}' found"));
            return Ok(TransactionVerdict::Unknown);
        };
        let login = Login {
            user: None,
            submitted,
            auth_info: self.auth_info,
            transaction: Some(wanted),
            options: &self.options,
        };
        let verdict = check_tokens(cx, login, &serials)?;
        let serial = if verdict.accepted { Serial::from(&*cx.audit.serial) } else { last };
        let token_type = cx.view.token(&serial).map_or("", |token| token.token_type.stored_name());
        let fail_count = cx.view.usage(&serial).fail_count;
        Ok(TransactionVerdict::Checked {
            verdict: Box::new(verdict),
            token: (serial, token_type),
            fail_count,
        })
    }
}

impl CheckTransaction {
    /// The tokens that were challenged, newest first, each once. Those of one transaction are checked as one list.
    fn tokens(&self, cx: &mut Context<'_>, wanted: &str) -> Vec<Serial> {
        let wanted_type = self.token_type.as_deref().filter(|name| !name.is_empty()).map(TokenType::find);
        let mut serials = Vec::new();
        for Found { record, .. } in challenge::of_transaction(cx, wanted) {
            let Some(token) = cx.view.token(&record.serial) else { continue };
            let fits = wanted_type.is_none_or(|wanted| wanted == Some(token.token_type));
            if fits && !serials.contains(&record.serial) {
                serials.push(record.serial.clone());
            }
        }
        serials
    }
}

/// `validate/check_status`: how far are the challenges of a transaction?
#[derive(Clone, Debug, Default)]
pub struct CheckStatus {
    /// `transactionid` or `state`.
    pub transaction_id: Option<String>,
    /// `pass`: the PIN, which shows that the caller may know.
    pub pass: Option<SecretText>,
    /// Only tokens of this user.
    pub user: UserParams,
    /// Only this token.
    pub serial: Option<String>,
}

/// One challenge in the reply to [`CheckStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeStatus {
    /// Its id.
    pub transaction_id: TransactionId,
    /// Answers so far.
    pub received_count: u32,
    /// An answer has arrived.
    pub received: bool,
    /// The last answer was right.
    pub valid: bool,
    /// The prompt.
    pub message: String,
    /// Whether it can still be answered.
    pub open: bool,
    /// Whether it was confirmed or refused, for types that know that.
    pub confirmed: Option<bool>,
    /// The token.
    pub serial: Serial,
    /// Its type as clients know it.
    pub token_type: &'static str,
}

impl Request for CheckStatus {
    type Reply = Vec<ChallengeStatus>;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<ChallengeStatus>, Stop> {
        let wanted = required(self.transaction_id.as_deref(), "transactionid")?;
        let pin = self.pass.as_ref().ok_or(Refusal::MissingParameter("pass"))?;
        let visitor = Visitor::find(cx, &self.user)?;
        let user = match &visitor.identified {
            Identified::NoUser => None,
            Identified::Known(user) => Some(user),
            Identified::Unknown(_) | Identified::Ambiguous(_) => return Ok(Vec::new()),
        };
        let challenges = challenge::of_transaction(cx, wanted);
        let serials: Vec<Serial> = challenges.iter().map(|found| found.record.serial.clone()).collect();
        let mut pins = PinCheck::new(otp_pin_mode(cx, user, &serials)?, user);
        let mut shown = Vec::new();
        for found in challenges {
            let serial = found.record.serial.clone();
            let Some(token) = cx.view.token(&serial) else { continue };
            let settings = &cx.view.configuration().settings;
            let is_meant = self.serial.as_deref().is_none_or(|wanted| wanted == serial.as_str())
                && user.is_none_or(|user| is_owner(token.owner.as_ref(), &user.owner))
                && !challenge::is_expired(settings, &token, &found.record, cx.facts.now);
            if is_meant && pins.accepts(cx, &serial, &token, pin.expose())? {
                shown.push(status(&found, token.token_type.stored_name()));
            }
        }
        cx.audit.success = !shown.is_empty();
        Ok(shown)
    }
}

fn status(found: &Found, token_type: &'static str) -> ChallengeStatus {
    let Found { id, record, .. } = found;
    ChallengeStatus {
        transaction_id: id.clone(),
        received_count: record.received_count,
        received: record.received,
        valid: record.valid,
        message: record.message.to_string(),
        open: record.open,
        confirmed: record.confirmed,
        serial: record.serial.clone(),
        token_type,
    }
}

fn is_owner(owner: Option<&Owner>, user: &Owner) -> bool {
    owner == Some(user)
}

/// `validate/check_yubikey`: the OTP of a Yubikey names its own token.
#[derive(Clone, Debug, Default)]
pub struct CheckYubikey {
    /// `pass`: PIN and OTP.
    pub pass: Option<SecretText>,
    /// Every other parameter, for the token types.
    pub options: BTreeMap<String, String>,
}

/// The answer to [`CheckYubikey`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YubikeyVerdict {
    /// Whether the login is accepted.
    pub accepted: bool,
    /// Login and realm of the token's owner, after a success; empty if there is none.
    pub owner: Option<(String, String)>,
}

impl Request for CheckYubikey {
    type Reply = YubikeyVerdict;

    fn decide(&self, cx: &mut Context<'_>) -> Result<YubikeyVerdict, Stop> {
        let submitted = self.pass.as_ref().ok_or(Refusal::MissingParameter("pass"))?;
        let mut serials = named_serials(submitted.expose());
        serials.retain(|serial| cx.view.token(serial).is_some());
        if serials.is_empty() {
            detail(cx, "no token found!");
            return Ok(YubikeyVerdict::default());
        }
        let options = &self.options;
        let login = Login { user: None, submitted, auth_info: false, transaction: None, options };
        let accepted = check_tokens(cx, login, &serials)?.accepted;
        if !accepted {
            return Ok(YubikeyVerdict::default());
        }
        let token = cx.view.token(&Serial::from(&*cx.audit.serial));
        let owner = match token.as_ref().and_then(|token| token.owner.as_ref()) {
            Some(owner) => match user_by_id(cx, owner)? {
                Lookup::Entry(entry) => Some(entry.login.clone()),
                Lookup::Absent | Lookup::Unavailable => None,
            },
            None => None,
        };
        let realm = token.and_then(|token| token.realms.first().map(ToString::to_string)).unwrap_or_default();
        Ok(YubikeyVerdict { accepted, owner: Some((owner.unwrap_or_default(), realm)) })
    }
}

/// The serials an OTP may belong to: the characters before its last 32 are the modhex form of digits.
fn named_serials(submitted: &str) -> Vec<Serial> {
    let submitted = submitted.to_ascii_lowercase();
    let prefix =
        submitted.len().checked_sub(OTP_CHARS).and_then(|at| submitted.get(..at)).unwrap_or_default();
    let from = prefix.len().saturating_sub(PREFIX_MAX);
    let digits = prefix
        .get(from..)
        .filter(|prefix| !prefix.is_empty())
        .and_then(decode_modhex)
        .filter(|digits| digits.iter().all(u8::is_ascii_digit))
        .and_then(|digits| String::from_utf8(digits).ok());
    let Some(digits) = digits else { return Vec::new() };
    let serial = format!("UBAM{digits}");
    ["", "_0", "_1", "_2"].iter().map(|suffix| Serial::from(format!("{serial}{suffix}"))).collect()
}

/// So many characters before the encrypted part can name the token.
const PREFIX_MAX: usize = 16;

fn required<'a>(parameter: Option<&'a str>, name: &'static str) -> Result<&'a str, Refusal> {
    parameter.filter(|text| !text.is_empty()).ok_or(Refusal::MissingParameter(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference tokens 14.6: the prefix stands for `01382015`.
    #[test]
    fn yubikeys_name_their_serial() {
        let otp = "c".repeat(32);
        let named = |prefix: &str| {
            named_serials(&format!("{prefix}{otp}")).first().map(|serial| serial.as_str().to_owned())
        };
        assert_eq!(named("ecebeeejedecebeg").as_deref(), Some("UBAM01382015"));
        assert_eq!(named("pinECEBEEEJEDECEBEG").as_deref(), Some("UBAM01382015"));
        for nothing in ["", "cc", "ecebeeejedecebe", "üecebeeejedecebe"] {
            assert_eq!(named(nothing), None, "{nothing}");
        }
        assert_eq!(named_serials("short"), []);
        let all: Vec<String> =
            named_serials(&format!("eb{otp}")).iter().map(|serial| serial.as_str().to_owned()).collect();
        assert_eq!(all, ["UBAM1", "UBAM1_0", "UBAM1_1", "UBAM1_2"]);
    }
}
