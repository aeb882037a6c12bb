//! `tessera key`: the cluster key file.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tessera_node::keys::ClusterKeys;

use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Makes the key file of a new cluster, once; copy it to every node.
    #[command(after_help = "Example:\n  tessera key new /etc/tessera/cluster.key\n\n\
        Keep a copy in a safe place: without this file nobody can read the seeds in a data folder or backup.")]
    New(New),
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// The file, which must not exist yet
    file: PathBuf,
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::New(New { file }) = self;
        ClusterKeys::generate()?.create(&file)?;
        output::line(&format!("cluster key file: {}", file.display()));
        Ok(())
    }
}
