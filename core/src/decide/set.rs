//! `admin/set`: changes single properties of tokens (reference http-api 10.6, tokens 12.2).

use super::enrollment::{Place, StoredAs, random_pin, stored_pin};
use super::lifecycle::change_token;
use super::rights::require_selection;
use super::selection::Selection;
use super::{Context, Request};
use crate::calendar::parse_validity;
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::{Action, admin};
use crate::record::{InfoValue, TokenV1, UsageV1};
use crate::secret::SecretText;
use crate::user::Serial;

/// Longest description (reference tokens 1.1); longer ones are cut.
const DESCRIPTION_MAX: usize = 80;

/// Widest look-ahead and resynchronisation window. The original knows no limit; every step of a window costs an HMAC per
/// wrong OTP.
const WINDOW_MAX: u32 = 100_000;

/// Longest OTP.
const DIGITS_MAX: u32 = 64;

/// Changes properties of the selected tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The tokens.
    pub selection: Selection,
    /// The properties; they are processed in the order of [`Change`].
    pub changes: Vec<Change>,
}

/// A property with its new value, in the order of processing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `pin`: the OTP PIN.
    Pin(SecretText),
    /// `MaxFailCount`.
    MaxFailCount(u32),
    /// `SyncWindow`.
    SyncWindow(u32),
    /// `description`.
    Description(String),
    /// `CounterWindow`.
    CounterWindow(u32),
    /// `OtpLen`.
    OtpLen(u32),
    /// `hashlib`: `sha1`, `sha256` or `sha512`.
    Hashlib(String),
    /// `timeWindow` in seconds.
    TimeWindow(u32),
    /// `timeStep` in seconds; needs an exact serial.
    TimeStep(u32),
    /// `timeShift` in seconds.
    TimeShift(i64),
    /// `countAuth`.
    CountAuth(u32),
    /// `countAuthMax`.
    CountAuthMax(u32),
    /// `countAuthSuccess`.
    CountAuthSuccess(u32),
    /// `countAuthSuccessMax`.
    CountAuthSuccessMax(u32),
    /// `validityPeriodStart`, `DD/MM/YY HH:MM`.
    ValidityPeriodStart(String),
    /// `validityPeriodEnd`, `DD/MM/YY HH:MM`.
    ValidityPeriodEnd(String),
    /// `phone`.
    Phone(String),
}

/// Parameters of `admin/set` in the order of processing.
const NAMES: [&str; 17] = [
    "pin",
    "MaxFailCount",
    "SyncWindow",
    "description",
    "CounterWindow",
    "OtpLen",
    "hashlib",
    "timeWindow",
    "timeStep",
    "timeShift",
    "countAuth",
    "countAuthMax",
    "countAuthSuccess",
    "countAuthSuccessMax",
    "validityPeriodStart",
    "validityPeriodEnd",
    "phone",
];

impl Change {
    /// Reads one parameter of a request, its name in any case; `None` if it is none of these.
    ///
    /// # Errors
    /// When the value cannot be converted.
    pub fn parse(name: &str, value: &str) -> Result<Option<Self>, Refusal> {
        let Some(name) = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)) else { return Ok(None) };
        let number = || int(name, value, u32::MAX);
        Ok(Some(match *name {
            "pin" => Self::Pin(SecretText::from(value)),
            "MaxFailCount" => Self::MaxFailCount(number()?),
            "SyncWindow" => Self::SyncWindow(int(name, value, WINDOW_MAX)?),
            "description" => Self::Description(value.chars().take(DESCRIPTION_MAX).collect()),
            "CounterWindow" => Self::CounterWindow(int(name, value, WINDOW_MAX)?),
            "OtpLen" => Self::OtpLen(int(name, value, DIGITS_MAX)?),
            "hashlib" => Self::Hashlib(hash_name(name, value)?),
            "timeWindow" => Self::TimeWindow(number()?),
            "timeStep" => Self::TimeStep(number()?),
            "timeShift" => Self::TimeShift(
                value
                    .trim()
                    .parse()
                    .map_err(|_| failed(name, &format!("'{value}' is not a whole number")))?,
            ),
            "countAuth" => Self::CountAuth(number()?),
            "countAuthMax" => Self::CountAuthMax(number()?),
            "countAuthSuccess" => Self::CountAuthSuccess(number()?),
            "countAuthSuccessMax" => Self::CountAuthSuccessMax(number()?),
            "validityPeriodStart" => Self::ValidityPeriodStart(date(name, value)?),
            "validityPeriodEnd" => Self::ValidityPeriodEnd(date(name, value)?),
            _ => Self::Phone(value.to_owned()),
        }))
    }

    /// The parameter's name as the reply spells it (after `set `).
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAMES.get(self.position()).copied().unwrap_or_default()
    }

    const fn position(&self) -> usize {
        match self {
            Self::Pin(_) => 0,
            Self::MaxFailCount(_) => 1,
            Self::SyncWindow(_) => 2,
            Self::Description(_) => 3,
            Self::CounterWindow(_) => 4,
            Self::OtpLen(_) => 5,
            Self::Hashlib(_) => 6,
            Self::TimeWindow(_) => 7,
            Self::TimeStep(_) => 8,
            Self::TimeShift(_) => 9,
            Self::CountAuth(_) => 10,
            Self::CountAuthMax(_) => 11,
            Self::CountAuthSuccess(_) => 12,
            Self::CountAuthSuccessMax(_) => 13,
            Self::ValidityPeriodStart(_) => 14,
            Self::ValidityPeriodEnd(_) => 15,
            Self::Phone(_) => 16,
        }
    }
}

/// The refusal of a value, with quotes and markup replaced as clients of the original know it (http-api 10.6).
fn failed(name: &str, problem: &str) -> Refusal {
    let text: String = format!("setting {name} failed: {problem}")
        .chars()
        .map(|c| match c {
            '"' => '|',
            '\'' => ':',
            '&' => '+',
            '<' => '[',
            '>' => ']',
            other => other,
        })
        .collect();
    Refusal::Other(format!("[set] {text}"))
}

fn int(name: &str, value: &str, most: u32) -> Result<u32, Refusal> {
    match value.trim().parse::<u32>() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(failed(name, &format!("'{value}' is not a whole number from 0 to {most}"))),
    }
}

fn hash_name(name: &str, value: &str) -> Result<String, Refusal> {
    let hash = value.trim().to_ascii_lowercase();
    match hash.as_str() {
        "sha1" | "sha256" | "sha512" => Ok(hash),
        _ => Err(failed(name, &format!("'{value}' is not one of sha1, sha256, sha512"))),
    }
}

/// Checks a date of the form `DD/MM/YY HH:MM`.
fn date(name: &str, value: &str) -> Result<String, Refusal> {
    let text = value.trim();
    match parse_validity(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(failed(name, &format!("'{value}' is not a date of the form DD/MM/YY HH:MM"))),
    }
}

impl Request for Set {
    /// The properties in the order of processing, each with the number of tokens changed; the reply has `set <name>`.
    type Reply = Vec<(&'static str, u32)>;
    /// A wild card lists tokens.
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<(&'static str, u32)>, Stop> {
        if self.changes.is_empty() {
            return Err(Refusal::Usage(USAGE).into());
        }
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by_key(|change| change.position());
        let selected = self.selection.resolve(cx)?;
        for action in self.rights() {
            require_selection(cx, action, &self.selection, &selected)?;
        }
        let serials = selected.serials;
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            if let Change::TimeStep(seconds) = change {
                done.push((change.name(), self.set_time_step(cx, *seconds)?));
                continue;
            }
            for serial in &serials {
                apply(cx, serial, change)?;
            }
            done.push((change.name(), u32::try_from(serials.len()).unwrap_or(u32::MAX)));
        }
        let names: Vec<&str> = done.iter().map(|(name, _)| *name).collect();
        cx.audit.action_detail = format!("{}{}", cx.audit.action_detail, names.join(", ")).into();
        cx.audit.success = done.iter().any(|(_, tokens)| *tokens > 0);
        Ok(done)
    }
}

const USAGE: &str = "pin, MaxFailCount, SyncWindow, description, CounterWindow, OtpLen, hashlib, timeWindow, timeStep, \
                     timeShift, countAuth, countAuthMax, countAuthSuccess, countAuthSuccessMax, validityPeriodStart, \
                     validityPeriodEnd, phone";

impl Set {
    /// The rights the changes need; most properties need none (reference policies 6.5).
    fn rights(&self) -> Vec<&'static Action<bool>> {
        let guarded = |change: &Change| {
            matches!(
                change,
                Change::MaxFailCount(_)
                    | Change::SyncWindow(_)
                    | Change::CounterWindow(_)
                    | Change::OtpLen(_)
            )
        };
        let mut rights = Vec::new();
        if self.changes.iter().any(|change| matches!(change, Change::Pin(_))) {
            rights.push(&admin::SET_OTP_PIN);
        }
        if self.changes.iter().any(guarded) {
            rights.push(&admin::SET);
        }
        rights
    }

    /// The counter of a TOTP token counts time steps: it is converted so that no OTP becomes acceptable again.
    fn set_time_step(&self, cx: &mut Context<'_>, seconds: u32) -> Result<u32, Stop> {
        let wanted = self.selection.wanted_serial().unwrap_or_default();
        if wanted.contains('*') {
            return Err(Refusal::AmbiguousSerial(wanted.to_owned()).into());
        }
        let serial = Serial::from(wanted);
        let Some(token) = cx.view.token(&serial) else {
            return Err(Refusal::UnknownSerial(wanted.to_owned()).into());
        };
        let (mut token, mut usage) = (TokenV1::clone(&token), UsageV1::clone(&cx.view.usage(&serial)));
        token
            .token_type
            .rules()
            .change_time_step(&mut token, &mut usage, u64::from(seconds))
            .map_err(|refusal| failed("timeStep", &refusal.to_string()))?;
        cx.view.put_token(&serial, token);
        cx.view.put_usage(&serial, usage);
        Ok(1)
    }
}

/// Applies one property to one token.
fn apply(cx: &mut Context<'_>, serial: &Serial, change: &Change) -> Result<(), Stop> {
    match change {
        Change::Pin(pin) => {
            let Some(token) = cx.view.token(serial) else { return Ok(()) };
            let place = Place::of_token(cx, &token)?;
            let pin = random_pin(cx, &place)?.unwrap_or_else(|| pin.clone());
            let stored_as = StoredAs { reversible: false, realms: &token.realms };
            let pin = stored_pin(cx, &place, serial, &pin, stored_as)?;
            change_token(cx, serial, |token| token.pin = pin);
        }
        Change::TimeShift(seconds) => change_usage(cx, serial, |usage| usage.time_shift = *seconds),
        Change::CountAuth(count) => change_usage(cx, serial, |usage| usage.count_auth = Some(*count)),
        Change::CountAuthSuccess(count) => {
            change_usage(cx, serial, |usage| usage.count_auth_success = Some(*count));
        }
        // Done by the caller: it converts the counter and needs one exact serial.
        Change::TimeStep(_) => {}
        Change::MaxFailCount(_)
        | Change::SyncWindow(_)
        | Change::Description(_)
        | Change::CounterWindow(_)
        | Change::OtpLen(_)
        | Change::Hashlib(_)
        | Change::TimeWindow(_)
        | Change::CountAuthMax(_)
        | Change::CountAuthSuccessMax(_)
        | Change::ValidityPeriodStart(_)
        | Change::ValidityPeriodEnd(_)
        | Change::Phone(_) => change_token(cx, serial, |token| change_definition(token, change)),
    }
    Ok(())
}

fn change_definition(token: &mut TokenV1, change: &Change) {
    let (key, value) = match change {
        Change::MaxFailCount(number) => {
            token.fail_count_max = *number;
            return;
        }
        Change::SyncWindow(number) => {
            token.sync_window = *number;
            return;
        }
        Change::CounterWindow(number) => {
            token.count_window = *number;
            return;
        }
        Change::OtpLen(number) => {
            token.digits = *number;
            return;
        }
        Change::Description(text) => {
            token.description = text.as_str().into();
            return;
        }
        Change::Hashlib(text) => ("hashlib", InfoValue::Text(text.as_str().into())),
        Change::TimeWindow(number) => ("timeWindow", InfoValue::Integer(i64::from(*number))),
        Change::CountAuthMax(number) => ("count_auth_max", InfoValue::Integer(i64::from(*number))),
        Change::CountAuthSuccessMax(number) => {
            ("count_auth_success_max", InfoValue::Integer(i64::from(*number)))
        }
        Change::ValidityPeriodStart(text) => ("validity_period_start", InfoValue::Text(text.as_str().into())),
        Change::ValidityPeriodEnd(text) => ("validity_period_end", InfoValue::Text(text.as_str().into())),
        Change::Phone(text) => ("phone", InfoValue::Text(text.as_str().into())),
        Change::Pin(_)
        | Change::TimeStep(_)
        | Change::TimeShift(_)
        | Change::CountAuth(_)
        | Change::CountAuthSuccess(_) => return,
    };
    token.info.insert(key.into(), value);
}

fn change_usage(cx: &mut Context<'_>, serial: &Serial, change: impl FnOnce(&mut UsageV1)) {
    let stored = cx.view.usage(serial);
    let mut usage = UsageV1::clone(&stored);
    change(&mut usage);
    if usage != *stored {
        cx.view.put_usage(serial, usage);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::add_token;
    use super::*;
    use crate::record::{Pin, TokenType};
    use crate::test_state::TestState;

    fn state() -> TestState {
        let mut state = TestState::with_users();
        add_token(&mut state, "H1", Some(("staff", "u1")), &["corp"]);
        add_token(&mut state, "H2", Some(("staff", "u1")), &["corp"]);
        add_token(&mut state, "T1", None, &[]);
        state.change_token("T1", |token| {
            token.token_type = TokenType::Totp;
            token.info.insert("timeStep".into(), InfoValue::Integer(30));
        });
        state.change_usage("T1", |usage| usage.next_counter = 1001);
        state
    }

    fn set(serial: &str, changes: &[(&str, &str)]) -> Set {
        let changes =
            changes.iter().map(|(name, value)| Change::parse(name, value).unwrap().unwrap()).collect();
        Set { selection: Selection::serial(serial), changes }
    }

    fn text(token: &TokenV1, key: &str) -> Option<InfoValue> {
        token.info.get(key).cloned()
    }

    /// Reference http-api 10.6: names in any case, results in the order of the table there.
    #[test]
    fn every_property_is_set_and_reported_in_order() {
        let mut state = state();
        let request = set(
            "H1",
            &[
                ("PHONE", "123"),
                ("validityperiodend", "31/12/26 23:59"),
                ("validityPeriodStart", "01/01/26 00:00"),
                ("countauthsuccessmax", "4"),
                ("countauthsuccess", "3"),
                ("countauthmax", "2"),
                ("countauth", "1"),
                ("timeshift", "-30"),
                ("timewindow", "300"),
                ("hashlib", "SHA256"),
                ("otplen", "8"),
                ("counterwindow", "20"),
                ("description", "new"),
                ("syncwindow", "500"),
                ("maxfailcount", "5"),
                ("pin", "1234"),
            ],
        );
        let order: Vec<&str> = NAMES.iter().copied().filter(|name| *name != "timeStep").collect();
        let reply = state.run(&request).unwrap();
        assert_eq!(reply, order.iter().map(|name| (*name, 1)).collect::<Vec<_>>());
        let token = state.token("H1");
        assert_eq!(
            (token.fail_count_max, token.sync_window, token.count_window, token.digits),
            (5, 500, 20, 8)
        );
        assert_eq!(&*token.description, "new");
        let Pin::Hashed(hash) = &token.pin else { panic!("no PIN") };
        assert!(state.keyring.verify_pin(hash, "1234").unwrap());
        let texts = [
            ("hashlib", "sha256"),
            ("phone", "123"),
            ("validity_period_start", "01/01/26 00:00"),
            ("validity_period_end", "31/12/26 23:59"),
        ];
        for (key, value) in texts {
            assert_eq!(text(&token, key), Some(InfoValue::Text(value.into())), "{key}");
        }
        for (key, value) in [("timeWindow", 300), ("count_auth_max", 2), ("count_auth_success_max", 4)] {
            assert_eq!(text(&token, key), Some(InfoValue::Integer(value)), "{key}");
        }
        let usage = state.usage("H1");
        assert_eq!((usage.time_shift, usage.count_auth, usage.count_auth_success), (-30, Some(1), Some(3)));
        assert!(state.last_audit().action_detail.starts_with("pin, MaxFailCount, SyncWindow"));
        assert!(!format!("{:?}", state.last_audit()).contains("1234"));
    }

    #[test]
    fn counts_are_those_of_the_selection() {
        let mut state = state();
        assert_eq!(state.run(&set("H*", &[("otplen", "8")])), Ok(vec![("OtpLen", 2)]));
        assert_eq!(state.run(&set("H9", &[("otplen", "8")])), Ok(vec![("OtpLen", 0)]));
        assert!(!state.last_audit().success);
        let of_user = Set {
            selection: Selection { serial: None, user: super::super::user::UserParams::login("alice") },
            changes: vec![Change::OtpLen(6)],
        };
        assert_eq!(state.run(&of_user), Ok(vec![("OtpLen", 2)]));
        assert_eq!(state.run(&set("H1", &[])), Err(Refusal::Usage(USAGE)));
    }

    /// Reference tokens 8.2: `Count = floor(Count * oldStep / newStep)`; 1001 steps of 30 s are 500 whole ones of 60 s.
    #[test]
    fn time_step_needs_one_exact_totp_token() {
        let mut state = state();
        assert_eq!(state.run(&set("T1", &[("timestep", "60")])), Ok(vec![("timeStep", 1)]));
        assert_eq!(state.usage("T1").next_counter, 500);
        let table = [
            ("T*", "60", Refusal::AmbiguousSerial("T*".into())),
            ("T9", "60", Refusal::UnknownSerial("T9".into())),
            ("", "60", Refusal::UnknownSerial("".into())),
        ];
        for (serial, seconds, refusal) in table {
            assert_eq!(state.run(&set(serial, &[("timestep", seconds)])), Err(refusal), "{serial}");
        }
        for (serial, seconds) in [("T1", "45"), ("H1", "60")] {
            let Err(Refusal::Other(message)) =
                state.run(&set(serial, &[("pin", "9"), ("timestep", seconds)]))
            else {
                panic!("{serial} {seconds} was accepted");
            };
            assert!(message.starts_with("[set] setting timeStep failed: "), "{message}");
            // Everything is rolled back.
            assert_eq!(state.token(serial).pin, Pin::Unset);
        }
    }

    /// Reference http-api 10.6: quotes and markup characters are replaced.
    #[test]
    fn values_that_do_not_convert_are_refused() {
        let table = [
            ("otplen", "six"),
            ("OtpLen", "-1"),
            ("OtpLen", "65"),
            ("maxfailcount", ""),
            ("syncwindow", "100001"),
            ("timeshift", "soon"),
            ("hashlib", "md5"),
            ("countauth", "1.5"),
            ("validityperiodend", "2026-12-31"),
            ("validityperiodend", "31/02/26 12:00"),
        ];
        for (name, value) in table {
            let Err(Refusal::Other(message)) = Change::parse(name, value) else { panic!("{name}={value}") };
            assert!(message.starts_with("[set] setting "), "{message}");
        }
        let Err(Refusal::Other(message)) = Change::parse("otplen", "<\"&'>") else { panic!("accepted") };
        assert!(message.contains(":[|+:]:"), "{message}");
        assert_eq!(Change::parse("serial", "H1"), Ok(None));
    }

    #[test]
    fn descriptions_are_cut_at_80_characters() {
        let long = "ä".repeat(81);
        assert_eq!(Change::parse("description", &long), Ok(Some(Change::Description("ä".repeat(80)))));
    }
}
