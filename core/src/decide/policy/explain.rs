//! `system/explainPolicy`: which policies have an action, which of them match an imagined request, which count, and why
//! the others do not. What nobody else answers: the question administrators ask most.

use std::sync::Arc;

use super::show::{identity, sent};
use crate::decide::policies::{client, moment};
use crate::decide::rights::SystemRight;
use crate::decide::user::{Identified, UserParams, identify};
use crate::decide::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::policy::query::{Lookup, Selection, Verdict};
use crate::policy::{Policy, Scope, Subject};

/// Explains what policies say about an imagined request. Empty texts are not compared, as for a request without them;
/// the time is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainPolicy {
    /// `scope`.
    pub scope: Option<String>,
    /// `action`.
    pub action: Option<String>,
    /// `user`: a user, or an administrator in the scopes about administrators.
    pub user: Option<String>,
    /// `realm`: that of the user; in scope `admin` the one something is to be done in.
    pub realm: Option<String>,
    /// `client`.
    pub client: Option<String>,
}

/// A policy with the action, and what became of it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Whether it counts, or why not.
    pub verdict: Verdict,
}

impl Request for ExplainPolicy {
    /// All policies of the scope that have the action, inactive ones included, ordered by name.
    type Reply = Vec<Explained>;
    const LISTS: bool = true;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<Explained>, Stop> {
        let name = sent(self.scope.as_deref()).ok_or(Refusal::MissingParameter("scope"))?;
        let action = sent(self.action.as_deref()).ok_or(Refusal::MissingParameter("action"))?;
        let scope = Scope::find(name).ok_or_else(|| Refusal::Other(format!("there is no scope '{name}'")))?;
        let address = client(self.client.as_deref().unwrap_or_default().trim())?;
        let realm = sent(self.realm.as_deref()).map(|realm| realm.trim().to_lowercase());
        let user = self.user.as_deref().unwrap_or_default().trim().to_owned();
        let params = UserParams { user, realm: realm.clone(), res_conf: None };
        let about_users = !scope.is_about_administrators();
        let known = if about_users { identify(cx, &params)? } else { Identified::NoUser };
        let subject = Subject {
            user: identity(&params.user, realm.as_deref(), &known),
            realm: realm.as_deref(),
            client: address,
            moment: Some(moment(cx)),
        };
        let lookup =
            Lookup { action: Some(action), selection: Selection::Strict, ..Lookup::strict(scope, action) };
        let configuration = cx.view.configuration();
        let explained = configuration.policies.explain(&lookup, &subject, cx)?;
        cx.audit.success = true;
        Ok(explained.into_iter().map(|(policy, verdict)| Explained { policy, verdict }).collect())
    }
}
