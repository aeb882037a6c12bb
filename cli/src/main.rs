//! The `tessera` binary: server, development cluster, and tool of operators and administrators.
//!
//! `server` and `dev` are the composition root; every other command is a client of the web API. Only `output.rs` prints.
//! Start reading at `command/mod.rs`, which has one line per command.

mod command;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

/// A login allocates some hundred small pieces on several threads: a seventh of the processor time with the C library's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = command::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&exit::explain(&error));
            ExitCode::from(exit::code(&error))
        }
    }
}
