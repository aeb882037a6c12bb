//! The table of actions in the manual is that of the catalogue.

use std::fmt::Write as _;
use std::path::Path;

use tessera_core::policy::Scope;
use tessera_core::policy::catalogue::{Definition, Values, definitions};
use tessera_core::policy::value::Kind;

const BEGIN: &str =
    "<!-- actions: generated from the catalogue by `UPDATE_DOCS=1 cargo test -p tessera-core manual` -->\n";
const END: &str = "<!-- end of actions -->";

fn values(definition: &Definition) -> String {
    let list = |texts: &[&str]| texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
    match (definition.values, definition.kind) {
        (Values::OneOf(texts), _) => list(texts),
        (Values::Parts(texts), _) => format!("some of {}", list(texts)),
        (Values::Within(least, most), _) => format!("{least} to {most}"),
        (Values::Any, Kind::Bool) => "on or off".to_owned(),
        (Values::Any, Kind::Int) => "number".to_owned(),
        (Values::Any, Kind::IntOrDuration) => "number or duration".to_owned(),
        (Values::Any, Kind::Text | Kind::Set) => "text".to_owned(),
    }
}

fn table() -> String {
    let mut text = String::new();
    for scope in Scope::ALL {
        let mut rows = definitions(scope).peekable();
        if rows.peek().is_none() {
            continue;
        }
        writeln!(text, "\n### {scope}\n\n| action | values | meaning | waits for |\n|---|---|---|---|")
            .unwrap();
        for row in rows {
            let meaning = row.description().replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*");
            let waits = row.waits_for().map_or("", |feature| feature.name());
            writeln!(text, "| `{}` | {} | {meaning} | {waits} |", row.name, values(row)).unwrap();
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_manual_lists_every_action_of_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let manual = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = manual.split_once(BEGIN).expect("the manual has no place for the actions");
    let (listed, after) = rest.split_once(END).expect("the list of actions has no end");
    let expected = table();
    #[expect(clippy::disallowed_methods, reason = "a developer asks for the rewriting")]
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(listed, expected, "run the test once with UPDATE_DOCS=1");
}
