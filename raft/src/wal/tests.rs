use std::sync::mpsc::channel;

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    record::{Decoded, Record, RecordFault},
    *,
};

const POSITION: LogPosition = LogPosition { term: 3, node: 2, index: 5 };
const CLUSTER: ClusterId = ClusterId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(kind: EntryKind, body: &'static [u8]) -> Record {
    Record::Entry(EntryRecord { position: POSITION, kind, body: Bytes::from_static(body) })
}

/// Record 7, second of its write; bytes computed with Python's `struct` and `zlib.crc32`.
#[test]
fn every_record_kind_has_its_frozen_bytes() {
    let frozen = [
        (
            entry(EntryKind::Blank, b""),
            "0000000030a9e56d07000000000000000100000005000000000000000300000000000000020000000000000001",
        ),
        (
            entry(EntryKind::Normal, b"batch"),
            "050000004c3a39cb070000000000000001000000050000000000000003000000000000000200000000000000026261746368",
        ),
        (
            entry(EntryKind::Membership, b"m"),
            "0100000001c1ba54070000000000000001000000050000000000000003000000000000000200000000000000036d",
        ),
        (
            Record::Vote(VoteRecord { term: 3, node: 2, committed: false }),
            "010000006a7a71e50700000000000000010000000000000000000000030000000000000002000000000000000400",
        ),
        (
            Record::Vote(VoteRecord { term: 3, node: 2, committed: true }),
            "01000000fc4a76920700000000000000010000000000000000000000030000000000000002000000000000000401",
        ),
        (
            Record::Committed(POSITION),
            "00000000296d886a07000000000000000100000005000000000000000300000000000000020000000000000005",
        ),
        (
            Record::Truncate { from: 5 },
            "00000000914fed8e07000000000000000100000005000000000000000000000000000000000000000000000006",
        ),
        (
            Record::Purge(POSITION),
            "00000000050c868407000000000000000100000005000000000000000300000000000000020000000000000007",
        ),
    ];
    for (record, expected) in frozen {
        let mut bytes = Vec::new();
        record.encode_into(7, 1, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), expected, "{record:?}");
        let decoded = Record::decode(&bytes).unwrap();
        assert_eq!(decoded, Decoded { record, sequence: 7, place: 1, len: bytes.len() });
    }
}

/// Computed with Python's `struct` and `zlib.crc32`.
#[test]
fn segment_header_and_mark_have_their_frozen_bytes() {
    let header = SegmentHeader { cluster: CLUSTER, node: 2, number: 3, first_sequence: 4 };
    let expected = "5453535257414c0a0100000000000000100f0e0d0c0b0a090807060504030201020000000000000003000000000000000400000000000000ed22999400000000";
    assert_eq!(hex(&header.encode()), expected);
    assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));

    let vote = VoteRecord { term: 4, node: 1, committed: true };
    let mark = Mark::new(2, 9, Some(POSITION), Some(vote));
    let expected = "54534d316ad1dc980200000000000000090000000000000005000000000000000300000000000000040000000000000001000000000000000700000000000000";
    assert_eq!(hex(&mark.encode()), expected);
    assert_eq!(Mark::decode(&mark.encode()), Some(mark));
}

#[test]
fn every_flipped_bit_of_record_header_and_mark_is_noticed() {
    let mut record = Vec::new();
    entry(EntryKind::Normal, b"batch").encode_into(7, 1, &mut record).unwrap();
    let header = SegmentHeader { cluster: CLUSTER, node: 2, number: 3, first_sequence: 4 }.encode();
    let mark = Mark::new(2, 9, Some(POSITION), None).encode();
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in 0..record.len() * 8 {
        assert!(Record::decode(&flipped(&record, bit)).is_err(), "record, bit {bit}");
    }
    for bit in 0..64 * 8 {
        assert!(SegmentHeader::decode(&flipped(&header, bit)).is_err(), "header, bit {bit}");
        assert!(Mark::decode(&flipped(&mark, bit)).is_none(), "mark, bit {bit}");
    }
}

#[test]
fn records_of_a_newer_version_and_zeros_are_no_records() {
    assert!(matches!(Record::decode(&[0; 4096]), Err(RecordFault::Checksum { .. })));
    let mut bytes = Vec::new();
    entry(EntryKind::Blank, b"").encode_into(1, 0, &mut bytes).unwrap();
    bytes[44] = 99;
    let covered = [&bytes[..4], &bytes[8..]].concat();
    bytes[4..8].copy_from_slice(&crc32fast::hash(&covered).to_le_bytes());
    assert_eq!(Record::decode(&bytes), Err(RecordFault::Kind(99)));
}

fn config(dir: &Path) -> WalConfig {
    WalConfig { segment_bytes: 4096, ..WalConfig::new(dir, CLUSTER, 1) }
}

fn normal(term: u64, index: u64, length: usize) -> EntryRecord {
    let fill = u8::try_from(index % 251 + 1).unwrap();
    EntryRecord {
        position: LogPosition { term, node: 1, index },
        kind: EntryKind::Normal,
        body: Bytes::from(vec![fill; length]),
    }
}

/// Runs one request and waits until it is durable.
#[track_caller]
fn durable(request: impl FnOnce(Done)) -> Result<(), WalFailure> {
    let (sender, receiver) = channel();
    request(Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver.recv_timeout(Duration::from_secs(30)).unwrap()
}

fn append(wal: &Wal, entries: Vec<EntryRecord>) {
    durable(|done| wal.append(entries, done)).unwrap();
}

fn indexes(contents: &LogContents) -> Vec<u64> {
    contents.entries.iter().map(|entry| entry.position.index).collect()
}

#[test]
fn everything_comes_back_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, empty) = Wal::open(config(dir.path())).unwrap();
    assert_eq!(empty, LogContents::default());
    let entries: Vec<_> = (0..10).map(|index| normal(1, index, 100)).collect();
    append(&wal, entries.clone());
    let vote = VoteRecord { term: 2, node: 3, committed: true };
    durable(|done| wal.save_vote(vote, done)).unwrap();
    durable(|done| wal.truncate(8, Some(entries[7].position), done)).unwrap();
    durable(|done| wal.purge(entries[2].position, done)).unwrap();
    wal.set_committed(entries[6].position);
    drop(wal);
    let (_wal, contents) = Wal::open(config(dir.path())).unwrap();
    assert_eq!(contents.entries, entries[3..8].to_vec());
    assert_eq!(contents.vote, Some(vote));
    assert_eq!(contents.purged, Some(entries[2].position));
    assert_eq!(contents.committed, Some(entries[6].position));
    assert_eq!(contents.torn_bytes, 0);
}

#[test]
fn old_segments_are_deleted_and_the_vote_outlives_them() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(config(dir.path())).unwrap();
    let vote = VoteRecord { term: 7, node: 2, committed: false };
    durable(|done| wal.save_vote(vote, done)).unwrap();
    for index in 0..40 {
        append(&wal, vec![normal(7, index, 1000)]);
    }
    let before = wal.metrics().segments();
    assert!(before > 5, "{before} segments");
    durable(|done| wal.purge(normal(7, 35, 0).position, done)).unwrap();
    // The deletion follows the answer; the next answer follows the deletion.
    append(&wal, vec![normal(7, 40, 10)]);
    assert!(wal.metrics().segments() <= 3, "{} segments", wal.metrics().segments());
    drop(wal);
    let first = segment::list_segments(&dir.path().join("wal")).unwrap()[0].0;
    assert!(first > 1);
    let (wal, contents) = Wal::open(config(dir.path())).unwrap();
    assert_eq!(contents.vote, Some(vote));
    assert_eq!(indexes(&contents), [36, 37, 38, 39, 40]);
    append(&wal, vec![normal(7, 41, 10)]);
}

#[test]
fn a_snapshot_ahead_of_the_log_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(config(dir.path())).unwrap();
    append(&wal, (0..5).map(|index| normal(1, index, 2000)).collect());
    durable(|done| wal.purge(normal(4, 90, 0).position, done)).unwrap();
    append(&wal, vec![normal(4, 91, 10)]);
    drop(wal);
    let (_wal, contents) = Wal::open(config(dir.path())).unwrap();
    assert_eq!(indexes(&contents), [91]);
    assert_eq!(contents.purged.unwrap().index, 90);
}

#[test]
fn one_sync_serves_everything_that_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let (block, blocked) = (Mutex::new(None), channel());
    let (release, released) = channel::<()>();
    *block.lock().unwrap() = Some((blocked.0, released));
    // The first sync waits until the test has queued the rest.
    let hook = SyncHook(Arc::new(move || {
        if let Some((entered, released)) = block.lock().unwrap().take() {
            entered.send(()).unwrap();
            released.recv().unwrap();
        }
        Ok(())
    }));
    let (wal, _) = Wal::open(WalConfig { before_sync: Some(hook), ..config(dir.path()) }).unwrap();
    let (sender, order) = channel();
    let answer = |index: u64| -> Done {
        let sender = sender.clone();
        Box::new(move |outcome| sender.send((index, outcome)).unwrap())
    };
    wal.append(vec![normal(1, 0, 10)], answer(0));
    blocked.1.recv_timeout(Duration::from_secs(30)).unwrap();
    for index in 1..50 {
        wal.append(vec![normal(1, index, 10)], answer(index));
    }
    release.send(()).unwrap();
    for index in 0..50 {
        assert_eq!(order.recv_timeout(Duration::from_secs(30)).unwrap(), (index, Ok(())));
    }
    assert_eq!(wal.metrics().syncs(), 2);
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let calls = AtomicU64::new(0);
    let hook = SyncHook(Arc::new(move || match calls.fetch_add(1, Ordering::Relaxed) {
        2 => Err(io::Error::other("no power")),
        _ => Ok(()),
    }));
    let (wal, _) = Wal::open(WalConfig { before_sync: Some(hook), ..config(dir.path()) }).unwrap();
    append(&wal, vec![normal(1, 0, 10)]);
    append(&wal, vec![normal(1, 1, 10)]);
    for index in [2, 3] {
        let failure = durable(|done| wal.append(vec![normal(1, index, 10)], done)).unwrap_err();
        assert_eq!(failure.to_string(), "the write-ahead log failed: no power");
    }
    let failure = durable(|done| wal.save_vote(VoteRecord::default(), done)).unwrap_err();
    assert_eq!(failure.to_string(), "the write-ahead log failed: no power");
    assert!(wal.has_failed());
    assert_eq!(wal.metrics().syncs(), 2, "a sync is never tried again");
    drop(wal);
    let (_wal, contents) = Wal::open(config(dir.path())).unwrap();
    assert!(indexes(&contents).starts_with(&[0, 1]), "{:?}", indexes(&contents));
}

#[test]
fn another_nodes_directory_and_one_in_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(config(dir.path())).unwrap();
    assert!(matches!(Wal::open(config(dir.path())), Err(OpenError::InUse { .. })));
    drop(wal);
    let other_node = WalConfig { node: 2, ..config(dir.path()) };
    assert!(matches!(Wal::open(other_node), Err(OpenError::WrongOwner { found_node: 1, node: 2, .. })));
    let other_cluster = WalConfig { cluster: ClusterId(5), ..config(dir.path()) };
    assert!(matches!(Wal::open(other_cluster), Err(OpenError::WrongOwner { .. })));
}

/// A closed log of three writes in one segment, and its bytes up to the end of the last record.
fn three_writes(dir: &Path) -> (PathBuf, Vec<u8>, usize) {
    let config = WalConfig { segment_bytes: SEGMENT_BYTES, ..config(dir) };
    let (wal, _) = Wal::open(config).unwrap();
    append(&wal, vec![normal(1, 0, 300)]);
    append(&wal, vec![normal(1, 1, 300)]);
    let path = dir.join("wal").join("00000000000000000001.wal");
    let before = used(&fs::read(&path).unwrap());
    append(&wal, vec![normal(1, 2, 300), normal(1, 3, 300), normal(1, 4, 300)]);
    drop(wal);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(used(&bytes));
    (path, bytes, before)
}

/// End of the last record; entry bodies of these tests do not end with zeros.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

/// Puts the mark back to where it was before the last write: as if that had been torn by a power cut.
fn unacknowledge(dir: &Path, last: &EntryRecord, sequence: u64) {
    let mark = Mark::new(1, sequence, Some(last.position), None);
    fs::write(dir.join("wal.mark"), mark.encode()).unwrap();
}

fn reopen(dir: &Path) -> Result<LogContents, OpenError> {
    Wal::open(WalConfig { segment_bytes: SEGMENT_BYTES, ..config(dir) }).map(|(_, contents)| contents)
}

#[track_caller]
fn damage(dir: &Path) -> Damage {
    let error = reopen(dir).unwrap_err();
    let OpenError::Damaged { damage, .. } = error else { panic!("{error}") };
    damage
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any prefix of the last, unacknowledged write, with zeros or nothing behind it, opens and keeps a prefix of its
    /// entries; the same cut of an acknowledged write refuses.
    #[test]
    fn any_prefix_of_the_last_write_is_a_torn_tail(place in any::<prop::sample::Index>(), zeros in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes, before) = three_writes(dir.path());
        let cut = before + place.index(bytes.len() - before);
        let mut torn = bytes[..cut].to_vec();
        if zeros {
            torn.resize(bytes.len() + 5000, 0);
        }
        fs::write(&path, &torn).unwrap();
        let below_mark = matches!(damage(dir.path()), Damage::BelowMark { acknowledged: 5, .. });
        prop_assert!(below_mark);
        unacknowledge(dir.path(), &normal(1, 1, 0), 2);
        let contents = reopen(dir.path()).unwrap();
        let found = indexes(&contents);
        prop_assert!((2..5).contains(&found.len()));
        prop_assert!([0, 1, 2, 3, 4].starts_with(&found));
        // What was found is kept, and the log goes on behind it.
        let (wal, _) = Wal::open(config(dir.path())).unwrap();
        let next = found.len() as u64;
        append(&wal, vec![normal(2, next, 50)]);
        drop(wal);
        let again = reopen(dir.path()).unwrap();
        prop_assert_eq!(again.last().map(|last| (last.term, last.index)), Some((2, next)));
    }
}

#[test]
fn pages_of_the_last_write_may_arrive_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, before) = three_writes(dir.path());
    let mut torn = bytes;
    torn[before..before + 100].fill(0);
    fs::write(&path, &torn).unwrap();
    assert!(matches!(damage(dir.path()), Damage::BelowMark { found: 2, acknowledged: 5 }));
    unacknowledge(dir.path(), &normal(1, 1, 0), 2);
    let contents = reopen(dir.path()).unwrap();
    assert_eq!(indexes(&contents), [0, 1]);
    assert!(contents.torn_bytes > 0);
    let (_, again) = Wal::open(config(dir.path())).unwrap();
    assert_eq!((indexes(&again), again.torn_bytes), (vec![0, 1], 0), "the torn bytes are gone");
}

#[test]
fn a_bad_spot_before_a_later_write_refuses_whatever_the_mark_says() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, before) = three_writes(dir.path());
    let mut damaged = bytes;
    damaged[before - 20] ^= 1;
    fs::write(&path, &damaged).unwrap();
    unacknowledge(dir.path(), &normal(1, 0, 0), 1);
    let found = damage(dir.path());
    assert!(matches!(found, Damage::BadRecord { later: 3..=5, .. }), "{found}");
    let text = reopen(dir.path()).unwrap_err().to_string();
    assert!(text.contains("tessera cluster join") && text.contains("wipe its data directory"), "{text}");
}

#[test]
fn a_missing_or_exchanged_file_refuses() {
    let check = |damage_it: &dyn Fn(&Path), expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(config(dir.path())).unwrap();
        for index in 0..20 {
            append(&wal, vec![normal(1, index, 1000)]);
        }
        drop(wal);
        damage_it(dir.path());
        let error = Wal::open(config(dir.path())).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let name = |dir: &Path, number: u64| segment::segment_path(&dir.join("wal"), number);
    check(&|dir| fs::remove_file(name(dir, 1)).unwrap(), "segment 1 expected, segment 2 found");
    check(&|dir| fs::remove_file(name(dir, 3)).unwrap(), "segment 3 expected, segment 4 found");
    let newest = |dir: &Path| segment::list_segments(&dir.join("wal")).unwrap().pop().unwrap().1;
    check(&|dir| fs::remove_file(newest(dir)).unwrap(), "but record 20 had been acknowledged");
    check(&|dir| fs::remove_dir_all(dir.join("wal")).unwrap(), "all segments are missing");
    check(&|dir| fs::remove_file(dir.join("wal.mark")).unwrap(), "the high-water mark is missing");
    check(&|dir| fs::write(dir.join("wal.mark"), [0; 64]).unwrap(), "the high-water mark is unreadable");
    check(&|dir| fs::rename(name(dir, 2), name(dir, 3)).unwrap(), "segment 2 expected, segment 3 found");
    check(
        &|dir| assert!(fs::copy(name(dir, 2), name(dir, 3)).unwrap() > 0),
        "segment 3 expected, segment 2 found",
    );
}

#[test]
fn a_vote_older_than_the_mark_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(config(dir.path())).unwrap();
    durable(|done| wal.save_vote(VoteRecord { term: 4, node: 1, committed: false }, done)).unwrap();
    drop(wal);
    for newer in [
        VoteRecord { term: 5, node: 0, committed: false },
        VoteRecord { term: 4, node: 2, committed: false },
        VoteRecord { term: 4, node: 1, committed: true },
    ] {
        fs::write(dir.path().join("wal.mark"), Mark::new(1, 1, None, Some(newer)).encode()).unwrap();
        let found = damage(dir.path());
        assert!(matches!(found, Damage::VoteRolledBack { .. }), "{found}");
    }
}
