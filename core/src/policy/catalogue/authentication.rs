//! Scope `authentication`: how users are authenticated (reference policies 6.1).

use super::Values::{OneOf, Parts};
use super::actions;
use crate::decide::pin::OtpPinMode;
use crate::policy::scope::Scope::Authentication;
use crate::policy::value::Words;

type Text = Box<str>;

actions! { DEFINITIONS in Authentication;
    /// What stands in front of the OTP: the token's PIN (0, `token_pin`), the password of the user store (1, password),
    /// nothing (2, `only_otp`), or anything (3, `ignore_pin`).
    OTPPIN: OtpPinMode = "otppin",
        OneOf(&["0", "1", "2", "3", "token_pin", "password", "only_otp", "ignore_pin"]);
    /// Users without any token log in with the password of the user store.
    PASSTHRU: bool = "passthru";
    /// Users without any token are let in whatever they send.
    PASS_ON_NO_TOKEN: bool = "passOnNoToken";
    /// Token types, separated by blanks, that open a challenge when only the PIN is sent; '*' stands for all.
    CHALLENGE_RESPONSE: Text = "challenge_response";
    /// Servers, separated by blanks, that decide instead of this one: `radius://host:port/?secret=...`, http:// or https://
    /// URLs. The secret is stored encrypted and shown as encsecret.
    FORWARD_SERVER: Text = "forward_server";
    /// Only requests of users without any token are forwarded.
    FORWARD_ON_NO_TOKEN: bool = "forward_on_no_token";
    /// The URL an OCRA2 app sends its answer to; further URLs as `qrtanurl.<id>`.
    QRTANURL: Text = "qrtanurl";
    /// The URL an OCRA2 app sends the confirmation of its roll-out to; further URLs as `qrtanurl_init.<id>`.
    QRTANURL_INIT: Text = "qrtanurl_init";
    /// Token types, separated by blanks, for which data for offline use is handed out.
    SUPPORT_OFFLINE: Words = "support_offline", Parts(&["qr", "u2f", "forward", "fido2"]);
    /// A token that has reached its usage limit or the end of its validity is disabled at the next attempt.
    DISABLE_ON_AUTHENTICATION_EXCEED: bool = "disable_on_authentication_exceed";
    /// A token that has reached its usage limit or the end of its validity is deleted at the next attempt.
    DELETE_ON_AUTHENTICATION_EXCEED: bool = "delete_on_authentication_exceed";
    /// Forward tokens leave the fail counter of their target alone.
    NO_FAILCOUNTER_FORWARDING: bool = "forwardtoken:no_failcounter_forwarding";
    /// Whether FIDO2 authenticators verify their user at login: required, preferred or discouraged.
    FIDO2_USER_VERIFICATION: Words = "fido2_user_verification_requirement",
        OneOf(&["required", "preferred", "discouraged"]);
}

actions! { MESSAGES in Authentication;
    /// After a successful login with an SMS token the next OTP is sent at once.
    AUTOSMS: bool = "autosms";
    /// A check by serial may trigger an SMS without the PIN, by the parameter 'challenge'.
    TRIGGER_SMS: bool = "trigger_sms";
    /// Text of an SMS, with the placeholders `<otp>`, `<serial>` and `<transactionid>`.
    SMSTEXT: Text = "smstext";
    /// The request may not replace the text of an SMS.
    ENFORCE_SMSTEXT: bool = "enforce_smstext";
    /// SMS providers, separated by blanks, in the order in which they are tried.
    SMS_PROVIDER: Text = "sms_provider";
    /// An SMS goes to the number in the user store instead of the one in the token.
    SMS_DYNAMIC_MOBILE_NUMBER: bool = "sms_dynamic_mobile_number";
    /// The e-mail provider.
    EMAIL_PROVIDER: Text = "email_provider";
    /// Text of an e-mail, with the placeholders `<otp>`, `<serial>` and `${attribute}`.
    EMAILTEXT: Text = "emailtext";
    /// Subject of an e-mail, with the placeholders of emailtext.
    EMAILSUBJECT: Text = "emailsubject";
    /// An e-mail goes to the address in the user store instead of the one in the token.
    DYNAMIC_EMAIL_ADDRESS: bool = "dynamic_email_address";
    /// The voice provider.
    VOICE_PROVIDER: Text = "voice_provider";
    /// What a call says, with the placeholder `{otp}`.
    VOICE_MESSAGE: Text = "voice_message";
    /// The language of a call.
    VOICE_LANGUAGE: Text = "voice_language";
    /// A call goes to the number in the user store instead of the one in the token.
    VOICE_DYNAMIC_MOBILE_NUMBER: bool = "voice_dynamic_mobile_number";
    /// The push provider.
    PUSH_PROVIDER: Text = "push_provider";
}

actions! { APPS in Authentication;
    /// The URL a QR token's app sends its pairing to; this or the number is needed to enrol one.
    QRTOKEN_PAIRING_URL: Text = "qrtoken_pairing_callback_url";
    /// The number a QR token's app sends its pairing to by SMS.
    QRTOKEN_PAIRING_SMS: Text = "qrtoken_pairing_callback_sms";
    /// The URL a QR token's app sends its answer to; this or the number is needed to enrol one and to challenge it.
    QRTOKEN_CHALLENGE_URL: Text = "qrtoken_challenge_callback_url";
    /// The number a QR token's app sends its answer to by SMS.
    QRTOKEN_CHALLENGE_SMS: Text = "qrtoken_challenge_callback_sms";
    /// Id of a certificate for pairing; stored for older clients, without effect.
    QRTOKEN_PAIRING_CERT: Text = "qrtoken_pairing_cert";
    /// The URL a push token's app sends its pairing to; needed to enrol one.
    PUSHTOKEN_PAIRING_URL: Text = "pushtoken_pairing_callback_url";
    /// The URL a push token's app sends its answer to; needed to challenge it.
    PUSHTOKEN_CHALLENGE_URL: Text = "pushtoken_challenge_callback_url";
}
