//! The only place that prints. A closed pipe is no error: whoever reads has seen enough.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// JSON.
    Json,
}

/// One line to standard output.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Text to standard output as it is.
pub(crate) fn raw(text: &[u8]) {
    let _ = std::io::stdout().lock().write_all(text);
}

/// An error to standard error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "tessera: {text}");
}

/// Whether standard error is seen by a person who is waiting.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// How far a long piece of work is, on one line of standard error that is written again and again.
pub(crate) fn progress(text: &str) {
    let mut stream = std::io::stderr().lock();
    let _ = write!(stream, "\r\x1b[K{text}");
    let _ = stream.flush();
}

/// A note to standard error, beside the result.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A table with a head; nothing but the head if there are no rows.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(head);
    // Without a terminal nothing is wrapped, so that each row is one line for a script.
    for row in rows {
        table.add_row(row);
    }
    for text in table.to_string().lines() {
        line(text.trim());
    }
}

/// A sentence, or the value as JSON.
pub(crate) fn result(format: Format, text: &str, value: &impl Serialize) -> anyhow::Result<()> {
    match format {
        Format::Text => line(text),
        Format::Json => json(value)?,
    }
    Ok(())
}
