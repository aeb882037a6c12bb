//! `admin/loadtokens` batch by batch: what becomes of rows, and what a repetition changes (reference tokens 13).

use std::sync::Arc;

use tessera_core::decide::import::{Fate, ImportBatch, RowReport};
use tessera_core::decision::Refusal;
use tessera_core::facts::Random;
use tessera_core::import::Row;
use tessera_core::import::format::{Format, Options, read};
use tessera_core::record::TokenType;
use tessera_core::user::RealmName;

use crate::state::TestState;

/// The seed of RFC 4226 appendix D.
const SEED: &str = "3132333435363738393031323334353637383930";

fn rows(format: Format, text: &str) -> Arc<[Row]> {
    read(format, text, &Options::default(), &mut Random::new(&[1; 32])).unwrap().rows.into()
}

fn batch(rows: &Arc<[Row]>) -> ImportBatch {
    ImportBatch { rows: rows.clone(), batch: 0..rows.len(), realm: None, enable: true, dry_run: false }
}

fn fates(reports: Vec<RowReport>) -> Vec<(usize, String, Fate)> {
    reports.into_iter().map(|report| (report.place, report.serial, report.fate)).collect()
}

#[test]
fn tokens_are_created_in_the_realm() {
    let mut state = TestState::with_users();
    let rows = rows(Format::OathCsv, &format!("A1,{SEED}\nA2,{SEED},totp,8,60,sha256\n"));
    let realm = Some(RealmName::from("corp"));
    let reports = state.run(&ImportBatch { realm: realm.clone(), ..batch(&rows) }).unwrap();
    assert_eq!(fates(reports), [(1, "A1".to_owned(), Fate::Created), (2, "A2".to_owned(), Fate::Created)]);
    let (first, second) = (state.token("A1"), state.token("A2"));
    assert_eq!((first.token_type, first.digits, first.active), (TokenType::Hmac, 6, true));
    assert_eq!((second.token_type, second.digits), (TokenType::Totp, 8));
    assert_eq!(first.realms, realm.into_iter().collect::<Vec<_>>());
    assert_eq!(&*first.description, "imported");
    assert!(first.owner.is_none());
    let audited: Vec<(&str, bool)> = state.audit.iter().map(|row| (&*row.serial, row.success)).collect();
    assert_eq!(audited, [("A1", true), ("A2", true)], "one row for each serial");
}

#[test]
fn a_bad_row_does_not_stop_the_others() {
    let mut state = TestState::with_users();
    let rows = rows(Format::OathCsv, &format!("A1,xyz\nA2,{SEED}\nA3,{SEED},sundial\nA*,{SEED}\n"));
    let reports = state.run(&batch(&rows)).unwrap();
    let failed: Vec<usize> = reports
        .iter()
        .filter(|report| matches!(report.fate, Fate::Failed(_)))
        .map(|report| report.place)
        .collect();
    assert_eq!(failed, [1, 3, 4]);
    assert!(reports.iter().all(|report| !format!("{report:?}").contains("xyz")), "no seed in a report");
    assert_eq!(state.token("A2").token_type, TokenType::Hmac);
    let audited: Vec<bool> = state.audit.iter().map(|row| row.success).collect();
    assert_eq!(audited, [false, true, false, false]);
}

/// A seed that comes again must not make its OTPs good again.
#[test]
fn a_repetition_changes_nothing() {
    let mut state = TestState::with_users();
    let rows = rows(Format::OathCsv, &format!("A1,{SEED}\n"));
    state.run(&batch(&rows)).unwrap();
    state.change_usage("A1", |usage| usage.next_counter = 7);
    state.change_token("A1", |token| {
        token.active = false;
        token.realms = vec![RealmName::from("lab")];
    });
    let (token, usage) = (state.token("A1"), state.usage("A1"));
    let reports = state.run(&batch(&rows)).unwrap();
    assert_eq!(fates(reports), [(1, "A1".to_owned(), Fate::Unchanged)]);
    assert_eq!((state.token("A1"), state.usage("A1")), (token, usage));
}

#[test]
fn another_seed_sets_the_token_up_again_and_another_type_is_refused() {
    let mut state = TestState::with_users();
    state.run(&batch(&rows(Format::OathCsv, &format!("A1,{SEED}\n")))).unwrap();
    state.change_usage("A1", |usage| usage.next_counter = 7);
    let other = rows(Format::OathCsv, "A1,00112233445566778899\n");
    assert_eq!(fates(state.run(&batch(&other)).unwrap())[0].2, Fate::Replaced);
    assert_eq!(state.usage("A1").next_counter, 0);
    let totp = rows(Format::OathCsv, &format!("A1,{SEED},totp\n"));
    assert!(matches!(fates(state.run(&batch(&totp)).unwrap())[0].2, Fate::Failed(_)));
    assert_eq!(state.token("A1").token_type, TokenType::Hmac);
}

#[test]
fn the_counter_of_the_file_is_kept() {
    let mut state = TestState::with_users();
    let text = format!(
        "<Tokens><Token serial=\"S1\"><Applications><Application><Seed>{SEED}</Seed>\
         <MovingFactor>42</MovingFactor></Application></Applications></Token></Tokens>"
    );
    state.run(&batch(&rows(Format::SafeNet, &text))).unwrap();
    assert_eq!(state.usage("S1").next_counter, 42);
}

#[test]
fn a_dry_run_tells_and_leaves_no_trace() {
    let mut state = TestState::with_users();
    let rows = rows(Format::OathCsv, &format!("A1,{SEED}\nA2,xyz\n"));
    let reports = state.run(&ImportBatch { dry_run: true, ..batch(&rows) }).unwrap();
    assert_eq!(reports[0].fate, Fate::Created);
    assert!(matches!(reports[1].fate, Fate::Failed(_)));
    assert!(state.audit.is_empty());
    assert_eq!(state.run(&batch(&rows)).unwrap()[0].fate, Fate::Created, "it was not there before");
}

#[test]
fn the_realm_has_to_exist() {
    let mut state = TestState::with_users();
    let rows = rows(Format::OathCsv, &format!("A1,{SEED}\n"));
    let request = ImportBatch { realm: Some(RealmName::from("nowhere")), ..batch(&rows) };
    let Err(Refusal::Other(text)) = state.run(&request) else { panic!("not refused") };
    assert!(text.starts_with("target realm could not be assigned"), "{text}");
}
