//! What is checked before a policy is written (reference policies 1.3 to 1.5, D15, D29, D30).

use super::catalogue::{self, Definition, Values, admin};
use super::items::{Items, Written};
use super::scope::Scope;
use super::set::Policy;
use super::value::{ActionValue, IntOrDuration, Kind, words};

/// Why an action is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAction {
    /// The scope does not exist.
    #[error("there is no scope '{0}'")]
    Scope(Box<str>),
    /// The action does not exist in the scope.
    #[error("there is no action '{action}' in scope {scope}")]
    Unknown {
        /// The scope.
        scope: Scope,
        /// The action.
        action: Box<str>,
    },
    /// A value is needed.
    #[error("action '{0}' needs a value: write {0}=...")]
    Bare(&'static str),
    /// The value is not one the action may have.
    #[error("action '{action}' cannot be '{value}': {expected} is expected")]
    Value {
        /// The action.
        action: &'static str,
        /// The value.
        value: Box<str>,
        /// What would be right.
        expected: Box<str>,
    },
}

/// Checks the actions of a policy.
///
/// A text or a set without value is refused in any case; whether an action exists and whether its value is right is
/// checked only if `completely`, as the setting `policy_action_validation` says.
///
/// # Errors
/// [`InvalidAction`].
pub fn check_actions(scope: &str, items: &Items, completely: bool) -> Result<(), InvalidAction> {
    let known = Scope::find(scope);
    if completely && known.is_none() {
        return Err(InvalidAction::Scope(scope.into()));
    }
    let Some(scope) = known else { return Ok(()) };
    if matches!(scope, Scope::Ocra | Scope::Ocra2) {
        return Ok(());
    }
    for (key, written) in items.iter() {
        let Some(definition) = catalogue::find(scope, key) else {
            if completely && !is_known_without_definition(scope, key) {
                return Err(InvalidAction::Unknown { scope, action: key.into() });
            }
            continue;
        };
        if *written == Written::On && matches!(definition.kind, Kind::Text | Kind::Set) {
            return Err(InvalidAction::Bare(definition.name));
        }
        if completely {
            check_value(definition, written)?;
        }
    }
    Ok(())
}

fn is_known_without_definition(scope: Scope, key: &str) -> bool {
    (key == "*" && scope.knows_star()) || (scope == Scope::Admin && key == admin::INIT_ETNG)
}

fn check_value(definition: &Definition, written: &Written) -> Result<(), InvalidAction> {
    let text = match written {
        Written::On => "1",
        Written::Off if definition.kind == Kind::Int => "0",
        Written::Off => "False",
        Written::Text(text) => text,
    };
    let is_right = match definition.kind {
        Kind::Bool => {
            ["true", "false", "yes", "no", "1", "0"].iter().any(|word| word.eq_ignore_ascii_case(text.trim()))
        }
        Kind::Int => text.trim().parse::<i64>().is_ok(),
        Kind::IntOrDuration => IntOrDuration::read(written).is_some(),
        Kind::Text | Kind::Set => true,
    };
    if is_right && is_allowed(definition.values, text) {
        return Ok(());
    }
    Err(InvalidAction::Value {
        action: definition.name,
        value: text.into(),
        expected: expectation(definition).into(),
    })
}

fn is_allowed(values: Values, text: &str) -> bool {
    match values {
        Values::Any => true,
        Values::OneOf(list) => list.contains(&text.trim()),
        Values::Within(least, most) => {
            text.trim().parse::<i64>().is_ok_and(|number| (least..=most).contains(&number))
        }
        Values::Parts(list) => words(text).all(|word| list.contains(&word)),
    }
}

fn expectation(definition: &Definition) -> String {
    match (definition.values, definition.kind) {
        (Values::OneOf(list), _) => format!("one of {}", list.join(", ")),
        (Values::Within(least, most), _) => format!("a number from {least} to {most}"),
        (Values::Parts(list), _) => format!("a list of {}, separated by blanks,", list.join(", ")),
        (Values::Any, Kind::Bool) => "true or false".to_owned(),
        (Values::Any, Kind::Int) => "a number".to_owned(),
        (Values::Any, Kind::IntOrDuration) => "a number or a duration such as '8d 1m'".to_owned(),
        (Values::Any, Kind::Text | Kind::Set) => "a text".to_owned(),
    }
}

/// Why a change of a system policy may lock administrators out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lockout {
    /// The policy names no user.
    #[error("the policy has no user")]
    NoUser,
    /// The policy names no realm.
    #[error("the policy has no realm")]
    NoRealm,
    /// Nobody could write the configuration any more.
    #[error("no active system policy with the action 'write' or '*' would remain")]
    NoWriter,
}

/// The reason to warn about a change of a system policy, the last one that applies (reference policies 1.5).
///
/// `others` are all other policies, `changed` is the policy as it is written, or as it is before it is deleted.
pub fn lockout<'a, P: Iterator<Item = &'a Policy>>(
    others: P,
    changed: &Policy,
    remains: bool,
) -> Option<Lockout> {
    let is_system = |policy: &Policy| policy.scope == Some(Scope::System);
    let mut any = false;
    let mut writer = false;
    let mut count = |policy: &Policy| {
        if is_system(policy) && policy.fields.active {
            any = true;
            writer |= policy.fields.action.split(',').any(|item| matches!(item.trim(), "write" | "*"));
        }
    };
    others.for_each(&mut count);
    if remains {
        count(changed);
    }
    if any && !writer {
        return Some(Lockout::NoWriter);
    }
    if !is_system(changed) {
        return None;
    }
    if changed.fields.realm.trim().is_empty() {
        return Some(Lockout::NoRealm);
    }
    changed.fields.user.trim().is_empty().then_some(Lockout::NoUser)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PolicyV1;
    use crate::user::PolicyName;
    use std::sync::Arc;

    #[track_caller]
    fn check(scope: &str, action: &str, completely: bool, expected: bool) {
        let result = check_actions(scope, &Items::parse(action).unwrap(), completely);
        assert_eq!(result.is_ok(), expected, "{scope}: {action}: {result:?}");
    }

    /// Reference policies 1.4, and the cases PIN-29, CR-10, OF-12, ST-04.
    #[test]
    fn actions_and_values_are_checked_by_type() {
        for (scope, action, expected) in [
            ("authentication", "autosms", true),
            ("authentication", "!autosms", true),
            ("authentication", "autosms=TRUE, passthru=no, passOnNoToken=1", true),
            ("authentication", "autosms=maybe", false),
            ("authentication", "autosms=on", false),
            ("authentication", "nosuch", false),
            ("authentication", "*", false),
            ("authentication", "otppin=0", true),
            ("authentication", "otppin=token_pin", true),
            ("authentication", "otppin=4", false),
            ("authentication", "otppin=Password", false),
            ("authentication", "otppin", false),
            ("authentication", "!otppin", false),
            ("authentication", "challenge_response=HMAC TOTP", true),
            ("authentication", "challenge_response=HMAC,TOTP", false),
            ("authentication", "support_offline=qr forward", true),
            ("authentication", "support_offline=hmac", false),
            ("authentication", "smstext=Hello, your otp is <otp>", false),
            ("authentication", "smstext=\"Hello, your otp is <otp>\"", true),
            ("authentication", "smstext=", true),
            ("authentication", "smstext", false),
            ("authentication", "qrtanurl.app2=https://a", true),
            ("authentication", "fido2_user_verification_requirement=preferred", true),
            ("authentication", "fido2_user_verification_requirement=always", false),
            ("enrollment", "maxtoken=3, maxtokenHMAC=1, tokencount=100", true),
            ("enrollment", "maxtoken=many", false),
            ("enrollment", "maxtoken", true),
            ("enrollment", "otp_pin_random=99", true),
            ("enrollment", "otp_pin_random=100", false),
            ("enrollment", "otp_pin_encrypt=1", true),
            ("enrollment", "otp_pin_encrypt=2", false),
            ("enrollment", "lostTokenValid=8d 1m", true),
            ("enrollment", "lostTokenValid=P1DT2H", true),
            ("enrollment", "lostTokenValid=10", true),
            ("enrollment", "lostTokenValid=soon", false),
            ("enrollment", "partition=1", false),
            ("selfservice", "enrollHMAC, reset, hmac_otplen=8", true),
            ("selfservice", "hmac_otplen=7", false),
            ("selfservice", "*", false),
            ("admin", "*", true),
            ("admin", "initETNG, initSPASS, initHMAC, show", true),
            ("admin", "initNOSUCH", false),
            ("system", "*", true),
            ("system", "read, write", true),
            ("system", "delete", false),
            ("reporting.access", "*", true),
            ("gettoken", "*", false),
            ("gettoken", "max_count_dpw=3", true),
            ("ocra", "anything goes=here", true),
            ("ocra2", "*", true),
            ("nosuch", "a", false),
        ] {
            check(scope, action, true, expected);
        }
    }

    /// D29 and D30: what nobody can have meant is refused even where actions are not checked.
    #[test]
    fn without_validation_only_missing_values_are_refused() {
        for (scope, action, expected) in [
            ("authentication", "otppin=4, nosuch, autosms=maybe", true),
            ("authentication", "*", true),
            ("nosuch", "a", true),
            ("authentication", "otppin", false),
            ("authentication", "forward_server", false),
            ("authentication", "smstext", false),
            ("authentication", "autosms", true),
            ("enrollment", "maxtoken", true),
        ] {
            check(scope, action, false, expected);
        }
    }

    fn policy(name: &str, scope: &str, action: &str, user: &str, active: &str) -> Policy {
        let record = PolicyV1 {
            active: active.into(),
            scope: scope.into(),
            action: action.into(),
            realm: "*".into(),
            user: user.into(),
            ..PolicyV1::default()
        };
        Policy::compile(PolicyName::from(name), Arc::new(record))
    }

    /// Reference policies 1.5.
    #[test]
    fn a_change_that_may_lock_out_is_found() {
        let writer = policy("w", "system", "read, write", "admin", "True");
        let all = policy("w", "system", "*", "admin", "");
        let reader = policy("r", "system", "read", "bob", "True");
        let sleeping = policy("w", "system", "write", "admin", "False");
        let other = policy("o", "admin", "*", "bob", "True");
        let nobody = policy("n", "system", "write", "", "False");
        for (others, changed, remains, expected) in [
            (vec![], &reader, true, Some(Lockout::NoWriter)),
            (vec![], &writer, true, None),
            (vec![], &all, true, None),
            (vec![&writer], &reader, true, None),
            (vec![&sleeping], &reader, true, Some(Lockout::NoWriter)),
            (vec![&reader], &writer, false, Some(Lockout::NoWriter)),
            (vec![&reader], &sleeping, true, Some(Lockout::NoWriter)),
            (vec![&other], &writer, false, None),
            (vec![], &writer, false, None),
            (vec![&writer], &nobody, true, Some(Lockout::NoUser)),
            (vec![], &nobody, false, Some(Lockout::NoUser)),
            (vec![&reader], &other, true, Some(Lockout::NoWriter)),
            (vec![], &other, true, None),
        ] {
            let reason = lockout(others.iter().copied(), changed, remains);
            assert_eq!(reason, expected, "{} {}", changed.fields.action, changed.fields.user);
        }
        let mut nowhere = writer;
        nowhere.fields.realm = " ".into();
        assert_eq!(lockout([].iter().copied(), &nowhere, true), Some(Lockout::NoRealm));
    }
}
