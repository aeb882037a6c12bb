use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tessera_core::decide::Context;
use tessera_core::decision::Stop;
use tessera_core::record::{Key, Record, RevocationV1};
use tessera_core::secret::SecretText;
use tessera_core::txn::Dependency;
use tessera_core::view::{ScanStep, Slot};

use super::*;

/// A state of one record, whose revision is given.
struct OneRecord(u64);

impl StateRead for OneRecord {
    fn record(&self, _key: &Key) -> Option<Slot> {
        let record = Record::Revocation(RevocationV1 { expires_at: UnixMillis(self.0) });
        Some(Slot { revision: Revision(self.0), created: 1, record })
    }
    fn index(&self, index: &IndexKey) -> (Revision, Vec<Key>) {
        (self.index_revision(index), Vec::new())
    }
    fn index_revision(&self, _index: &IndexKey) -> Revision {
        Revision(self.0)
    }
    fn index_len(&self, _index: &IndexKey) -> usize {
        0
    }
    fn scan(&self, _from: &Key, _step: ScanStep<'_>) {
        let _: ControlFlow<()> = ControlFlow::Break(());
    }
    fn time(&self) -> UnixMillis {
        UnixMillis(1000)
    }
}

/// A store that answers commits from a list and counts what it is asked.
#[derive(Default)]
struct Script {
    outcomes: Mutex<VecDeque<Result<Outcome, RunError>>>,
    committed: Mutex<Vec<Txn>>,
    revision: AtomicU64,
    barriers: AtomicUsize,
}

impl Script {
    fn new(outcomes: impl IntoIterator<Item = Result<Outcome, RunError>>) -> Self {
        Self { outcomes: Mutex::new(outcomes.into_iter().collect()), ..Self::default() }
    }

    fn state(&self) -> Arc<OneRecord> {
        Arc::new(OneRecord(self.revision.load(Ordering::SeqCst)))
    }
}

impl Replica for Script {
    type State = OneRecord;
    fn view(&self) -> Arc<OneRecord> {
        self.state()
    }
    async fn barrier(&self) -> Result<Arc<OneRecord>, RunError> {
        self.barriers.fetch_add(1, Ordering::SeqCst);
        Ok(self.state())
    }
    async fn wait_applied(&self, revision: Revision, _: Instant) -> Result<Arc<OneRecord>, RunError> {
        self.revision.store(revision.0, Ordering::SeqCst);
        Ok(self.state())
    }
    async fn commit(&self, txn: Txn) -> Result<Outcome, RunError> {
        self.committed.lock().unwrap().push(txn);
        let next = self.outcomes.lock().unwrap().pop_front();
        match next {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }
    fn now(&self) -> UnixMillis {
        UnixMillis(500)
    }
}

#[derive(Default)]
struct Oracle {
    asked: AtomicUsize,
    silent: bool,
}

impl Outside for Oracle {
    async fn answer(&self, _: &Question) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.silent {
            std::future::pending::<()>().await;
        }
        Answer::Verdict(true)
    }
}

fn runner(store: Script) -> Runner<Script, Oracle> {
    Runner {
        store,
        outside: Oracle::default(),
        keys: NodeKeys::new(crate::keys::ClusterKeys::generate().unwrap()),
        metrics: NodeMetrics::new().unwrap(),
        name: "otp1".to_owned(),
        patience: Duration::from_secs(5),
        answer_patience: Duration::from_secs(4),
        lanes: Lanes::default(),
        configuration: ArcSwap::default(),
    }
}

fn question(password: &str) -> Question {
    Question::VerifyPasswordHash { hash: SecretText::from("hash"), password: SecretText::from(password) }
}

/// Reads the record, asks one question, and replies with the revision it saw and the entropy it was given.
struct Probe;

impl Request for Probe {
    type Reply = (u64, [u8; 32]);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Self::Reply, Stop> {
        let revision = cx.view.read(&Key::Revocation("x".into())).map_or(0, |slot| slot.revision.0);
        cx.ask_verdict(question("a"))?;
        Ok((revision, *cx.facts.entropy))
    }
}

/// Only lists, and writes nothing.
struct Listing;

impl Request for Listing {
    type Reply = ();
    const AUDITED: bool = false;
    const LISTS: bool = true;

    fn decide(&self, _: &mut Context<'_>) -> Result<(), Stop> {
        Ok(())
    }
}

/// Asks a new question every time.
struct Endless;

impl Request for Endless {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let asked = cx.facts.answers.len();
        cx.ask(question(&asked.to_string())).map(|_| ())
    }
}

fn conflict(revision: u64) -> Result<Outcome, RunError> {
    Ok(Outcome::Conflict(Dependency::Record(Key::Revocation("x".into())), Revision(revision)))
}

fn committed() -> Result<Outcome, RunError> {
    Ok(Outcome::Committed(Revision(99)))
}

#[tokio::test]
async fn an_overtaken_decision_is_made_again_on_newer_state_with_fresh_entropy() {
    let runner = runner(Script::new([conflict(7), conflict(8), committed()]));
    let (revision, entropy) = runner.run(&Probe, Caller::default()).await.unwrap().unwrap();
    assert_eq!(revision, 8, "the reply must rest on the state behind the last conflict");
    let sent = runner.store.committed.lock().unwrap().clone();
    let seen: Vec<u64> = sent.iter().map(|txn| txn.expects[0].revision.0).collect();
    assert_eq!(seen, [0, 7, 8]);
    assert_eq!(runner.outside.asked.load(Ordering::SeqCst), 1, "answers are kept");
    assert_eq!(runner.metrics.conflicts.get(), 2);
    assert_ne!(entropy, [0; 32]);
}

#[tokio::test]
async fn every_attempt_gets_its_own_entropy() {
    let draw =
        async || runner(Script::new([committed()])).run(&Probe, Caller::default()).await.unwrap().unwrap().1;
    assert_ne!(draw().await, draw().await);
}

#[tokio::test]
async fn a_conflict_with_something_removed_brings_the_state_up_to_date() {
    let runner = runner(Script::new([conflict(0), committed()]));
    runner.run(&Probe, Caller::default()).await.unwrap().unwrap();
    assert_eq!(runner.store.barriers.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_repeated_commit_counts_as_its_first_outcome() {
    let first = Box::new(Outcome::Committed(Revision(3)));
    let repeated = runner(Script::new([Ok(Outcome::Duplicate(first))]));
    assert!(repeated.run(&Probe, Caller::default()).await.unwrap().is_ok());
    let Ok(first) = conflict(5) else { panic!() };
    let repeated = runner(Script::new([Ok(Outcome::Duplicate(Box::new(first))), committed()]));
    assert_eq!(repeated.run(&Probe, Caller::default()).await.unwrap().unwrap().0, 5);
}

#[tokio::test]
async fn errors_of_the_store_are_never_a_reply() {
    for expected in [RunError::Unavailable, RunError::OutcomeUnknown, RunError::Busy] {
        let label = expected.label();
        let runner = runner(Script::new([Err(expected)]));
        let error = runner.run(&Probe, Caller::default()).await.unwrap_err();
        assert_eq!(error.label(), label);
        assert_eq!(runner.metrics.decided.with_label_values(&[label]).get(), 1);
    }
    let runner = runner(Script::new((0..ATTEMPTS_MAX).map(|_| conflict(5))));
    assert!(matches!(runner.run(&Probe, Caller::default()).await, Err(RunError::Busy)));
}

#[tokio::test]
async fn a_commit_without_an_answer_has_an_unknown_outcome() {
    let mut runner = runner(Script::new([]));
    runner.patience = Duration::from_millis(30);
    let started = Instant::now();
    let result = runner.run(&Probe, Caller::default()).await;
    assert!(matches!(result, Err(RunError::OutcomeUnknown)));
    assert!(started.elapsed() >= runner.patience + COMMIT_GRACE);
}

#[tokio::test]
async fn who_waits_for_a_question_beyond_the_deadline_gets_no_verdict() {
    let mut runner = runner(Script::new([committed()]));
    runner.patience = Duration::from_millis(30);
    runner.outside.silent = true;
    assert!(matches!(runner.run(&Probe, Caller::default()).await, Err(RunError::Unavailable)));
    assert!(runner.store.committed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_user_store_that_does_not_answer_is_unavailable_and_not_wrong() {
    let mut runner = runner(Script::new([committed()]));
    runner.answer_patience = Duration::from_millis(30);
    runner.outside.silent = true;
    runner.run(&Probe, Caller::default()).await.unwrap().unwrap();
    let sent = runner.store.committed.lock().unwrap();
    let tessera_core::txn::HistoryRow::Audit(row) = &sent[0].history[0];
    assert!(row.info.contains("no answer within"), "{}", row.info);
    assert_eq!(&*row.server, "otp1");
}

#[tokio::test]
async fn a_request_that_asks_without_end_is_stopped() {
    let runner = runner(Script::new([]));
    let result = runner.run(&Endless, Caller::default()).await;
    assert!(matches!(result, Err(RunError::Defect(RunDefect::Questions))));
    assert_eq!(runner.outside.asked.load(Ordering::SeqCst), QUESTIONS_MAX);
}

#[tokio::test]
async fn a_listing_rests_on_a_barrier_and_commits_nothing() {
    let runner = runner(Script::new([]));
    runner.run(&Listing, Caller::default()).await.unwrap().unwrap();
    assert_eq!(runner.store.barriers.load(Ordering::SeqCst), 1);
    assert!(runner.store.committed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn time_of_a_decision_is_never_before_that_of_the_state() {
    let runner = runner(Script::new([committed()]));
    runner.run(&Probe, Caller::default()).await.unwrap().unwrap();
    assert_eq!(runner.store.committed.lock().unwrap()[0].now, UnixMillis(1000));
}

#[tokio::test]
async fn the_configuration_is_compiled_once_per_revision() {
    let runner = runner(Script::new([]));
    let first = runner.configuration_of(&OneRecord(4));
    assert!(Arc::ptr_eq(&first, &runner.configuration_of(&OneRecord(4))));
    let newer = runner.configuration_of(&OneRecord(5));
    assert_eq!(newer.revision, Revision(5));
    // An older pinned state gets its own configuration and does not push out the newer one.
    assert_eq!(runner.configuration_of(&OneRecord(4)).revision, Revision(4));
    assert!(Arc::ptr_eq(&newer, &runner.configuration_of(&OneRecord(5))));
}
