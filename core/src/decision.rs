//! The result of deciding: a question, or a reply with everything that has to be committed and done.

use crate::facts::Question;
use crate::txn::Txn;

/// What `decide` returns.
#[derive(Debug)]
pub enum Step<R> {
    /// The outside world has to be asked first; decide again with the answer.
    Ask(Question),
    /// Decided.
    Done(Decision<R>),
    /// An invariant is broken (a sealed secret does not open, a record of the wrong kind). Nothing may be answered.
    Defect(Defect),
}

/// A decision: it becomes true when its transaction is committed.
#[derive(Debug)]
pub struct Decision<R> {
    /// The reply to the caller once the transaction is committed.
    pub reply: Result<R, Refusal>,
    /// What has to be committed.
    pub txn: Txn,
    /// What is to be done after the commit.
    pub effects: Vec<Effect>,
}

/// Something done in the outside world after the commit. The token types that deliver messages add their kinds here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {}

/// Why decision making stopped early.
#[derive(Debug)]
pub enum Stop {
    /// A question has to be answered first.
    Ask(Question),
    /// The request is refused; its writes are dropped, the refusal is audited.
    Refuse(Refusal),
    /// An invariant is broken.
    Defect(Defect),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<crate::secret::SealError> for Stop {
    fn from(error: crate::secret::SealError) -> Self {
        Self::Defect(Defect::Seal(error))
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A sealed secret could not be opened with the keys of this node.
    #[error("sealed secret")]
    Seal(#[from] crate::secret::SealError),
    /// The node answered a question with an answer of another kind.
    #[error("answer of the wrong kind to a question of {0}")]
    Answer(&'static str),
}

/// The domain says no to an administrative request. The error numbers clients see are assigned in one table in the
/// `api` crate (reference http-api 3.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A required parameter is missing.
    #[error("Missing parameter: '{0}'")]
    MissingParameter(&'static str),
    /// A parameter has a value that cannot be used.
    #[error("parameter '{name}': {problem}")]
    InvalidParameter {
        /// The parameter.
        name: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No usable parameter was given at all.
    #[error("no usable parameter given: expected one of {0}")]
    Usage(&'static str),
    /// `genkey=1` and `otpkey` both given.
    #[error("either 'otpkey' or 'genkey' may be given, not both")]
    SeedGivenAndGenerated,
    /// No token with this serial.
    #[error("no token with serial {0}")]
    UnknownSerial(String),
    /// Several tokens where one is needed.
    #[error("more than one token matches {0}")]
    AmbiguousSerial(String),
    /// An OTP that several tokens have.
    #[error("several tokens have this OTP")]
    SeveralTokens,
    /// The token type is not known.
    #[error("unknown token type '{0}'")]
    UnknownTokenType(String),
    /// The token exists with another type.
    #[error("token {serial} exists already with type {stored}, it cannot become {wanted}")]
    TokenTypeMismatch {
        /// The token.
        serial: String,
        /// Its type.
        stored: String,
        /// The type asked for.
        wanted: String,
    },
    /// The user given at enrolment or assignment does not exist.
    #[error("user {login} not found in realm {realm}")]
    UnknownOwner {
        /// Login as given.
        login: String,
        /// Realm as given or completed.
        realm: String,
    },
    /// The user does not exist in any resolver.
    #[error("user {0} not found in any resolver")]
    UnknownUser(String),
    /// The user exists with different ids in several resolvers.
    #[error("user {0} exists in more than one resolver")]
    AmbiguousUser(String),
    /// Neither user nor serial was given where one is required.
    #[error("Missing parameter: 'serial' or 'user'")]
    NoSelection,
    /// An operation that this token type does not support.
    #[error("{operation} is not supported by tokens of type {token_type}")]
    Unsupported {
        /// The operation.
        operation: &'static str,
        /// The token type.
        token_type: &'static str,
    },
    /// The client's `Idempotency-Key` stands for another request.
    #[error("the Idempotency-Key was used for another request within the last {0} seconds")]
    KeyReused(u32),
    /// Everything without a number of its own.
    #[error("{0}")]
    Other(String),
    /// A policy does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// The user has as many tokens as a policy allows.
    #[error("{0}")]
    TooManyTokens(String),
    /// The user has as many tokens of this type as a policy allows.
    #[error("{0}")]
    TooManyTokensOfType(String),
    /// A policy is to be deleted whose name no policy can have.
    #[error("'{0}' is not a policy name: only letters, digits and '_' are allowed")]
    PolicyName(String),
}
