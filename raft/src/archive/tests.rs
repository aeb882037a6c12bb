use proptest::prelude::*;

use super::*;
use crate::state::tests::{any_decision, run};

const CLUSTER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn archived(state: &State) -> (ArchiveHeader, Vec<u8>) {
    let keys = vec![ArchiveKey { id: 1, check: vec![1, 2], sealed: 3, pins: 4 }];
    let header = header(state, CLUSTER, 2, UnixMillis(77), keys);
    let mut bytes = Vec::new();
    write(state, &header, &mut bytes).unwrap();
    (header, bytes)
}

fn read(bytes: &[u8]) -> Result<Vec<(Key, Slot)>, ArchiveError> {
    let mut reader = ArchiveReader::open(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

fn some_state() -> State {
    let mut state = State::default();
    let mut random = Sha256::digest(b"filler");
    for number in 0..3000_u32 {
        random = Sha256::digest(random);
        // Long enough that there are several blocks.
        let jti: String = random.iter().cycle().take(200).map(|byte| char::from(b'0' + byte % 64)).collect();
        let record = Record::Revocation(tessera_core::record::RevocationV1 { expires_at: UnixMillis(1) });
        let key = Key::Revocation(format!("{jti}{number}").into());
        let slot = Slot { revision: Revision(u64::from(number)), created: number.into(), record };
        state.restore_record(key, slot);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_again(decisions in proptest::collection::vec(any_decision(), 1..30)) {
        let (versions, _, _) = run(&decisions);
        let state = &versions[versions.len() - 1];
        let (header, bytes) = archived(state);
        let records = read(&bytes).unwrap();
        let expected: Vec<_> = state.records().map(|(key, slot)| (key.clone(), slot.clone())).collect();
        prop_assert_eq!(&records, &expected);
        let reader = ArchiveReader::open(bytes.as_slice()).unwrap();
        prop_assert_eq!(reader.header(), &header);
        let restored = reader.into_state().unwrap();
        prop_assert_eq!(restored.counters().revision, state.counters().revision);
        prop_assert_eq!(restored.counters().created, state.counters().created);
        prop_assert_eq!(restored.counters().sessions, state.counters().sessions);
        prop_assert_eq!(restored.sessions().count(), 0);
        let again: Vec<_> = restored.records().map(|(key, slot)| (key.clone(), slot.clone())).collect();
        prop_assert_eq!(&again, &expected);
        let members = |state: &State| -> Vec<_> { state.index_revisions().map(|(index, _)| index.clone()).collect() };
        prop_assert_eq!(members(&restored), members(state));
    }
}

#[test]
fn an_archive_that_was_cut_off_anywhere_is_refused() {
    let (_, bytes) = archived(&some_state());
    assert_eq!(read(&bytes).unwrap().len(), 3000);
    for cut in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        assert!(matches!(read(&bytes[..cut]), Err(ArchiveError::Truncated)), "{cut}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let (_, bytes) = archived(&some_state());
    for at in (0..bytes.len()).step_by(1009).chain(0..200) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        assert!(read(&changed).is_err(), "byte {at}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(read(&longer), Err(ArchiveError::Damaged("something follows its end"))));
}

#[test]
fn blocks_left_out_or_exchanged_are_noticed() {
    let (_, bytes) = archived(&some_state());
    let mut parts = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (_, part) = envelope(&mut rest).unwrap();
        parts.push(part);
    }
    assert!(parts.len() >= 4, "header, two blocks, trailer");
    let joined = |order: &[usize]| -> Vec<u8> { order.iter().flat_map(|at| parts[*at].clone()).collect() };
    let all: Vec<usize> = (0..parts.len()).collect();
    assert!(read(&joined(&all)).is_ok());
    for (at, _) in parts.iter().enumerate().skip(1).take(parts.len() - 2) {
        let without: Vec<usize> = all.iter().copied().filter(|other| *other != at).collect();
        assert!(read(&joined(&without)).is_err(), "without part {at}");
    }
    let mut exchanged = all;
    exchanged.swap(1, 2);
    assert!(read(&joined(&exchanged)).is_err());
}

#[test]
fn an_archive_of_a_newer_format_is_refused() {
    let state = State::default();
    let newer = ArchiveHeader { level: FORMAT_LEVEL + 1, ..archived(&state).0 };
    let mut bytes = Vec::new();
    write(&state, &newer, &mut bytes).unwrap();
    let error = read(&bytes).unwrap_err();
    assert!(error.to_string().contains("use a newer one"), "{error}");
}
