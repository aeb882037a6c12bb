//! What the places of all tokens together mean, and what is written (reference tokens 6.6, 6.7).

use std::sync::Arc;

use super::super::limits::count;
use super::target::{self, Change};
use super::{Candidate, Context, Place, Round};
use crate::decide::challenge::{self, ToChallenge};
use crate::decide::pin::OtpPinMode;
use crate::decide::rollout;
use crate::decide::validate::Verdict;
use crate::decision::Stop;
use crate::policy::Scope;
use crate::record::{Key, Record, TokenV1};

impl Round<'_> {
    /// Combines the places (reference tokens 6.6).
    pub(super) fn conclude(mut self, cx: &mut Context<'_>) -> Result<Verdict, Stop> {
        let mut candidates = std::mem::take(&mut self.candidates);
        let number =
            |is: fn(&Place) -> bool| candidates.iter().filter(|candidate| is(&candidate.place)).count();
        let valid = number(|place| matches!(place, Place::Valid { .. }));
        let challenged = number(|place| matches!(place, Place::Challenged));
        let pin_matching = number(|place| matches!(place, Place::PinMatching)) > 0;
        let verdict = match (valid, challenged, candidates.is_empty()) {
            (1, ..) => self.succeed(cx, &mut candidates),
            (0, 0, true) => {
                detail(cx, self.skipped.unwrap_or("no token found!"));
                Verdict::default()
            }
            (0, 0, false) => self.fail(cx, &mut candidates, pin_matching),
            // No fail counter moves.
            (0, ..) => return self.challenge(cx, &candidates),
            (..) => several(cx, &mut candidates),
        };
        for candidate in &mut candidates {
            self.write(cx, candidate);
        }
        for candidate in &candidates {
            let accepted = matches!(candidate.place, Place::Valid { .. });
            let blamed = valid == 0 && is_blamed(candidate, pin_matching);
            let change = match (accepted, blamed) {
                (true, _) => Change::Accepted { alone: valid == 1 },
                (false, true) => Change::Blamed,
                (false, false) => Change::Seen,
            };
            target::settle(cx, self.login.user, candidate, &change)?;
        }
        if verdict.accepted
            && cx.view.configuration().policies.has_active(Scope::Enrollment)
            && let Some(used) = candidates.iter().find(|one| matches!(one.place, Place::Valid { .. }))
        {
            rollout::purge(cx, self.login.user, &used.token)?;
        }
        Ok(verdict)
    }

    /// Triggers the challenges that were asked for.
    fn challenge(&self, cx: &mut Context<'_>, candidates: &[Candidate]) -> Result<Verdict, Stop> {
        let is_challenged = |candidate: &Candidate| matches!(candidate.place, Place::Challenged);
        let tokens: Vec<ToChallenge> = candidates
            .iter()
            .filter(|candidate| is_challenged(candidate))
            .map(|candidate| ToChallenge { serial: candidate.serial.clone(), token: candidate.token.clone() })
            .collect();
        let challenge = challenge::create(cx, &tokens, self.login.options)?;
        note_tokens(cx, candidates, is_challenged);
        detail(cx, "challenge created");
        Ok(Verdict { challenge: Some(challenge), ..Verdict::default() })
    }

    /// Exactly one token has the OTP (reference tokens 6.7); all that took part start from zero failures.
    fn succeed(&self, cx: &mut Context<'_>, candidates: &mut [Candidate]) -> Verdict {
        let mut verdict = Verdict { accepted: true, ..Verdict::default() };
        for candidate in candidates {
            if candidate.usage.fail_count != 0 {
                Arc::make_mut(&mut candidate.usage).fail_count = 0;
            }
            if candidate.advance().is_none() {
                continue;
            }
            candidate.limits.count_success(Arc::make_mut(&mut candidate.usage));
            if let Place::Valid { lengths, answered, .. } = &mut candidate.place {
                verdict.auth_info = lengths.take();
                if let Some(answered) = answered {
                    challenge::close(cx, answered);
                }
            }
            if let Some(changed) = candidate.token.token_type.rules().accepted(&candidate.token) {
                candidate.token = Arc::new(changed);
                cx.view.put(Key::Token(candidate.serial.clone()), Record::Token(candidate.token.clone()));
            }
            cx.audit.success = true;
            cx.audit.serial = candidate.serial.as_str().into();
            cx.audit.token_type = candidate.token.token_type.stored_name().into();
            let text = match self.login.user {
                Some(user) => format!("user '{}'@'{}' successfully authenticated.", user.login, user.realm),
                None => format!("serial '{}' successfully authenticated.", candidate.serial),
            };
            detail(cx, &text);
        }
        verdict
    }

    /// No token has the OTP. If the PIN of some was right, only they are blamed.
    fn fail(&self, cx: &mut Context<'_>, candidates: &mut [Candidate], pin_matching: bool) -> Verdict {
        let text = match (pin_matching, self.pins.mode()) {
            (true, _) => "wrong otp value",
            (false, OtpPinMode::Password) => "wrong user password -1",
            (false, _) => "wrong otp pin -1",
        };
        let blamed = |candidate: &Candidate| is_blamed(candidate, pin_matching);
        note_tokens(cx, candidates, blamed);
        detail(cx, text);
        for candidate in candidates {
            if !blamed(candidate) {
                continue;
            }
            let usage = Arc::make_mut(&mut candidate.usage);
            usage.fail_count = usage.fail_count.saturating_add(1);
            if pin_matching {
                count(&mut usage.count_auth);
            } else {
                candidate.limits.count_attempt(usage);
            }
            candidate.token.token_type.rules().on_failed(usage);
            self.blame_challenges(cx, candidate);
        }
        Verdict::default()
    }

    /// A wrong answer counts in the challenges it may have been meant for.
    fn blame_challenges(&self, cx: &mut Context<'_>, candidate: &mut Candidate) {
        let rules = candidate.otp_rules();
        let bound = self.login.transaction.filter(|_| rules.binds_transactions());
        let challenges = challenge::of_token(cx, &candidate.serial, &candidate.token, bound);
        if challenges.is_empty() {
            return;
        }
        let wrong = challenge::count_wrong(cx, &challenges);
        let settings = &self.configuration.settings;
        match &mut candidate.target {
            None => {
                if let Some(changed) = rules.refused(&candidate.token, settings, wrong) {
                    candidate.token = Arc::new(changed);
                    cx.view.put(Key::Token(candidate.serial.clone()), Record::Token(candidate.token.clone()));
                }
            }
            Some(target) => {
                if let Some(changed) = rules.refused(&target.token, settings, wrong) {
                    cx.view.put_token(&target.serial, changed);
                }
            }
        }
    }

    /// Stores what changed of a token that took part.
    fn write(&self, cx: &mut Context<'_>, candidate: &mut Candidate) {
        if let Some(stamp) = self.stamp {
            let is_valid = matches!(candidate.place, Place::Valid { .. });
            let usage = Arc::make_mut(&mut candidate.usage);
            usage.last_match_at = Some(stamp);
            if is_valid {
                usage.last_success_at = Some(stamp);
            }
            if candidate.token.info.contains_key("last_access") {
                let mut token = TokenV1::clone(&candidate.token);
                token.info.remove("last_access");
                cx.view.put_token(&candidate.serial, token);
            }
        }
        let before = cx.view.usage(&candidate.serial);
        if before != candidate.usage {
            let key = Key::Usage(candidate.serial.clone());
            cx.view.put(key, Record::Usage(candidate.usage.clone()));
        }
    }
}

/// Whether a login that failed counts against a token: if the PIN of some was right, only against them.
const fn is_blamed(candidate: &Candidate, pin_matching: bool) -> bool {
    !pin_matching || matches!(candidate.place, Place::PinMatching)
}

impl Candidate {
    /// Moves the token past its OTP, if that was right.
    fn advance(&mut self) -> Option<()> {
        let Place::Valid { proof, .. } = &self.place else { return None };
        self.token.token_type.rules().advance(Arc::make_mut(&mut self.usage), proof.clone());
        Some(())
    }
}

/// Several tokens have the OTP: it is used up on all of them and the login is refused.
fn several(cx: &mut Context<'_>, candidates: &mut [Candidate]) -> Verdict {
    note_tokens(cx, candidates, |candidate| matches!(candidate.place, Place::Valid { .. }));
    detail(cx, "Multiple valid tokens found!");
    for candidate in candidates {
        if candidate.advance().is_some() {
            candidate.limits.count_attempt(Arc::make_mut(&mut candidate.usage));
        }
        if let Place::Valid { answered: Some(answered), .. } = &candidate.place {
            challenge::close(cx, answered);
        }
    }
    Verdict::default()
}

/// The longest list of serials and of types in an audit row, in characters (reference http-api 21).
const AUDIT_SERIALS_MAX: usize = 29;
const AUDIT_TYPES_MAX: usize = 39;

/// Puts those of the tokens that are concerned into the audit row.
fn note_tokens(cx: &mut Context<'_>, candidates: &[Candidate], is_concerned: impl Fn(&Candidate) -> bool) {
    let mut serials: Vec<&str> = Vec::new();
    let mut types: Vec<&str> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| is_concerned(candidate)) {
        serials.push(candidate.serial.as_str());
        let name = candidate.token.token_type.stored_name();
        if !types.contains(&name) {
            types.push(name);
        }
    }
    if let [serial] = *serials {
        cx.audit.serial = serial.into();
    } else {
        cx.audit.serial = serials.join(" ").chars().take(AUDIT_SERIALS_MAX).collect::<String>().into();
    }
    cx.audit.token_type = types.join(" ").chars().take(AUDIT_TYPES_MAX).collect::<String>().into();
}

/// Adds a reason to the audit row's `action_detail`, behind what looking up the user left there.
pub(in crate::decide) fn detail(cx: &mut Context<'_>, text: &str) {
    let before = &cx.audit.action_detail;
    cx.audit.action_detail = if before.is_empty() { text.into() } else { format!("{before}{text}").into() };
}
