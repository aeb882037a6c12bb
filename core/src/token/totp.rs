//! `totp`: time-based OTP, RFC 6238 (reference tokens 8.2).

use super::hmac::{hotp_of, known_hash, oath_uri, seed_bytes, set_oath, typed_seed};
use super::{
    Attempt, Draft, Memory, Modes, OTP_PROMPT, OtpPair, Proof, Spent, TokenFault, TokenRules, UriNames,
    Verification,
};
use crate::algo::hotp::Hotp;
use crate::algo::otpauth::Moving;
use crate::algo::totp::{around, shift_of, step_at};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::record::{AutoResync, InfoValue, TokenV1, UsageV1};
use crate::secret::SecretText;
use crate::seed;
use crate::settings::Settings;
use crate::token_info::{self, InfoFault};

/// The type.
pub(super) struct Totp;

/// How far apart, in steps, the two OTPs of an automatic resynchronisation may be.
const AUTO_RESYNC_STEPS_MAX: u64 = 3;

impl TokenRules for Totp {
    fn name(&self) -> &'static str {
        "totp"
    }

    fn stored_name(&self) -> &'static str {
        "TOTP"
    }

    fn serial_prefix(&self) -> &'static str {
        "TOTP"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let configuration = cx.view.configuration();
        let settings = &configuration.settings;
        let fallback = settings.totp_hash();
        let hash_name = request.hashlib.as_deref().unwrap_or(fallback);
        // Unlike for `hmac`, a seed that is to be generated wins over one that was sent.
        let seed = match &request.seed.given {
            _ if request.seed.generate => seed::generate(&mut cx.random, generated_bytes(hash_name)?),
            Some(typed) => typed_seed(typed)?,
            None => return Err(Refusal::MissingParameter("otpkey").into()),
        };
        set_oath(request, draft, settings, hash_name);
        let step = request.time_step.unwrap_or_else(|| default_step(settings));
        let window = request.time_window.unwrap_or_else(|| settings.totp_time_window_seconds().into());
        let info = &mut draft.token.info;
        info.insert("timeStep".into(), integer("timeStep", step)?);
        info.insert("timeWindow".into(), integer("timeWindow", window)?);
        draft.usage.time_shift = request.time_shift.unwrap_or_else(|| settings.totp_time_shift_seconds());
        draft.set_shown_seed(seed);
        Ok(())
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let hotp = hotp_of(attempt, attempt.settings.totp_hash())?;
        let clock = Clock::of(attempt)?;
        let window = attempt.token.count_window.into();
        Ok(match hotp.find(attempt.otp, around(clock.current, window, window)) {
            Some(step) if step < attempt.usage.next_counter => Verification::Refused(Memory::Keep),
            Some(step) => clock.accept(step, Memory::Keep),
            None if attempt.settings.resyncs_automatically() => auto_resync(attempt, &hotp, &clock),
            None => Verification::Refused(Memory::Keep),
        })
    }

    fn resync(&self, attempt: &Attempt<'_>, pair: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        let hotp = hotp_of(attempt, attempt.settings.totp_hash())?;
        let clock = Clock::of(attempt)?;
        let sync = attempt.token.sync_window.into();
        let second = hotp.find(pair.second, around(clock.current, sync, sync));
        let first =
            clock.current.checked_sub(1).and_then(|before| hotp.find(pair.first, around(before, sync, sync)));
        let consecutive = |first: &u64, second: u64| {
            *first >= attempt.usage.next_counter && first.checked_add(1) == Some(second)
        };
        let found = second.filter(|second| first.is_some_and(|first| consecutive(&first, *second)));
        Ok(found.and_then(|step| {
            let shift = clock.shift_to_middle_of(step)?;
            Some(Proof { time_shift: Some(shift), ..Proof::at(step) })
        }))
    }

    fn give_up(&self, token: &TokenV1, usage: &mut UsageV1, spent: Spent<'_>) -> Result<(), TokenFault> {
        let step = stored_step(token)?.unwrap_or_else(|| default_step(spent.settings));
        let current = step_at(spent.now.seconds(), usage.time_shift, step).ok_or(BAD_STEP)?;
        usage.next_counter = usage.next_counter.max(current.saturating_add(1));
        usage.auto_resync = None;
        Ok(())
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }

    fn prompt(&self) -> &'static str {
        OTP_PROMPT
    }

    fn change_time_step(
        &self,
        token: &mut TokenV1,
        usage: &mut UsageV1,
        seconds: u64,
    ) -> Result<(), Refusal> {
        if !matches!(seconds, 30 | 60) {
            return Err(bad_step(seconds));
        }
        let old = stored_step(token).map_err(|fault| Refusal::Other(fault.to_string()))?.unwrap_or(30);
        let rescaled = u128::from(usage.next_counter) * u128::from(old) / u128::from(seconds);
        usage.next_counter = u64::try_from(rescaled).unwrap_or(u64::MAX);
        // Counted in steps of the old length.
        usage.auto_resync = None;
        token.info.insert("timeStep".into(), integer("timeStep", seconds)?);
        Ok(())
    }

    fn otpauth_uri(
        &self,
        token: &TokenV1,
        seed: &SecretText,
        names: UriNames<'_>,
    ) -> Result<Option<SecretText>, Refusal> {
        let step = stored_step(token).map_err(|fault| Refusal::Other(fault.to_string()))?.unwrap_or(30);
        if !matches!(step, 30 | 60) {
            return Err(bad_step(step));
        }
        oath_uri(token, seed, names, Moving::Period(step)).map(Some)
    }
}

/// The time as the token sees it.
struct Clock {
    /// Cluster time in seconds, unshifted.
    now: u64,
    /// Length of a step in seconds, at least 1.
    step: u64,
    /// The step the device is presumed to be in.
    current: u64,
}

impl Clock {
    fn of(attempt: &Attempt<'_>) -> Result<Self, TokenFault> {
        let step = stored_step(attempt.token)?.unwrap_or_else(|| default_step(attempt.settings));
        let now = attempt.now.seconds();
        let current = step_at(now, attempt.usage.time_shift, step).ok_or(BAD_STEP)?;
        Ok(Self { now, step, current })
    }

    /// A match at a step: from now on the device is presumed to be in it.
    fn accept(&self, step: u64, memory: Memory) -> Verification {
        match shift_of(step, self.now, self.step) {
            Some(shift) => {
                Verification::Accepted(Proof { time_shift: Some(shift), memory, ..Proof::at(step) })
            }
            None => Verification::Refused(Memory::Keep),
        }
    }

    /// The shift that puts the device into the middle of a step now.
    fn shift_to_middle_of(&self, step: u64) -> Option<i64> {
        let length = i128::from(self.step);
        let middle = i128::from(step).checked_mul(length)?.checked_add(length / 2)?;
        i64::try_from(middle.checked_sub(i128::from(self.now))?).ok()
    }
}

/// An OTP outside of the window: accepted if another one was seen shortly before it, however long ago.
fn auto_resync(attempt: &Attempt<'_>, hotp: &Hotp, clock: &Clock) -> Verification {
    // The search is centred on the end of the window that was searched before.
    let centre = clock.current.saturating_add(attempt.token.count_window.into());
    let sync = attempt.token.sync_window.into();
    let Some(step) = hotp.find(attempt.otp, around(centre, sync, sync)) else {
        return Verification::Refused(Memory::Keep);
    };
    if step < attempt.usage.next_counter {
        return Verification::Refused(Memory::Keep);
    }
    let seen = Memory::Remember(AutoResync { counter: step, due_at: None });
    match attempt.usage.auto_resync.map(|first| step.checked_sub(first.counter)) {
        None => Verification::Refused(seen),
        Some(None | Some(0)) => Verification::Refused(Memory::Keep),
        Some(Some(distance)) if distance > AUTO_RESYNC_STEPS_MAX => Verification::Refused(seen),
        Some(Some(_)) => clock.accept(step, Memory::Forget),
    }
}

const BAD_STEP: InfoFault = InfoFault { key: "timeStep", expected: "a number of seconds" };

fn bad_step(seconds: u64) -> Refusal {
    Refusal::InvalidParameter {
        name: "timeStep".to_owned(),
        problem: format!("{seconds} is neither 30 nor 60"),
    }
}

/// The token's own time step in seconds, at least 1.
fn stored_step(token: &TokenV1) -> Result<Option<u64>, InfoFault> {
    match token_info::integer(&token.info, "timeStep")? {
        None => Ok(None),
        Some(step) => u64::try_from(step).ok().filter(|step| *step > 0).map(Some).ok_or(BAD_STEP),
    }
}

fn default_step(settings: &Settings) -> u64 {
    settings.totp_time_step_seconds().max(1).into()
}

fn generated_bytes(hash_name: &str) -> Result<usize, Refusal> {
    known_hash(hash_name).map(seed_bytes).ok_or_else(|| Refusal::InvalidParameter {
        name: "hashlib".to_owned(),
        problem: format!("no seed can be generated for '{hash_name}', expected sha1, sha256 or sha512"),
    })
}

fn integer(name: &'static str, number: u64) -> Result<InfoValue, Refusal> {
    i64::try_from(number).map(InfoValue::Integer).map_err(|_| Refusal::InvalidParameter {
        name: name.to_owned(),
        problem: format!("{number} is too large"),
    })
}
