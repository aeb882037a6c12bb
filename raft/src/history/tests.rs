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
    assert_eq!(reader.tail().unwrap(), Some((25, rows(25)[24].hash)));
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
