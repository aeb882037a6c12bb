//! `tessera audit`: whether the audit trail is complete and unchanged on every node.

use clap::{Args, Subcommand};
use serde::Serialize;
use tessera_client::{Client, HistoryCheck};

use super::compare::SHOWN;
use super::connection::Connection;
use crate::exit::{Failed, Incomplete};
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Recomputes the chain of hashes over the audit trail on every node and compares the nodes.
    #[command(
        after_help = "Exit code 1 if a row was changed, is missing or stands in another place, or if two nodes differ; 3 \
        if a node\ncould not be asked. Every node is asked under the URL in its own configuration.\n\nExamples:\n  \
        tessera audit verify\n  tessera audit verify --json"
    )]
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {}

/// What became of one node.
#[derive(Serialize)]
struct Outcome {
    node: String,
    url: String,
    /// Rows that were recomputed.
    rows: u64,
    check: Option<HistoryCheck>,
    /// Why the node could not be asked.
    problem: Option<String>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    nodes: Vec<Outcome>,
    /// What is wrong, for people.
    findings: Vec<String>,
}

impl Audit {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let Self::Verify(Verify {}) = self;
        let connected = connection.connect().await?;
        let status = connected.client.cluster_status().await?;
        let mut nodes = Vec::with_capacity(status.nodes.len());
        for node in status.nodes {
            nodes.push(verify(&connected.client, node.id, node.api_url).await);
        }
        let mut findings: Vec<String> = nodes.iter().filter_map(fault).collect();
        if findings.is_empty()
            && let Some(difference) = difference(&connected.client, &nodes).await?
        {
            findings.push(difference);
        }
        let silent: Vec<String> = nodes
            .iter()
            .filter_map(|node| Some(format!("node {}: {}", node.node, node.problem.as_ref()?)))
            .collect();
        let report = Report { ok: findings.is_empty() && silent.is_empty(), nodes, findings };
        print(&report, connection.format())?;
        connected.finish()?;
        if !report.findings.is_empty() {
            return Err(Failed("the audit trail is not in order".to_owned()).into());
        }
        if !silent.is_empty() {
            return Err(Incomplete(format!("not verified: {}", silent.join("; "))).into());
        }
        Ok(())
    }
}

/// Has one node verify its audit trail from the beginning to the end.
async fn verify(client: &Client, node: String, url: String) -> Outcome {
    let mut outcome = Outcome { node, url, rows: 0, check: None, problem: None };
    let mut from = 1;
    loop {
        match client.verify_history(&outcome.url, from).await {
            Ok(check) => {
                let before = from.saturating_sub(1).max(check.anchor.row);
                outcome.rows += check.verified.row.saturating_sub(before);
                let complete = check.complete;
                from = check.verified.row.saturating_add(1);
                outcome.check = Some(check);
                if complete {
                    return outcome;
                }
            }
            Err(error) => {
                outcome.problem = Some(crate::exit::explain(&error.into()));
                return outcome;
            }
        }
    }
}

fn fault(outcome: &Outcome) -> Option<String> {
    let fault = outcome.check.as_ref()?.fault.as_ref()?;
    Some(format!("node {}: {}", outcome.node, fault.text))
}

/// The first row that two nodes with good chains have differently.
async fn difference(client: &Client, nodes: &[Outcome]) -> anyhow::Result<Option<String>> {
    let good: Vec<(&Outcome, &HistoryCheck)> =
        nodes.iter().filter_map(|node| Some((node, node.check.as_ref()?))).collect();
    let Some(((first, first_check), others)) = good.split_first() else { return Ok(None) };
    for (other, other_check) in others {
        let last = first_check.verified.row.min(other_check.verified.row);
        let start = first_check.anchor.row.max(other_check.anchor.row);
        if last <= start || same(client, first, other, last).await? {
            continue;
        }
        // All rows up to the first different one are equal, all behind it are not.
        let (mut equal, mut different) = (start, last);
        while equal + 1 < different {
            let middle = equal + (different - equal) / 2;
            if same(client, first, other, middle).await? { equal = middle } else { different = middle }
        }
        return Ok(Some(format!(
            "node {} and node {} have different rows {different}; each chain fits in itself",
            first.node, other.node
        )));
    }
    Ok(None)
}

async fn same(client: &Client, one: &Outcome, other: &Outcome, row: u64) -> anyhow::Result<bool> {
    Ok(client.history_hash(&one.url, row).await? == client.history_hash(&other.url, row).await?)
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(report)?,
        Format::Text => {
            output::table(&["ID", "ROWS", "FIRST", "LAST", "HASH", "RESULT"], report.nodes.iter().map(row));
            for finding in &report.findings {
                output::line(finding);
            }
        }
    }
    Ok(())
}

fn row(outcome: &Outcome) -> Vec<String> {
    let Some(check) = &outcome.check else {
        let dash = || "-".to_owned();
        return vec![outcome.node.clone(), dash(), dash(), dash(), dash(), "not asked".to_owned()];
    };
    let result = match (&check.fault, &outcome.problem) {
        (Some(fault), _) => format!("BAD from row {}", fault.row),
        (None, Some(_)) => "incomplete".to_owned(),
        (None, None) => "good".to_owned(),
    };
    vec![
        outcome.node.clone(),
        outcome.rows.to_string(),
        (check.anchor.row + 1).to_string(),
        check.verified.row.to_string(),
        check.verified.hash.chars().take(SHOWN).collect(),
        result,
    ]
}

#[cfg(test)]
mod tests {
    use tessera_client::{ChainFault, ChainPlace};

    use super::*;

    fn outcome(fault: Option<u64>) -> Outcome {
        let place = |row| ChainPlace { row, hash: "ab".repeat(32) };
        let check = HistoryCheck {
            node: 2,
            anchor: place(10),
            head: place(50),
            verified: place(fault.map_or(50, |row| row - 1)),
            fault: fault.map(|row| ChainFault { row, text: format!("row {row} is missing") }),
            complete: true,
        };
        Outcome { node: "2".to_owned(), url: String::new(), rows: 40, check: Some(check), problem: None }
    }

    #[test]
    fn the_first_bad_row_is_named() {
        assert_eq!(fault(&outcome(None)), None);
        assert_eq!(fault(&outcome(Some(31))).unwrap(), "node 2: row 31 is missing");
        assert_eq!(row(&outcome(Some(31)))[2..], ["11", "30", "abababababababab", "BAD from row 31"]);
        assert_eq!(row(&outcome(None))[5], "good");
        let silent = Outcome { check: None, problem: Some("x".to_owned()), ..outcome(None) };
        assert_eq!((row(&silent)[5].as_str(), fault(&silent)), ("not asked", None));
    }
}
