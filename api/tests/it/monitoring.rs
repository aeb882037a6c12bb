//! What the documentation, the dashboard and the alert rules say about metrics is checked against a running node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::server::Server;

/// Families that a single node has no samples of, and the labels of theirs.
const ELSEWHERE: [(&str, &[&str]); 1] = [("tessera_raft_follower_lag_entries", &["node"])];

const BEGIN: &str = "<!-- metrics: written by the test `api/tests/it/monitoring.rs` -->\n";
const END: &str = "<!-- end of metrics -->";

/// A metric as `/metrics` shows it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads the Prometheus text format.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let known =
                families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
            assert!(known.is_none(), "{name} is there twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let family =
                families.get_mut(family_of(name, &|name| text.contains(&format!("# TYPE {name} ")))).unwrap();
            for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
                let label = label.split_once('=').unwrap().0;
                if label != "le" {
                    family.labels.insert(label.to_owned());
                }
            }
        }
    }
    families
}

/// The family a sample belongs to: a histogram's samples have suffixes.
fn family_of<'a>(name: &'a str, exists: &dyn Fn(&str) -> bool) -> &'a str {
    if exists(name) {
        return name;
    }
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    base.filter(|base| exists(base)).unwrap_or(name)
}

async fn families() -> BTreeMap<String, Family> {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice").await;
    server.post("/validate/check", "user=alice&pass=755224").await;
    let mut families = parse(&server.get("/metrics").await.text());
    for (name, labels) in ELSEWHERE {
        let family = families.get_mut(name).unwrap();
        assert!(family.labels.is_empty(), "{name} has samples here: take it off the list");
        family.labels = labels.iter().map(|label| (*label).to_owned()).collect();
    }
    families
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, family) in families {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!("| `{name}` | {} | {} | {} |\n", family.kind, labels.join(", "), family.help);
        text.push_str(&row);
    }
    text
}

/// The metrics an expression of Prometheus names.
fn named(expression: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(|c| !is_name(c)).filter(|word| word.starts_with("tessera_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_table_of_the_metrics_are_right() {
    let families = families().await;
    for (name, family) in &families {
        assert!(name.starts_with("tessera_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name} is a {}", family.kind);
        assert!(family.help.ends_with('.') && !family.help.contains('|'), "{name}: {}", family.help);
        for wrong in ["_milliseconds", "_ms", "_micros", "_kb", "_percent"] {
            assert!(!name.contains(wrong), "{name}: base units only");
        }
    }
    let page = read("docs/monitoring.md");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (old, after) = rest.split_once(END).expect("the table has an end");
    let new = table(&families);
    if old != new && std::env::var_os("TESSERA_UPDATE_DOCS").is_some() {
        std::fs::write(root().join("docs/monitoring.md"), format!("{before}{BEGIN}{new}{END}{after}"))
            .unwrap();
        return;
    }
    assert_eq!(old, new, "docs/monitoring.md is stale: run this test with TESSERA_UPDATE_DOCS=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_use_metrics_that_exist() {
    let families = families().await;
    let exists = |name: &str| families.contains_key(name);
    let check = |place: &str, expression: &str| {
        for name in named(expression) {
            assert!(exists(family_of(name, &exists)), "{place}: there is no metric {name}");
        }
    };
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another panel");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(!named(expression).is_empty(), "{title}: {expression}");
            check(title, expression);
        }
    }
    let alerts = read("deploy/monitoring/alerts.yml");
    let expressions: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), alerts.matches("- alert: ").count());
    assert!(expressions.len() >= 10);
    for expression in expressions {
        check("alerts.yml", expression);
    }
    // What an operator looks at first must be watched.
    for name in
        ["tessera_raft_diverged_nodes", "tessera_raft_quorum", "tessera_raft_history_contradictions_total"]
    {
        assert!(alerts.contains(name), "no alert for {name}");
    }
    assert!(read("docs/operations.md").contains("\n## Nodes that differ\n"), "the alerts name this section");
    for name in named(&read("docs/operations.md")) {
        assert!(exists(family_of(name, &exists)), "docs/operations.md: there is no metric {name}");
    }
}

/// Every rule has what Alertmanager and people need; the form is that of Prometheus' own documentation.
#[test]
fn alert_rules_are_complete() {
    let text = read("deploy/monitoring/alerts.yml");
    assert!(!text.contains('\t'));
    let rules: Vec<&str> = text.split("      - alert: ").skip(1).collect();
    for rule in rules {
        let name = rule.lines().next().unwrap();
        assert!(name.starts_with("Tessera"), "{name}");
        for needed in [
            "\n        expr: ",
            "\n          severity: ",
            "\n          summary: \"",
            "\n          description: \"",
        ] {
            assert_eq!(rule.matches(needed).count(), 1, "{name}: {needed}");
        }
    }
    for file in ["alerts.yml", "prometheus.example.yml"] {
        let path = root().join("deploy/monitoring").join(file);
        let program = "import sys\ntry:\n import yaml\nexcept ImportError:\n sys.exit(77)\nyaml.safe_load(open(sys.argv[1]))";
        match Command::new("python3").args(["-c", program]).arg(&path).status() {
            Ok(status) if status.code() == Some(77) => eprintln!("skipped: no YAML reader for Python"),
            Ok(status) => assert!(status.success(), "{file} is not YAML"),
            Err(_) => eprintln!("skipped: Python is not installed"),
        }
    }
}
