//! The log of a node: to standard error, as text or JSON (reference code-style 14).

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogFormat, LogSection};

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not one.
    #[error("the log level is not usable")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the process has a log already")]
    Twice(#[from] TryInitError),
}

/// Whether a text is a level, or a list of levels and `target=level`.
pub(crate) fn is_level(text: &str) -> bool {
    // The library takes an empty text for "error".
    let level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((target, name)) => !target.is_empty() && level(name),
        None => level(part),
    })
}

/// Starts logging for the whole process.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(log: &LogSection) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = EnvFilter::try_new(&log.level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_from_other_words() {
        for good in ["info", "WARN", "off", "info,tessera_raft=debug", "warn, openraft=error"] {
            assert!(is_level(good), "{good}");
        }
        for bad in ["", "loud", "info,", "tessera_raft=", "=info", "tessera_raft=loud"] {
            assert!(!is_level(bad), "{bad}");
        }
    }
}
