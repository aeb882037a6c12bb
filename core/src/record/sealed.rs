//! Where the sealed secrets of a record are: the one list of them, for counting and for sealing again.

use std::sync::Arc;

use super::{
    AdminV1, ClusterSecretV1, InfoValue, Key, Parameter, Pin, PolicyV1, Record, ResolverV1, SettingV1,
    SettingValue, TokenV1,
};
use crate::policy::forward::{ForwardError, SEALED_IN, replace_sealed};
use crate::secret::{PinHash, Purpose, Sealed};
use crate::token::{SHARED_SECRET, shared_secret_place};

/// Is shown a sealed secret, what it is for and what it is bound to; says what takes its place, or leaves it.
pub type Visit<'a, E> = &'a mut dyn FnMut(Purpose, &str, &Sealed) -> Result<Option<Sealed>, E>;

impl Record {
    /// Shows every sealed secret of the record to `visit`, and returns the record with those it replaced; `None` if it
    /// replaced none.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn reseal<E>(&self, key: &Key, visit: Visit<'_, E>) -> Result<Option<Self>, E> {
        Ok(match (self, key) {
            (Self::Token(token), Key::Token(serial)) => {
                token_with(token, serial.as_str(), visit)?.map(|token| Self::Token(Arc::new(token)))
            }
            (Self::Resolver(resolver), Key::Resolver(name)) => {
                resolver_with(resolver, name.as_str(), visit)?.map(|new| Self::Resolver(Arc::new(new)))
            }
            (Self::Setting(setting), Key::Setting(name)) => {
                setting_with(setting, name.as_str(), visit)?.map(|new| Self::Setting(Arc::new(new)))
            }
            (Self::Admin(admin), Key::Admin(login)) => {
                let password = visit(Purpose::Administrator, login.as_str(), &admin.password)?;
                password.map(|password| Self::Admin(Arc::new(AdminV1 { password })))
            }
            (Self::ClusterSecret(secret), Key::ClusterSecret(name)) => {
                let secret = visit(Purpose::Cluster, name, &secret.secret)?;
                secret.map(|secret| Self::ClusterSecret(Arc::new(ClusterSecretV1 { secret })))
            }
            (Self::Policy(policy), Key::Policy(_)) => {
                policy_with(policy, visit)?.map(|new| Self::Policy(Arc::new(new)))
            }
            // Nothing sealed, or a record that does not stand under a key of its kind, which no decision writes.
            (
                Self::Token(_)
                | Self::Usage(_)
                | Self::Challenge(_)
                | Self::Realm(_)
                | Self::Resolver(_)
                | Self::Setting(_)
                | Self::Admin(_)
                | Self::Revocation(_)
                | Self::ClusterSecret(_)
                | Self::Reply(_)
                | Self::HistoryAnchor(_)
                | Self::FormatLevel(_)
                | Self::Nodes(_)
                | Self::Policy(_),
                _,
            ) => None,
        })
    }

    /// Whether anything in the record is sealed.
    #[must_use]
    pub fn has_sealed(&self, key: &Key) -> bool {
        // The error says "found"; it ends the visit.
        self.reseal(key, &mut |_, _, _| Err(())).is_err()
    }

    /// The PIN hash in the record.
    #[must_use]
    pub fn pin_hash(&self) -> Option<&PinHash> {
        match self {
            Self::Token(token) => match &token.pin {
                Pin::Hashed(hash) => Some(hash),
                Pin::Unset | Pin::Reversible(_) => None,
            },
            Self::Usage(_)
            | Self::Challenge(_)
            | Self::Realm(_)
            | Self::Resolver(_)
            | Self::Setting(_)
            | Self::Admin(_)
            | Self::Revocation(_)
            | Self::ClusterSecret(_)
            | Self::HistoryAnchor(_)
            | Self::FormatLevel(_)
            | Self::Nodes(_)
            | Self::Policy(_) => None,
            // Its hash is made like that of a PIN, and is forgotten a minute later.
            Self::Reply(_) => None,
        }
    }
}

fn token_with<E>(token: &TokenV1, serial: &str, visit: Visit<'_, E>) -> Result<Option<TokenV1>, E> {
    let mut offer = |purpose, sealed: Option<&Sealed>| match sealed {
        Some(sealed) => visit(purpose, serial, sealed),
        None => Ok(None),
    };
    let seed = offer(Purpose::Seed, token.seed.as_ref())?;
    let user_pin = offer(Purpose::UserPin, token.user_pin.as_ref())?;
    let pin = match &token.pin {
        Pin::Reversible(sealed) => offer(Purpose::UserPin, Some(sealed))?,
        Pin::Unset | Pin::Hashed(_) => None,
    };
    let shared = match token.info.get(SHARED_SECRET) {
        Some(InfoValue::Text(text)) => match Sealed::from_text(text) {
            Some(sealed) => visit(Purpose::Seed, &shared_secret_place(serial), &sealed)?,
            None => None,
        },
        Some(_) | None => None,
    };
    if seed.is_none() && user_pin.is_none() && pin.is_none() && shared.is_none() {
        return Ok(None);
    }
    let mut token = token.clone();
    if let Some(shared) = shared {
        token.info.insert(SHARED_SECRET.into(), InfoValue::Text(shared.to_text().into()));
    }
    token.seed = seed.or(token.seed);
    token.user_pin = user_pin.or(token.user_pin);
    token.pin = pin.map_or(token.pin, Pin::Reversible);
    Ok(Some(token))
}

fn resolver_with<E>(resolver: &ResolverV1, name: &str, visit: Visit<'_, E>) -> Result<Option<ResolverV1>, E> {
    let mut changed = None;
    for (parameter, value) in &resolver.parameters {
        let Parameter::Secret(sealed) = value else { continue };
        let Some(fresh) = visit(Purpose::Resolver, &format!("{name}/{parameter}"), sealed)? else { continue };
        let new = changed.get_or_insert_with(|| resolver.clone());
        new.parameters.insert(parameter.clone(), Parameter::Secret(fresh));
    }
    Ok(changed)
}

fn setting_with<E>(setting: &SettingV1, name: &str, visit: Visit<'_, E>) -> Result<Option<SettingV1>, E> {
    let SettingValue::Secret(sealed) = &setting.value else { return Ok(None) };
    let fresh = visit(Purpose::Setting, name, sealed)?;
    Ok(fresh.map(|fresh| SettingV1 { value: SettingValue::Secret(fresh), ..setting.clone() }))
}

/// The secrets of the servers that logins are forwarded to. An action that cannot be parsed, which no decision writes, has
/// none.
fn policy_with<E>(policy: &PolicyV1, visit: Visit<'_, E>) -> Result<Option<PolicyV1>, E> {
    match replace_sealed(&policy.action, |sealed| visit(Purpose::Policy, SEALED_IN, sealed)) {
        Ok(action) if action == *policy.action => Ok(None),
        Ok(action) => Ok(Some(PolicyV1 { action: action.into(), ..policy.clone() })),
        Err(ForwardError::Items(_)) => Ok(None),
        Err(ForwardError::Seal(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use crate::record::{ResolverKind, TokenInfo, TokenType};
    use crate::secret::{KeyId, Keyring};
    use crate::time::UnixMillis;

    fn sealed(purpose: Purpose, identity: &str) -> Sealed {
        Keyring::new(KeyId(1), &[7; 32]).seal(purpose, identity, b"x", [1; 12]).unwrap()
    }

    /// A policy with the secrets of two servers.
    fn policy() -> PolicyV1 {
        let text = sealed(Purpose::Policy, SEALED_IN).to_text();
        let url = format!("radius://a/?encsecret={}", text.replace(':', "%3A"));
        let action = format!("otppin=1, forward_server={url} https://b/ {url}").into();
        PolicyV1 { action, ..PolicyV1::default() }
    }

    fn everything() -> Vec<(Key, Record, usize)> {
        let mut info = TokenInfo::new();
        let shared = sealed(Purpose::Seed, "T1/sharedSecret").to_text();
        info.insert("sharedSecret".into(), InfoValue::Text(shared.into()));
        let token = TokenV1 {
            token_type: TokenType::Hmac,
            seed: Some(sealed(Purpose::Seed, "T1")),
            pin: Pin::Reversible(sealed(Purpose::UserPin, "T1")),
            user_pin: Some(sealed(Purpose::UserPin, "T1")),
            owner: None,
            realms: Vec::new(),
            description: "d".into(),
            digits: 6,
            count_window: 10,
            sync_window: 1000,
            fail_count_max: 10,
            active: true,
            created_at: UnixMillis(1),
            info,
        };
        let mut parameters = BTreeMap::new();
        parameters.insert("BINDPW".into(), Parameter::Secret(sealed(Purpose::Resolver, "ad/BINDPW")));
        parameters.insert("LDAPURI".into(), Parameter::Plain("ldap://x".into()));
        let resolver = ResolverV1 { kind: ResolverKind::Ldap, parameters, readonly: false };
        let value = SettingValue::Secret(sealed(Purpose::Setting, "k"));
        let setting = SettingV1 { value, kind: "password".into(), description: "d".into() };
        let admin = AdminV1 { password: sealed(Purpose::Administrator, "root") };
        let secret = ClusterSecretV1 { secret: sealed(Purpose::Cluster, "jwt") };
        vec![
            (Key::Token("T1".into()), Record::Token(Arc::new(token)), 4),
            (Key::Resolver("ad".into()), Record::Resolver(Arc::new(resolver)), 1),
            (Key::Setting("k".into()), Record::Setting(Arc::new(setting)), 1),
            (Key::Admin("root".into()), Record::Admin(Arc::new(admin)), 1),
            (Key::ClusterSecret("jwt".into()), Record::ClusterSecret(Arc::new(secret)), 1),
            (Key::Policy("forward".into()), Record::Policy(Arc::new(policy())), 2),
            (Key::Usage("T1".into()), Record::Usage(Arc::default()), 0),
        ]
    }

    /// The purpose and identity shown must be those the secret was sealed for: it opens with them and with no others.
    #[test]
    fn every_sealed_secret_is_shown_with_its_place_and_can_be_replaced() {
        let (old, new) = (Keyring::new(KeyId(1), &[7; 32]), Keyring::new(KeyId(2), &[8; 32]));
        for (key, record, count) in everything() {
            let mut shown = 0;
            let replaced = record
                .reseal(&key, &mut |purpose, identity, sealed| {
                    shown += 1;
                    let plain = old.open(purpose, identity, sealed)?;
                    new.seal(purpose, identity, &plain, [2; 12]).map(Some)
                })
                .unwrap();
            assert_eq!(shown, count, "{key:?}");
            assert_eq!(record.has_sealed(&key), count > 0, "{key:?}");
            let Some(replaced) = replaced else {
                assert_eq!(count, 0, "{key:?}");
                continue;
            };
            let mut opened = 0;
            let same = replaced.reseal(&key, &mut |purpose, identity, sealed| {
                opened += usize::from(new.open(purpose, identity, sealed).unwrap().as_slice() == b"x");
                Ok::<_, Infallible>(None)
            });
            assert_eq!((opened, same), (count, Ok(None)), "{key:?}");
        }
    }

    #[test]
    fn what_is_not_replaced_stays() {
        let (key, record, _) = everything().remove(0);
        let replaced = record
            .reseal(&key, &mut |purpose, identity, _| {
                let fresh = Sealed { key: KeyId(9), nonce: [0; 12], ciphertext: Box::default() };
                Ok::<_, Infallible>((purpose == Purpose::Seed && identity == "T1").then_some(fresh))
            })
            .unwrap()
            .unwrap();
        let (Record::Token(before), Record::Token(after)) = (&record, &replaced) else { panic!() };
        assert_eq!(after.seed.as_ref().unwrap().key, KeyId(9));
        let expected = TokenV1 { seed: after.seed.clone(), ..(**before).clone() };
        assert_eq!(**after, expected);
    }
}
