//! `tessera cluster`: the members of the cluster.
//!
//! `init` and `join` are for the machine of a new node and work through its data folder; everything else is a client of
//! `/cluster`. A command that changes the members waits until the change is complete and says on standard error how far
//! it is; stopping the command does not stop the change.

mod change;
mod progress;
mod snapshot;
mod start;
mod status;
mod token;

use clap::Subcommand;

use super::compare;
use super::connection::Connection;

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Makes a new cluster of the node whose configuration is given.
    #[command(after_help = "Example:\n  tessera cluster init --config /etc/tessera/node.toml\n\n\
        To be run on the node's machine, with its data folder empty. The server is started before or after. With\n\
        `bootstrap = true` in the configuration a node does the same by itself.")]
    Init(start::Init),
    /// Gives an id and a one-time token for a node that shall join.
    #[command(
        after_help = "Examples:\n  tessera cluster token\n  tessera cluster token --lifetime 86400 --json\n\n\
        The id is never given again. The node's certificate has to carry it: `tessera cert node --node-id ID`."
    )]
    Token(token::Token),
    /// Lets the node whose configuration is given join the cluster.
    #[command(
        after_help = "Example:\n  tessera cluster join --config /etc/tessera/node.toml --token TOKEN \\\n    \
        --url https://otp1.example.com:7480 --user admin --password -\n\n\
        To be run on the node's machine, with its data folder empty. The server is started before or after. The cluster\n\
        is found by --peer, by the configuration, or by asking a server (--url, or the kept session)."
    )]
    Join(start::Join),
    /// Removes a node for ever.
    #[command(after_help = "Example:\n  tessera cluster remove 3\n\n\
        A leader hands over first. Refused when the remaining nodes that answer would be no majority. The node stops by\n\
        itself; its id is never used again, and its data folder is of no use any more.")]
    Remove(change::Remove),
    /// Lets a new node take the place of an old one, dead or alive.
    #[command(after_help = "Example:\n  tessera cluster replace 3\n\n\
        Prints the id and the token of the new node, and waits until it has joined and the old one is removed. This is\n\
        also the way back for a node that lost its data. With --json it prints and does not wait.")]
    Replace(token::Replace),
    /// Hands leadership over to another node.
    #[command(
        after_help = "Examples:\n  tessera cluster transfer-leadership\n  tessera cluster transfer-leadership 2"
    )]
    TransferLeadership(change::TransferLeadership),
    /// Shows role, vote, term and log positions of every node, and how many may fail.
    #[command(
        after_help = "Examples:\n  tessera cluster status --url http://127.0.0.1:7480 --user admin --password -\n  \
        tessera cluster status --json"
    )]
    Status(status::Status),
    /// Compares the states of all nodes; exit code 1 if two differ, 3 if one did not answer.
    #[command(after_help = "Examples:\n  tessera cluster compare\n  tessera cluster compare --json")]
    Compare(compare::Compare),
    /// Makes a snapshot on one node or all.
    #[command(after_help = "Examples:\n  tessera cluster snapshot\n  tessera cluster snapshot 2")]
    Snapshot(snapshot::Snapshot),
    /// Removes the node at the given URL, which hands over and stops.
    #[command(
        after_help = "Example:\n  tessera cluster leave --url https://otp3.example.com:7480 --user admin --password -"
    )]
    Leave(change::Leave),
}

impl Cluster {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.run(&connection).await,
            Self::Token(token) => token.run(&connection).await,
            Self::Join(join) => join.run(&connection).await,
            Self::Remove(remove) => remove.run(&connection).await,
            Self::Replace(replace) => replace.run(&connection).await,
            Self::TransferLeadership(transfer) => transfer.run(&connection).await,
            Self::Status(status) => status.run(&connection).await,
            Self::Compare(compare) => compare.run(connection).await,
            Self::Snapshot(snapshot) => snapshot.run(&connection).await,
            Self::Leave(leave) => leave.run(&connection).await,
        }
    }
}
