//! `admin/init`: creating a token, or setting one up again (reference tokens 4, http-api 9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::callback::CallbackWish;
use super::enrollment::{Place, StoredAs, limit_owned, limit_realms, names_in_apps, random_pin, stored_pin};
use super::limits::scope_paths;
use super::pin::store_device_pin;
use super::rights::{Granted, require_init};
use super::user::{Identified, KnownUser, UserParams, identify, realms_of};
use super::validate::lane;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{InfoValue, Pin, TokenInfo, TokenType, TokenV1, UsageV1};
use crate::secret::{Purpose, SecretText};
use crate::serial;
use crate::settings::Settings;
use crate::time::UnixMillis;
use crate::token::{Draft, UriNames};
use crate::user::{RealmName, Serial};

/// Where the seed comes from. Both at once is refused by most types, hence not an enum.
#[derive(Clone, Debug, Default)]
pub struct SeedSource {
    /// `otpkey`.
    pub given: Option<SecretText>,
    /// `genkey=1`: the server generates it.
    pub generate: bool,
}

/// `admin/init`: creates a token, or sets up the one with this serial again.
#[derive(Clone, Debug, Default)]
pub struct Init {
    /// `type`, any case; `hmac` if absent.
    pub token_type: Option<String>,
    /// `serial`; generated if absent.
    pub serial: Option<String>,
    /// `prefix` of a generated serial; that of the type if absent.
    pub prefix: Option<String>,
    /// `otpkey` and `genkey`.
    pub seed: SeedSource,
    /// `otplen`, number of OTP characters; setting `DefaultOtpLen` if absent.
    pub otplen: Option<u32>,
    /// `hashlib`; `sha1` if absent.
    pub hashlib: Option<String>,
    /// `pin`; kept as it is if absent.
    pub pin: Option<SecretText>,
    /// `encryptpin=true`: the PIN is stored reversibly.
    pub encrypt_pin: bool,
    /// `user`, `realm`, `resConf`: the owner. A realm without user only puts the token into the realm.
    pub user: UserParams,
    /// `description`.
    pub description: Option<String>,
    /// `enable`; a new token is enabled if absent.
    pub enable: Option<bool>,
    /// `scope`, JSON text.
    pub scope: Option<String>,
    /// `rollout` was present: shorthand for the scope `{"path":["userservice"]}`.
    pub rollout: bool,
    /// `timeStep` in seconds (totp).
    pub time_step: Option<u64>,
    /// `timeWindow` in seconds (totp); shown, without effect on checks.
    pub time_window: Option<u64>,
    /// `timeShift` in seconds (totp).
    pub time_shift: Option<i64>,
    /// `onetime` was present: the token is good for one successful login (pw, spass).
    pub once: bool,
    /// `otppin` (motp) or `ocrapin` (ocra2): the device PIN.
    pub device_pin: Option<SecretText>,
    /// `public_uid`: the modhex prefix of every OTP (yubikey).
    pub public_uid: Option<String>,
    /// What `ocra2` needs.
    pub ocra: OcraParams,
    /// `forward.serial`: the token whose OTPs are taken (forward).
    pub forward_serial: Option<String>,
    /// `yubico.tokenid`: the public identity (yubico).
    pub yubico_id: Option<String>,
}

/// The parameters of an `ocra2` token (reference tokens 10.2).
#[derive(Clone, Debug, Default)]
pub struct OcraParams {
    /// `ocrasuite`; a default of the configuration if absent.
    pub suite: Option<String>,
    /// `sharedsecret` was present: the first phase of a roll-out.
    pub shared_secret: bool,
    /// `activationcode`: the second phase.
    pub activation_code: Option<SecretText>,
    /// `message`: what the challenge of the second phase is about.
    pub message: Option<String>,
    /// `callback.id` and others: where the app sends what it has computed.
    pub callback: CallbackWish,
}

/// A further member of the reply to an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A text.
    Text(SecretText),
    /// A text that is shown as QR code as well.
    Code(SecretText),
}

/// What `admin/init` tells about the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its serial.
    pub serial: Serial,
    /// The seed as typed or generated (`seed://…`), for the types that show it.
    pub seed_text: Option<SecretText>,
    /// The `otpauth://` URI, which contains the seed, for the types that have one.
    pub otpauth_url: Option<SecretText>,
    /// What single types tell besides, by its name in the reply.
    pub detail: Vec<(&'static str, Shown)>,
}

/// The longest description, in characters; longer ones are cut.
const DESCRIPTION_MAX: usize = 80;
const ROLLOUT_SCOPE: &str = r#"{"path":["userservice"]}"#;

impl Request for Init {
    type Reply = Enrolled;

    fn lane(&self) -> Option<String> {
        Some(lane(&self.user, self.serial.as_deref()))
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Enrolled, Stop> {
        let configuration = cx.view.configuration();
        let token_type = self.wanted_type()?;
        cx.audit.token_type = token_type.stored_name().into();
        let identified = identify(cx, &self.user)?;
        let serial = self.serial(cx, token_type)?;
        cx.audit.serial = serial.as_str().into();
        let existing = cx.view.token(&serial);
        let granted = require_init(cx, token_type, &self.user, &identified, existing.as_deref())?;
        let user = owner(identified)?;
        let place = Place::of(cx, user.as_ref(), &self.user);

        let mut draft = self.draft(cx, token_type, &serial, &configuration.settings)?;
        self.set_common(&mut draft.token)?;
        draft.token.realms = self.realms(cx, user.as_ref(), &granted);
        self.set_pin(cx, &place, &serial, &mut draft.token)?;
        limit_owned(cx, &place, &BTreeMap::from([(serial.clone(), token_type)]))?;
        if draft.token.active {
            limit_realms(cx, &place, &BTreeSet::from([serial.clone()]), &draft.token.realms)?;
        }
        if let Some(user) = &user {
            draft.token.owner = Some(user.owner.clone());
        }
        let rules = token_type.rules();
        rules.enroll(cx, self, &mut draft)?;

        let (issuer, account) = names_in_apps(cx, &place, &serial, &draft.token.description)?;
        let names = UriNames { issuer: &issuer, account: &account };
        let otpauth_url = match &draft.seed {
            Some(seed) => rules.otpauth_uri(&draft.token, seed, names)?,
            None => None,
        };
        let seed_text = draft.shown_seed.take();
        let detail = std::mem::take(&mut draft.detail);
        store(cx, draft)?;
        cx.audit.success = true;
        Ok(Enrolled { serial, seed_text, otpauth_url, detail })
    }
}

impl Init {
    pub(super) fn wanted_type(&self) -> Result<TokenType, Refusal> {
        let name = self.token_type.as_deref().filter(|name| !name.is_empty()).unwrap_or("hmac");
        TokenType::find(name).ok_or_else(|| Refusal::UnknownTokenType(name.to_owned()))
    }

    fn serial(&self, cx: &mut Context<'_>, token_type: TokenType) -> Result<Serial, Stop> {
        if let Some(given) = self.serial.as_deref().filter(|serial| !serial.is_empty()) {
            return Ok(serial::parse(given)?);
        }
        if let Some(found) = token_type.rules().find_serial(cx, self)? {
            return Ok(found);
        }
        Ok(serial::generate(&mut cx.view, &mut cx.random, token_type, self.prefix.as_deref())?)
    }

    /// The stored token with this serial, which must be of the same type, or a new one.
    pub(super) fn draft(
        &self,
        cx: &mut Context<'_>,
        token_type: TokenType,
        serial: &Serial,
        settings: &Settings,
    ) -> Result<Draft, Refusal> {
        let Some(stored) = cx.view.token(serial) else {
            let token = new_token(token_type, settings, cx.facts.now);
            return Ok(draft_of(serial, token, UsageV1::default()));
        };
        if stored.token_type != token_type {
            return Err(Refusal::TokenTypeMismatch {
                serial: serial.to_string(),
                stored: stored.token_type.stored_name().to_owned(),
                wanted: token_type.stored_name().to_owned(),
            });
        }
        let usage = Arc::unwrap_or_clone(cx.view.usage(serial));
        Ok(draft_of(serial, Arc::unwrap_or_clone(stored), usage))
    }

    /// The PIN: the one given, or a random one where a policy says so.
    fn set_pin(
        &self,
        cx: &mut Context<'_>,
        place: &Place,
        serial: &Serial,
        token: &mut TokenV1,
    ) -> Result<(), Stop> {
        let random = random_pin(cx, place)?;
        if let Some(pin) = random.as_ref().or(self.pin.as_ref()) {
            let stored_as = StoredAs { reversible: self.encrypt_pin, realms: &token.realms };
            token.pin = stored_pin(cx, place, serial, pin, stored_as)?;
        }
        Ok(())
    }

    /// What all types have: description, scope, whether the token is enabled.
    pub(super) fn set_common(&self, token: &mut TokenV1) -> Result<(), Stop> {
        if let Some(description) = &self.description {
            token.description = cut(description);
        }
        if let Some(active) = self.enable {
            token.active = active;
        }
        let given = self.scope.as_deref().filter(|scope| !scope.is_empty());
        if let Some(scope) = given.or_else(|| self.rollout.then_some(ROLLOUT_SCOPE)) {
            let paths = scope_paths(scope).map_err(|fault| Refusal::Other(fault.to_string()))?;
            token.info.insert("scope".into(), InfoValue::Json(scope.into()));
            let for_rollout = paths.iter().any(|path| matches!(path.as_str(), "userservice" | "validate"));
            if for_rollout && self.description.is_none() {
                token.description = "rollout token".into();
            }
        }
        Ok(())
    }

    /// The realms of the user and the realm named, in order. They replace the token's. A realm that does not exist is
    /// passed over, as in `admin/tokenrealm`. A token of nobody and nowhere is put where the administrator may enrol.
    fn realms(&self, cx: &mut Context<'_>, user: Option<&KnownUser>, granted: &Granted) -> Vec<RealmName> {
        let mut realms = user.map(|user| realms_of(cx, &user.owner)).unwrap_or_default();
        if let Some(named) = self.user.realm().map(RealmName::folded)
            && cx.view.configuration().realms.contains_key(&named)
        {
            realms.push(named);
        }
        if realms.is_empty() && user.is_none() {
            let configuration = cx.view.configuration();
            let existing = configuration.realms.keys().filter(|_| *granted != Granted::Everywhere);
            realms.extend(existing.filter(|realm| granted.has_realm(realm)).cloned());
        }
        realms.sort_unstable();
        realms.dedup();
        realms
    }
}

/// The user who is to own the token; it has to exist.
fn owner(identified: Identified) -> Result<Option<KnownUser>, Stop> {
    match identified {
        Identified::NoUser => Ok(None),
        Identified::Known(user) => Ok(Some(user)),
        Identified::Unknown(user) => {
            let realm = user.realm.map(|realm| realm.to_string()).unwrap_or_default();
            Err(Refusal::UnknownOwner { login: user.login, realm }.into())
        }
        Identified::Ambiguous(user) => Err(Refusal::AmbiguousUser(user.login).into()),
    }
}

fn new_token(token_type: TokenType, settings: &Settings, now: UnixMillis) -> TokenV1 {
    TokenV1 {
        token_type,
        seed: None,
        pin: Pin::Unset,
        user_pin: None,
        owner: None,
        realms: Vec::new(),
        description: "".into(),
        digits: settings.default_digits(),
        count_window: settings.default_count_window(),
        sync_window: settings.default_sync_window(),
        fail_count_max: settings.default_fail_count_max(),
        active: true,
        created_at: UnixMillis::from_seconds(now.seconds()),
        info: TokenInfo::new(),
    }
}

fn draft_of(serial: &Serial, token: TokenV1, usage: UsageV1) -> Draft {
    Draft {
        serial: serial.clone(),
        token,
        usage,
        seed: None,
        device_pin: None,
        shown_seed: None,
        detail: Vec::new(),
    }
}

/// Seals a new seed, which also starts the counters again, and a new device PIN, and stores the token.
pub(super) fn store(cx: &mut Context<'_>, draft: Draft) -> Result<(), Stop> {
    let Draft { serial, mut token, mut usage, seed, device_pin, .. } = draft;
    if let Some(seed) = seed {
        let nonce = cx.random.bytes();
        let sealed =
            cx.facts.keyring.seal(Purpose::Seed, serial.as_str(), seed.expose().as_bytes(), nonce)?;
        token.seed = Some(sealed);
        usage.next_counter = 0;
        usage.fail_count = 0;
        usage.auto_resync = None;
    }
    if let Some(pin) = device_pin {
        token.user_pin = Some(store_device_pin(cx, &serial, &pin)?);
    }
    cx.view.put_token(&serial, token);
    cx.view.put_usage(&serial, usage);
    Ok(())
}

fn cut(description: &str) -> Box<str> {
    description.chars().take(DESCRIPTION_MAX).collect::<String>().into()
}
