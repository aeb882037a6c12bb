//! The decision of every request.
//!
//! A request is a type that implements [`Request`]; [`decide`] runs it on a view and returns a question, a decision or
//! a defect. One file per family of requests; the order in which rules take effect is the order of the calls in one
//! function.

pub mod authorize;
mod autoassign;
pub mod backup;
pub mod bootstrap;
pub mod callback;
pub(crate) mod challenge;
pub mod config;
pub mod copy;
mod directory;
pub mod enroll;
mod enrollment;
mod exceed;
mod fallback;
pub mod find;
mod forward;
pub mod import;
pub mod janitor;
mod last_access;
pub mod lifecycle;
pub mod limits;
pub(crate) mod login;
pub mod losttoken;
pub mod maintenance;
pub mod membership;
pub mod once;
pub mod pin;
mod policies;
pub mod policy;
pub mod realm;
pub mod rejected;
pub mod resolver;
pub mod restore;
pub mod resync;
pub mod rights;
mod rollout;
pub mod rotation;
#[cfg(test)]
mod sample;
pub mod selection;
pub mod session;
pub mod set;
pub mod show;
pub mod transaction;
pub mod user;
pub mod userlist;
pub mod validate;

use std::sync::Arc;

use self::rights::SystemRight;
use crate::audit::AuditRowV1;
use crate::configuration::Configuration;
use crate::decision::{Decision, Defect, Effect, Step, Stop};
use crate::facts::{Answer, Facts, Question, Random};
use crate::txn::{HistoryRow, Txn};
use crate::view::{StateRead, View};

/// A request that can be decided.
pub trait Request: Send + Sync {
    /// What the caller gets.
    type Reply: Send;

    /// Whether the request is written to the audit trail.
    const AUDITED: bool = true;

    /// Whether the request lists records without recording each: the state must then be brought up to date by a read
    /// barrier before deciding.
    const LISTS: bool = false;

    /// The right to the configuration an administrator needs for it. Rights in realms are checked by the requests
    /// themselves.
    const RIGHT: Option<SystemRight> = None;

    /// Requests with the same lane are decided one after the other on a node, so that they do not overtake each other.
    /// Purely an optimisation; `None` for requests that do not compete.
    fn lane(&self) -> Option<String> {
        None
    }

    /// Decides the request.
    ///
    /// # Errors
    /// To ask a question, to refuse, or when an invariant is broken.
    fn decide(&self, cx: &mut Context<'_>) -> Result<Self::Reply, Stop>;
}

/// What a request is decided with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The state; everything read through it becomes a precondition.
    pub view: View<'a>,
    /// Time, keys, caller, answers.
    pub facts: Facts<'a>,
    /// Random bytes of this attempt.
    pub random: Random,
    /// The audit row of this request, filled on the way.
    pub audit: AuditRowV1,
    /// Further audit rows, of requests that are about many tokens and write one for each.
    pub rows: Vec<AuditRowV1>,
    /// What is to be done after the commit.
    pub effects: Vec<Effect>,
}

impl Context<'_> {
    /// The answer to a question, or the instruction to get it.
    ///
    /// # Errors
    /// [`Stop::Ask`] as long as the question is not answered.
    pub fn ask(&self, question: Question) -> Result<&Answer, Stop> {
        match self.facts.answers.iter().find(|(asked, _)| *asked == question) {
            Some((_, answer)) => Ok(answer),
            None => Err(Stop::Ask(question)),
        }
    }

    /// Asks a yes-or-no question. An unavailable answer counts as no and is noted in the audit row.
    ///
    /// # Errors
    /// As [`Self::ask`]; a defect if the answer is of another kind.
    pub fn ask_verdict(&mut self, question: Question) -> Result<bool, Stop> {
        let problem = match self.ask(question)? {
            Answer::Verdict(verdict) => return Ok(*verdict),
            Answer::Unavailable(problem) => problem.clone(),
            Answer::User(_)
            | Answer::Users(_)
            | Answer::Loaded
            | Answer::Hash(_)
            | Answer::Yubico { .. }
            | Answer::Remote(_) => {
                return Err(Stop::Defect(Defect::Answer("yes or no")));
            }
        };
        self.note(&problem);
        Ok(false)
    }

    /// Adds a sentence to the audit row's `info`.
    pub fn note(&mut self, text: &str) {
        let info = &self.audit.info;
        self.audit.info = if info.is_empty() { text.into() } else { format!("{info}; {text}").into() };
    }
}

/// Decides a request on a pinned state. `configuration` must have been loaded from that state.
pub fn decide<R: Request>(
    state: &dyn StateRead,
    configuration: Arc<Configuration>,
    facts: Facts<'_>,
    request: &R,
) -> Step<R::Reply> {
    let mut cx = Context {
        view: View::new(state, configuration),
        facts,
        random: Random::new(facts.entropy),
        audit: AuditRowV1::default(),
        rows: Vec::new(),
        effects: Vec::new(),
    };
    let allowed = R::RIGHT.map_or(Ok(()), |right| rights::require_system(&mut cx, right));
    let reply = match allowed.and_then(|()| request.decide(&mut cx)) {
        Ok(reply) => Ok(reply),
        Err(Stop::Ask(question)) => return Step::Ask(question),
        Err(Stop::Defect(defect)) => return Step::Defect(defect),
        Err(Stop::Refuse(refusal)) => {
            cx.view.discard_writes();
            cx.rows.clear();
            cx.effects.clear();
            cx.audit.success = false;
            cx.note(&refusal.to_string());
            Err(refusal)
        }
    };
    Step::Done(finish(cx, reply, R::AUDITED))
}

fn finish<R>(cx: Context<'_>, reply: Result<R, crate::decision::Refusal>, audited: bool) -> Decision<R> {
    let Context { mut view, facts, audit, rows, effects, .. } = cx;
    if view.writes_sealed() {
        // Overtaken by a change of the current key, it is decided again: no secret is ever sealed under a former key.
        view.read(&rotation::key_check());
    }
    let rows = audited.then_some(audit).into_iter().chain(rows);
    let history = rows.map(|row| HistoryRow::Audit(complete(row, facts))).collect();
    let (expects, writes) = view.finish();
    Decision { reply, txn: Txn { now: facts.now, expects, writes, history }, effects }
}

fn complete(mut audit: AuditRowV1, facts: Facts<'_>) -> AuditRowV1 {
    let caller = facts.caller;
    audit.at = facts.now;
    audit.action = caller.action.as_str().into();
    audit.client = caller.client.as_str().into();
    audit.server = caller.server.as_str().into();
    audit.request_id = caller.request_id.as_str().into();
    if let Some(admin) = &caller.administrator {
        audit.administrator =
            format!("{}@{} ({})", admin.login, admin.realm, admin.resolver.resolver()).into_boxed_str();
    }
    audit
}
