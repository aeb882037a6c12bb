//! Replacements of lost tokens: `lostTokenPWLen`, `lostTokenPWContents`, `lostTokenValid` and the right `losttoken`
//! (reference policies 6.3 and 6.5).

use tessera_core::decide::losttoken::{LostToken, Replacement};
use tessera_core::decision::Refusal;

use super::cases;
use super::site::{P, Site, p};

const fn e(action: &str) -> P<'_> {
    p(action).named("E").scope("enrollment")
}

fn lose(site: &mut Site, serial: &str) -> Result<Replacement, Refusal> {
    site.state.run(&LostToken { serial: Some(serial.to_owned()), ..LostToken::default() })
}

#[track_caller]
fn password(site: &mut Site) -> String {
    lose(site, "H1").unwrap().password.expose().to_owned()
}

cases! {
    passwords_are_made_as_the_policies_of_the_owner_say(site) {
        site.policy(e("lostTokenPWLen=20, lostTokenPWContents=n").realm("r1"));
        let made = password(&mut site);
        assert!(made.len() == 20 && made.bytes().all(|byte| byte.is_ascii_digit()), "{made}");
        site.check("hans", &format!("1234{made}"), true);
        site.policy(e("lostTokenPWLen=20, lostTokenPWContents=n").realm("r2"));
        let made = password(&mut site);
        assert!(made.len() == 10 && made.bytes().any(|byte| byte.is_ascii_alphabetic()), "{made}");
        site.policy(e("lostTokenPWLen=7, lostTokenPWContents=C").user("hans"));
        let made = password(&mut site);
        assert!(made.len() == 7 && made.bytes().all(|byte| byte.is_ascii_uppercase()), "{made}");
        site.policy(e("lostTokenPWLen=0"));
        assert_eq!(password(&mut site).len(), 10);
    }

    /// The clock of the fixture shows 2026-11-21T20:30:00Z.
    replacements_end_when_the_policy_says(site) {
        for (action, end) in [
            ("lostTokenValid=0", "21/11/26 23:59"),
            ("lostTokenValid=3", "24/11/26 23:59"),
            ("lostTokenValid=-1", "01/12/26 23:59"),
            ("lostTokenValid=1d 2h", "22/11/26 22:30"),
            ("lostTokenValid=P1DT2H", "22/11/26 22:30"),
        ] {
            site.policy(e(action));
            assert_eq!(lose(&mut site, "H1").unwrap().end_date, end, "{action}");
        }
        site.set(e("lostTokenValid=soon")).unwrap_err();
    }

    losing_a_token_needs_the_right(site) {
        site.policy(p("losttoken").named("L").scope("admin").realm("r2").user("superadmin"));
        assert!(matches!(lose(&mut site, "H1"), Err(Refusal::NotAllowed(_))));
        site.policy(p("losttoken").named("L").scope("admin").realm("r1").user("superadmin"));
        lose(&mut site, "H1").unwrap();
        site.policy(p("show").named("L").scope("admin").realm("r1").user("superadmin"));
        assert!(matches!(lose(&mut site, "H1"), Err(Refusal::NotAllowed(_))));
    }
}
