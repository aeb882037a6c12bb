//! Scope `authorization`: whether an authenticated user is let in, and what the client is told (reference policies 6.2).

use super::actions;
use crate::policy::scope::Scope::Authorization;

type Text = Box<str>;

actions! { DEFINITIONS in Authorization;
    /// As soon as one policy has this action, only users for whom one matches may log in.
    AUTHORIZE: bool = "authorize";
    /// Token types, separated by blanks, with which users may log in; '*' stands for all.
    TOKENTYPE: Text = "tokentype";
    /// An expression that has to be found in the serial of the token a user logs in with.
    SERIAL: Text = "serial";
    /// The realm a user is looked for in, instead of the one in the request.
    SETREALM: Text = "setrealm";
    /// A successful login answers who the user is, and with which token.
    DETAIL_ON_SUCCESS: bool = "detail_on_success";
    /// A failed login answers why it failed.
    DETAIL_ON_FAIL: bool = "detail_on_fail";
    /// AAGUIDs, separated by blanks, of FIDO2 authenticators that may be used to log in.
    FIDO2_ALLOWED_AUTHENTICATORS: Text = "fido2_allowed_authenticators";
}
