//! `/admin`: administrators' sessions and the management of tokens (reference http-api 8 to 11).

pub(crate) mod init;
pub(crate) mod lifecycle;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod losttoken;
pub(crate) mod resync;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod userlist;

use serde::Serialize;

/// A detail that is one sentence.
#[derive(Serialize)]
struct Message {
    message: String,
}

impl Message {
    fn new(text: impl Into<String>) -> Self {
        Self { message: text.into() }
    }
}
