use super::*;

const CLUSTER: ClusterId = ClusterId(77);

fn header(index: u64, counts: Vec<(u8, u64)>) -> SnapshotHeader {
    SnapshotHeader {
        cluster: CLUSTER,
        last_log_id: Some(StoredLogId { term: 2, node: 1, index }),
        membership_log_id: Some(StoredLogId { term: 1, node: 1, index: 0 }),
        membership: MembershipV1 {
            configs: vec![vec![1]],
            nodes: vec![(1, "a:1".to_owned(), "u".to_owned())],
        },
        feature_level: 1,
        counts,
    }
}

fn record(number: u64, length: usize) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(length).collect()
}

/// A snapshot of 5000 records in section 1 and three in section 4, one of them longer than a block.
fn write(dir: &SnapshotDir, index: u64) -> SnapshotFile {
    let mut writer = dir.begin(header(index, vec![(1, 5000), (2, 0), (4, 3)])).unwrap();
    for (section, record) in contents() {
        writer.push(section, &record).unwrap();
    }
    writer.finish().unwrap()
}

fn contents() -> Vec<(u8, Vec<u8>)> {
    let first = (0..5000).map(|number| (1, record(number, 500)));
    let second = [0, 3 * BLOCK_BYTES, 10].map(|length| (4, record(9, length)));
    first.chain(second).collect()
}

fn read(file: &SnapshotFile) -> Result<Vec<(u8, Vec<u8>)>, SnapshotError> {
    let mut reader = SnapshotReader::open(&file.path, CLUSTER)?;
    let mut found = Vec::new();
    while let Some((section, record)) = reader.next_record()? {
        found.push((section, record.to_vec()));
    }
    Ok(found)
}

#[test]
fn a_snapshot_comes_back_as_it_was_written() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    let file = write(&dir, 10);
    assert_eq!(read(&file).unwrap(), contents());
    assert_eq!(verify(&file.path, CLUSTER).unwrap(), file);
    assert_eq!(dir.newest().unwrap(), Some(file));
}

#[test]
fn a_snapshot_without_records_is_complete() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    let file = dir.begin(header(1, Vec::new())).unwrap().finish().unwrap();
    assert_eq!(read(&file).unwrap(), Vec::new());
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    let mut writer = dir.begin(header(3, vec![(1, 9), (2, 1)])).unwrap();
    for number in 0..9 {
        writer.push(1, &record(number, 40)).unwrap();
    }
    writer.push(2, b"last").unwrap();
    let file = writer.finish().unwrap();
    let good = fs::read(&file.path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&file.path, &bad).unwrap();
        assert!(verify(&file.path, CLUSTER).is_err(), "byte {at}");
        assert!(read(&file).is_err(), "byte {at}");
        fs::write(&file.path, &good[..at]).unwrap();
        assert!(verify(&file.path, CLUSTER).is_err(), "length {at}");
    }
    fs::write(&file.path, &good).unwrap();
    assert!(verify(&file.path, CLUSTER).is_ok());
}

#[test]
fn two_are_kept_and_a_damaged_one_is_passed_over() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    for index in [10, 20, 9, 300] {
        write(&dir, index);
    }
    let found: Vec<u64> =
        dir.list().unwrap().iter().map(|file| file.header.last_log_id.unwrap().index).collect();
    assert_eq!(found, [300, 20]);
    let newest = dir.newest().unwrap().unwrap();
    let length = fs::metadata(&newest.path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&newest.path).unwrap();
    file.set_len(length - 1).unwrap();
    assert_eq!(dir.newest().unwrap().unwrap().header.last_log_id.unwrap().index, 20);

    // A good footer behind damaged blocks does not help.
    let newest = write(&dir, 400);
    let mut bytes = fs::read(&newest.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest.path, bytes).unwrap();
    assert_eq!(dir.newest().unwrap().unwrap().header.last_log_id.unwrap().index, 20);
}

#[test]
fn an_interrupted_writer_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    let mut writer = dir.begin(header(5, vec![(1, 1)])).unwrap();
    writer.push(1, b"x").unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    fs::write(temporary.path().join("build-0.tmp"), b"killed").unwrap();
    SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn other_numbers_of_records_than_announced_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(temporary.path(), CLUSTER).unwrap();
    let mut writer = dir.begin(header(5, vec![(1, 2)])).unwrap();
    writer.push(1, b"x").unwrap();
    assert!(matches!(writer.finish(), Err(SnapshotError::Counts { .. })));
}

#[test]
fn a_received_snapshot_is_verified_before_it_gets_its_name() {
    let (sender, receiver) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = write(&SnapshotDir::open(sender.path(), CLUSTER).unwrap(), 10);
    let bytes = fs::read(&file.path).unwrap();
    let dir = SnapshotDir::open(receiver.path(), CLUSTER).unwrap();

    let mut half = dir.receive().unwrap();
    half.push(&bytes[..bytes.len() / 2]).unwrap();
    assert!(half.finish().is_err());
    assert_eq!(fs::read_dir(receiver.path()).unwrap().count(), 0);

    let mut whole = dir.receive().unwrap();
    for chunk in bytes.chunks(1000) {
        whole.push(chunk).unwrap();
    }
    let received = whole.finish().unwrap();
    assert_eq!((received.id(), &received.header), (file.id(), &file.header));
    assert_eq!(read(&received).unwrap(), contents());

    let elsewhere = SnapshotDir::open(&receiver.path().join("other"), ClusterId(5)).unwrap();
    let mut foreign = elsewhere.receive().unwrap();
    foreign.push(&bytes).unwrap();
    assert!(matches!(foreign.finish(), Err(SnapshotError::WrongCluster { .. })));
}
