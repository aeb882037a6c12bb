//! `admin/resync`: two consecutive OTPs move a token's counter to where the device is (reference tokens 12.10).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::challenge;
use super::limits::is_locked;
use super::rights::require_selection;
use super::selection::Selection;
use super::validate::lane;
use super::{Context, Request};
use crate::configuration::Configuration;
use crate::decision::Stop;
use crate::policy::catalogue::admin;
use crate::record::TokenV1;
use crate::secret::{SealError, SecretText};
use crate::token::{Attempt, OtpPair, TokenFault};
use crate::user::Serial;

/// `admin/resync`; the reply is whether at least one selected token is in step again.
#[derive(Clone, Debug, Default)]
pub struct Resync {
    /// The tokens: by serial (wild card allowed), by user.
    pub selection: Selection,
    /// The first OTP.
    pub otp1: SecretText,
    /// The OTP the device showed next.
    pub otp2: SecretText,
    /// `challenge1` and `challenge2`, which the OTPs answer (ocra2); the two newest challenges of the token if absent.
    pub challenges: Option<(String, String)>,
}

impl Request for Resync {
    type Reply = bool;

    fn lane(&self) -> Option<String> {
        Some(lane(&self.selection.user, self.selection.serial.as_deref()))
    }

    /// Every selected token is tried, so that two tokens with the same seed both get in step.
    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let configuration = cx.view.configuration();
        let selected = self.selection.resolve(cx)?;
        require_selection(cx, &admin::RESYNC, &self.selection, &selected)?;
        let mut in_step = false;
        for serial in selected.serials.iter().collect::<BTreeSet<_>>() {
            match self.resync(cx, &configuration, serial) {
                Ok(moved) => in_step |= moved,
                Err(TokenFault::Seal(error @ SealError::UnknownKey(_))) => return Err(error.into()),
                Err(fault) => cx.note(&format!("token {serial}: {fault}")),
            }
        }
        cx.audit.success = in_step;
        Ok(in_step)
    }
}

impl Resync {
    /// The data of the challenges that the OTPs answer: those of the request, else the second newest and the newest of
    /// the token.
    fn answered(&self, cx: &mut Context<'_>, serial: &Serial, token: &TokenV1) -> Option<(String, String)> {
        if let Some((first, second)) = &self.challenges {
            let data = |challenge: &str| serde_json::json!({ "challenge": challenge }).to_string();
            return Some((data(first), data(second)));
        }
        let mut newest = challenge::of_token(cx, serial, token, None).into_iter();
        let (second, first) = (newest.next()?, newest.next()?);
        Some((first.record.data.to_string(), second.record.data.to_string()))
    }

    fn resync(
        &self,
        cx: &mut Context<'_>,
        configuration: &Configuration,
        serial: &Serial,
    ) -> Result<bool, TokenFault> {
        let Some(token) = cx.view.token(serial) else { return Ok(false) };
        let mut usage = cx.view.usage(serial);
        let rules = token.token_type.rules();
        let challenges =
            if rules.resync_answers_challenges() { self.answered(cx, serial, &token) } else { None };
        let attempt = Attempt {
            serial,
            token: &token,
            usage: &usage,
            otp: "",
            challenge: None,
            answer: None,
            now: cx.facts.now,
            settings: &configuration.settings,
            keyring: cx.facts.keyring,
        };
        let pair = OtpPair {
            first: self.otp1.expose(),
            second: self.otp2.expose(),
            challenges: challenges.as_ref().map(|(first, second)| (first.as_str(), second.as_str())),
        };
        let Some(proof) = rules.resync(&attempt, pair)? else { return Ok(false) };
        let moved = Arc::make_mut(&mut usage);
        let resets = configuration.settings.resets_fail_count();
        if rules.resync_resets_failures() && resets && token.active && !is_locked(&token, moved) {
            moved.fail_count = 0;
        }
        rules.advance(moved, proof);
        cx.view.put_usage(serial, Arc::unwrap_or_clone(usage));
        Ok(true)
    }
}
