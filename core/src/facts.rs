//! What a decision is given beside the state: time, random bytes, keys, the caller, and answers from outside.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::record::ResolverV1;
use crate::secret::{Keyring, SecretText};
use crate::time::UnixMillis;
use crate::user::{ResolverSpec, UserEntry, UserId};

/// An authenticated administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// Login name.
    pub login: String,
    /// The administrator realm.
    pub realm: String,
    /// The resolver the password was checked by.
    pub resolver: ResolverSpec,
}

/// Who sends a request, and to which node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's address as the front end determined it (reference http-api 1.4).
    pub client: String,
    /// Host name of this node.
    pub server: String,
    /// Request path without the leading slash, for the audit trail.
    pub action: String,
    /// The administrator, on calls that need one.
    pub administrator: Option<Administrator>,
    /// Identifies the request in the log, in the reply and in the audit trail; empty for the node's own requests.
    pub request_id: String,
}

/// A resolver a question is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverRef {
    /// Its specification.
    pub spec: ResolverSpec,
    /// Its definition, which may not be stored yet (`setResolver` tries it first).
    pub definition: Arc<ResolverV1>,
}

/// A pattern an attribute has to match, in the resolver's own wild-card rules (reference users 10.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchTerm {
    /// LinOTP's field name, or `searchTerm` for any field.
    pub field: String,
    /// The pattern.
    pub pattern: String,
}

/// A question for the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which user has this login?
    UserByLogin {
        /// The resolver asked.
        resolver: ResolverRef,
        /// The login.
        login: String,
    },
    /// Which user has this id?
    UserById {
        /// The resolver asked.
        resolver: ResolverRef,
        /// The id.
        user_id: UserId,
    },
    /// Is this the user's password in the user store?
    CheckPassword {
        /// The resolver asked.
        resolver: ResolverRef,
        /// The user.
        user_id: UserId,
        /// The password.
        password: SecretText,
    },
    /// Which users match?
    SearchUsers {
        /// The resolver asked.
        resolver: ResolverRef,
        /// All terms have to match.
        terms: Vec<SearchTerm>,
    },
    /// Can this definition be used?
    LoadResolver {
        /// The definition to try.
        resolver: ResolverRef,
    },
    /// Is this the password behind an argon2id hash in PHC form? Slow on purpose, hence done outside.
    VerifyPasswordHash {
        /// The hash.
        hash: SecretText,
        /// The password.
        password: SecretText,
    },
    /// The argon2id hash in PHC form of this password.
    HashPassword {
        /// The password.
        password: SecretText,
    },
    /// What does a validation server of Yubico reply to this OTP? Whoever asks draws the nonce.
    ValidateYubico {
        /// The servers, to be tried in this order.
        urls: Vec<String>,
        /// The number under which the server knows this installation.
        client_id: String,
        /// The OTP.
        otp: SecretText,
    },
    /// What does another server say about this login? (reference policies 8.2)
    AskServer {
        /// The servers; the next one is asked only if the one before cannot be reached.
        servers: Vec<RemoteServer>,
        /// What is asked.
        login: ForwardedLogin,
    },
}

/// A server that decides about logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteServer {
    /// One with LinOTP's web interface.
    Http {
        /// Where the login is sent to, without a query.
        url: String,
        /// Whether its certificate has to be valid.
        verifies: bool,
    },
    /// A RADIUS server.
    Radius {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// UDP port.
        port: u16,
        /// The secret shared with it.
        secret: SecretText,
        /// How this server calls itself.
        nas_identifier: String,
    },
}

/// A login as another server gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedLogin {
    /// The login, without a realm.
    pub user: String,
    /// What the client sent as `pass`.
    pub pass: SecretText,
    /// The transaction that is answered, as the server named it.
    pub transaction: Option<String>,
    /// Further parameters for a web interface.
    pub parameters: Vec<(String, String)>,
}

/// What another server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteReply {
    /// The body of a web interface's reply with status 200, as it came.
    Http(String),
    /// RADIUS Access-Accept.
    Accepted,
    /// RADIUS Access-Reject.
    Rejected,
    /// RADIUS Access-Challenge.
    Challenged {
        /// `State`, to be sent with the answer.
        state: String,
        /// `Reply-Message`.
        message: String,
    },
}

/// The outside world's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `UserByLogin`, `UserById`.
    User(Option<Arc<UserEntry>>),
    /// To `SearchUsers`.
    Users(Vec<Arc<UserEntry>>),
    /// To `CheckPassword`, `VerifyPasswordHash`.
    Verdict(bool),
    /// To `LoadResolver`: it can be used.
    Loaded,
    /// To `HashPassword`.
    Hash(SecretText),
    /// To `ValidateYubico`: the reply as it came; its signature is still to be checked.
    Yubico {
        /// The nonce that was sent.
        nonce: String,
        /// The body of the reply.
        body: String,
    },
    /// To `AskServer`.
    Remote(RemoteReply),
    /// The outside world did not answer, or the definition cannot be used; the text is for administrators.
    Unavailable(String),
}

/// Everything a decision is given beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Cluster time.
    pub now: UnixMillis,
    /// Fresh random bytes of this attempt; every serial, salt and nonce is derived from them.
    pub entropy: &'a [u8; 32],
    /// The cluster keys.
    pub keyring: &'a Keyring,
    /// Who asks.
    pub caller: &'a Caller,
    /// The questions answered so far.
    pub answers: &'a [(Question, Answer)],
}

/// A deterministic stream of random bytes, expanded from the entropy of an attempt with HMAC-SHA-256 in counter mode.
pub struct Random {
    mac: Hmac<Sha256>,
    block: [u8; 32],
    used: usize,
    counter: u64,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// A stream from this entropy.
    #[must_use]
    pub fn new(entropy: &[u8; 32]) -> Self {
        Self { mac: crate::secret::mac_with(entropy), block: [0; 32], used: 32, counter: 0 }
    }

    /// The next bytes of the stream.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Fills a buffer with the next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let mut mac = self.mac.clone();
                mac.update(&self.counter.to_be_bytes());
                self.block = mac.finalize().into_bytes().into();
                self.counter = self.counter.wrapping_add(1);
                self.used = 0;
            }
            *byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used += 1;
        }
    }

    /// A uniform number below `bound` (0 if `bound` is 0), without modulo bias.
    pub fn below(&mut self, bound: u32) -> u32 {
        let Some(limit) = (u32::MAX - u32::MAX.checked_rem(bound).unwrap_or(0)).checked_sub(1) else {
            return 0;
        };
        loop {
            let candidate = u32::from_be_bytes(self.bytes());
            if bound == 0 || candidate <= limit {
                return candidate.checked_rem(bound).unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_hmac_sha256_of_a_counter() {
        // printf '\0\0\0\0\0\0\0\0' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
        let first: [u8; 4] = Random::new(&[7; 32]).bytes();
        let whole: [u8; 40] = Random::new(&[7; 32]).bytes();
        assert_eq!(whole.first_chunk::<4>(), Some(&first));
        assert_ne!(whole[0..8], whole[32..40]);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(&[1; 32]);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(10)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.below(1), 0);
        assert_eq!(random.below(0), 0);
    }
}
