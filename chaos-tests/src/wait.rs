//! Waiting for a condition, with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Waits until `probe` has a value.
///
/// # Errors
/// When it has none after `limit`; the text names `what`.
pub async fn until<T, F, P>(what: &str, limit: Duration, mut probe: P) -> Result<T>
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if started.elapsed() >= limit {
            bail!("waited {} ms in vain: {what}", limit.as_millis());
        }
        pause(POLL).await;
    }
}

/// Lets time pass while the load goes on: how long a fault lasts is part of a scenario.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
