//! The write-ahead log under `kill -9` and under damage.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use bytes::Bytes;
use tessera_raft::{
    type_config::ClusterId,
    wal::{Done, EntryKind, EntryRecord, LogContents, LogPosition, OpenError, VoteRecord, Wal, WalConfig},
};

const CHILD_DIR: &str = "TESSERA_KILL_CHILD";
const CHILD_SEED: &str = "TESSERA_KILL_SEED";
const ROUNDS: &str = "TESSERA_KILL_ROUNDS";
/// Requests the child has under way at most.
const IN_FLIGHT: usize = 4;
const COPIES: u64 = 12;

/// Steele, Lea and Flood's `SplitMix64`: enough for choosing operations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<EntryRecord>),
    Vote(VoteRecord),
    Truncate { from: u64, last: Option<LogPosition> },
    Purge(LogPosition),
}

/// What the log must contain.
#[derive(Clone, PartialEq, Debug, Default)]
struct Model {
    entries: BTreeMap<u64, EntryRecord>,
    purged: Option<LogPosition>,
    vote: Option<VoteRecord>,
}

impl Model {
    fn of(contents: &LogContents) -> Self {
        let entries = contents.entries.iter().map(|entry| (entry.position.index, entry.clone())).collect();
        Self { entries, purged: contents.purged, vote: contents.vote }
    }

    fn last(&self) -> Option<LogPosition> {
        self.entries.values().next_back().map(|entry| entry.position).or(self.purged)
    }

    /// The operation that follows in this state; appends of 1 to 8 entries, votes, truncations and purges mixed.
    fn next(&self, random: &mut Random) -> Operation {
        let count = u64::try_from(self.entries.len()).unwrap();
        let first = self.entries.keys().next().copied().unwrap_or(0);
        let vote = self.vote.unwrap_or_default();
        match random.below(12) {
            0 => Operation::Vote(VoteRecord { term: vote.term + 1, node: random.below(5), committed: false }),
            1 if count > 2 => {
                let from = first + count - 1 - random.below(count.min(20) - 1);
                let last =
                    self.entries.range(..from).next_back().map(|(_, entry)| entry.position).or(self.purged);
                Operation::Truncate { from, last }
            }
            2 if count > 60 => {
                let upto = first + random.below(count - 10);
                Operation::Purge(self.entries[&upto].position)
            }
            _ => {
                let next = self.last().map_or(0, |last| last.index + 1);
                let entries = (0..=random.below(8)).map(|offset| {
                    let position = LogPosition { term: vote.term, node: 1, index: next + offset };
                    let word = random.next().to_le_bytes();
                    let length = usize::try_from(random.below(600)).unwrap();
                    let body: Bytes = word.iter().copied().cycle().take(length).collect();
                    EntryRecord { position, kind: EntryKind::Normal, body }
                });
                Operation::Append(entries.collect())
            }
        }
    }

    /// The states the disk goes through while an operation is written, the last one when it is done.
    fn apply(&mut self, operation: &Operation) -> Vec<Self> {
        let mut states = Vec::new();
        match operation {
            Operation::Append(entries) => {
                for entry in entries {
                    self.entries.insert(entry.position.index, entry.clone());
                    states.push(self.clone());
                }
                return states;
            }
            Operation::Vote(vote) => self.vote = Some(*vote),
            Operation::Truncate { from, .. } => drop(self.entries.split_off(from)),
            Operation::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(*upto);
            }
        }
        states.push(self.clone());
        states
    }
}

fn config(dir: &Path) -> WalConfig {
    WalConfig { segment_bytes: 64 * 1024, ..WalConfig::new(dir, ClusterId(9), 1) }
}

fn request(wal: &Wal, operation: Operation, done: Done) {
    match operation {
        Operation::Append(entries) => wal.append(entries, done),
        Operation::Vote(vote) => wal.save_vote(vote, done),
        Operation::Truncate { from, last } => wal.truncate(from, last, done),
        Operation::Purge(upto) => wal.purge(upto, done),
    }
}

/// Not a test of its own: the body of the process that [`nothing_acknowledged_is_lost_by_kill_9`] kills.
#[test]
fn child_that_is_killed() {
    let (Ok(dir), Ok(seed)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_SEED)) else {
        return;
    };
    let (wal, contents) = Wal::open(config(Path::new(&dir))).unwrap();
    let mut model = Model::of(&contents);
    let mut random = Random(seed.parse().unwrap());
    let (sender, acknowledged) = channel();
    let mut in_flight = 0;
    let mut output = std::io::stdout().lock();
    loop {
        while in_flight < IN_FLIGHT {
            let operation = model.next(&mut random);
            model.apply(&operation);
            let sender = sender.clone();
            request(&wal, operation, Box::new(move |outcome| sender.send(outcome).unwrap()));
            in_flight += 1;
        }
        acknowledged.recv().unwrap().unwrap();
        in_flight -= 1;
        writeln!(output, "\nacknowledged").unwrap();
        output.flush().unwrap();
    }
}

/// Starts the child, kills it after some acknowledgements and returns how many operations it had acknowledged.
fn run_child(dir: &Path, seed: u64, kill_after: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["durability::child_that_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if line.unwrap() == "acknowledged" {
            acknowledged += 1;
        }
        if acknowledged == kill_after && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself after {acknowledged} operations");
    acknowledged
}

/// Runs one round and checks that the log is in a state that contains everything acknowledged: exactly the state after
/// the acknowledged operations, or after some more of the records that were under way.
fn round(dir: &Path, model: &mut Model, seed: u64) -> u64 {
    let mut random = Random(seed);
    let acknowledged = run_child(dir, seed, 1 + Random(!seed).below(120));
    for _ in 0..acknowledged {
        let operation = model.next(&mut random);
        model.apply(&operation);
    }
    let mut possible = vec![model.clone()];
    for _ in 0..IN_FLIGHT * 2 {
        let operation = model.next(&mut random);
        possible.extend(model.apply(&operation));
    }
    let (wal, contents) = Wal::open(config(dir)).unwrap();
    drop(wal);
    let found = Model::of(&contents);
    assert!(
        possible.contains(&found),
        "seed {seed}: {acknowledged} operations acknowledged, found {found:?}"
    );
    *model = found;
    acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var(ROUNDS).map_or(20, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let acknowledged: u64 = (0..rounds).map(|seed| round(dir.path(), &mut model, seed)).sum();
    assert!(acknowledged >= rounds);
    assert!(model.purged.is_some() && model.vote.is_some() && !model.entries.is_empty());
}

/// A log after many acknowledged operations and kills, and what it contains. Its newest segment has enough records for
/// the damage to hit them and not the segment's header.
fn killed_log(dir: &Path) -> Model {
    let mut model = Model::default();
    for seed in 100.. {
        round(dir, &mut model, seed);
        if seed >= 103 && used(&newest(dir)) > 16 * 1024 {
            break;
        }
    }
    model
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// End of the records in a segment, give or take trailing zeros of the last body.
fn used(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    u64::try_from(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).unwrap()
}

/// Outcomes of one row of the damage table.
#[derive(Default, Debug)]
struct Verdicts {
    opened: u64,
    refused: u64,
}

/// Damages copies of a log; each must either open with everything acknowledged or be refused with the remedy.
fn check_damage(damage: impl Fn(&Path, &mut Random)) -> Verdicts {
    let original = tempfile::tempdir().unwrap();
    let model = killed_log(original.path());
    let mut verdicts = Verdicts::default();
    for seed in 0..COPIES {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(original.path(), copy.path());
        damage(copy.path(), &mut Random(seed));
        match Wal::open(config(copy.path())) {
            Ok((_wal, contents)) => {
                assert_eq!(Model::of(&contents), model, "seed {seed}: opened with other contents");
                verdicts.opened += 1;
            }
            Err(error @ OpenError::Damaged { .. }) => {
                assert!(error.to_string().contains("tessera cluster join"), "{error}");
                verdicts.refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    verdicts
}

/// Overwrites bytes of a file; random ones differ from those that were there.
fn overwrite(path: &Path, from: u64, length: u64, random: Option<&mut Random>) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    if let Some(random) = random {
        file.read_exact_at(&mut bytes, from).unwrap();
        for byte in &mut bytes {
            *byte ^= u8::try_from(1 + random.below(255)).unwrap();
        }
    }
    file.write_all_at(&bytes, from).unwrap();
}

fn newest(dir: &Path) -> PathBuf {
    segments(dir).pop().unwrap()
}

/// A length between 16 bytes and 4 KiB.
fn tail_length(random: &mut Random) -> u64 {
    16 + random.below(4080)
}

#[test]
fn a_zeroed_end_of_acknowledged_records_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let path = newest(dir);
        let end = used(&path);
        let length = tail_length(random);
        overwrite(&path, end - length, length, None);
    });
    assert_eq!(verdicts.refused, COPIES, "{verdicts:?}");
}

#[test]
fn a_randomised_end_of_acknowledged_records_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let path = newest(dir);
        let end = used(&path);
        let length = tail_length(random);
        overwrite(&path, end - length, length, Some(random));
    });
    assert_eq!(verdicts.refused, COPIES, "{verdicts:?}");
}

#[test]
fn garbage_behind_the_last_record_is_cut_off() {
    let verdicts = check_damage(|dir, random| {
        let path = newest(dir);
        let from = used(&path) + 16;
        overwrite(&path, from, 300, Some(random));
    });
    assert_eq!(verdicts.opened, COPIES, "{verdicts:?}");
}

#[test]
fn one_changed_byte_anywhere_in_the_records_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let paths = segments(dir);
        let count = u64::try_from(paths.len()).unwrap();
        let path = &paths[usize::try_from(random.below(count)).unwrap()];
        let place = random.below(used(path));
        overwrite(path, place, 1, Some(random));
    });
    assert_eq!(verdicts.refused, COPIES, "{verdicts:?}");
}

#[test]
fn a_file_shortened_by_4_kib_of_records_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let path = newest(dir);
        let end = used(&path);
        let length = end - 4096 - random.below(512);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
    });
    assert_eq!(verdicts.refused, COPIES, "{verdicts:?}");
}

#[test]
fn a_file_shortened_to_a_block_boundary_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let path = newest(dir);
        let boundary = ((used(&path) - 1) / 4096 - random.below(2)) * 4096;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(boundary).unwrap();
    });
    assert_eq!(verdicts.refused, COPIES, "{verdicts:?}");
}

#[test]
fn a_missing_segment_is_refused() {
    let verdicts = check_damage(|dir, random| {
        let paths = segments(dir);
        let count = u64::try_from(paths.len()).unwrap();
        fs::remove_file(&paths[usize::try_from(random.below(count)).unwrap()]).unwrap();
    });
    // A segment of purged entries may have been left behind by the kill; nobody needs it.
    assert!(verdicts.refused > 0, "{verdicts:?}");
}

fn settle(receiver: &Receiver<Result<(), tessera_raft::wal::WalFailure>>) {
    receiver.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
}

/// A backup of the log put back next to a newer high-water mark: the entries or the vote since then are gone.
#[test]
fn a_restored_older_log_is_refused() {
    for only_vote in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let backup = tempfile::tempdir().unwrap();
        let mut model = killed_log(dir.path());
        copy_dir(&dir.path().join("wal"), &backup.path().join("wal"));
        let (wal, _) = Wal::open(config(dir.path())).unwrap();
        let (sender, receiver) = channel();
        let vote = VoteRecord { term: model.vote.unwrap().term + 1, node: 3, committed: false };
        let operation = if only_vote {
            Operation::Vote(vote)
        } else {
            let mut random = Random(1);
            std::iter::repeat_with(|| model.next(&mut random))
                .find(|operation| matches!(operation, Operation::Append(_)))
                .unwrap()
        };
        model.apply(&operation);
        request(&wal, operation, Box::new(move |outcome| sender.send(outcome).unwrap()));
        settle(&receiver);
        drop(wal);
        fs::remove_dir_all(dir.path().join("wal")).unwrap();
        copy_dir(&backup.path().join("wal"), &dir.path().join("wal"));
        let error = Wal::open(config(dir.path())).unwrap_err();
        assert!(error.to_string().contains("had been acknowledged"), "{error}");
    }
}
