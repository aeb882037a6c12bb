//! The scenarios, each against a cluster of its own. They print what they measured.

mod damage;
mod death;
mod freeze;
mod membership;
mod mixed;
mod partition;
mod planted;
mod replay;

use std::fmt;

use tessera_chaos_tests::scenario::{Figures, block_on};

/// Runs a scenario, prints its figures, and fails with everything that is known.
#[expect(clippy::print_stdout, reason = "the figures of a run are for people to read")]
fn check(scenario: impl Future<Output = anyhow::Result<Figures>>) -> Result<(), Failure> {
    println!("{}", block_on(scenario).map_err(Failure)?);
    Ok(())
}

/// What a scenario found, as text without the backtrace, which would show this harness only.
struct Failure(anyhow::Error);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes: Vec<String> = self.0.chain().rev().map(ToString::to_string).collect();
        f.write_str(&causes.join("\nin "))
    }
}
