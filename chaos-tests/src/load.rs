//! Clients that keep sending until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use tokio::task::JoinSet;

use crate::environment::Choices;
use crate::history::Outcome;
use crate::oracle::{Kind, Token};
use crate::site::Site;
use crate::wait;

/// Enrolments under way at once.
const ENROLMENTS_AT_ONCE: usize = 24;

/// Where nobody listens the refusal comes at once; asking again and again would only keep a processor busy.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Enrols tokens at the given nodes in turn.
///
/// # Errors
/// If one is not acknowledged; for a cluster that is well.
pub async fn enrol_all(sites: &[Site], tokens: &[Token]) -> Result<()> {
    let pairs = tokens.iter().zip(sites.iter().cycle());
    let failed = stream::iter(pairs)
        .map(|(token, site)| async move { (!site.enrol(token).await).then(|| token.serial.clone()) })
        .buffer_unordered(ENROLMENTS_AT_ONCE)
        .filter_map(|failed| async move { failed })
        .collect::<Vec<_>>()
        .await;
    if let Some(serial) = failed.first() {
        bail!("{} of {} enrolments were not acknowledged, for example {serial}", failed.len(), tokens.len());
    }
    Ok(())
}

/// Sends the same OTP to all sites at the same instant.
pub async fn everywhere(sites: &[Site], token: &Token, counter: u64) -> Vec<Outcome> {
    join_all(sites.iter().map(|site| site.login(token, counter))).await
}

/// Clients that run until they are stopped.
#[derive(Debug, Default)]
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<()>,
    done: Arc<AtomicUsize>,
}

impl Load {
    /// Users with tokens of their own, each logging in with one fresh OTP after the other, at the sites in turn.
    pub fn logins(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            let mut turn = sites.iter().cycle();
            let mut users: Vec<(Token, u64)> = tokens.into_iter().map(|token| (token, 0)).collect();
            while !stop.load(Ordering::Relaxed) {
                for (token, counter) in &mut users {
                    let Some(site) = turn.next() else { return };
                    if site.login(token, *counter).await != Outcome::NotSent {
                        // Whatever the answer was, the OTP counts as used (client crate, `outcome_is_unknown`).
                        *counter = counter.saturating_add(1);
                        done.fetch_add(1, Ordering::Relaxed);
                    } else {
                        wait::pause(PAUSE_AFTER_FAILURE).await;
                    }
                }
            }
        });
    }

    /// Like [`Load::logins`], but each login is repeated under its `Idempotency-Key` until there is an answer.
    pub fn insistent_logins(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            let mut turn = sites.iter().cycle();
            for counter in 0.. {
                for token in &tokens {
                    let Some(site) = turn.next() else { return };
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    site.insistent_login(token, counter).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// Users whose OTP is sent to every site at once; the first token's turn comes again after the last one's.
    pub fn simultaneous_logins(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            for counter in 0.. {
                for token in &tokens {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    everywhere(&sites, token, counter).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// Someone who guesses: wrong digits only.
    pub fn guesses(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            let wrong: Vec<(Token, String)> =
                tokens.into_iter().map(|token| (token.clone(), token.wrong(0))).collect();
            let mut turn = sites.iter().cycle();
            for (token, digits) in wrong.iter().cycle() {
                let Some(site) = turn.next() else { return };
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                site.wrong_login(token, digits).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// An administrator who enrols one token after the other.
    pub fn enrolments(&mut self, prefix: &str, seed: u64, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        let prefix = prefix.to_owned();
        self.workers.spawn(async move {
            let mut choices = Choices::new(seed);
            for (number, site) in sites.iter().cycle().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let token = Token::new(format!("{prefix}{number:05}"), Kind::Hotp, &mut choices);
                if site.enrol(&token).await {
                    done.fetch_add(1, Ordering::Relaxed);
                } else {
                    wait::pause(PAUSE_AFTER_FAILURE).await;
                }
            }
        });
    }

    /// Number of requests that had an outcome (of enrolments: that were acknowledged).
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Lets every client finish the request it waits for, and waits for that.
    ///
    /// # Errors
    /// If one panicked.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended?;
        }
        Ok(())
    }
}
