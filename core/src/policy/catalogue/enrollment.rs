//! Scope `enrollment`: what tokens look like and how many there may be (reference policies 6.3).

use super::Values::{OneOf, Parts, Within};
use super::{Action, actions, family};
use crate::policy::scope::Scope::Enrollment;
use crate::policy::value::{IntOrDuration, Words};

type Text = Box<str>;

actions! { DEFINITIONS in Enrollment;
    /// The most active tokens in the realm.
    TOKENCOUNT: i64 = "tokencount";
    /// The most tokens of one user, in any state; -1 stands for no limit.
    MAXTOKEN: i64 = "maxtoken";
    /// The length of a random PIN that replaces the one given when a token is enrolled or assigned or its PIN is set.
    OTP_PIN_RANDOM: i64 = "otp_pin_random", Within(0, 99);
    /// The characters of a random PIN: c small letters, C capitals, n digits, s special characters.
    OTP_PIN_RANDOM_CONTENT: Text = "otp_pin_random_content";
    /// 1 stores PINs encrypted instead of hashed.
    OTP_PIN_ENCRYPT: i64 = "otp_pin_encrypt", OneOf(&["0", "1"]);
    /// The label of a token in an app, with the placeholders `<u>` login, `<r>` realm, `<s>` serial and `<d>` description.
    TOKENLABEL: Text = "tokenlabel";
    /// The issuer of a token in an app, with the placeholders of tokenlabel.
    TOKENISSUER: Text = "tokenissuer";
    /// Users without token who send the right password get a token of this type, and a challenge: sms, email, both in
    /// the order of preference, or '*'.
    AUTOENROLLMENT: Text = "autoenrollment";
    /// Users without token who send password and OTP get the unassigned token of their realm that has this OTP.
    AUTOASSIGNMENT: bool = "autoassignment";
    /// Users without token who send an OTP get the unassigned token that has it.
    AUTOASSIGNMENT_WITHOUT_PASSWORD: bool = "autoassignment_without_password";
    /// The realm whose unassigned tokens are given away, instead of the user's.
    AUTOASSIGNMENT_FROM_REALM: Text = "autoassignment_from_realm";
    /// An unassigned remote token is asked with all of what was sent.
    AUTOASSIGNMENT_FORWARD: bool = "autoassignment_forward";
    /// The password does not become the PIN of a token that is assigned automatically.
    IGNORE_AUTOASSIGNMENT_PIN: bool = "ignore_autoassignment_pin";
    /// The length of the password that replaces a lost token.
    LOST_TOKEN_PW_LEN: i64 = "lostTokenPWLen";
    /// The characters of the password that replaces a lost token, as in `otp_pin_random_content`.
    LOST_TOKEN_PW_CONTENTS: Text = "lostTokenPWContents";
    /// How long the replacement of a lost token is valid: a number of days, or a duration such as '8d 1m' or P1DT2H.
    LOST_TOKEN_VALID: IntOrDuration = "lostTokenValid";
    /// After a login with another token the tokens that are only meant for the roll-out are deleted.
    PURGE_ROLLOUT_TOKEN: bool = "purge_rollout_token";
}

actions! { AUTHENTICATORS in Enrollment;
    /// The app id of U2F tokens.
    U2F_APP_ID: Text = "u2f_app_id";
    /// The origins that may use the app id, separated by semicolons.
    U2F_VALID_FACETS: Text = "u2f_valid_facets";
    /// The relying party id of FIDO2 tokens; needed to enrol one.
    FIDO2_RP_ID: Text = "fido2_rp_id";
    /// The relying party's name as authenticators show it.
    FIDO2_RP_NAME: Text = "fido2_rp_name";
    /// How FIDO2 authenticators attest what they are.
    FIDO2_ATTESTATION: Words = "fido2_attestation_conveyance", OneOf(&["direct", "indirect", "none", "enterprise"]);
    /// Whether FIDO2 authenticators verify their user at enrolment.
    FIDO2_USER_VERIFICATION: Words = "fido2_user_verification_requirement",
        OneOf(&["required", "preferred", "discouraged"]);
    /// Whether the credential is kept on the FIDO2 authenticator.
    FIDO2_RESIDENT_KEY: Words = "fido2_resident_key_requirement", OneOf(&["required", "preferred", "discouraged"]);
    /// The kinds of FIDO2 authenticators browsers offer first, separated by blanks.
    FIDO2_AUTHENTICATOR_TYPES: Words = "fido2_authenticator_types",
        Parts(&["client-device", "security-key", "hybrid"]);
    /// AAGUIDs, separated by blanks, of FIDO2 authenticators that may be enrolled.
    FIDO2_ALLOWED_AUTHENTICATORS: Text = "fido2_allowed_authenticators";
}

family! { MAX_TOKEN_OF_TYPE in Enrollment, "maxtoken": i64, "The most tokens of type ", " of one user.";
    "DPW" "EMAIL" "FIDO2" "FORWARD" "HMAC" "MOTP" "OCRA2" "PUSH" "PW" "QR" "RADIUS" "REMOTE" "SMS" "SPASS" "TOTP"
    "U2F" "VOICE" "YUBICO" "YUBIKEY"
}

/// The number of the key pair of QR and push tokens. Not one of the definitions: as in the original it is refused
/// while actions are checked.
pub const PARTITION: Action<i64> = Action::new(Enrollment, "partition");

/// `maxtoken<TYPE>` of a token type, given in any case.
#[must_use]
pub fn max_token_of_type(token_type: &str) -> String {
    format!("maxtoken{}", token_type.to_uppercase())
}
