//! Scope `admin`: what administrators may do with tokens and users, in the realms of the policy (reference policies 6.5).

use super::{actions, family};
use crate::policy::scope::Scope::Admin;

actions! { DEFINITIONS in Admin;
    /// Administrators may enable tokens.
    ENABLE: bool = "enable";
    /// Administrators may disable tokens.
    DISABLE: bool = "disable";
    /// Administrators may remove tokens.
    REMOVE: bool = "remove";
    /// Administrators may set fail counters to zero.
    RESET: bool = "reset";
    /// Administrators may resynchronise tokens.
    RESYNC: bool = "resync";
    /// Administrators may assign tokens; both the token and the user have to be in the realms.
    ASSIGN: bool = "assign";
    /// Administrators may take tokens from their owners.
    UNASSIGN: bool = "unassign";
    /// Administrators may replace lost tokens.
    LOST_TOKEN: bool = "losttoken";
    /// Administrators may copy the PIN of a token to another one.
    COPY_TOKEN_PIN: bool = "copytokenpin";
    /// Administrators may copy the owner of a token to another one.
    COPY_TOKEN_USER: bool = "copytokenuser";
    /// Administrators may break the pairing of a token with its app.
    UNPAIR: bool = "unpair";
    /// Administrators may ask when a TOTP token showed an OTP.
    TOTP_LOOKUP: bool = "totp_lookup";
    /// Administrators may ask for the owner of a token.
    TOKEN_OWNER: bool = "tokenowner";
    /// Administrators may ask for the challenges of tokens.
    CHECK_STATUS: bool = "checkstatus";
    /// Administrators may change the windows, the OTP length and the fail counter limit of tokens.
    SET: bool = "set";
    /// Administrators may set the PIN of tokens.
    SET_OTP_PIN: bool = "setOTPPIN";
    /// Administrators may set the device PIN of mOTP tokens.
    SET_MOTP_PIN: bool = "setMOTPPIN";
    /// Administrators may set the device PIN of OCRA2 tokens.
    SET_OCRA_PIN: bool = "setOCRAPIN";
    /// Administrators may set the realms of tokens; all of them, old and new, have to be in the realms.
    MANAGE_TOKEN: bool = "manageToken";
    /// Administrators may import token files into a realm.
    IMPORT: bool = "import";
    /// Administrators may find a token by an OTP it shows.
    GET_SERIAL: bool = "getserial";
    /// Administrators may list the users of a realm.
    USERLIST: bool = "userlist";
    /// Administrators may fetch OTP values of tokens.
    GETOTP: bool = "getotp";
    /// Administrators may list tokens; every other action of a realm includes it.
    SHOW: bool = "show";
}

family! { INIT in Admin, "init": bool, "Administrators may enrol tokens of type ", ".";
    "DPW" "EMAIL" "FIDO2" "FORWARD" "HMAC" "MOTP" "OCRA2" "PUSH" "PW" "QR" "RADIUS" "REMOTE" "SMS" "SPASS" "TOTP"
    "U2F" "VOICE" "YUBICO" "YUBIKEY"
}

/// `init<TYPE>` of a token type, given in any case.
#[must_use]
pub fn init(token_type: &str) -> String {
    format!("init{}", token_type.to_uppercase())
}

/// A former name of `initHMAC`; not one of the definitions, still valid in policies.
pub const INIT_ETNG: &str = "initETNG";
