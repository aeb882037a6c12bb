//! Faults on demand, for the chaos tests: what a test cannot do to a node from outside its process.
//!
//! A node of a debug build whose environment has `TESSERA_TEST_FAULTS=<file>` reads that file many times a second. It
//! holds one fault per line, `name` or `name number`; a missing file means none. Three of them are defects which this
//! crate must not have: the chaos tests plant them to show that they would be noticed. In a release build the variable
//! means nothing, and every question below has a constant answer: there [`crate::state::State::apply`] depends on
//! nothing but its arguments, as it must.

use std::{io, time::Duration};

/// What is wrong at the moment. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    /// Transactions are applied although what they had read has changed.
    skip_revision_check: bool,
    /// Transactions that were applied before are applied again.
    drop_replies: bool,
    /// Entries are reported durable, and written only this many milliseconds later.
    report_before_flush_ms: u64,
    /// The node's clock is wrong by this much.
    clock_step_ms: i64,
    /// Every write to the log takes this much longer.
    sync_delay_ms: u64,
    /// The disk of the log has no space left.
    disk_full: bool,
    /// A snapshot is made whenever this number changes.
    snapshot: u64,
    /// Log entries kept behind a snapshot; 0 for as many as configured.
    keep_entries: u64,
}

/// Whether to plant the defect that lets an OTP be accepted twice.
pub(crate) fn skips_revision_check() -> bool {
    current().skip_revision_check
}

/// Whether to plant the defect that gives a repeated transaction another outcome.
pub(crate) fn drops_replies() -> bool {
    current().drop_replies
}

/// How long to pretend that the log is written before it is: the defect that loses what was acknowledged.
pub(crate) fn reports_before_flush() -> Option<Duration> {
    Some(current().report_before_flush_ms).filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// What to add to the node's clock.
pub(crate) fn clock_step_ms() -> i64 {
    current().clock_step_ms
}

/// A slow disk, or a full one.
pub(crate) fn before_write() -> io::Result<()> {
    let faults = current();
    pause(Duration::from_millis(faults.sync_delay_ms));
    if faults.disk_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// A snapshot is due when this differs from what it was.
pub(crate) fn snapshot_number() -> u64 {
    current().snapshot
}

/// Log entries to keep behind a snapshot instead of the configured number.
pub(crate) fn keep_entries() -> Option<u64> {
    Some(current().keep_entries).filter(|entries| *entries > 0)
}

/// Holds up the calling thread.
pub(crate) fn pause(time: Duration) {
    let begun = std::time::Instant::now();
    while let Some(rest) = time.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
        std::thread::park_timeout(rest);
    }
}

#[cfg(not(debug_assertions))]
fn current() -> Faults {
    Faults::default()
}

#[cfg(debug_assertions)]
use watched::current;

#[cfg(debug_assertions)]
mod watched {
    use std::{
        env, fs,
        path::PathBuf,
        sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
        time::Duration,
    };

    use super::Faults;

    /// How often the file is read.
    const INTERVAL: Duration = Duration::from_millis(20);

    static WATCHED: LazyLock<Option<Arc<Mutex<Faults>>>> =
        LazyLock::new(|| watch(env::var_os("TESSERA_TEST_FAULTS")?.into()));

    pub(super) fn current() -> Faults {
        WATCHED
            .as_ref()
            .map_or_else(Faults::default, |faults| *faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn watch(file: PathBuf) -> Option<Arc<Mutex<Faults>>> {
        let read = move || parse(&fs::read_to_string(&file).unwrap_or_default());
        let faults = Arc::new(Mutex::new(read()));
        let watched: Weak<Mutex<Faults>> = Arc::downgrade(&faults);
        let follow = move || {
            while let Some(faults) = watched.upgrade() {
                *faults.lock().unwrap_or_else(PoisonError::into_inner) = read();
                super::pause(INTERVAL);
            }
        };
        std::thread::Builder::new().name("faults".to_owned()).spawn(follow).ok()?;
        Some(faults)
    }

    /// Lines that cannot be understood are left out.
    pub(super) fn parse(text: &str) -> Faults {
        let mut faults = Faults::default();
        for line in text.lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let number = value.trim().parse::<i64>().unwrap_or_default();
            let positive = number.unsigned_abs();
            match name {
                "skip-revision-check" => faults.skip_revision_check = true,
                "drop-replies" => faults.drop_replies = true,
                "report-before-flush-ms" => faults.report_before_flush_ms = positive,
                "clock-step-ms" => faults.clock_step_ms = number,
                "sync-delay-ms" => faults.sync_delay_ms = positive,
                "disk-full" => faults.disk_full = true,
                "snapshot" => faults.snapshot = positive,
                "keep-entries" => faults.keep_entries = positive,
                _ => {}
            }
        }
        faults
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn without_the_variable_nothing_is_wrong() {
        assert_eq!(current(), Faults::default());
        assert!(before_write().is_ok());
    }

    #[test]
    fn lines_are_faults() {
        let text = "drop-replies\nclock-step-ms -120000\nsync-delay-ms 30\nunknown 7\n";
        let expected =
            Faults { drop_replies: true, clock_step_ms: -120_000, sync_delay_ms: 30, ..Faults::default() };
        assert_eq!(watched::parse(text), expected);
        assert_eq!(watched::parse(""), Faults::default());
    }
}
