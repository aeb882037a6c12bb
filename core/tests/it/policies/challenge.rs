//! `challenge_response`: reference policies 11.2.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::transaction::{CheckStatus, CheckTransaction, TransactionVerdict};
use tessera_core::decide::validate::{ChallengeReply, CheckSerial};
use tessera_core::secret::SecretText;

use super::cases;
use super::site::{O, Site, answer, init_request, p, request, with_option};

/// Enrols a token of another type.
fn enroll(site: &mut Site, token_type: &str, serial: &str, seed: &str) {
    let seed = SeedSource { given: Some(seed.into()), generate: false };
    let token_type = Some(token_type.to_owned());
    site.init(&Init { token_type, seed, ..init_request(serial, "1234", "hans", "") }).unwrap();
}

/// Takes H1 away, so that only one token is left.
fn without_h1(site: &mut Site) {
    site.state.delete(tessera_core::record::Key::Token("H1".into()));
}

cases! {
    cr_01(site) {
        site.no_challenge(&request("hans", "1234"));
        assert_eq!(site.failures("H1"), 1);
    }

    cr_02_and_cr_03(site) {
        site.policy(p("challenge_response=HMAC TOTP PW,"));
        let verdict = site.verdict("hans", "1234");
        let Some(ChallengeReply::One(token)) = verdict.challenge else { panic!("{verdict:?}") };
        assert_eq!((verdict.accepted, token.serial.as_str(), token.token_type), (false, "H1", "HMAC"));
        assert_eq!((token.transaction_id.as_str().len(), &*token.message), (17, "Please enter your otp value: "));
        assert_eq!((site.failures("H1"), site.reason()), (0, "challenge created"));
        let answer = answer("hans", O[0], token.transaction_id.as_str());
        assert!(site.state.run(&answer).unwrap().accepted);
        assert!(!site.state.run(&answer).unwrap().accepted, "closed");
    }

    /// The web interface accepts `state` for `transactionid`; it is one parameter here.
    cr_05(site) {
        site.policy(p("challenge_response=*"));
        let id = site.challenge(&request("hans", "1234"));
        site.no_challenge(&answer("hans", "000000", &id));
        assert_eq!(site.failures("H1"), 1);
        site.state.now = site.state.now.plus_seconds(120);
        assert!(site.state.run(&answer("hans", O[0], &id)).unwrap().accepted);
        assert_eq!(site.failures("H1"), 0);
        let id = site.challenge(&request("hans", "1234"));
        site.state.now = site.state.now.plus_seconds(121);
        site.no_challenge(&answer("hans", O[1], &id));
    }

    cr_06(site) {
        site.policy(p("challenge_response=HMAC TOTP PW,")).check("hans", "1234755224", true);
    }

    cr_07(site) {
        site.policy(p("challenge_response=HMAC TOTP PW,")).no_challenge(&request("hans", "9999"));
        assert_eq!(site.failures("H1"), 1);
    }

    cr_08(site) {
        site.policy(p("challenge_response=totp")).no_challenge(&request("hans", "1234"));
        assert_eq!(site.failures("H1"), 1);
    }

    cr_09(site) {
        for list in ["challenge_response=hmac", "challenge_response=*"] {
            site.policy(p(list)).challenge(&request("hans", "1234"));
        }
    }

    cr_10(site) {
        site.set(p("challenge_response=HMAC,TOTP")).unwrap_err();
        site.state.set("policy_action_validation", "False");
        site.policy(p("challenge_response=HMAC,TOTP")).challenge(&request("hans", "1234"));
        without_h1(&mut site);
        enroll(&mut site, "totp", "T1", crate::tokens::SEED);
        site.no_challenge(&request("hans", "1234"));
    }

    /// Of the types of this case only OCRA2 exists; it wants to know what the challenge is about.
    cr_11_ocra2(site) {
        without_h1(&mut site);
        enroll(&mut site, "ocra2", "O1", crate::tokens::RFC_SEED);
        site.no_challenge(&request("hans", "1234"));
        site.challenge(&with_option(request("hans", "1234"), "data", "10 EUR"));
    }

    cr_12(site) {
        without_h1(&mut site);
        enroll(&mut site, "spass", "P1", "00");
        site.policy(p("challenge_response=*")).check("hans", "1234", true);
        site.no_challenge(&request("hans", "12345"));
    }

    cr_13(site) {
        without_h1(&mut site);
        enroll(&mut site, "dpw", "D1", "secret");
        site.policy(p("challenge_response=*")).no_challenge(&request("hans", "1234"));
        site.challenge(&with_option(request("hans", "1234"), "data", "x"));
    }

    cr_14(site) {
        enroll(&mut site, "totp", "T1", crate::tokens::RFC_SEED);
        site.policy(p("challenge_response=*"));
        let verdict = site.verdict("hans", "1234");
        let Some(ChallengeReply::Several { transaction_id, challenges }) = verdict.challenge else {
            panic!("{verdict:?}")
        };
        let ids: Vec<(&str, &str)> =
            challenges.iter().map(|token| (token.serial.as_str(), token.transaction_id.as_str())).collect();
        let (first, second) = (format!("{transaction_id}.01"), format!("{transaction_id}.02"));
        assert_eq!(ids, [("H1", &*first), ("T1", &*second)]);
        site.no_challenge(&answer("hans", "000000", transaction_id.as_str()));
        assert_eq!((site.failures("H1"), site.failures("T1")), (1, 1));
        // The clock of the fixture shows 2026-11-21T20:30:00Z; `oathtool --totp -N`.
        assert!(site.state.run(&answer("hans", "744417", transaction_id.as_str())).unwrap().accepted);
        assert_eq!(&*site.state.last_audit().serial, "T1");
        site.no_challenge(&answer("hans", O[0], transaction_id.as_str()));
    }

    cr_15(site) {
        site.policy(p("challenge_response=*, otppin=1")).no_challenge(&request("hans", "1234"));
        site.challenge(&request("hans", "pw-hans"));
    }

    cr_16(site) {
        site.policy(p("challenge_response=*, otppin=2"));
        let id = site.challenge(&request("hans", ""));
        assert!(site.state.run(&answer("hans", O[0], &id)).unwrap().accepted);
    }

    cr_17(site) {
        site.policy(p("challenge_response=*, otppin=3"));
        let id = site.challenge(&request("hans", "anything"));
        assert_eq!(site.failures("H1"), 0);
        // An answer is never taken for the wish for another challenge: wrong ones count.
        site.no_challenge(&answer("hans", "000000", &id));
        assert_eq!(site.failures("H1"), 1);
    }

    cr_18(site) {
        site.policy(p("challenge_response=*").client("10.1.0.0/16"));
        site.from("10.1.0.5").challenge(&request("hans", "1234"));
        site.from("10.2.0.5").no_challenge(&request("hans", "1234"));
    }

    cr_19(site) {
        site.policy(p("challenge_response=*"));
        site.state.change_token("H1", |token| token.active = false);
        site.no_challenge(&request("hans", "1234"));
    }

    cr_20(site) {
        site.policy(p("challenge_response=*"));
        site.state.change_usage("H1", |usage| usage.fail_count = 10);
        site.no_challenge(&request("hans", "1234"));
        assert_eq!(site.failures("H1"), 11);
    }

    /// Without a user the realms of the token count, by serial and by transaction.
    tokens_are_challenged_by_serial_as_their_realm_says(site) {
        let check = |pass: &str, transaction: Option<&str>| CheckSerial {
            serial: Some("H1".to_owned()),
            pass: Some(SecretText::from(pass)),
            transaction_id: transaction.map(str::to_owned),
            ..CheckSerial::default()
        };
        site.policy(p("challenge_response=hmac").realm("r2"));
        assert_eq!(site.state.run(&check("1234", None)).unwrap().challenge, None);
        site.policy(p("challenge_response=hmac").realm("r1"));
        let challenge = site.state.run(&check("1234", None)).unwrap().challenge;
        let Some(ChallengeReply::One(token)) = challenge else { panic!("{challenge:?}") };
        let id = token.transaction_id.as_str();
        assert!(site.state.run(&check(O[0], Some(id))).unwrap().accepted);
    }

    a_challenge_is_watched_and_answered_by_its_transaction(site) {
        site.policy(p("challenge_response=hmac"));
        let id = site.challenge(&request("hans", "1234"));
        let status = |pin: &str| CheckStatus {
            transaction_id: Some(id.clone()),
            pass: Some(SecretText::from(pin)),
            ..CheckStatus::default()
        };
        assert!(site.state.run(&status("9999")).unwrap().is_empty());
        let open = site.state.run(&status("1234")).unwrap();
        assert_eq!((open.len(), open[0].open, open[0].valid), (1, true, false));
        let check_t = CheckTransaction {
            transaction_id: Some(id.clone()),
            pass: Some(SecretText::from(O[0])),
            ..CheckTransaction::default()
        };
        let TransactionVerdict::Checked { verdict, token, .. } = site.state.run(&check_t).unwrap() else {
            panic!("the transaction is not known")
        };
        assert!(verdict.accepted && token.0.as_str() == "H1");
        let closed = site.state.run(&status("1234")).unwrap();
        assert_eq!((closed[0].open, closed[0].valid), (false, true));
    }

    /// Forward tokens are challenged by their own type or that of their target, and leave the target's fail counter alone
    /// where a policy says so.
    forward_tokens_follow_the_policies(site) {
        let forward = Init { forward_serial: Some("H1".to_owned()), ..init_request("F1", "5678", "eva", "") };
        site.init(&Init { token_type: Some("forward".to_owned()), ..forward }).unwrap();
        site.no_challenge(&request("eva", "5678"));
        assert_eq!((site.failures("F1"), site.failures("H1")), (1, 1));
        for list in ["challenge_response=hmac", "challenge_response=forward"] {
            site.policy(p(list)).challenge(&request("eva", "5678"));
        }
        site.policy(p("forwardtoken:no_failcounter_forwarding"));
        site.no_challenge(&request("eva", "5678000000"));
        assert_eq!((site.failures("F1"), site.failures("H1")), (2, 1));
        site.check("eva", "5678755224", true);
        assert_eq!((site.failures("F1"), site.failures("H1")), (0, 1));
        site.policy(p("!forwardtoken:no_failcounter_forwarding")).check("eva", "5678287082", true);
        assert_eq!(site.failures("H1"), 0);
    }
}
