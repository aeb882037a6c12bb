//! The outside world of Tessera: user stores, message providers and remote OTP servers.
//!
//! A connector translates between one foreign protocol or file format and the questions and effects of the core. It
//! decides nothing about tokens or policies and keeps no replicated state; what it caches is local to the node and
//! can be dropped at any time.
//!
//! Start reading at [`Connectors::answer`], then [`resolver::UserIdResolver`], the trait every user store implements.

mod admin_password;
mod connectors;
pub mod password;
pub mod resolver;
mod upstream;

pub use connectors::Connectors;
