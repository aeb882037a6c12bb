//! The acceptance cases of reference policies 11, each a test that is named by its case.
//!
//! Cases that wait for a feature are listed in `docs/compatibility.md`.

mod administration;
mod authorization;
mod autoassignment;
mod callback;
mod challenge;
mod enrollment;
mod exceed;
mod fallback;
mod forward;
mod losttoken;
mod manual;
mod otppin;
mod rights;
mod site;

/// One test per case; each begins with the fixture of reference policies 11.0.
macro_rules! cases {
    ($($(#[$attribute:meta])* $id:ident($site:ident) $body:block)+) => {$(
        $(#[$attribute])*
        #[test]
        fn $id() {
            let mut $site = $crate::policies::site::Site::new();
            $body
        }
    )+};
}

use cases;
