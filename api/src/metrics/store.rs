//! The numbers of the store, which counts for itself and knows no metrics library, in the Prometheus text format.

use std::fmt::{Display, Write as _};

use tessera_node::store::{Distribution, LocalStatus, StoreMetrics};

use crate::call::Call;

/// The kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// A gauge in microseconds, shown in seconds.
    Micros,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Micros => "gauge",
        }
    }
}

/// What the values of a distribution are.
#[derive(Clone, Copy)]
enum Unit {
    /// Microseconds, shown in seconds.
    Micros,
    Plain,
}

impl Unit {
    fn show(self, value: u64) -> String {
        match self {
            Self::Micros => seconds(value),
            Self::Plain => value.to_string(),
        }
    }
}

type Line = (&'static str, Kind, &'static str, u64);

pub(super) fn write(text: &mut String, call: &Call) {
    let node = &call.shared.node;
    let store = node.store();
    let (numbers, status) = (store.metrics(), store.status());
    let groups = [raft(&numbers, &status), log(&numbers), history(&numbers), consistency(&numbers, &status)];
    for (name, kind, help, value) in groups.into_iter().flatten() {
        single(text, name, kind, help, value);
    }
    let distributions = store.distributions();
    for (name, help, unit, values) in [
        (
            "raft_commit_seconds",
            "From asking for a commit on this node to its outcome.",
            Unit::Micros,
            &distributions.commit_micros,
        ),
        (
            "raft_batch_seconds",
            "From proposing an entry as the leader to its replies.",
            Unit::Micros,
            &distributions.batch_micros,
        ),
        (
            "raft_batch_size_commands",
            "Commands in an entry proposed as the leader.",
            Unit::Plain,
            &distributions.batch_commands,
        ),
        ("raft_sync_seconds", "Writes to the log's disk, synced.", Unit::Micros, &distributions.sync_micros),
    ] {
        histogram(text, name, help, unit, values);
    }
    forwarding(text, &numbers);
    followers(text, &status, |id| store.lag(id));
    keys(text, call);
    family(text, "build_info", Kind::Gauge, "1; the labels say what runs.");
    sample(text, "build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
}

fn raft(numbers: &StoreMetrics, status: &LocalStatus) -> Vec<Line> {
    use Kind::{Counter, Gauge, Micros};
    let lag = status.last_log_index.saturating_sub(status.applied_index);
    vec![
        ("raft_term", Gauge, "The current term.", status.term),
        ("raft_leader", Gauge, "1 on the leader.", u64::from(status.leader == Some(status.node_id))),
        ("raft_quorum", Gauge, "1 while in touch with a majority.", u64::from(status.quorum)),
        ("raft_lag_entries", Gauge, "Entries of this node's log that it has not applied.", lag),
        ("raft_applied_index", Gauge, "Index of the last entry applied.", numbers.applied_index),
        ("raft_batches_total", Counter, "Log entries proposed here as the leader.", numbers.batches),
        ("raft_batch_commands_total", Counter, "Commands in these entries.", numbers.batch_commands),
        ("raft_batch_bytes_total", Counter, "Bytes of these entries.", numbers.batch_bytes),
        ("raft_queued_commands", Gauge, "Commands waiting to be proposed.", numbers.queued),
        ("raft_refused_total", Counter, "Commands refused because too many were waiting.", numbers.refused),
        (
            "raft_unknown_total",
            Counter,
            "Commands of this leader whose entry ended without an outcome.",
            numbers.unknown,
        ),
        (
            "raft_batch_last_seconds",
            Micros,
            "From proposing the last entry to its replies.",
            numbers.batch_last_micros,
        ),
        (
            "raft_batch_max_seconds",
            Micros,
            "The longest such time since the last reading.",
            numbers.batch_max_micros,
        ),
        ("raft_commits_total", Counter, "Commits asked for on this node.", numbers.commits),
        ("raft_conflicts_total", Counter, "Commits refused because they were overtaken.", numbers.conflicts),
        (
            "raft_duplicates_total",
            Counter,
            "Commits whose first answer was lost and which had an outcome already.",
            numbers.duplicates,
        ),
        ("raft_commit_failures_total", Counter, "Commits without an outcome.", numbers.commit_failures),
        ("raft_records", Gauge, "Records in the state.", numbers.records),
    ]
}

fn log(numbers: &StoreMetrics) -> Vec<Line> {
    use Kind::{Counter, Gauge, Micros};
    vec![
        (
            "raft_sync_last_seconds",
            Micros,
            "Duration of the last write to the log's disk.",
            numbers.sync_last_micros,
        ),
        ("raft_sync_max_seconds", Micros, "The longest since the last reading.", numbers.sync_max_micros),
        ("raft_syncs_total", Counter, "Writes to the log's disk.", numbers.syncs),
        (
            "raft_log_written_bytes_total",
            Counter,
            "Bytes written to the log's disk.",
            numbers.log_bytes_written,
        ),
        ("raft_log_entries", Gauge, "Live entries of the log.", numbers.log_entries),
        ("raft_log_bytes", Gauge, "Bytes of the live entries.", numbers.log_bytes),
        (
            "raft_snapshot_index",
            Gauge,
            "Index of the last entry in the newest snapshot.",
            numbers.snapshot_index,
        ),
        ("raft_snapshots_total", Counter, "Snapshots made here.", numbers.snapshots_made),
        (
            "raft_snapshots_received_total",
            Counter,
            "Snapshots received from the leader.",
            numbers.snapshots_received,
        ),
        (
            "raft_snapshot_last_seconds",
            Micros,
            "How long the last snapshot made here took.",
            numbers.snapshot_micros,
        ),
        ("raft_snapshot_bytes", Gauge, "Size of the last snapshot made here.", numbers.snapshot_bytes),
    ]
}

fn history(numbers: &StoreMetrics) -> Vec<Line> {
    use Kind::{Counter, Gauge};
    vec![
        ("raft_history_rows", Gauge, "Number of the newest row of the audit trail.", numbers.history_rows),
        (
            "raft_history_removed_rows",
            Gauge,
            "Rows removed from the audit trail by the retention.",
            numbers.history_anchor,
        ),
        (
            "raft_history_complete_rows",
            Gauge,
            "Number of the row up to which this node lacks none.",
            numbers.history_complete,
        ),
        (
            "raft_history_contradictions_total",
            Counter,
            "Rows that did not fit the chain of hashes. Anything here is an alarm.",
            numbers.history_contradictions,
        ),
        (
            "raft_history_failures_total",
            Counter,
            "Writes of the audit trail that failed; the rows are fetched from another node.",
            numbers.history_failures,
        ),
    ]
}

fn consistency(numbers: &StoreMetrics, status: &LocalStatus) -> Vec<Line> {
    use Kind::{Counter, Gauge, Micros};
    vec![
        (
            "raft_checkpoint_index",
            Gauge,
            "Index of the newest checkpoint this node has the digest of.",
            numbers.checkpoint_index,
        ),
        (
            "raft_checkpoint_digest_seconds",
            Micros,
            "How long that digest took, pauses included.",
            numbers.digest_micros,
        ),
        (
            "raft_diverged_nodes",
            Gauge,
            "Nodes whose state differed from this node's when last compared. Anything here is an alarm.",
            numbers.diverged_nodes,
        ),
        ("raft_divergences_total", Counter, "Comparisons that found a difference.", numbers.divergences),
        (
            "raft_format_level",
            Gauge,
            "The format level the cluster writes, as far as this node knows.",
            u64::from(status.format_level),
        ),
        (
            "raft_supported_format_level",
            Gauge,
            "The highest format level this node supports.",
            u64::from(status.supported_level),
        ),
    ]
}

fn forwarding(text: &mut String, numbers: &StoreMetrics) {
    let name = "raft_forwarded_total";
    family(text, name, Kind::Counter, "Commands sent to the leader, by what came of it.");
    for (result, value) in [
        ("answered", numbers.forwarded),
        ("refused", numbers.forward_refused),
        ("unknown", numbers.forward_unknown),
    ] {
        sample(text, name, &[("result", &result)], value);
    }
}

/// Only the leader knows how far the others are.
fn followers(text: &mut String, status: &LocalStatus, lag: impl Fn(u64) -> Option<u64>) {
    let name = "raft_follower_lag_entries";
    family(text, name, Kind::Gauge, "On the leader: entries of its log that a member does not have yet.");
    if status.leader != Some(status.node_id) {
        return;
    }
    for id in status.members.keys().filter(|id| **id != status.node_id) {
        if let Some(lag) = lag(*id) {
            sample(text, name, &[("node", id)], lag);
        }
    }
}

/// How often the cluster keys were used: after a rotation the old one must come to rest.
fn keys(text: &mut String, call: &Call) {
    let name = "key_uses_total";
    family(text, name, Kind::Counter, "Secrets sealed and opened on this node, by cluster key.");
    for uses in call.shared.node.keyring().uses() {
        for (operation, value) in [("seal", uses.sealed), ("open", uses.opened)] {
            sample(text, name, &[("key", &uses.key.0), ("operation", &operation)], value);
        }
    }
}

fn family(text: &mut String, name: &str, kind: Kind, help: &str) {
    head(text, name, kind.label(), help);
}

// Writing to a String cannot fail, here and below.
fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP tessera_{name} {help}\n# TYPE tessera_{name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let _ = if labels.is_empty() {
        writeln!(text, "tessera_{name} {value}")
    } else {
        writeln!(text, "tessera_{name}{{{}}} {value}", labels.join(","))
    };
}

fn single(text: &mut String, name: &str, kind: Kind, help: &str, value: u64) {
    family(text, name, kind, help);
    match kind {
        Kind::Micros => sample(text, name, &[], seconds(value)),
        Kind::Counter | Kind::Gauge => sample(text, name, &[], value),
    }
}

fn histogram(text: &mut String, name: &str, help: &str, unit: Unit, values: &Distribution) {
    head(text, name, "histogram", help);
    let bucket = format!("{name}_bucket");
    for (limit, count) in &values.buckets {
        sample(text, &bucket, &[("le", &unit.show(*limit))], count);
    }
    sample(text, &bucket, &[("le", &"+Inf")], values.count);
    sample(text, &format!("{name}_sum"), &[], unit.show(values.sum));
    sample(text, &format!("{name}_count"), &[], values.count);
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_shown_as_seconds() {
        let mut text = String::new();
        single(&mut text, "raft_sync_last_seconds", Kind::Micros, "Help.", 1_002_003);
        assert_eq!(
            text,
            "# HELP tessera_raft_sync_last_seconds Help.\n# TYPE tessera_raft_sync_last_seconds gauge\n\
             tessera_raft_sync_last_seconds 1.002003\n"
        );
    }

    /// The form of <https://prometheus.io/docs/instrumenting/exposition_formats/>.
    #[test]
    fn distributions_are_cumulative_and_end_with_infinity() {
        let values = Distribution { buckets: vec![(500, 1), (2_000_000, 3)], count: 4, sum: 9_000_000 };
        let mut text = String::new();
        histogram(&mut text, "x_seconds", "Help.", Unit::Micros, &values);
        assert_eq!(
            text,
            "# HELP tessera_x_seconds Help.\n# TYPE tessera_x_seconds histogram\n\
             tessera_x_seconds_bucket{le=\"0.000500\"} 1\n\
             tessera_x_seconds_bucket{le=\"2.000000\"} 3\n\
             tessera_x_seconds_bucket{le=\"+Inf\"} 4\n\
             tessera_x_seconds_sum 9.000000\n\
             tessera_x_seconds_count 4\n"
        );
    }
}
