//! After the faults have ended the cluster heals.
//!
//! At every node a fresh login succeeds within a deadline, and all nodes list the same tokens with the same counters
//! (every list waits for a read barrier, so without load there is no difference they could have).

use std::time::Duration;

use anyhow::{Result, bail};

use crate::environment::Choices;
use crate::history::Outcome;
use crate::oracle::{Kind, Token};
use crate::site::{Listing, Site};
use crate::wait;

/// The cluster has healed after this time.
const LIMIT: Duration = Duration::from_secs(20);

/// Enrols a token at every node and logs in with it there, then compares what the nodes list. Returns that list.
///
/// # Errors
/// If a node does not serve in time, or shows other tokens than the first one.
pub async fn check(sites: &[Site], name: &str, choices: &mut Choices) -> Result<Listing> {
    let mut listings = Vec::new();
    for (position, site) in sites.iter().enumerate() {
        let token = Token::new(format!("ALIVE-{name}-{position}"), Kind::Hotp, choices);
        wait::until("an enrolment after the faults", LIMIT, || async {
            site.enrol(&token).await.then_some(())
        })
        .await?;
        log_in(site, &token).await?;
    }
    for site in sites {
        listings.push(site.tokens().await?);
    }
    let violations = differences(&listings);
    super::none("liveness", &violations)?;
    listings.into_iter().next().map_or_else(|| bail!("there are no nodes"), Ok)
}

async fn log_in(site: &Site, token: &Token) -> Result<()> {
    let counter = std::cell::Cell::new(0);
    wait::until("a fresh login after the faults", LIMIT, || async {
        let outcome = site.login(token, counter.get()).await;
        counter.set(counter.get().saturating_add(1));
        (outcome == Outcome::Accepted).then_some(())
    })
    .await
}

/// Tokens that the nodes do not list alike.
fn differences(listings: &[Listing]) -> Vec<String> {
    let Some(first) = listings.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (position, other) in listings.iter().enumerate().skip(1) {
        for serial in first.keys().chain(other.keys().filter(|serial| !first.contains_key(*serial))) {
            let (here, there) = (first.get(serial), other.get(serial));
            if here != there {
                found.push(format!("{serial}: the first node shows {here:?}, node {position} {there:?}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Shown;

    fn listing(rows: &[(&str, i64, i64)]) -> Listing {
        rows.iter()
            .map(|(serial, next_counter, fail_count)| {
                ((*serial).to_owned(), Shown { next_counter: *next_counter, fail_count: *fail_count })
            })
            .collect()
    }

    #[test]
    fn nodes_that_show_different_tokens_are_found() {
        let one = listing(&[("A", 1, 0), ("B", 2, 1)]);
        assert_eq!(differences(&[one.clone(), one.clone(), one.clone()]), Vec::<String>::new());
        for (other, expected) in [
            (listing(&[("A", 1, 0)]), 1),
            (listing(&[("A", 1, 0), ("B", 2, 1), ("C", 0, 0)]), 1),
            (listing(&[("A", 1, 0), ("B", 3, 1)]), 1),
            (listing(&[("A", 1, 2), ("B", 2, 0)]), 2),
        ] {
            assert_eq!(differences(&[one.clone(), one.clone(), other]).len(), expected);
        }
    }
}
