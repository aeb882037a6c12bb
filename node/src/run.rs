//! The path of a request (DESIGN section 3): decide on a pinned view, answer the questions of the decision, commit, and
//! decide again if the decision was overtaken.
//!
//! The loop is generic over the store and the outside world, so that it is tested without either. It never answers
//! before the commit: a verdict that is not committed does not exist.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tessera_core::audit::Login;
use tessera_core::configuration::Configuration;
use tessera_core::decide::{Request, decide};
use tessera_core::decision::{Decision, Defect, Refusal, Step};
use tessera_core::facts::{Answer, Caller, Facts, Question};
use tessera_core::record::IndexKey;
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Outcome, Revision, Txn};
use tessera_core::view::StateRead;
use tokio::time::{Instant, timeout_at};

use crate::entropy::{self, NoEntropy};
use crate::keyring::NodeKeys;
use crate::lane::Lanes;
use crate::metrics::NodeMetrics;

/// How often a decision is made again because it was overtaken.
const ATTEMPTS_MAX: usize = 10;
/// How many questions one request may ask.
const QUESTIONS_MAX: usize = 512;
/// How long one question may take; a user store that is slower counts as unavailable.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// The store has the same time limit as the request. This is added to the last commit so that the store's own answer,
/// which knows whether the outcome is known, comes first.
const COMMIT_GRACE: Duration = Duration::from_millis(250);

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no leader, or the cluster was too slow. Nothing was changed.
    #[error("the cluster is not available")]
    Unavailable,
    /// The transaction may or may not have been applied.
    #[error("the outcome of the request is not known")]
    OutcomeUnknown,
    /// Too many requests wait already, or this one was overtaken too often. Nothing was changed.
    #[error("the node is busy")]
    Busy,
    /// An invariant is broken, or the request asks without end. Nothing was changed.
    #[error("the request could not be decided")]
    Defect(#[source] RunDefect),
}

/// What is broken about a request that could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum RunDefect {
    /// An invariant of the replicated data.
    #[error(transparent)]
    Decision(#[from] Defect),
    /// More questions than any request needs.
    #[error("more than {QUESTIONS_MAX} questions in one request")]
    Questions,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The store does not know this node's session and did not open a new one.
    #[error("the store lost its session")]
    Session,
    /// The transaction is larger than the log takes.
    #[error("the transaction is too large")]
    TooLarge,
}

impl RunError {
    /// The label of this error in the metrics.
    const fn label(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Busy => "busy",
            Self::Defect(_) => "defect",
        }
    }
}

/// The replicated store as the loop needs it.
pub(crate) trait Replica: Sync {
    /// A pinned state.
    type State: StateRead + Send + Sync;
    /// The newest state this node has applied.
    fn view(&self) -> Arc<Self::State>;
    /// A state that contains everything committed before the call.
    fn barrier(&self) -> impl Future<Output = Result<Arc<Self::State>, RunError>> + Send;
    /// The state once this node has applied a revision.
    fn wait_applied(
        &self,
        revision: Revision,
        deadline: Instant,
    ) -> impl Future<Output = Result<Arc<Self::State>, RunError>> + Send;
    /// Commits a transaction.
    fn commit(&self, txn: Txn) -> impl Future<Output = Result<Outcome, RunError>> + Send;
    /// Cluster time.
    fn now(&self) -> UnixMillis;
}

/// The outside world as the loop needs it.
pub(crate) trait Outside: Sync {
    /// Answers a question.
    fn answer(&self, question: &Question) -> impl Future<Output = Answer> + Send;
}

impl Outside for tessera_connectors::Connectors {
    async fn answer(&self, question: &Question) -> Answer {
        Self::answer(self, question).await
    }
}

/// Everything the loop needs beside the request.
pub(crate) struct Runner<S, O> {
    pub(crate) store: S,
    pub(crate) outside: O,
    pub(crate) keys: NodeKeys,
    pub(crate) metrics: NodeMetrics,
    /// Name of this node in the audit trail.
    pub(crate) name: String,
    /// Time limit of a request.
    pub(crate) patience: Duration,
    /// Time limit of a question, [`ANSWER_TIMEOUT`] outside of tests.
    pub(crate) answer_patience: Duration,
    pub(crate) lanes: Lanes,
    pub(crate) configuration: ArcSwap<Configuration>,
}

impl<S: Replica, O: Outside> Runner<S, O> {
    /// Runs a request to its commit.
    pub(crate) async fn run<R: Request>(
        &self,
        request: &R,
        mut caller: Caller,
    ) -> Result<Result<R::Reply, Refusal>, RunError> {
        if caller.server.is_empty() {
            caller.server.clone_from(&self.name);
        }
        let timer = self.metrics.seconds.start_timer();
        let result = self.attempts(request, &caller).await;
        timer.observe_duration();
        let label = match &result {
            Ok(Ok(_)) => "committed",
            Ok(Err(_)) => "refused",
            Err(error) => error.label(),
        };
        self.metrics.decided.with_label_values(&[label]).inc();
        if let Err(RunError::Defect(defect)) = &result {
            tracing::error!(request.action = %caller.action, error = %defect, "request could not be decided");
        }
        result
    }

    async fn attempts<R: Request>(
        &self,
        request: &R,
        caller: &Caller,
    ) -> Result<Result<R::Reply, Refusal>, RunError> {
        let deadline = Instant::now() + self.patience;
        let _turn = match request.lane() {
            Some(lane) => {
                Some(timeout_at(deadline, self.lanes.enter(lane)).await.map_err(|_| RunError::Busy)?)
            }
            None => None,
        };
        let mut state = if R::LISTS { self.newest(deadline).await? } else { self.store.view() };
        let mut answers = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let decision = self.decide(request, caller, &*state, &mut answers, deadline).await?;
            if R::LISTS && decision.txn.writes.is_empty() && decision.txn.history.is_empty() {
                // The barrier has made the listing current; there is nothing to commit.
                return Ok(decision.reply);
            }
            let login = Login::of(&decision.txn);
            let commit = self.store.commit(decision.txn);
            let outcome = timeout_at(deadline + COMMIT_GRACE, commit).await;
            match outcome.map_err(|_| RunError::OutcomeUnknown)??.settled() {
                Outcome::Committed(_) => {
                    self.metrics.count_login(login);
                    carry_out(&decision.effects);
                    return Ok(decision.reply);
                }
                Outcome::Conflict(_, revision) => {
                    self.metrics.conflicts.inc();
                    state = self.state_after(revision, deadline).await?;
                }
                Outcome::UnknownSession => return Err(RunError::Defect(RunDefect::Session)),
                Outcome::Duplicate(_) => return Err(RunError::OutcomeUnknown),
            }
            if Instant::now() >= deadline {
                return Err(RunError::Unavailable);
            }
        }
        Err(RunError::Busy)
    }

    /// Decides on a state, asking outside until the decision has all it needs.
    async fn decide<R: Request>(
        &self,
        request: &R,
        caller: &Caller,
        state: &S::State,
        answers: &mut Vec<(Question, Answer)>,
        deadline: Instant,
    ) -> Result<Decision<R::Reply>, RunError> {
        let configuration = self.configuration_of(state);
        let keyring = self.keys.of(state);
        let entropy = entropy::bytes().map_err(|error| RunError::Defect(error.into()))?;
        let now = self.store.now().max(state.time());
        loop {
            let facts = Facts { now, entropy: &entropy, keyring: &keyring, caller, answers };
            let question = match decide(state, configuration.clone(), facts, request) {
                Step::Done(decision) => return Ok(decision),
                Step::Defect(defect) => return Err(RunError::Defect(defect.into())),
                Step::Ask(question) => question,
            };
            if answers.len() >= QUESTIONS_MAX {
                return Err(RunError::Defect(RunDefect::Questions));
            }
            let asked = Instant::now();
            let answer = self.ask(&question, deadline).await;
            self.metrics.count_question(&question, answer.as_ref().ok(), asked.elapsed());
            let answer = answer?;
            answers.push((question, answer));
        }
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, RunError> {
        let patience = Instant::now() + self.answer_patience;
        match timeout_at(patience.min(deadline), self.outside.answer(question)).await {
            Ok(answer) => Ok(answer),
            Err(_) if patience < deadline => {
                Ok(Answer::Unavailable(format!("no answer within {} ms", self.answer_patience.as_millis())))
            }
            Err(_) => Err(RunError::Unavailable),
        }
    }

    /// The compiled configuration of a state; compiled again only when it has changed.
    pub(crate) fn configuration_of(&self, state: &S::State) -> Arc<Configuration> {
        let known = self.configuration.load();
        if known.revision == state.index_revision(&IndexKey::Configuration) {
            return Arc::clone(&known);
        }
        let fresh = Arc::new(Configuration::load(state));
        // A request on an older state must not push out a newer configuration that others are about to use.
        if fresh.revision > known.revision {
            self.configuration.store(fresh.clone());
        }
        fresh
    }

    async fn newest(&self, deadline: Instant) -> Result<Arc<S::State>, RunError> {
        timeout_at(deadline, self.store.barrier()).await.map_err(|_| RunError::Unavailable)?
    }

    /// A state that contains the change a decision conflicted with. The revision of something that was removed is 0
    /// and says nothing about when, so that the state is brought up to date instead.
    async fn state_after(&self, revision: Revision, deadline: Instant) -> Result<Arc<S::State>, RunError> {
        if revision == Revision(0) {
            return self.newest(deadline).await;
        }
        timeout_at(deadline, self.store.wait_applied(revision, deadline))
            .await
            .map_err(|_| RunError::Unavailable)?
    }
}

/// Carries out what a committed decision wants done.
const fn carry_out(effects: &[tessera_core::decision::Effect]) {
    // No token type delivers messages yet: the enum has no variant, so that this match is complete.
    if let [effect, ..] = effects {
        match *effect {}
    }
}

#[cfg(test)]
mod tests;
