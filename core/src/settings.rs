//! The system configuration: LinOTP's keys with their types and fall-backs (reference http-api 23, tokens 1.4).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::zone::Zone;
use crate::record::{SettingV1, SettingValue};
use crate::secret::{Keyring, Purpose, SealError, SecretText};
use crate::user::{RealmName, SettingKey};

/// Keys whose values are stored sealed whatever type is given (reference users 1).
const ALWAYS_SECRET: [&str; 2] = ["EmailProviderConfig", "SMSProviderConfig"];

/// Rows of the audit trail older than this many days are removed.
const RETENTION_DAYS: &str = "audit.retention_days";
/// Of the audit trail not more than about this many rows are kept.
const RETENTION_ROWS: &str = "audit.retention_rows";

/// How much of the audit trail is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditRetention {
    /// Age in days after which a row is removed; `None` for never.
    pub days: Option<u64>,
    /// Number of rows kept; `None` for all.
    pub rows: Option<u64>,
}

/// All stored entries, with typed access. A value that does not parse counts as absent, as in the original.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    entries: BTreeMap<SettingKey, Arc<SettingV1>>,
}

/// Whether and how precisely logins are dated (`token.last_access`, reference tokens 6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastAccess<'a> {
    /// Not recorded.
    Off,
    /// Recorded to the second.
    Exact,
    /// Recorded as this strftime format shows it: what the format leaves out is lost.
    Coarse(&'a str),
}

/// The stored spelling of a key: without the `linotp.` prefix (reference http-api 12.3).
#[must_use]
pub fn stored_key(key: &str) -> &str {
    key.strip_prefix("linotp.").unwrap_or(key)
}

/// Whether values under this key are always stored sealed.
#[must_use]
pub fn is_always_secret(key: &str) -> bool {
    ALWAYS_SECRET.contains(&stored_key(key))
}

/// Checks a value against the type of its key (reference http-api 12.3); most keys take any text.
///
/// # Errors
/// What would be right.
pub fn check(key: &str, value: &str) -> Result<(), &'static str> {
    let (good, rule) = match stored_key(key) {
        "user_lookup_cache.expiration"
        | "resolver_lookup_cache.expiration"
        | "autopilot.promote_after"
        | "autopilot.remove_dead_after" => {
            (parse_duration(value).is_some(), "a duration such as '1d 3h', 'P1DT3H' or a number of seconds")
        }
        "client.FORWARDED_PROXY" => (
            value.split(',').all(|item| is_host_or_network(item.trim())),
            "a comma separated list of networks or hosts",
        ),
        "autopilot.voters_min" => {
            (value.trim().parse().is_ok_and(|number: u32| number > 0), "a number of nodes, at least 1")
        }
        RETENTION_DAYS | RETENTION_ROWS => {
            (parse_retention(value).is_some(), "a whole number, or 0 to keep everything")
        }
        "token.last_access" => {
            (parse_switch(value).is_some() || is_date_format(value), "a boolean word or a strftime format")
        }
        "policy_time_zone" => (
            Zone::parse(value).is_some(),
            "a time zone in POSIX notation, such as UTC0 or CET-1CEST,M3.5.0,M10.5.0/3,",
        ),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(rule) }
}

impl Settings {
    /// Adds or replaces an entry.
    pub fn insert(&mut self, key: SettingKey, entry: Arc<SettingV1>) {
        self.entries.insert(key, entry);
    }

    /// All entries by key.
    pub fn iter(&self) -> impl Iterator<Item = (&SettingKey, &Arc<SettingV1>)> {
        self.entries.iter()
    }

    /// An entry, whichever way its key is spelled.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Arc<SettingV1>> {
        self.entries.get(&SettingKey::from(stored_key(key)))
    }

    /// An entry's plain text; `None` if absent or sealed.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.value {
            SettingValue::Plain(text) => Some(text),
            SettingValue::Secret(_) => None,
        }
    }

    /// An entry's text, opened if it is sealed; `None` if absent.
    ///
    /// # Errors
    /// When it is sealed and does not open.
    pub fn opened(&self, key: &str, keyring: &Keyring) -> Result<Option<SecretText>, SealError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match &entry.value {
            SettingValue::Plain(text) => Ok(Some(SecretText::from(&**text))),
            SettingValue::Secret(sealed) => {
                let opened = keyring.open(Purpose::Setting, stored_key(key), sealed)?;
                Ok(Some(SecretText::new(String::from_utf8_lossy(&opened).into_owned())))
            }
        }
    }

    /// A number, or the fall-back.
    #[must_use]
    pub fn number(&self, key: &str, fallback: u32) -> u32 {
        self.text(key).and_then(|text| text.trim().parse().ok()).unwrap_or(fallback)
    }

    /// A switch: `True`, `true`, `1`, `yes`, `on` in any case mean on.
    #[must_use]
    pub fn switch(&self, key: &str, fallback: bool) -> bool {
        self.text(key).map_or(fallback, |text| {
            matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
        })
    }

    /// A duration in seconds, or the fall-back.
    #[must_use]
    pub fn seconds(&self, key: &str, fallback: u64) -> u64 {
        self.text(key).and_then(parse_duration).unwrap_or(fallback)
    }

    /// A switch that only the word `true`, in any case, turns on.
    fn literal_true(&self, key: &str, fallback: bool) -> bool {
        self.text(key).map_or(fallback, |text| text.trim().eq_ignore_ascii_case("true"))
    }
}

/// The keys by area (reference http-api 23.1 to 23.3).
impl Settings {
    /// `DefaultMaxFailCount`: fail counter limit of new tokens.
    #[must_use]
    pub fn default_fail_count_max(&self) -> u32 {
        self.number("DefaultMaxFailCount", 10)
    }

    /// `DefaultCountWindow`: look-ahead of new tokens.
    #[must_use]
    pub fn default_count_window(&self) -> u32 {
        self.number("DefaultCountWindow", 10)
    }

    /// `DefaultSyncWindow`: resynchronisation window of new tokens.
    #[must_use]
    pub fn default_sync_window(&self) -> u32 {
        self.number("DefaultSyncWindow", 1000)
    }

    /// `DefaultOtpLen`: OTP digits of new tokens.
    #[must_use]
    pub fn default_digits(&self) -> u32 {
        self.number("DefaultOtpLen", 6)
    }

    /// `DefaultResetFailCount`: the literal `True` resets the fail counter on manual counter increments (tokens 1.4).
    #[must_use]
    pub fn resets_fail_count(&self) -> bool {
        self.text("DefaultResetFailCount") == Some("True")
    }

    /// Seconds a challenge can be answered: `<Type>ChallengeValidityTime`, spelled as given, in capitals or in lower case
    /// (the last one present wins), else `DefaultChallengeValidityTime`.
    #[must_use]
    pub fn challenge_validity_seconds(&self, token_type: &str) -> u32 {
        let mut seconds = self.number("DefaultChallengeValidityTime", 120);
        for spelling in [token_type.to_owned(), token_type.to_uppercase(), token_type.to_lowercase()] {
            seconds = self.number(&format!("{spelling}ChallengeValidityTime"), seconds);
        }
        seconds
    }

    /// `PrependPin`: the PIN stands before the OTP.
    #[must_use]
    pub fn prepends_pin(&self) -> bool {
        self.switch("PrependPin", true)
    }

    /// `AutoResync`: two consecutive values beyond the window resynchronise a token.
    #[must_use]
    pub fn resyncs_automatically(&self) -> bool {
        self.switch("AutoResync", false)
    }

    /// `AutoResyncTimeout`: seconds between the two values, HOTP only.
    #[must_use]
    pub fn auto_resync_timeout_seconds(&self) -> u32 {
        self.number("AutoResyncTimeout", 300)
    }

    /// `TransactionIdLength`; outside 12 to 17 every challenge fails.
    #[must_use]
    pub fn transaction_id_length(&self) -> u32 {
        self.number("TransactionIdLength", 17)
    }

    /// `hotp.hashlib`: the hash of HOTP tokens that name none.
    #[must_use]
    pub fn hotp_hash(&self) -> &str {
        self.text("hotp.hashlib").unwrap_or("sha1")
    }

    /// `totp.hashlib`: the hash of new TOTP tokens.
    #[must_use]
    pub fn totp_hash(&self) -> &str {
        self.text("totp.hashlib").unwrap_or("sha1")
    }

    /// `totp.timeStep` of new tokens in seconds.
    #[must_use]
    pub fn totp_time_step_seconds(&self) -> u32 {
        self.number("totp.timeStep", 30)
    }

    /// `totp.timeWindow` of new tokens in seconds; shown, not used.
    #[must_use]
    pub fn totp_time_window_seconds(&self) -> u32 {
        self.number("totp.timeWindow", 180)
    }

    /// `totp.timeShift` of new tokens in seconds.
    #[must_use]
    pub fn totp_time_shift_seconds(&self) -> i64 {
        self.text("totp.timeShift").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// `token.last_access`: whether logins are dated.
    #[must_use]
    pub fn last_access(&self) -> LastAccess<'_> {
        match self.text("token.last_access") {
            None => LastAccess::Off,
            Some(text) => match parse_switch(text) {
                Some(true) => LastAccess::Exact,
                Some(false) => LastAccess::Off,
                None if is_date_format(text) => LastAccess::Coarse(text),
                None => LastAccess::Off,
            },
        }
    }

    /// `DefaultRealm`: the realm of a login without one.
    #[must_use]
    pub fn default_realm(&self) -> Option<RealmName> {
        self.text("DefaultRealm").filter(|name| !name.trim().is_empty()).map(RealmName::folded)
    }

    /// `splitAtSign`: logins contain their realm.
    #[must_use]
    pub fn split_at_sign(&self) -> bool {
        self.literal_true("splitAtSign", true)
    }

    /// `PassOnUserNotFound`: unknown users are let in.
    #[must_use]
    pub fn passes_unknown_users(&self) -> bool {
        self.literal_true("PassOnUserNotFound", false)
    }

    /// `PassOnUserNoToken`: users without token are let in.
    #[must_use]
    pub fn passes_users_without_token(&self) -> bool {
        self.literal_true("PassOnUserNoToken", false)
    }

    /// `user_lookup_cache.enabled` and `.expiration` in seconds; `None` while switched off.
    #[must_use]
    pub fn user_cache_seconds(&self) -> Option<u64> {
        self.cache_seconds("user_lookup_cache")
    }

    /// `resolver_lookup_cache.enabled` and `.expiration` in seconds; `None` while switched off.
    #[must_use]
    pub fn resolver_cache_seconds(&self) -> Option<u64> {
        self.cache_seconds("resolver_lookup_cache")
    }

    fn cache_seconds(&self, cache: &str) -> Option<u64> {
        let enabled = self.switch(&format!("{cache}.enabled"), false);
        enabled.then(|| self.seconds(&format!("{cache}.expiration"), 129_600))
    }

    /// `mayOverwriteClient`: addresses that may send the parameter `client`.
    #[must_use]
    pub fn may_overwrite_client(&self) -> &str {
        self.text("mayOverwriteClient").unwrap_or_default()
    }

    /// `client.X_FORWARDED_FOR`: believe the header of a forwarding proxy.
    #[must_use]
    pub fn trusts_x_forwarded_for(&self) -> bool {
        self.switch("client.X_FORWARDED_FOR", false)
    }

    /// `client.FORWARDED`: believe the header of a forwarding proxy (RFC 7239).
    #[must_use]
    pub fn trusts_forwarded(&self) -> bool {
        self.switch("client.FORWARDED", false)
    }

    /// `client.FORWARDED_PROXY`: the networks of forwarding proxies.
    #[must_use]
    pub fn forwarding_proxies(&self) -> &str {
        self.text("client.FORWARDED_PROXY").unwrap_or_default()
    }

    /// `errors`: the error codes that may become HTTP statuses; `None` stands for all.
    #[must_use]
    pub fn http_errors(&self) -> Option<&str> {
        self.text("errors").filter(|list| !list.trim().is_empty())
    }

    /// `policy_time_zone`: the zone of the time columns of policies, in POSIX notation; UTC if not set.
    #[must_use]
    pub fn policy_time_zone(&self) -> Zone {
        self.text("policy_time_zone").and_then(Zone::parse).unwrap_or_default()
    }

    /// `policy_action_validation`: actions of policies are checked when they are written.
    #[must_use]
    pub fn validates_policy_actions(&self) -> bool {
        self.switch("policy_action_validation", false)
    }

    /// `audit.retention_days` and `audit.retention_rows`: how much of the audit trail is kept. Everything, unless set.
    #[must_use]
    pub fn audit_retention(&self) -> AuditRetention {
        let limit = |key| self.text(key).and_then(parse_retention).filter(|limit| *limit > 0);
        AuditRetention { days: limit(RETENTION_DAYS), rows: limit(RETENTION_ROWS) }
    }

    /// `pagesize`: rows per page of token lists.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.number("pagesize", 50)
    }
}

/// A limit of the audit trail; an empty value is as good as none.
fn parse_retention(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

/// The boolean words of reference http-api 1.5.
#[must_use]
pub fn parse_word(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" => Some(true),
        "0" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// As [`parse_word`], and `on` and `off`, which the configuration knows as well (reference tokens 1.4).
fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        other => parse_word(other),
    }
}

/// A duration in seconds: a number of seconds, `1d 3h 4m` with short or long unit names, or ISO 8601 with a year of 365
/// and a month of 30 days (reference http-api 1.5, users 1).
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    match text.strip_prefix('p') {
        Some(iso) => {
            let (date, time) = iso.split_once('t').map_or((iso, None), |(date, time)| (date, Some(time)));
            if date.is_empty() && time.is_none_or(str::is_empty) {
                return None;
            }
            sum_units(date, date_unit)?.checked_add(sum_units(time.unwrap_or_default(), time_unit)?)
        }
        None if text.is_empty() => None,
        None => sum_units(&text, |unit| date_unit_word(unit).or_else(|| time_unit_word(unit))),
    }
}

fn sum_units(text: &str, seconds_of: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let compact: String = text.split_whitespace().collect();
    let mut rest = compact.as_str();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds_of(unit)?)?)?;
        rest = tail;
    }
    Some(total)
}

const DAY: u64 = 86_400;

fn date_unit(unit: &str) -> Option<u64> {
    match unit {
        "y" => Some(365 * DAY),
        "m" => Some(30 * DAY),
        "w" => Some(7 * DAY),
        "d" => Some(DAY),
        _ => None,
    }
}

fn time_unit(unit: &str) -> Option<u64> {
    match unit {
        "h" => Some(3600),
        "m" => Some(60),
        "s" => Some(1),
        _ => None,
    }
}

fn date_unit_word(unit: &str) -> Option<u64> {
    match unit {
        "w" | "week" | "weeks" => Some(7 * DAY),
        "d" | "day" | "days" => Some(DAY),
        _ => None,
    }
}

fn time_unit_word(unit: &str) -> Option<u64> {
    match unit {
        "h" | "hour" | "hours" => Some(3600),
        "m" | "min" | "minute" | "minutes" => Some(60),
        "s" | "sec" | "second" | "seconds" => Some(1),
        _ => None,
    }
}

/// A strftime format: at least one directive, and only known ones.
fn is_date_format(text: &str) -> bool {
    let mut pieces = text.split('%');
    pieces.next();
    let mut directives = 0;
    while let Some(piece) = pieces.next() {
        match piece.chars().next() {
            Some(letter) if "aAwdbBmyYHIMSpfzZjUWcxXGuV".contains(letter) => directives += 1,
            // `%%` leaves an empty piece; what follows it is plain text.
            None => {
                pieces.next();
            }
            Some(_) => return false,
        }
    }
    directives > 0
}

fn is_host_or_network(item: &str) -> bool {
    let (address, prefix) =
        item.split_once('/').map_or((item, None), |(address, prefix)| (address, Some(prefix)));
    if let Ok(address) = address.parse::<IpAddr>() {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        return prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|bits| bits <= longest));
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    prefix.is_none() && item.chars().all(letters) && item.chars().any(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in entries {
            let value = SettingValue::Plain((*value).into());
            let entry = SettingV1 { value, kind: "".into(), description: "".into() };
            settings.insert(SettingKey::from(stored_key(key)), Arc::new(entry));
        }
        settings
    }

    /// Fall-backs of reference http-api 23.1 to 23.3.
    #[test]
    fn the_audit_trail_is_kept_unless_a_limit_is_set() {
        assert_eq!(settings(&[]).audit_retention(), AuditRetention { days: None, rows: None });
        let both = settings(&[("linotp.audit.retention_days", " 90 "), ("audit.retention_rows", "1000000")]);
        assert_eq!(both.audit_retention(), AuditRetention { days: Some(90), rows: Some(1_000_000) });
        for off in ["0", "", "ninety", "-1", "1.5"] {
            assert_eq!(settings(&[("audit.retention_days", off)]).audit_retention().days, None, "{off}");
        }
        for (value, good) in [("0", true), ("", true), ("365", true), ("-1", false), ("1d", false)] {
            assert_eq!(check("linotp.audit.retention_days", value).is_ok(), good, "{value}");
            assert_eq!(check("audit.retention_rows", value).is_ok(), good, "{value}");
        }
    }

    #[test]
    fn absent_keys_have_the_fall_backs_of_the_reference() {
        let none = Settings::default();
        assert_eq!(none.default_fail_count_max(), 10);
        assert_eq!(none.default_count_window(), 10);
        assert_eq!(none.default_sync_window(), 1000);
        assert_eq!(none.default_digits(), 6);
        assert!(!none.resets_fail_count());
        assert_eq!(none.challenge_validity_seconds("Email"), 120);
        assert!(none.prepends_pin());
        assert!(!none.resyncs_automatically());
        assert_eq!(none.auto_resync_timeout_seconds(), 300);
        assert_eq!(none.transaction_id_length(), 17);
        assert_eq!((none.totp_time_step_seconds(), none.totp_time_window_seconds()), (30, 180));
        assert_eq!(none.totp_time_shift_seconds(), 0);
        assert_eq!((none.hotp_hash(), none.totp_hash()), ("sha1", "sha1"));
        assert_eq!(none.last_access(), LastAccess::Off);
        assert_eq!(none.default_realm(), None);
        assert!(none.split_at_sign());
        assert!(!none.passes_unknown_users() && !none.passes_users_without_token());
        assert_eq!(none.user_cache_seconds(), None);
        assert_eq!(none.http_errors(), None);
        assert_eq!(none.page_size(), 50);
    }

    #[test]
    fn both_spellings_of_a_key_read_the_same_entry() {
        let stored = settings(&[("linotp.DefaultOtpLen", "8")]);
        assert_eq!(stored.text("DefaultOtpLen"), Some("8"));
        assert_eq!(stored.text("linotp.DefaultOtpLen"), Some("8"));
        assert_eq!(stored.default_digits(), 8);
        assert_eq!(stored.text("defaultotplen"), None);
    }

    #[test]
    fn challenge_validity_of_a_type_is_found_in_three_spellings_and_the_last_wins() {
        let stored =
            settings(&[("DefaultChallengeValidityTime", "60"), ("EmailChallengeValidityTime", "600")]);
        assert_eq!(stored.challenge_validity_seconds("Email"), 600);
        assert_eq!(stored.challenge_validity_seconds("Sms"), 60);
        let both = settings(&[("EmailChallengeValidityTime", "600"), ("emailChallengeValidityTime", "7")]);
        assert_eq!(both.challenge_validity_seconds("Email"), 7);
    }

    #[test]
    fn literal_comparisons_do_not_accept_other_words() {
        for (value, on) in [("True", true), ("TRUE", true), ("1", false), ("yes", false), ("", false)] {
            assert_eq!(settings(&[("splitAtSign", value)]).split_at_sign(), on, "{value}");
        }
        assert!(settings(&[("DefaultResetFailCount", "True")]).resets_fail_count());
        assert!(!settings(&[("DefaultResetFailCount", "true")]).resets_fail_count());
    }

    #[test]
    fn durations_are_read_in_three_notations() {
        let table: [(&str, Option<u64>); 22] = [
            ("0", Some(0)),
            ("64800", Some(64_800)),
            ("1d 3h", Some(97_200)),
            ("1d3h4m", Some(97_440)),
            ("2 days", Some(172_800)),
            ("1 week 10 seconds", Some(604_810)),
            ("1d 3h 20m 10s", Some(98_410)),
            ("P1DT2H", Some(93_600)),
            ("P1Y", Some(31_536_000)),
            ("P1M", Some(2_592_000)),
            ("PT1M", Some(60)),
            ("PT2H", Some(7200)),
            ("P2W", Some(1_209_600)),
            ("", None),
            ("P", None),
            ("PT", None),
            ("soon", None),
            ("d", None),
            ("10 parsecs", None),
            ("-5", None),
            ("99999999999999999999", None),
            ("18446744073709551615w", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_duration(text), seconds, "{text}");
        }
    }

    #[test]
    fn only_five_keys_check_their_values() {
        let table = [
            ("user_lookup_cache.expiration", "1d 3h", true),
            ("linotp.user_lookup_cache.expiration", "never", false),
            ("resolver_lookup_cache.expiration", "", false),
            ("client.FORWARDED_PROXY", "10.0.0.0/8, proxy.example, ::1/128", true),
            ("client.FORWARDED_PROXY", "10.0.0.0/33", false),
            ("client.FORWARDED_PROXY", "999.1.1.1", false),
            ("token.last_access", "True", true),
            ("token.last_access", "%Y-%m-%d", true),
            ("token.last_access", "100%% %d", true),
            ("token.last_access", "%Q", false),
            ("token.last_access", "sometimes", false),
            ("policy_time_zone", "CET-1CEST,M3.5.0,M10.5.0/3", true),
            ("policy_time_zone", "Europe/Berlin", false),
            ("DefaultOtpLen", "anything", true),
        ];
        for (key, value, good) in table {
            assert_eq!(check(key, value).is_ok(), good, "{key}={value}");
        }
    }

    #[test]
    fn last_access_is_off_exact_or_coarse() {
        for (value, expected) in [
            ("True", LastAccess::Exact),
            ("no", LastAccess::Off),
            ("on", LastAccess::Exact),
            ("off", LastAccess::Off),
            ("%Y-%m-%d", LastAccess::Coarse("%Y-%m-%d")),
            ("nonsense", LastAccess::Off),
        ] {
            assert_eq!(settings(&[("token.last_access", value)]).last_access(), expected, "{value}");
        }
    }
}
