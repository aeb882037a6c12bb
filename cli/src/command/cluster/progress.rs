//! Waiting for a change to be complete, and saying how far it is.

use std::time::Duration;

use tessera_client::{Client, ClientError, ClusterStatus};
use tokio::time::{Instant, sleep};

use crate::output;

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// What one look has shown.
pub(super) enum Seen<T> {
    /// The change is complete.
    Done(T),
    /// It is not; what is going on.
    Still(String),
}

/// Looks until the change is complete, and notes on standard error what is going on whenever that has changed.
///
/// # Errors
/// When it is not complete in time; what is going on then is part of the text.
pub(super) async fn wait<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Seen<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    let mut said = String::new();
    loop {
        match look().await? {
            Seen::Done(result) => return Ok(result),
            Seen::Still(text) if text != said => {
                output::note(&text);
                said = text;
            }
            Seen::Still(_) => {}
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{what} is not complete after {} s ({said}); it goes on without this command, see `tessera cluster status`",
            limit.as_secs()
        );
        sleep(POLL).await;
    }
}

/// The status; `None` while no node can answer, as in the middle of a change of leader.
///
/// # Errors
/// Everything that waiting does not cure.
pub(super) async fn status(client: &Client) -> anyhow::Result<Option<ClusterStatus>> {
    match client.cluster_status().await {
        Ok(status) => Ok(Some(status)),
        Err(
            ClientError::Connect { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken { .. }
            | ClientError::Status { code: 502..=504 },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How many voters there are and may fail, as a sentence.
pub(super) fn safety(status: &ClusterStatus) -> String {
    let voters = status.nodes.iter().filter(|node| node.voter).count();
    let answering = status.nodes.iter().filter(|node| node.voter && node.reachable).count();
    let nodes = if voters == 1 { "node" } else { "nodes" };
    let may = match status.tolerates {
        None => "there is no majority, nothing can be decided".to_owned(),
        Some(0) => "none may fail".to_owned(),
        Some(number) => format!("{number} more may fail"),
    };
    let even = if voters % 2 == 0 && voters > 0 {
        format!(" (an even number is no safer than {})", voters - 1)
    } else {
        String::new()
    };
    format!("{answering} of {voters} {nodes} with a vote answer: {may}{even}")
}

#[cfg(test)]
mod tests {
    use tessera_client::NodeStatus;

    use super::*;

    #[test]
    fn the_sentence_says_how_many_may_fail() {
        let node = |reachable| NodeStatus { voter: true, reachable, ..NodeStatus::default() };
        let learner = NodeStatus { reachable: true, ..NodeStatus::default() };
        let sentence = |tolerates, nodes: &[NodeStatus]| {
            safety(&ClusterStatus { tolerates, nodes: nodes.to_vec(), ..ClusterStatus::default() })
        };
        for (tolerates, nodes, expected) in [
            (Some(0), &[node(true)][..], "1 of 1 node with a vote answer: none may fail"),
            (
                Some(1),
                &[node(true), node(true), node(true), learner],
                "3 of 3 nodes with a vote answer: 1 more may fail",
            ),
            (
                None,
                &[node(true), node(false), node(false)],
                "1 of 3 nodes with a vote answer: there is no majority, nothing can be decided",
            ),
            (
                Some(0),
                &[node(true), node(true)],
                "2 of 2 nodes with a vote answer: none may fail (an even number is no safer than 1)",
            ),
        ] {
            assert_eq!(sentence(tolerates, nodes), expected);
        }
    }
}
