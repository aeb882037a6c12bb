//! The OTP core of Tessera: what is replicated, and the decision of every request.
//!
//! Everything here is a pure function over plain data. A request is decided on a [`view::View`] of the replicated
//! state together with [`facts::Facts`] (time, random bytes, answers from the outside world); the result is either a
//! question for the outside world or a decision: a reply, record writes, audit rows and effects. The crate performs no
//! I/O, reads no clock, draws no randomness and starts no thread; a test over its dependencies and lints guards that.
//!
//! Start reading at [`decide`], then [`view`] (what a decision read travels with it as preconditions), [`record`]
//! (what is replicated) and [`token`] (one file per token type).

// The shared test state is written against the crate's outside name.
#[cfg(test)]
extern crate self as tessera_core;

pub mod algo;
pub mod audit;
pub mod calendar;
pub mod configuration;
pub mod decide;
pub mod decision;
pub mod facts;
pub mod import;
pub mod policy;
pub mod random_text;
pub mod record;
pub mod secret;
pub mod seed;
pub mod serial;
pub mod settings;
#[cfg(test)]
mod test_state;
pub mod time;
pub mod token;
pub mod token_info;
pub mod txn;
pub mod user;
pub mod view;
