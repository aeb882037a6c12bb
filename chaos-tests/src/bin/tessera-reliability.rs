//! Measures what `docs/reliability.md` says: `tessera-reliability failover|handover|rolling-restart [TIMES]`.
//!
//! The program under test is found as in the tests (`TESSERA_BIN`, else `tessera` beside this program).

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tessera_chaos_tests::scenario::{Figures, block_on, measure};

const USAGE: &str = "usage: tessera-reliability failover|handover|rolling-restart [TIMES]";

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            say(&figures.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            complain(&causes.join("\n"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Figures> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, times) = match arguments.as_slice() {
        [what] => (what, None),
        [what, times] => (what, Some(times.parse::<usize>().context(USAGE)?)),
        _ => bail!(USAGE),
    };
    match what.as_str() {
        "failover" => block_on(measure::failover(times.unwrap_or(50))),
        "handover" => block_on(measure::handover(times.unwrap_or(50))),
        "rolling-restart" => block_on(measure::rolling_restart(times.unwrap_or(5))),
        _ => bail!(USAGE),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a program says why it failed")]
fn complain(text: &str) {
    eprintln!("{text}");
}
