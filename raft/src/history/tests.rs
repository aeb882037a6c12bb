use std::fs;

use super::*;

/// Rows numbered from 1 with correct hashes.
fn rows(count: u64) -> Vec<ChainedRow> {
    let mut previous = [0; 32];
    (1..=count)
        .map(|number| {
            let bytes = format!("row {number}").into_bytes();
            previous = chain(&previous, number, &bytes);
            ChainedRow { number, bytes, hash: previous }
        })
        .collect()
}

fn stored(count: u64) -> (tempfile::TempDir, History) {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&dir.path().join("history")).unwrap();
    history.append(rows(count)).unwrap();
    history.flush().unwrap();
    (dir, history)
}

/// From `(head -c 39 /dev/zero; printf '\001row 1') | openssl dgst -sha256`: the zero hash, the number, the row.
#[test]
fn the_first_hash_is_the_one_openssl_computes() {
    let expected = "ba9309d51cd521d53a810a9374b9860d75d607c9956fa412edb7d4b8bdd0b95c";
    let hash: String = rows(1)[0].hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, expected);
}

#[test]
fn rows_survive_reopening_and_are_appended_once() {
    let (dir, history) = stored(20);
    history.append(rows(25)).unwrap();
    drop(history);
    let history = History::open(&dir.path().join("history")).unwrap();
    let reader = history.reader();
    assert_eq!(reader.range(1, u64::MAX, 100).unwrap(), rows(25));
    assert_eq!(reader.range(3, 9, 2).unwrap(), rows(4)[2..]);
    assert_eq!(reader.tail().unwrap(), HistoryHead { number: 25, hash: rows(25)[24].hash });
    assert_eq!(reader.verify_tail(1).unwrap(), Some((25, rows(25)[24].hash)));
    assert_eq!(reader.missing(25).unwrap(), None);
    assert_eq!(reader.missing(30).unwrap(), Some(26..=30));
    assert_eq!(reader.status(), HistoryStatus { complete: 25, ..HistoryStatus::default() });
}

#[test]
fn a_row_that_contradicts_the_chain_is_reported_and_not_stored() {
    let (_dir, history) = stored(5);
    let mut other = rows(6);
    other[4].bytes = b"changed".to_vec();
    history.append(vec![other[4].clone()]).unwrap();
    let mut wrong_hash = other[5].clone();
    wrong_hash.hash[0] ^= 1;
    history.append(vec![wrong_hash]).unwrap();
    history.flush().unwrap();
    let reader = history.reader();
    assert_eq!(reader.range(1, 9, 9).unwrap(), rows(5));
    let status = reader.status();
    assert_eq!((status.contradictions, status.last_contradiction, status.failures), (2, 6, 0));
}

#[test]
fn gaps_are_found_and_filled_only_with_rows_that_fit() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&dir.path().join("history")).unwrap();
    let all = rows(30);
    history.append(all[..10].to_vec()).unwrap();
    history.append(all[15..20].to_vec()).unwrap();
    history.flush().unwrap();
    let reader = history.reader();
    assert_eq!(reader.missing(30).unwrap(), Some(11..=15));
    assert_eq!(reader.verify_tail(1).unwrap().unwrap().0, 10);

    let error = history.insert_verified(all[12..15].to_vec()).unwrap_err();
    assert!(matches!(error, HistoryError::Unverifiable(13)), "{error}");

    // A forged row with a hash of its own fits its predecessor but not its successor.
    let mut forged = all[10..15].to_vec();
    forged[4].bytes = b"forged".to_vec();
    forged[4].hash = chain(&forged[3].hash, 15, &forged[4].bytes);
    let error = history.insert_verified(forged).unwrap_err();
    assert!(matches!(error, HistoryError::Contradiction(15)), "{error}");
    assert_eq!(reader.missing(30).unwrap(), Some(11..=15), "nothing of a refused list is stored");

    history.insert_verified(all[10..15].to_vec()).unwrap();
    assert_eq!(reader.missing(30).unwrap(), Some(21..=30));
    history.insert_verified(all[20..].to_vec()).unwrap();
    assert_eq!(reader.missing(30).unwrap(), None);
    assert_eq!(reader.verify_tail(1).unwrap().unwrap().0, 30);
}

#[test]
fn long_rows_are_cut_so_that_sled_keeps_no_blob_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history");
    let history = History::open(&path).unwrap();
    let mut previous = [0; 32];
    let long: Vec<ChainedRow> = (1..=64u64)
        .map(|number| {
            let length = 1 + 1024 * usize::try_from(number).unwrap();
            let bytes = vec![u8::try_from(number).unwrap(); length];
            previous = chain(&previous, number, &bytes);
            ChainedRow { number, bytes, hash: previous }
        })
        .collect();
    history.append(long.clone()).unwrap();
    drop(history);
    let history = History::open(&path).unwrap();
    assert_eq!(history.reader().range(1, 64, 100).unwrap(), long);
    assert_eq!(fs::read_dir(path.join("blobs")).unwrap().count(), 0);
}

#[test]
fn a_directory_whose_holder_is_about_to_end_is_waited_for() {
    let (dir, history) = stored(3);
    let path = dir.path().join("history");
    let holder = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(200));
        drop(history);
    });
    let reopened = History::open(&path).unwrap();
    assert_eq!(reopened.reader().range(1, 9, 9).unwrap(), rows(3));
    holder.join().unwrap();
}

#[test]
fn a_damaged_row_is_found_by_its_hash() {
    let (_dir, history) = stored(9);
    let reader = history.reader();
    // All rows are in one block, whose last byte belongs to the last row.
    let mut value = reader.rows.get(key(1, 0)).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    reader.rows.insert(key(1, 0), value).unwrap();
    let error = reader.verify_tail(1).unwrap_err();
    assert!(matches!(error, HistoryError::Contradiction(9)), "{error}");
}

#[test]
fn many_rows_share_few_keys_and_are_found_one_by_one() {
    let (_dir, history) = stored(2000);
    let (reader, all) = (history.reader(), rows(2000));
    assert!(reader.rows.len() < 100, "{} keys", reader.rows.len());
    for number in [1, 2, 70, 71, 999, 1000, 1001, 1999, 2000] {
        let at = usize::try_from(number).unwrap() - 1;
        assert_eq!(reader.range(number, number, 1).unwrap(), all[at..=at]);
        assert_eq!(reader.hash(number).unwrap(), Some(all[at].hash));
    }
    assert_eq!(reader.range(2001, u64::MAX, 9).unwrap(), []);
    assert_eq!(reader.range(990, 1010, 5).unwrap(), all[989..994]);
}

#[test]
fn a_directory_sled_cannot_open_is_moved_aside() {
    let (dir, history) = stored(9);
    drop(history);
    let path = dir.path().join("history");
    fs::write(path.join("conf"), b"not sled's configuration").unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!(history.reader().missing(9).unwrap(), Some(1..=9));
    assert!(history.moved_aside().unwrap().join("conf").exists());
    history.insert_verified(rows(9)).unwrap();
    assert_eq!(history.reader().verify_tail(1).unwrap().unwrap().0, 9);
}

fn place(number: u64) -> HistoryHead {
    HistoryHead { number, hash: rows(number).last().unwrap().hash }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_trimmed_history_begins_behind_its_anchor_and_can_still_be_verified() {
    let (dir, history) = stored(2000);
    let all = rows(2000);
    history.trim(place(1234)).unwrap();
    let reader = history.reader();
    assert_eq!(reader.anchor(), place(1234));
    assert_eq!(reader.range(1, u64::MAX, 3000).unwrap(), all[1234..]);
    assert_eq!(reader.missing(2000).unwrap(), None);
    assert_eq!(reader.verify(1, 2000, 5000).unwrap(), Verified { last: place(2000), fault: None });
    wait_for("the old rows are deleted", || {
        reader.rows.iter().keys().all(|key| number_of(&key.unwrap()).unwrap() > 1234)
    });
    // The log is applied again: removed rows stay removed, the others are known.
    history.append(all).unwrap();
    history.append(rows(2001)[2000..].to_vec()).unwrap();
    // An older anchor changes nothing.
    history.trim(place(50)).unwrap();
    drop((history, reader));
    let history = History::open(&dir.path().join("history")).unwrap();
    let reader = history.reader();
    assert_eq!((reader.anchor(), reader.tail().unwrap()), (place(1234), place(2001)));
    assert_eq!(reader.range(1, u64::MAX, 3000).unwrap(), rows(2001)[1234..]);
    assert_eq!(reader.status(), HistoryStatus { complete: 2001, ..HistoryStatus::default() });
}

#[test]
fn a_history_that_knows_nothing_takes_up_the_chain_at_the_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&dir.path().join("history")).unwrap();
    let all = rows(30);
    history.trim(place(20)).unwrap();
    assert_eq!(history.reader().tail().unwrap(), place(20));
    assert_eq!(history.reader().missing(30).unwrap(), Some(21..=30));
    let error = history.insert_verified(all[24..].to_vec()).unwrap_err();
    assert!(matches!(error, HistoryError::Unverifiable(25)), "{error}");
    history.insert_verified(all[18..].to_vec()).unwrap();
    assert_eq!(history.reader().range(1, 99, 99).unwrap(), all[20..]);
    assert_eq!(history.reader().verify_tail(1).unwrap().unwrap().0, 30);
    // Everything may go.
    history.trim(place(30)).unwrap();
    assert_eq!(history.reader().range(1, 99, 99).unwrap(), []);
    history.append(rows(31)[30..].to_vec()).unwrap();
    history.flush().unwrap();
    assert_eq!(history.reader().verify_tail(1).unwrap(), Some((31, rows(31)[30].hash)));
}

#[test]
fn an_anchor_that_contradicts_the_stored_row_removes_nothing() {
    let (_dir, history) = stored(9);
    let wrong = HistoryHead { number: 5, hash: [1; 32] };
    for _ in 0..2 {
        let error = history.trim(wrong).unwrap_err();
        assert!(matches!(error, HistoryError::Contradiction(5)), "{error}");
    }
    let reader = history.reader();
    assert_eq!(reader.range(1, 9, 9).unwrap(), rows(9));
    assert_eq!((reader.status().contradictions, reader.status().last_contradiction), (1, 5));
}

#[test]
fn verification_names_the_first_bad_row() {
    let (_dir, history) = stored(2000);
    let reader = history.reader();
    let fault = |reader: &HistoryReader| reader.verify(1, 2000, 5000).unwrap().fault;
    assert_eq!(fault(&reader), None);
    let block_of = |number: u64| {
        let key = reader.rows.range(..=key(number, u16::MAX)).next_back().unwrap().unwrap().0;
        (number_of(&key).unwrap(), key)
    };
    let (first, block) = block_of(1000);
    let good = reader.rows.get(&block).unwrap().unwrap();

    // Changed: the last byte of the block's first row.
    let mut value = good.to_vec();
    let length = "row ".len() + first.to_string().len();
    value[2 + 32 + 4 + length - 1] ^= 1;
    reader.rows.insert(&block, value).unwrap();
    assert_eq!(fault(&reader), Some(HistoryFault::Changed(first)));
    assert_eq!(reader.verify(1, first - 1, 5000).unwrap().fault, None);

    // Exchanged: the first two rows of the block.
    let mut rows = reader.range(first, first + 1, 2).unwrap();
    rows.reverse();
    let mut value = good.to_vec();
    let mut at = 2;
    for row in [&rows[0], &rows[1]] {
        value[at..at + 32].copy_from_slice(&row.hash);
        value[at + 32 + 4..at + 32 + 4 + row.bytes.len()].copy_from_slice(&row.bytes);
        at += 32 + 4 + row.bytes.len();
    }
    reader.rows.insert(&block, value).unwrap();
    assert_eq!(fault(&reader), Some(HistoryFault::Changed(first)));

    // Cut short.
    reader.rows.insert(&block, &good[..good.len() - 1]).unwrap();
    assert_eq!(fault(&reader), Some(HistoryFault::Unreadable(first)));

    // Missing.
    reader.rows.remove(&block).unwrap();
    assert_eq!(fault(&reader), Some(HistoryFault::Missing(first)));
    reader.rows.insert(&block, good).unwrap();
    assert_eq!(fault(&reader), None);
    assert_eq!(reader.verify(1, 2001, 5000).unwrap().fault, Some(HistoryFault::Missing(2001)));

    // In parts.
    let part = reader.verify(1, 2000, 700).unwrap();
    assert_eq!(part, Verified { last: place(700), fault: None });
    assert_eq!(reader.verify(701, 2000, 5000).unwrap(), Verified { last: place(2000), fault: None });
}
