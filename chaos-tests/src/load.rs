//! Clients that keep sending until they are told to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use tokio::task::JoinSet;

use crate::environment::Choices;
use crate::history::{Outcome, Record};
use crate::oracle::{self, Kind, Token};
use crate::site::Site;
use crate::wait;

/// Enrolments under way at once.
const ENROLMENTS_AT_ONCE: usize = 24;

/// How often an enrolment is tried.
const ENROLMENT_ATTEMPTS: usize = 5;

/// Logins under way at once when all are sent again.
const LOGINS_AT_ONCE: usize = 32;

/// Where nobody listens the refusal comes at once; asking again and again would only keep a processor busy.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Between two requests of clients that need not be many.
const PAUSE_OF_THE_CURIOUS: Duration = Duration::from_millis(15);

/// Enrols tokens at the given nodes in turn.
///
/// # Errors
/// If one is still not there after several attempts. A busy machine may fail one.
pub async fn enrol_all(sites: &[Site], tokens: &[Token]) -> Result<()> {
    let pairs = tokens.iter().zip(sites.iter().cycle());
    let failed = stream::iter(pairs)
        .map(|(token, site)| async move { (!enrolled(site, token).await).then(|| token.serial.clone()) })
        .buffer_unordered(ENROLMENTS_AT_ONCE)
        .filter_map(|failed| async move { failed })
        .collect::<Vec<_>>()
        .await;
    if let Some(serial) = failed.first() {
        bail!("{} of {} enrolments were not acknowledged, for example {serial}", failed.len(), tokens.len());
    }
    Ok(())
}

async fn enrolled(site: &Site, token: &Token) -> bool {
    for _ in 0..ENROLMENT_ATTEMPTS {
        // One that was not acknowledged may have been carried out.
        if site.enrol(token).await || site.look(token).await {
            return true;
        }
    }
    false
}

/// Sends the same OTP to all sites at the same instant.
pub async fn everywhere(sites: &[Site], token: &Token, counter: u64) -> Vec<Outcome> {
    join_all(sites.iter().map(|site| site.login(token, counter))).await
}

/// Every OTP.
pub const ALL: usize = usize::MAX;

/// The last OTPs of each token that were sent, once more, at a node by chance.
pub async fn send_again(
    sites: &[Site],
    tokens: &[Token],
    record: &Record,
    last: usize,
    choices: &mut Choices,
) {
    let sent: BTreeSet<(&str, u64)> = record
        .attempts
        .iter()
        .filter_map(|attempt| Some((attempt.serial.as_str(), attempt.counter()?)))
        .collect();
    let requests: Vec<(&Token, u64, &Site)> = tokens
        .iter()
        .flat_map(|token| {
            let of_token = sent.range((token.serial.as_str(), 0)..=(token.serial.as_str(), u64::MAX));
            of_token.rev().take(last).map(move |(_, counter)| (token, *counter))
        })
        .filter_map(|(token, counter)| Some((token, counter, choices.pick(sites)?)))
        .collect();
    stream::iter(requests)
        .for_each_concurrent(LOGINS_AT_ONCE, |(token, counter, site)| async move {
            site.login(token, counter).await;
        })
        .await;
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

    /// Users of time-based tokens whose current OTP is sent to every site at once, and again before it is over.
    pub fn simultaneous_timed_logins(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            for token in tokens.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                everywhere(&sites, token, oracle::time_step()).await;
                done.fetch_add(1, Ordering::Relaxed);
                wait::pause(PAUSE_OF_THE_CURIOUS).await;
            }
        });
    }

    /// An administrator who looks at one token after the other, each at another site.
    pub fn looks(&mut self, tokens: Vec<Token>, sites: &[Site]) {
        let (stop, sites, done) = (self.stop.clone(), sites.to_vec(), self.done.clone());
        self.workers.spawn(async move {
            let mut turn = sites.iter().cycle();
            for token in tokens.iter().cycle() {
                let Some(site) = turn.next() else { return };
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if site.look(token).await {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                wait::pause(PAUSE_OF_THE_CURIOUS).await;
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
