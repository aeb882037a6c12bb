//! The actions that have no effect yet, and what they wait for. They are checked when a policy is written, stored and
//! listed like all others.

use super::super::scope::Scope;

/// A feature that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Reading the audit trail over the web interface.
    AuditSearch,
    /// FIDO2 and U2F tokens.
    Fido2,
    /// Fetching OTP values.
    GetToken,
    /// SMS, e-mails and calls.
    Messages,
    /// Reports and monitoring.
    Monitoring,
    /// Data for offline use.
    Offline,
    /// QR and push tokens.
    QrAndPush,
    /// Remote tokens.
    Remote,
    /// The self-service.
    Selfservice,
    /// The calls of the management interface this action guards.
    TokenManagement,
    /// The tools.
    Tools,
}

impl Feature {
    /// The feature in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditSearch => "searching the audit trail",
            Self::Fido2 => "FIDO2 and U2F tokens",
            Self::GetToken => "fetching OTP values",
            Self::Messages => "SMS, e-mail and voice messages",
            Self::Monitoring => "monitoring and reporting",
            Self::Offline => "offline use",
            Self::QrAndPush => "QR and push tokens",
            Self::Remote => "remote tokens",
            Self::Selfservice => "self-service",
            Self::TokenManagement => "further calls of the management interface",
            Self::Tools => "tools",
        }
    }
}

/// Scopes of which every action waits.
const SCOPES: [(Scope, Feature); 8] = [
    (Scope::Audit, Feature::AuditSearch),
    (Scope::GetToken, Feature::GetToken),
    (Scope::Monitoring, Feature::Monitoring),
    (Scope::Notification, Feature::Messages),
    (Scope::Reporting, Feature::Monitoring),
    (Scope::ReportingAccess, Feature::Monitoring),
    (Scope::Selfservice, Feature::Selfservice),
    (Scope::Tools, Feature::Tools),
];

/// Single actions that wait.
const ACTIONS: [(Scope, Feature, &[&str]); 11] = [
    (Scope::Authentication, Feature::Offline, &["support_offline"]),
    (Scope::Authentication, Feature::Fido2, &["fido2_user_verification_requirement"]),
    (
        Scope::Authentication,
        Feature::Messages,
        &[
            "autosms",
            "trigger_sms",
            "smstext",
            "enforce_smstext",
            "sms_provider",
            "sms_dynamic_mobile_number",
            "email_provider",
            "emailtext",
            "emailsubject",
            "dynamic_email_address",
            "voice_provider",
            "voice_message",
            "voice_language",
            "voice_dynamic_mobile_number",
        ],
    ),
    (
        Scope::Authentication,
        Feature::QrAndPush,
        &[
            "push_provider",
            "qrtoken_pairing_callback_url",
            "qrtoken_pairing_callback_sms",
            "qrtoken_challenge_callback_url",
            "qrtoken_challenge_callback_sms",
            "qrtoken_pairing_cert",
            "pushtoken_pairing_callback_url",
            "pushtoken_challenge_callback_url",
        ],
    ),
    (Scope::Authorization, Feature::Fido2, &["fido2_allowed_authenticators"]),
    (Scope::Enrollment, Feature::Messages, &["autoenrollment"]),
    (Scope::Enrollment, Feature::Remote, &["autoassignment_forward"]),
    (
        Scope::Enrollment,
        Feature::Fido2,
        &[
            "u2f_app_id",
            "u2f_valid_facets",
            "fido2_rp_id",
            "fido2_rp_name",
            "fido2_attestation_conveyance",
            "fido2_user_verification_requirement",
            "fido2_resident_key_requirement",
            "fido2_authenticator_types",
            "fido2_allowed_authenticators",
        ],
    ),
    (Scope::Admin, Feature::GetToken, &["getotp"]),
    (Scope::Admin, Feature::QrAndPush, &["unpair"]),
    (
        Scope::Admin,
        Feature::TokenManagement,
        &[
            "copytokenpin",
            "copytokenuser",
            "totp_lookup",
            "tokenowner",
            "checkstatus",
            "manageToken",
            "import",
            "getserial",
        ],
    ),
];

/// What an action waits for.
pub(super) fn feature(scope: Scope, name: &str) -> Option<Feature> {
    let whole = SCOPES.iter().find(|(waiting, _)| *waiting == scope).map(|(_, feature)| *feature);
    whole.or_else(|| {
        let single = ACTIONS.iter().find(|(waiting, _, names)| *waiting == scope && names.contains(&name));
        single.map(|(_, feature, _)| *feature)
    })
}

/// Every single action that is listed.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = (Scope, &'static str)> {
    ACTIONS.iter().flat_map(|(scope, _, names)| names.iter().map(|name| (*scope, *name)))
}
