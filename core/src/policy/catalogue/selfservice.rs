//! Scope `selfservice`: what users may do with their own tokens (reference policies 6.4). Everything is denied unless a
//! policy names it.

use super::Values::{OneOf, Within};
use super::{actions, family};
use crate::policy::scope::Scope::Selfservice;

type Text = Box<str>;

actions! { DEFINITIONS in Selfservice;
    /// Users may assign themselves an unassigned token.
    ASSIGN: bool = "assign";
    /// Users may give a token back.
    UNASSIGN: bool = "unassign";
    /// Users may delete a token.
    DELETE: bool = "delete";
    /// Users may disable a token.
    DISABLE: bool = "disable";
    /// Users may enable a token.
    ENABLE: bool = "enable";
    /// Users may resynchronise a token.
    RESYNC: bool = "resync";
    /// Users may try a token out.
    VERIFY: bool = "verify";
    /// Users may set the fail counter of a token to zero.
    RESET: bool = "reset";
    /// Users may set the PIN of a token, and have to when they enrol one.
    SET_OTP_PIN: bool = "setOTPPIN";
    /// Users may describe a token.
    SET_DESCRIPTION: bool = "setDescription";
    /// Users may set the device PIN of an mOTP token.
    SET_MOTP_PIN: bool = "setMOTPPIN";
    /// Users may see what was done with their tokens.
    HISTORY: bool = "history";
    /// Users may find a token by an OTP it shows.
    GET_SERIAL: bool = "getserial";
    /// Users may activate a QR token.
    ACTIVATE_QR_TOKEN: bool = "activate_QRToken";
    /// Users may activate a push token.
    ACTIVATE_PUSH_TOKEN: bool = "activate_PushToken";
    /// Users may activate an OCRA2 token.
    ACTIVATE_OCRA2: bool = "activate_OCRA2";
    /// A former name of `activate_OCRA2`.
    ACTIVATE_QR2: bool = "activateQR2";
}

actions! { SETTINGS in Selfservice;
    /// The shortest PIN users may set.
    OTP_PIN_MIN_LENGTH: i64 = "otp_pin_minlength", Within(0, 99);
    /// The longest PIN users may set.
    OTP_PIN_MAX_LENGTH: i64 = "otp_pin_maxlength", Within(0, 99);
    /// The characters a PIN has to contain: c letters, n digits, s special characters, o others. With '-' in front no
    /// other characters are allowed; with '+' one character of all groups together is enough.
    OTP_PIN_CONTENTS: Text = "otp_pin_contents";
    /// The number of digits of HMAC tokens users enrol.
    HMAC_OTPLEN: i64 = "hmac_otplen", OneOf(&["6", "8"]);
    /// The hash of HMAC tokens users enrol: 1 SHA-1, 2 SHA-256, 3 SHA-512.
    HMAC_HASHLIB: i64 = "hmac_hashlib", OneOf(&["1", "2", "3"]);
    /// The number of digits of TOTP tokens users enrol.
    TOTP_OTPLEN: i64 = "totp_otplen", OneOf(&["6", "8"]);
    /// The hash of TOTP tokens users enrol: 1 SHA-1, 2 SHA-256, 3 SHA-512.
    TOTP_HASHLIB: i64 = "totp_hashlib", OneOf(&["1", "2", "3"]);
    /// The time step of TOTP tokens users enrol, in seconds.
    TOTP_TIMESTEP: i64 = "totp_timestep", OneOf(&["30", "60"]);
    /// 0: the number of an SMS token has to be the one in the user store.
    EDIT_SMS: i64 = "edit_sms", OneOf(&["0", "1"]);
    /// 0: the address of an e-mail token has to be the one in the user store.
    EDIT_EMAIL: i64 = "edit_email", OneOf(&["0", "1"]);
    /// Users log in with password and OTP.
    MFA_LOGIN: bool = "mfa_login";
    /// The login page has a field of its own for the OTP.
    MFA_3_FIELDS: bool = "mfa_3_fields";
    /// Where password and OTP are needed, users without token log in with the password alone.
    MFA_PASS_ON_NO_TOKEN: bool = "mfa_passOnNoToken";
    /// A text at the bottom of every page.
    FOOTER_TEXT: Text = "footer_text";
    /// Where the imprint is.
    IMPRINT_URL: Text = "imprint_url";
    /// Where the privacy notice is.
    PRIVACY_NOTICE_URL: Text = "privacy_notice_url";
}

family! { ENROLL in Selfservice, "enroll": bool, "Users may enrol tokens of type ", ".";
    "DPW" "EMAIL" "FIDO2" "FORWARD" "HMAC" "MOTP" "OCRA2" "PUSH" "PW" "QR" "RADIUS" "REMOTE" "SMS" "SPASS" "TOTP"
    "YUBICO"
}
