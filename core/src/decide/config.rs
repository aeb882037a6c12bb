//! The system configuration (reference http-api 12.2 to 12.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::lifecycle::required;
use super::resolver::{shown, type_name};
use super::rights::SystemRight;
use super::{Context, Request};
use crate::calendar::DateTime;
use crate::configuration::Configuration;
use crate::decision::{Refusal, Stop};
use crate::record::{Key, Record, SettingV1, SettingValue};
use crate::secret::Purpose;
use crate::settings::{check, is_always_secret, stored_key};
use crate::time::UnixMillis;
use crate::user::SettingKey;

/// Longest key (reference users 1).
const KEY_MAX: usize = 255;

/// What a secret value is replaced by in replies and audit rows.
const MASK: &str = "XXXXXXXX";

/// Parameters every call understands; they are never configuration entries (reference http-api 1.3).
const CONTROL_PARAMETERS: [&str; 4] = ["session", "httperror", "client", "csrf_token"];

/// Keys that stand for records of their own and are changed by calls of their own.
const RESERVED: [&str; 6] =
    ["useridresolver.", "passwdresolver.", "ldapresolver.", "sqlresolver.", "httpresolver.", "Policy."];

/// The change stamp of the configuration.
const STAMP: &str = "Config";

/// The keys of `system/setDefault`.
const DEFAULTS: [&str; 5] = [
    "DefaultMaxFailCount",
    "DefaultSyncWindow",
    "DefaultCountWindow",
    "DefaultOtpLen",
    "DefaultResetFailCount",
];

/// `system/setConfig` (reference http-api 12.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetConfig {
    /// The parameter `key` is present.
    Single {
        /// `key`.
        key: String,
        /// `value`.
        value: Option<String>,
        /// `type`.
        kind: Option<String>,
        /// `description`.
        description: Option<String>,
    },
    /// Every parameter is a key; `<key>.type` and `<key>.desc` belong to `<key>`.
    Bulk(BTreeMap<String, String>),
}

/// `system/setDefault` (reference http-api 12.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetDefault {
    /// All parameters; names in any case, unknown ones are ignored.
    pub parameters: BTreeMap<String, String>,
}

/// `system/getConfig` (reference http-api 12.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetConfig {
    /// `key`.
    pub key: Option<String>,
    /// Whether other parameters than the control parameters were sent.
    pub other_parameters: bool,
}

/// What [`GetConfig`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigView {
    /// All entries, sorted, without the `linotp.` prefix.
    All(BTreeMap<String, String>),
    /// The entry asked for, by the name in the request.
    One(String, Option<String>),
}

/// `system/delConfig` (reference http-api 12.4); unknown keys are no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelConfig {
    /// `key`.
    pub key: Option<String>,
}

/// An entry about to be stored.
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    kind: &'a str,
    description: &'a str,
}

impl Entry<'_> {
    fn is_secret(&self) -> bool {
        matches!(self.kind, "password" | "encrypted_data") || is_always_secret(self.key)
    }

    /// The value as it may be shown.
    fn shown(&self) -> &str {
        if self.is_secret() { MASK } else { self.value }
    }

    fn store(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let key = writable_key(self.key)?;
        check(key, self.value).map_err(|rule| Refusal::InvalidParameter {
            name: self.key.to_owned(),
            problem: format!("{rule} is expected"),
        })?;
        let (value, kind) = if self.is_secret() {
            let nonce = cx.random.bytes();
            let sealed = cx.facts.keyring.seal(Purpose::Setting, key, self.value.as_bytes(), nonce)?;
            (SettingValue::Secret(sealed), "encrypted_data")
        } else {
            (SettingValue::Plain(self.value.into()), self.kind)
        };
        let setting = SettingV1 { value, kind: kind.into(), description: self.description.into() };
        cx.view.put(Key::Setting(SettingKey::from(key)), Record::Setting(Arc::new(setting)));
        Ok(())
    }
}

/// The stored spelling of a key that may be written through the configuration calls.
fn writable_key(key: &str) -> Result<&str, Refusal> {
    let stored = stored_key(key);
    let problem = if stored.is_empty() {
        "a key may not be empty"
    } else if stored.len() > KEY_MAX {
        "a key may have at most 255 characters"
    } else if RESERVED.iter().any(|prefix| stored.starts_with(prefix)) {
        "realms, resolvers and policies are changed by their own calls"
    } else {
        return Ok(stored);
    };
    Err(Refusal::InvalidParameter { name: key.chars().take(KEY_MAX).collect(), problem: problem.to_owned() })
}

impl Request for SetConfig {
    /// The names of the reply's members, all of which are `true`.
    type Reply = Vec<String>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<String>, Stop> {
        // A secret must not reach the audit row of a refusal either, hence only masked text is noted.
        let names = match self {
            Self::Single { key, value, kind, description } => {
                let key = required(Some(key), "key")?;
                let value = value.as_deref().ok_or(Refusal::MissingParameter("value"))?;
                let (kind, description) =
                    (kind.as_deref().unwrap_or_default(), description.as_deref().unwrap_or_default());
                let entry = Entry { key, value, kind, description };
                entry.store(cx)?;
                cx.note(&format!("{key}={}", entry.shown()));
                vec![format!("setConfig {key}")]
            }
            Self::Bulk(parameters) => set_all(cx, parameters)?,
        };
        if !names.is_empty() {
            stamp(cx);
        }
        cx.audit.success = true;
        Ok(names)
    }
}

fn set_all(cx: &mut Context<'_>, parameters: &BTreeMap<String, String>) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    for (name, value) in parameters {
        if CONTROL_PARAMETERS.contains(&name.as_str()) {
            continue;
        }
        let belongs = [".type", ".desc"]
            .iter()
            .any(|suffix| name.strip_suffix(suffix).is_some_and(|key| parameters.contains_key(key)));
        if belongs {
            names.push(format!("setConfig {name}:{value}"));
            continue;
        }
        let beside = |suffix: &str| parameters.get(&format!("{name}{suffix}")).map_or("", String::as_str);
        let entry = Entry { key: name, value, kind: beside(".type"), description: beside(".desc") };
        entry.store(cx)?;
        cx.note(&format!("{name}={}", entry.shown()));
        names.push(format!("setConfig {name}:{}", entry.shown()));
    }
    Ok(names)
}

impl Request for SetDefault {
    /// The keys that were set, in the order of the reference; the reply has `set <key>` for each.
    type Reply = Vec<&'static str>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<&'static str>, Stop> {
        let mut set = Vec::new();
        for key in DEFAULTS {
            let given = self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            let Some((_, value)) = given else { continue };
            set_plain(cx, key, value);
            cx.note(&format!("{key}={value}"));
            set.push(key);
        }
        if set.is_empty() {
            return Err(Refusal::Usage(
                "DefaultMaxFailCount, DefaultSyncWindow, DefaultCountWindow, DefaultOtpLen, DefaultResetFailCount",
            )
            .into());
        }
        stamp(cx);
        cx.audit.success = true;
        Ok(set)
    }
}

impl Request for DelConfig {
    /// The key as in the request; the reply has `delConfig <key>`.
    type Reply = String;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<String, Stop> {
        let key = required(self.key.as_deref(), "key")?;
        cx.note(key);
        remove_setting(cx, writable_key(key)?);
        stamp(cx);
        cx.audit.success = true;
        Ok(key.to_owned())
    }
}

impl Request for GetConfig {
    type Reply = ConfigView;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<ConfigView, Stop> {
        let configuration = cx.view.configuration();
        let reply = match self.key.as_deref().filter(|key| !key.is_empty()) {
            Some(key) => {
                cx.note(key);
                ConfigView::One(key.to_owned(), value(&configuration, key))
            }
            None if self.other_parameters => return Err(Refusal::MissingParameter("key").into()),
            None => ConfigView::All(listing(&configuration)),
        };
        cx.audit.success = true;
        Ok(reply)
    }
}

/// One entry, whatever kind of record it stands for. The clear-text namespace leads to the sealed value.
fn value(configuration: &Configuration, key: &str) -> Option<String> {
    let key = key.strip_prefix("enclinotp.").unwrap_or(key);
    match configuration.settings.entry(key) {
        Some(entry) => Some(shown_value(&entry.value)),
        None if RESERVED.iter().any(|prefix| stored_key(key).starts_with(prefix)) => {
            listing(configuration).remove(stored_key(key))
        }
        None => None,
    }
}

/// A sealed value is shown as `<nonce>:<ciphertext>` in hex, never opened.
fn shown_value(value: &SettingValue) -> String {
    match value {
        SettingValue::Plain(text) => text.to_string(),
        SettingValue::Secret(sealed) => {
            format!("{}:{}", HEXLOWER.encode(&sealed.nonce), HEXLOWER.encode(&sealed.ciphertext))
        }
    }
}

/// The whole configuration as the original's flat table: settings, realms, resolvers, policies.
fn listing(configuration: &Configuration) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, entry) in configuration.settings.iter() {
        all.insert(key.to_string(), shown_value(&entry.value));
    }
    for (name, realm) in &configuration.realms {
        let specs: Vec<&str> = realm.resolvers.iter().map(crate::user::ResolverSpec::as_str).collect();
        all.insert(format!("useridresolver.group.{name}"), specs.join(","));
    }
    for (name, resolver) in &configuration.resolvers {
        let kind = type_name(resolver.kind);
        for (key, parameter) in &resolver.parameters {
            all.insert(format!("{kind}.{key}.{name}"), shown(parameter));
        }
        if resolver.readonly {
            all.insert(format!("{kind}.readonly.{name}"), "True".to_owned());
        }
    }
    for policy in configuration.policies.iter() {
        let record = &policy.record;
        for (field, text) in [
            ("action", &record.action),
            ("active", &record.active),
            ("client", &record.client),
            ("realm", &record.realm),
            ("scope", &record.scope),
            ("time", &record.time),
            ("user", &record.user),
        ] {
            all.insert(format!("Policy.{}.{field}", policy.name), text.to_string());
        }
    }
    all
}

/// Stores a plain setting.
pub(super) fn set_plain(cx: &mut Context<'_>, key: &str, value: &str) {
    let setting = SettingV1 {
        value: SettingValue::Plain(value.into()),
        kind: Box::default(),
        description: Box::default(),
    };
    cx.view.put(Key::Setting(SettingKey::from(key)), Record::Setting(Arc::new(setting)));
}

/// Removes a setting if it exists.
pub(super) fn remove_setting(cx: &mut Context<'_>, key: &str) {
    let key = Key::Setting(SettingKey::from(key));
    if cx.view.get(&key).is_some() {
        cx.view.delete(key);
    }
}

/// Marks the configuration as changed now: monitoring shows the stamp (reference users 1, change marker).
pub(super) fn stamp(cx: &mut Context<'_>) {
    let text = date_and_time(cx.facts.now);
    set_plain(cx, STAMP, &text);
}

/// `YYYY-MM-DD HH:MM:SS.mmm000` in UTC.
fn date_and_time(at: UnixMillis) -> String {
    let DateTime { year, month, day, hour, minute, second } = DateTime::of(at);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}000", at.0 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::test_state::TestState;

    fn single(key: &str, value: &str, kind: &str) -> SetConfig {
        let (value, kind) = (Some(value.to_owned()), Some(kind.to_owned()));
        SetConfig::Single { key: key.to_owned(), value, kind, description: None }
    }

    fn bulk(parameters: &[(&str, &str)]) -> SetConfig {
        SetConfig::Bulk(
            parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
    }

    fn get(state: &mut TestState, key: &str) -> Option<String> {
        match state.run(&GetConfig { key: Some(key.to_owned()), other_parameters: false }).unwrap() {
            ConfigView::One(name, value) => {
                assert_eq!(name, key);
                value
            }
            ConfigView::All(_) => panic!("all entries instead of one"),
        }
    }

    fn all(state: &mut TestState) -> BTreeMap<String, String> {
        match state.run(&GetConfig::default()).unwrap() {
            ConfigView::All(all) => all,
            ConfigView::One(..) => panic!("one entry instead of all"),
        }
    }

    /// Reference http-api 12.3, single form.
    #[test]
    fn one_entry_is_set_read_and_deleted_in_both_spellings() {
        let mut state = TestState::new();
        let reply = state.run(&single("linotp.DefaultOtpLen", "8", ""));
        assert_eq!(reply, Ok(vec!["setConfig linotp.DefaultOtpLen".to_owned()]));
        assert_eq!(&*state.last_audit().info, "linotp.DefaultOtpLen=8");
        assert_eq!(get(&mut state, "DefaultOtpLen").as_deref(), Some("8"));
        assert_eq!(get(&mut state, "linotp.DefaultOtpLen").as_deref(), Some("8"));
        assert_eq!(Configuration::load(&state).settings.default_digits(), 8);
        let delete = |key: &str| DelConfig { key: Some(key.to_owned()) };
        assert_eq!(state.run(&delete("DefaultOtpLen")), Ok("DefaultOtpLen".to_owned()));
        assert_eq!(get(&mut state, "DefaultOtpLen"), None);
        assert_eq!(state.run(&delete("unknown")), Ok("unknown".to_owned()));
        assert_eq!(state.run(&DelConfig::default()), Err(Refusal::MissingParameter("key")));
    }

    #[test]
    fn key_and_value_are_required() {
        let mut state = TestState::new();
        let no_value = SetConfig::Single { key: "k".to_owned(), value: None, kind: None, description: None };
        assert_eq!(state.run(&no_value), Err(Refusal::MissingParameter("value")));
        assert_eq!(state.run(&single("", "v", "")), Err(Refusal::MissingParameter("key")));
        assert_eq!(state.run(&single("empty", "", "")), Ok(vec!["setConfig empty".to_owned()]));
        let other = GetConfig { key: None, other_parameters: true };
        assert_eq!(state.run(&other), Err(Refusal::MissingParameter("key")));
    }

    /// Reference http-api 12.3, bulk form, and 22 (secrets are masked).
    #[test]
    fn bulk_replies_name_every_parameter_and_mask_secrets() {
        let mut state = TestState::new();
        let request = bulk(&[
            ("DefaultOtpLen", "8"),
            ("pass", "hunter2"),
            ("pass.desc", "a password"),
            ("pass.type", "password"),
            ("lone.type", "text"),
            ("session", "abc"),
        ]);
        let reply = state.run(&request).unwrap();
        assert_eq!(
            reply,
            [
                "setConfig DefaultOtpLen:8",
                "setConfig lone.type:text",
                "setConfig pass:XXXXXXXX",
                "setConfig pass.desc:a password",
                "setConfig pass.type:password",
            ]
        );
        assert!(!format!("{:?}", state.last_audit()).contains("hunter2"));
        let stored = all(&mut state);
        assert!(!stored.contains_key("session") && !stored.contains_key("pass.type"));
        assert_eq!(stored["lone.type"], "text");
        let description = Configuration::load(&state).settings.entry("pass").unwrap().description.clone();
        assert_eq!(&*description, "a password");
        assert_eq!(state.run(&bulk(&[])), Ok(Vec::new()));
    }

    #[test]
    fn secrets_are_sealed_and_shown_as_cipher_text() {
        let mut state = TestState::new();
        for (key, kind) in [
            ("a", "password"),
            ("b", "encrypted_data"),
            ("EmailProviderConfig", ""),
            ("linotp.SMSProviderConfig", ""),
        ] {
            state.run(&single(key, "hunter2", kind)).unwrap();
            let shown = get(&mut state, key).unwrap();
            let (nonce, ciphertext) = shown.split_once(':').unwrap();
            assert_eq!(HEXLOWER.decode(nonce.as_bytes()).unwrap().len(), 12);
            // GCM ciphertext is as long as the plaintext, and the tag has 16 bytes.
            assert_eq!(HEXLOWER.decode(ciphertext.as_bytes()).unwrap().len(), 7 + 16);
            assert_eq!(get(&mut state, &format!("enclinotp.{}", stored_key(key))), Some(shown));
            let configuration = Configuration::load(&state);
            let SettingValue::Secret(sealed) = &configuration.settings.entry(key).unwrap().value else {
                panic!("{key} is not sealed");
            };
            let opened = state.keyring.open(Purpose::Setting, stored_key(key), sealed).unwrap();
            assert_eq!(opened.as_slice(), b"hunter2");
        }
    }

    #[test]
    fn wrong_values_and_foreign_keys_store_nothing() {
        let mut state = TestState::new();
        let long = "k".repeat(256);
        let table = [
            ("user_lookup_cache.expiration", "never"),
            ("linotp.client.FORWARDED_PROXY", "10.0.0.0/99"),
            ("token.last_access", "sometimes"),
            ("linotp.", "v"),
            ("useridresolver.group.corp", "v"),
            ("linotp.ldapresolver.LDAPURI.corp", "v"),
            ("Policy.p.action", "v"),
            (&long, "v"),
        ];
        for (key, value) in table {
            for request in [single(key, value, ""), bulk(&[("aaa", "1"), (key, value)])] {
                let refusal = state.run(&request);
                assert!(matches!(refusal, Err(Refusal::InvalidParameter { .. })), "{key}: {refusal:?}");
                assert!(all(&mut state).is_empty(), "{key}");
            }
        }
    }

    /// Reference http-api 12.5, users 2.2.
    #[test]
    fn the_listing_is_the_flat_table_of_the_original() {
        let mut state = TestState::with_users();
        state.add_realm("both", &["guests", "staff"]);
        let request = super::super::resolver::SetResolver {
            name: Some("pwres".into()),
            kind: Some("passwdresolver".into()),
            parameters: BTreeMap::from([("fileName".into(), "/f".into())]),
            ..Default::default()
        };
        state.run(&request).unwrap();
        let all = all(&mut state);
        assert_eq!(all["DefaultRealm"], "corp");
        assert_eq!(
            all["useridresolver.group.both"],
            "useridresolver.PasswdIdResolver.IdResolver.guests,useridresolver.PasswdIdResolver.IdResolver.staff"
        );
        assert_eq!(all["passwdresolver.fileName.pwres"], "/f");
        assert_eq!(get(&mut state, "linotp.passwdresolver.fileName.pwres").as_deref(), Some("/f"));
        assert_eq!(all["Config"], "2026-11-21 20:30:00.000000");
    }

    /// Reference http-api 12.2.
    #[test]
    fn defaults_are_set_by_names_in_any_case() {
        let mut state = TestState::new();
        let set = |names: &[(&str, &str)]| SetDefault {
            parameters: names.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let reply = state.run(&set(&[("DEFAULTOTPLEN", "8"), ("defaultmaxfailcount", "x"), ("other", "1")]));
        assert_eq!(reply, Ok(vec!["DefaultMaxFailCount", "DefaultOtpLen"]));
        assert_eq!(get(&mut state, "DefaultOtpLen").as_deref(), Some("8"));
        assert_eq!(get(&mut state, "DefaultMaxFailCount").as_deref(), Some("x"));
        assert!(matches!(state.run(&set(&[("other", "1")])), Err(Refusal::Usage(_))));
    }
}
