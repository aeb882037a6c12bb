//! `tessera completion`: a completion script for a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::output;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tessera completion bash > /etc/bash_completion.d/tessera\n  \
    tessera completion zsh > ~/.zfunc/_tessera")]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "tessera", &mut script);
        output::raw(&script);
    }
}
