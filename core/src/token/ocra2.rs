//! `ocra2`: challenge-response with OCRA, RFC 6287 (reference tokens 10).

mod question;
mod rollout;

pub(crate) use rollout::{SHARED_SECRET, shared_secret_place};

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::hmac::typed_seed;
use super::{
    Answering, Attempt, Draft, Memory, Modes, OtpPair, Posed, Proof, Spent, TokenFault, TokenRules, Trigger,
    Verification, device_pin, seed_text,
};
use crate::algo::hotp::WINDOW_MAX;
use crate::algo::ocra::{Input, Suite, is_code, sign};
use crate::decide::Context;
use crate::decide::callback::{self, CallbackWish};
use crate::decide::enroll::Init;
use crate::decide::validate::Attribute;
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::authentication::QRTANURL;
use crate::record::{AutoResync, InfoValue, TokenV1, UsageV1};
use crate::seed;
use crate::settings::Settings;
use crate::token_info::{self, InfoFault};
use crate::user::Serial;

/// The type.
pub(super) struct Ocra2;

/// LinOTP's key of the suite.
const SUITE: &str = "ocrasuite";
/// Bytes of a generated seed.
const SEED_BYTES: usize = 20;
/// Digits of a value that is not truncated.
const DIGITS_WHOLE: u32 = 10;

/// What is stored with a challenge.
#[derive(Deserialize)]
struct Question {
    challenge: String,
    #[serde(default)]
    session: String,
}

impl TokenRules for Ocra2 {
    fn name(&self) -> &'static str {
        "ocra2"
    }

    fn stored_name(&self) -> &'static str {
        "ocra2"
    }

    fn serial_prefix(&self) -> &'static str {
        "LSO2"
    }

    fn modes(&self) -> Modes {
        Modes::Challenge
    }

    fn find_serial(&self, cx: &mut Context<'_>, request: &Init) -> Result<Option<Serial>, Stop> {
        match &request.ocra.activation_code {
            Some(_) => rollout::find(cx, request).map(Some),
            None => Ok(None),
        }
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let suite = wanted_suite(request, &draft.token, &cx.view.configuration().settings)?;
        draft.token.digits = if suite.digits == 0 { DIGITS_WHOLE } else { suite.digits };
        draft.token.info.insert(SUITE.into(), InfoValue::Text(suite.text().into()));
        if let Some(pin) = &request.device_pin {
            draft.device_pin = Some(pin.clone());
        }
        if let Some(code) = &request.ocra.activation_code {
            return rollout::activate(cx, request, draft, &suite, code);
        }
        if request.ocra.shared_secret {
            return rollout::begin(cx, request, draft, &suite);
        }
        if request.seed.given.is_some() && request.seed.generate {
            return Err(Refusal::SeedGivenAndGenerated.into());
        }
        let seed = match &request.seed.given {
            Some(typed) => typed_seed(typed)?,
            None if request.seed.generate => seed::generate(&mut cx.random, SEED_BYTES),
            None => return Err(Refusal::MissingParameter("otpkey").into()),
        };
        // An odd number of digits would make a token that can never be used.
        seed::key_bytes(seed.expose().as_bytes()).map_err(|problem| Refusal::Other(problem.to_string()))?;
        rollout::forget(&mut draft.token.info);
        draft.set_shown_seed(seed);
        Ok(())
    }

    fn answering(&self) -> Answering {
        Answering::WheneverOpen
    }

    fn is_challenged_without_pin(&self) -> bool {
        true
    }

    fn binds_transactions(&self) -> bool {
        true
    }

    fn has_device_pin(&self) -> bool {
        true
    }

    fn may_answer(&self, settings: &Settings, wrong_answers: u32) -> bool {
        wrong_answers <= settings.number("Ocra2MaxChallengeRequests", 3)
    }

    /// Only where counter or time forbid that challenge and answer are sent a second time.
    fn posed_by_client(&self, token: &TokenV1, options: &BTreeMap<String, String>) -> Option<String> {
        let suite = stored_suite(token).ok()?;
        if !suite.counter && suite.step_seconds.is_none() {
            return None;
        }
        let session = options.get("ocra_session").map_or("", String::as_str);
        let challenge = options.get("challenge")?;
        Some(serde_json::json!({ "challenge": challenge, "session": session }).to_string())
    }

    fn pose(&self, cx: &mut Context<'_>, trigger: &Trigger<'_>) -> Result<Posed, Stop> {
        let suite = stored_suite(trigger.token).map_err(|fault| Refusal::Other(fault.to_string()))?;
        let option =
            |name: &str| trigger.options.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let input =
            option("challenge").or_else(|| option("message")).or_else(|| option("data")).unwrap_or_default();
        let session = option("ocra_session").unwrap_or_default();
        if suite.session.is_some_and(|length| session.len() > length) {
            return Err(question::invalid("ocra_session", "longer than the suite allows").into());
        }
        let challenge = question::make(&mut cx.random, &suite, option("challenge_type"), input)?;
        let key = open_key(cx, trigger.serial, trigger.token)?;
        let transaction = trigger.transaction_id.as_str();
        let wish = CallbackWish::of(trigger.options);
        let callback = callback::url(cx, &QRTANURL, &wish, (trigger.serial, trigger.token), transaction)?
            .unwrap_or_default();
        let mut parameters = vec![("tr", transaction), ("ch", challenge.as_str()), ("me", input)];
        if !callback.is_empty() {
            parameters.push(("u", callback.as_str()));
        }
        let url = signed(&suite, &key, &form_url("req", &parameters));
        Ok(Posed {
            data: stored_question(trigger.serial, (&challenge, &callback), input, session),
            attributes: vec![
                ("request", Attribute::Text(input.to_owned())),
                ("url", Attribute::Text(callback)),
                ("challenge", Attribute::Text(challenge)),
                ("ocraurl", Attribute::Code(url.clone())),
            ],
            message: url,
        })
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        if rollout::is_unfinished(&attempt.token.info) {
            return Ok(Verification::Refused(Memory::Keep));
        }
        let Some(answered) = attempt.challenge else { return Ok(Verification::Refused(Memory::Keep)) };
        let device = Device::of(attempt)?;
        let question = parse_question(answered.data)?;
        let search = device.window(attempt, answered.by_transaction)?;
        if let Some(place) = device.find(&question, attempt.otp, &search) {
            let lowest = attempt.usage.next_counter;
            let too_old = device.suite.counter && place.saturating_add(device.retry) < lowest;
            return Ok(if too_old {
                Verification::Refused(Memory::Keep)
            } else {
                device.accept(attempt, place)
            });
        }
        if !attempt.settings.resyncs_automatically() {
            return Ok(Verification::Refused(Memory::Keep));
        }
        Ok(device.auto_resync(attempt, &question))
    }

    fn give_up(&self, token: &TokenV1, usage: &mut UsageV1, spent: Spent<'_>) -> Result<(), TokenFault> {
        let suite = stored_suite(token)?;
        if suite.counter {
            usage.next_counter = usage.next_counter.saturating_add(spent.counters);
        } else if suite.step_seconds.is_some() {
            let now = spent.now.seconds().saturating_add_signed(usage.time_shift);
            usage.next_counter = usage.next_counter.max(now.saturating_add(1));
        }
        usage.auto_resync = None;
        Ok(())
    }

    /// Needs two answers and the challenges they belong to.
    fn resync(&self, attempt: &Attempt<'_>, pair: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        let Some((first, second)) = pair.challenges else { return Ok(None) };
        let device = Device::of(attempt)?;
        let (first_question, second_question) = (parse_question(first)?, parse_question(second)?);
        let search = device.sync_window(attempt);
        let Some(first) = device.find(&first_question, pair.first, &search) else { return Ok(None) };
        let Some(second) = device.find(&second_question, pair.second, &search) else { return Ok(None) };
        let apart = second.checked_sub(first);
        let in_step = match device.suite.step_seconds {
            _ if device.suite.counter => apart == Some(1) && first >= attempt.usage.next_counter,
            Some(step) => apart.is_some_and(|apart| apart <= step.saturating_mul(2)),
            None => false,
        };
        Ok(in_step.then(|| Proof { time_shift: device.shift_to(attempt, second), ..Proof::at(second) }))
    }

    fn resync_answers_challenges(&self) -> bool {
        true
    }

    fn accepted(&self, token: &TokenV1) -> Option<TokenV1> {
        rollout::finish(token)
    }

    fn refused(&self, token: &TokenV1, settings: &Settings, wrong_answers: u32) -> Option<TokenV1> {
        rollout::fall_back(token, settings, wrong_answers)
    }
}

/// The suite a token is enrolled with; the one it has already wins.
fn wanted_suite(request: &Init, token: &TokenV1, settings: &Settings) -> Result<Suite, Refusal> {
    let by_app = request.ocra.shared_secret || request.ocra.activation_code.is_some();
    let default = if by_app {
        settings.text("QrOcraDefaultSuite").unwrap_or("OCRA-1:HOTP-SHA256-6:C-QA64")
    } else {
        settings.text("OcraDefaultSuite").unwrap_or("OCRA-1:HOTP-SHA256-8:C-QN08")
    };
    let wanted = request.ocra.suite.as_deref().filter(|suite| !suite.is_empty());
    let text = token_info::text(&token.info, SUITE).or(wanted).unwrap_or(default);
    Suite::parse(text).map_err(|problem| question::invalid(SUITE, &problem.to_string()))
}

fn stored_suite(token: &TokenV1) -> Result<Suite, TokenFault> {
    let fault = InfoFault { key: SUITE, expected: "an OCRA suite" };
    let text = token_info::text(&token.info, SUITE).ok_or(fault)?;
    Suite::parse(text).map_err(|_| fault.into())
}

fn stored_question(
    serial: &Serial,
    (challenge, callback): (&str, &str),
    input: &str,
    session: &str,
) -> String {
    let mut data = serde_json::json!({
        "challenge": challenge, "serial": serial.as_str(), "input": input, "url": callback,
    });
    if let Some(members) = data.as_object_mut().filter(|_| !session.is_empty()) {
        members.insert("session".to_owned(), session.into());
    }
    data.to_string()
}

fn parse_question(data: &str) -> Result<Question, TokenFault> {
    serde_json::from_str(data).map_err(|_| TokenFault::Unusable("the stored challenge is damaged"))
}

/// The token's key; an administrator's request is refused if it cannot be used.
fn open_key(cx: &Context<'_>, serial: &Serial, token: &TokenV1) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let refuse = |problem: String| Stop::from(Refusal::Other(problem));
    let text = seed_text(cx.facts.keyring, serial, token).map_err(|fault| match fault {
        TokenFault::Seal(error) => error.into(),
        TokenFault::NoSeed
        | TokenFault::Seed(_)
        | TokenFault::Digits(_)
        | TokenFault::Length(_)
        | TokenFault::Info(_)
        | TokenFault::Unusable(_) => refuse(fault.to_string()),
    })?;
    seed::key_bytes(&text).map_err(|problem| refuse(problem.to_string()))
}

/// A URL of the app: parameters are encoded as in a form.
fn form_url(action: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", crate::algo::otpauth::form_encoded(value)))
        .collect();
    format!("lseqr://{action}?{}", pairs.join("&"))
}

/// A URL with the signature by which the app knows that the server made it.
fn signed(suite: &Suite, key: &[u8], url: &str) -> String {
    format!("{url}&si={}", signature(suite, key, url))
}

fn signature(suite: &Suite, key: &[u8], url: &str) -> String {
    HEXLOWER.encode(&sign(suite, key, url))
}

/// What is searched for an answer.
struct Search {
    /// Counters, of suites with one; otherwise one place.
    counters: std::ops::Range<u64>,
    /// Seconds, of suites with a time step; otherwise one place.
    seconds: std::ops::Range<u64>,
}

/// A token's device as the server imagines it.
struct Device {
    suite: Suite,
    key: Zeroizing<Vec<u8>>,
    pin: Zeroizing<Vec<u8>>,
    /// `max_check_challenge_retry`: how far below the counter an answer may lie.
    retry: u64,
}

impl Device {
    fn of(attempt: &Attempt<'_>) -> Result<Self, TokenFault> {
        let text = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
        let retry = token_info::limit(&attempt.token.info, "max_check_challenge_retry")?
            .unwrap_or_else(|| attempt.settings.number("ocra2.max_check_challenge_retry", 0).into());
        Ok(Self {
            suite: stored_suite(attempt.token)?,
            key: seed::key_bytes(&text)?,
            pin: device_pin(attempt.keyring, attempt.serial, attempt.token)?,
            retry,
        })
    }

    /// Where a login looks (reference tokens 10.4). An answer that names its challenge cannot be a replay of another one,
    /// hence may come from further back.
    fn window(&self, attempt: &Attempt<'_>, by_transaction: bool) -> Result<Search, TokenFault> {
        let next = attempt.usage.next_counter;
        if self.suite.counter {
            let window = u64::from(attempt.token.count_window);
            let back = if by_transaction { window / 2 } else { 0 };
            let from = next.saturating_sub(back);
            return Ok(Search { counters: from..next.saturating_add(window), seconds: self.now(attempt) });
        }
        let Some(step) = self.suite.step_seconds else {
            return Ok(Search { counters: next..next.saturating_add(1), seconds: 0..1 });
        };
        let seconds = match token_info::limit(&attempt.token.info, "timeWindow")? {
            Some(seconds) => seconds,
            None => attempt.settings.number("ocra.timeWindow", 180).into(),
        };
        let reach = (seconds / step).saturating_mul(step);
        let mut range = self.around(attempt, reach);
        if !by_transaction {
            range.start = range.start.max(next);
        }
        Ok(Search { counters: 0..1, seconds: range })
    }

    /// Where a resynchronisation looks.
    fn sync_window(&self, attempt: &Attempt<'_>) -> Search {
        let sync = u64::from(attempt.token.sync_window);
        let next = attempt.usage.next_counter;
        match self.suite.step_seconds {
            Some(step) if !self.suite.counter => {
                Search { counters: 0..1, seconds: self.around(attempt, (sync / 10).saturating_mul(step)) }
            }
            _ => Search { counters: next..next.saturating_add(sync), seconds: self.now(attempt) },
        }
    }

    /// The device's presumed second, for suites that have both counter and time.
    fn now(&self, attempt: &Attempt<'_>) -> std::ops::Range<u64> {
        let now = attempt.now.seconds().saturating_add_signed(attempt.usage.time_shift);
        now..now.saturating_add(1)
    }

    fn around(&self, attempt: &Attempt<'_>, reach: u64) -> std::ops::Range<u64> {
        let now = self.now(attempt).start;
        now.saturating_sub(reach)..now.saturating_add(reach)
    }

    /// The first counter, or the first second of a time step, with this answer.
    fn find(&self, question: &Question, otp: &str, search: &Search) -> Option<u64> {
        let length = self.suite.step_seconds.unwrap_or(1).max(1);
        let last = search.seconds.end.saturating_sub(1);
        let first = search.seconds.start;
        if last < first {
            return None;
        }
        let steps = first / length..(last / length).saturating_add(1);
        let counters =
            search.counters.start..search.counters.end.min(search.counters.start.saturating_add(WINDOW_MAX));
        for counter in counters {
            for step in steps.clone().take(usize::try_from(WINDOW_MAX).unwrap_or(usize::MAX)) {
                let input = Input {
                    counter,
                    question: &question.challenge,
                    pin: &self.pin,
                    session: &question.session,
                    step,
                };
                if is_code(&self.suite, &self.key, &input, otp) {
                    let by_time = !self.suite.counter && self.suite.step_seconds.is_some();
                    return Some(if by_time { step.saturating_mul(length).max(first) } else { counter });
                }
            }
        }
        None
    }

    fn accept(&self, attempt: &Attempt<'_>, place: u64) -> Verification {
        let uncounted = !self.suite.counter && self.suite.step_seconds.is_none();
        Verification::Accepted(Proof::at(if uncounted { attempt.usage.next_counter } else { place }))
    }

    /// An answer behind the window is remembered, and accepted the next time if it follows closely.
    fn auto_resync(&self, attempt: &Attempt<'_>, question: &Question) -> Verification {
        let by_time = !self.suite.counter && self.suite.step_seconds.is_some();
        if !self.suite.counter && !by_time {
            return Verification::Refused(Memory::Keep);
        }
        let Some(place) = self.find(question, attempt.otp, &self.sync_window(attempt)) else {
            return Verification::Refused(Memory::Keep);
        };
        let closest = if by_time { self.suite.step_seconds.unwrap_or(1).saturating_mul(2) } else { 2 };
        let follows = attempt
            .usage
            .auto_resync
            .and_then(|seen| place.checked_sub(seen.counter))
            .is_some_and(|apart| (u64::from(!by_time)..closest).contains(&apart));
        if !follows || place < attempt.usage.next_counter {
            return Verification::Refused(Memory::Remember(AutoResync { counter: place, due_at: None }));
        }
        Verification::Accepted(Proof {
            memory: Memory::Forget,
            time_shift: self.shift_to(attempt, place),
            ..Proof::at(place)
        })
    }

    /// The drift of the device's clock if it shows this second now; none for suites without time.
    fn shift_to(&self, attempt: &Attempt<'_>, place: u64) -> Option<i64> {
        if self.suite.counter || self.suite.step_seconds.is_none() {
            return None;
        }
        i64::try_from(i128::from(place) - i128::from(attempt.now.seconds())).ok()
    }
}
