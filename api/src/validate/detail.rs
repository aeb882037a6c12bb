//! What policies let the client know about a login beside the verdict (reference http-api 7.2).

use serde_json::{Value, json};
use tessera_core::decide::authorize::{LoginDetail, SuccessDetail};
use tessera_core::decide::validate::Verdict;

use crate::reply::Members;

/// The members of `detail`, if policies have any. What the verdict tells anyway stands in front of them.
pub(super) fn members(verdict: &Verdict) -> Option<Members<Value>> {
    let told = verdict.detail.as_ref()?;
    let mut members: Vec<(String, Value)> = Vec::new();
    if let Some(auth_info) = &verdict.auth_info {
        members.push(("auth_info".to_owned(), json!(auth_info)));
    }
    match told {
        LoginDetail::Failure(reason) => members.push(("error".to_owned(), json!(reason))),
        LoginDetail::Remote(text) => {
            if let Ok(Value::Object(told)) = serde_json::from_str(text) {
                members.extend(told);
            }
        }
        LoginDetail::Success(SuccessDetail { realm, user, is_admin, token_type, serial }) => {
            members.push(("realm".to_owned(), json!(realm)));
            members.push(("user".to_owned(), json!(user)));
            members.push(("is_linotp_admin".to_owned(), json!(is_admin)));
            members.push(("tokentype".to_owned(), json!(token_type)));
            members.push(("serial".to_owned(), json!(serial)));
        }
    }
    Some(Members(members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn value(verdict: &Verdict) -> Value {
        members(verdict).map_or(Value::Null, |members| json!(members))
    }

    /// Reference http-api 7.2 and policies 6.2.
    #[test]
    fn members_are_the_references() {
        assert_eq!(value(&Verdict::default()), Value::Null);
        let failure = Some(LoginDetail::Failure("wrong otp value".to_owned()));
        assert_eq!(
            value(&Verdict { detail: failure, ..Verdict::default() }),
            json!({"error": "wrong otp value"})
        );
        let user =
            BTreeMap::from([("username".to_owned(), Some("hans".to_owned())), ("email".to_owned(), None)]);
        let success = SuccessDetail {
            realm: Some("r1".to_owned()),
            user: Some(user),
            is_admin: Some(false),
            token_type: None,
            serial: None,
        };
        let verdict = Verdict {
            accepted: true,
            auth_info: Some(vec![("pin_length".to_owned(), 3)]),
            detail: Some(LoginDetail::Success(success)),
            ..Verdict::default()
        };
        assert_eq!(
            value(&verdict),
            json!({"auth_info": [["pin_length", 3]], "realm": "r1", "user": {"username": "hans", "email": null},
                "is_linotp_admin": false, "tokentype": null, "serial": null})
        );
    }
}
