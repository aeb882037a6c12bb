//! Answers the core's questions for one node.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tessera_core::facts::{Answer, Question, ResolverRef};
use tessera_core::record::{Parameter, ResolverKind, ResolverV1};
use tessera_core::secret::SecretText;
use tessera_core::user::ResolverSpec;
use tokio::sync::Semaphore;

use crate::admin_password;
use crate::resolver::{PasswdConfig, PasswdResolver, ResolverError, UserIdResolver};
use crate::upstream::forward::{ForwardError, ForwardServers};
use crate::upstream::yubico::{YubicoError, YubicoServers};

/// Resolvers kept open; beyond it all are closed and opened again as they are needed.
const OPEN_RESOLVERS_MAX: usize = 1024;

/// Administrator password hashes computed at the same time; each takes 19 MiB of memory.
const ADMIN_HASHES_AT_ONCE: usize = 4;

/// The node's connections to the outside world.
pub struct Connectors {
    root_dir: PathBuf,
    open: Mutex<HashMap<ResolverSpec, OpenResolver>>,
    admin_hashes: Semaphore,
    yubico: YubicoServers,
    forward: ForwardServers,
}

/// A resolver and the definition it was opened with.
#[derive(Clone)]
struct OpenResolver {
    definition: Arc<ResolverV1>,
    resolver: Arc<dyn UserIdResolver>,
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connectors").field("root_dir", &self.root_dir).finish_non_exhaustive()
    }
}

impl Connectors {
    /// Connectors of a node whose files are in `root_dir` (what `%(here)s` stands for).
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        let admin_hashes = Semaphore::new(ADMIN_HASHES_AT_ONCE);
        let (yubico, forward) = (YubicoServers::default(), ForwardServers::default());
        Self { root_dir, open: Mutex::default(), admin_hashes, yubico, forward }
    }

    /// Answers one question; a failure is an [`Answer::Unavailable`] with a text for administrators.
    ///
    /// Must be called within a tokio runtime.
    pub async fn answer(&self, question: &Question) -> Answer {
        self.try_answer(question).await.unwrap_or_else(|error| Answer::Unavailable(explain(&error)))
    }

    async fn try_answer(&self, question: &Question) -> Result<Answer, ConnectorError> {
        Ok(match question {
            Question::UserByLogin { resolver, login } => {
                Answer::User(self.resolver(resolver).await?.find_by_login(login).await?)
            }
            Question::UserById { resolver, user_id } => {
                Answer::User(self.resolver(resolver).await?.find_by_uid(user_id).await?)
            }
            Question::CheckPassword { resolver, user_id, password } => {
                let verdict = self.resolver(resolver).await?.check_password(user_id, password).await?;
                Answer::Verdict(verdict.is_match())
            }
            Question::SearchUsers { resolver, terms } => {
                Answer::Users(self.resolver(resolver).await?.search(terms).await?)
            }
            Question::LoadResolver { resolver } => {
                self.load(resolver).await?;
                Answer::Loaded
            }
            Question::VerifyPasswordHash { hash, password } => {
                let (hash, password) = (hash.clone(), password.clone());
                Answer::Verdict(self.hashing(move || admin_password::verify(&hash, &password)).await?)
            }
            Question::HashPassword { password } => {
                let password: SecretText = password.clone();
                Answer::Hash(self.hashing(move || admin_password::hash(&password)).await??)
            }
            Question::ValidateYubico { urls, client_id, otp } => {
                let reply = self.yubico.ask(urls, client_id, otp).await?;
                Answer::Yubico { nonce: reply.nonce, body: reply.body }
            }
            Question::AskServer { servers, login } => Answer::Remote(self.forward.ask(servers, login).await?),
        })
    }

    /// The open resolver of this definition; opens it on first use and after a change of the definition.
    async fn resolver(&self, wanted: &ResolverRef) -> Result<Arc<dyn UserIdResolver>, ConnectorError> {
        if let Some(known) = self.known(wanted) {
            return Ok(known);
        }
        let config = self.passwd_config(wanted)?;
        let resolver = tokio::task::spawn_blocking(move || PasswdResolver::new(&config)).await?;
        let resolver: Arc<dyn UserIdResolver> = Arc::new(resolver);
        let opened =
            OpenResolver { definition: Arc::clone(&wanted.definition), resolver: Arc::clone(&resolver) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_RESOLVERS_MAX {
            open.clear();
        }
        open.insert(wanted.spec.clone(), opened);
        drop(open);
        Ok(resolver)
    }

    fn known(&self, wanted: &ResolverRef) -> Option<Arc<dyn UserIdResolver>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.get(&wanted.spec)?;
        let same =
            Arc::ptr_eq(&known.definition, &wanted.definition) || known.definition == wanted.definition;
        same.then(|| Arc::clone(&known.resolver))
    }

    /// Tries a definition that may never be stored, so nothing is kept.
    async fn load(&self, wanted: &ResolverRef) -> Result<(), ConnectorError> {
        let config = self.passwd_config(wanted)?;
        tokio::task::spawn_blocking(move || PasswdResolver::open(&config)).await??;
        Ok(())
    }

    fn passwd_config(&self, wanted: &ResolverRef) -> Result<PasswdConfig, ConnectorError> {
        let name = wanted.spec.resolver().as_str().to_owned();
        match wanted.definition.kind {
            ResolverKind::Passwd => {}
            ResolverKind::Ldap | ResolverKind::Sql => return Err(ConnectorError::UnsupportedKind { name }),
        }
        match wanted.definition.parameters.get("fileName") {
            Some(Parameter::Plain(file_name)) if !file_name.trim().is_empty() => {
                Ok(PasswdConfig { name, file_name: file_name.to_string(), root_dir: self.root_dir.clone() })
            }
            _ => Err(ConnectorError::MissingParameter { name, parameter: "fileName" }),
        }
    }

    /// Runs a password hash outside the threads of the runtime, a few at a time.
    async fn hashing<T, F>(&self, work: F) -> Result<T, ConnectorError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let permit = self.admin_hashes.acquire().await?;
        let result = tokio::task::spawn_blocking(work).await?;
        drop(permit);
        Ok(result)
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum ConnectorError {
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    #[error("resolver {name}: this type of user store is not supported")]
    UnsupportedKind { name: String },
    #[error("resolver {name}: missing parameter {parameter}")]
    MissingParameter { name: String, parameter: &'static str },
    #[error("password hash failed")]
    Hash(#[from] admin_password::HashError),
    #[error(transparent)]
    Yubico(#[from] YubicoError),
    #[error(transparent)]
    Forward(#[from] ForwardError),
    #[error("work was cut off because the node is stopping")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("work was refused because the node is stopping")]
    Stopping(#[from] tokio::sync::AcquireError),
}

/// The error with all its causes in one line.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
