//! A cluster grows from one node to five and shrinks to three with the operator's commands, while clients log in.
//!
//! On the way the wrong move is refused, leadership is handed over, the leader is removed, a node leaves, and a node whose
//! disk was wiped is refused under its old number and comes back through the documented path. That node is the one that made
//! the cluster, which must not make a second one.

use std::fs;
use std::process::ExitStatus;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::Outcome;
use crate::invariant;
use crate::load::{self, Load};
use crate::operator::{self, Way};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;
use crate::wait;

/// Tokens of the clients of one node.
const TOKENS_EACH: usize = 30;
/// Logins between two steps, so that every step happens under load.
const LOGINS_BETWEEN: usize = 30;

/// One to five nodes.
///
/// # Errors
/// If a step fails or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("membership", 1, scenario).await
}

/// What the steps share.
struct Steps<'a> {
    cluster: &'a mut Cluster,
    load: Load,
    tokens: Vec<Token>,
    observer: Site,
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let tokens = Token::several("GROW", 5 * TOKENS_EACH, Kind::Hotp, choices);
    let sites = cluster.sites().await?;
    load::enrol_all(&sites, &tokens).await?;
    let observer = cluster.site_of_all().await?;
    let mut steps = Steps { cluster, load: Load::default(), tokens, observer };
    steps.clients_of(1).await?;
    for id in 2..=5 {
        steps.grow(id).await?;
        steps.under_load().await?;
    }
    steps.voters(&[1, 2, 3, 4, 5]).await?;
    figures.add("refused", steps.wrong_move().await?);
    steps.under_load().await?;
    figures.add("hand-over", steps.hand_over(4).await?);
    steps.under_load().await?;
    steps.go(4, &["cluster", "remove", "4"], &[1, 2, 3]).await?;
    steps.voters(&[1, 2, 3, 5]).await?;
    steps.go(5, &["cluster", "leave"], &[5]).await?;
    steps.voters(&[1, 2, 3]).await?;
    steps.under_load().await?;
    figures.add("wiped", steps.wiped().await?);
    steps.voters(&[2, 3, 6]).await?;
    steps.under_load().await?;
    let printed = operator::succeed(steps.cluster, &[2, 3], &["cluster", "snapshot"]).await?;
    ensure!(printed.lines().count() == 3, "three nodes were to make a snapshot: {printed}");
    steps.load.stop().await?;

    let record = steps.cluster.history().record();
    figures.set_outcomes(&record);
    invariant::check_history(&record)?;
    ensure!(record.count(&Outcome::Accepted) > 200, "hardly anything was accepted: the test shows nothing");
    let sites = steps.cluster.sites().await?;
    let listing = invariant::liveness::check(&sites, "grown", choices).await?;
    let record = steps.cluster.history().record();
    invariant::check_history(&record)?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

impl Steps<'_> {
    /// Clients that log in at one node from now on.
    async fn clients_of(&mut self, id: u64) -> Result<()> {
        let own = self.tokens.split_off(self.tokens.len().saturating_sub(TOKENS_EACH));
        let sites = self.cluster.sites().await?;
        let site = sites.into_iter().find(|site| site.node == Some(id)).context("the node has no site")?;
        for part in own.chunks(TOKENS_EACH / 2) {
            self.load.logins(part.to_vec(), std::slice::from_ref(&site));
        }
        Ok(())
    }

    /// Lets some more logins happen.
    async fn under_load(&self) -> Result<()> {
        let goal = self.load.done().saturating_add(LOGINS_BETWEEN);
        wait::until("logins to go on", START_LIMIT, || async { (self.load.done() >= goal).then_some(()) })
            .await
    }

    /// Exactly these nodes vote, and nothing else is a member.
    async fn voters(&mut self, expected: &[u64]) -> Result<()> {
        let wanted: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let observer = self.cluster.site_of(expected).await?;
        wait::until(&format!("voters {expected:?}"), START_LIMIT, || async {
            let status = observer.client().cluster_status().await.ok()?;
            let fits = status.nodes.iter().map(|node| &node.id).eq(&wanted);
            (fits && status.nodes.iter().all(|node| node.voter && node.reachable)).then_some(())
        })
        .await?;
        self.observer = observer;
        Ok(())
    }

    /// The next node joins: by the command if its number is even, else by its configuration alone.
    async fn grow(&mut self, id: u64) -> Result<()> {
        let token = operator::token(self.cluster, &[1], &["token"]).await?;
        ensure!(token.node == id, "node {id} was to be next, but the token is for node {}", token.node);
        let peer = self.peer(1).await?;
        let by_command = id.is_multiple_of(2);
        let way =
            if by_command { Way::Command } else { Way::Configuration { peer: &peer, token: &token.token } };
        let config = operator::lay_out(self.cluster, id, &way).await?;
        self.cluster.launch(id)?;
        if by_command {
            self.join(&config.display().to_string(), &token.token, &[1]).await?;
        }
        self.cluster.wait_ready(&[id]).await?;
        self.clients_of(id).await
    }

    async fn join(&self, config: &str, token: &str, at: &[u64]) -> Result<()> {
        let arguments = ["cluster", "join", "--config", config, "--token", token, "--wait", "40"];
        operator::succeed(self.cluster, at, &arguments).await.map(drop)
    }

    /// Where other nodes reach a member.
    async fn peer(&self, id: u64) -> Result<String> {
        let status = self.observer.client().cluster_status().await?;
        let id = id.to_string();
        let node = status.nodes.into_iter().find(|node| node.id == id).context("there is no such member")?;
        Ok(node.raft_addr)
    }

    /// With two of five dead, removing a third one would leave no majority.
    async fn wrong_move(&mut self) -> Result<String> {
        let leader = self.cluster.leader(&self.observer).await?;
        let others: Vec<u64> = (1..=5).filter(|id| *id != leader).collect();
        let [first, second, third, ..] = others.as_slice() else { anyhow::bail!("there are no five nodes") };
        self.cluster.kill(&[*first, *second]).await?;
        let observer = self.cluster.site_of(&[leader, *third]).await?;
        wait::until("two nodes to be known as dead", START_LIMIT, || async {
            let status = observer.client().cluster_status().await.ok()?;
            (status.nodes.iter().filter(|node| !node.reachable).count() == 2).then_some(())
        })
        .await?;
        let id = third.to_string();
        let said = operator::refused(self.cluster, &[leader, *third], &["cluster", "remove", &id]).await?;
        let expected =
            [format!("removing node {third} would leave"), format!("{first} and {second} do not answer")];
        for part in &expected {
            ensure!(said.contains(part), "the refusal does not say {part:?}: {said}");
        }
        ensure!(said.contains("tessera cluster replace"), "the refusal does not say what to do: {said}");
        self.cluster.restart(&[*first, *second]).await?;
        self.voters(&[1, 2, 3, 4, 5]).await?;
        Ok(said.trim().to_owned())
    }

    async fn hand_over(&mut self, to: u64) -> Result<String> {
        let id = to.to_string();
        let printed =
            operator::succeed(self.cluster, &[1, 2, 3], &["cluster", "transfer-leadership", &id]).await?;
        let leader = self.cluster.leader(&self.observer).await?;
        ensure!(leader == to, "node {to} was to lead, but node {leader} does");
        Ok(printed.trim().to_owned())
    }

    /// A node is removed by a command and ends by itself.
    async fn go(&mut self, id: u64, arguments: &[&str], at: &[u64]) -> Result<()> {
        // Its clients hear nothing more from it.
        self.cluster.history().down(id);
        operator::succeed(self.cluster, at, arguments).await?;
        let status = self.cluster.ended(id).await?;
        ensure!(status.success(), "the removed node {id} ended with {status}");
        self.cluster.forget(id);
        Ok(())
    }

    /// Starts a node that has to end by itself. The threads of the killed process may hold its ports for a moment.
    async fn refuses(&mut self, id: u64) -> Result<(ExitStatus, String)> {
        let started = Instant::now();
        loop {
            let (status, text) = self.cluster.launch_in_vain(id).await?;
            if !text.contains("Address already in use") || started.elapsed() > START_LIMIT {
                return Ok((status, text));
            }
        }
    }

    /// The disk of the node that made the cluster is wiped.
    async fn wiped(&mut self) -> Result<String> {
        self.cluster.kill(&[1]).await?;
        fs::remove_dir_all(self.cluster.data_dir(1)?)?;
        let (status, text) = self.refuses(1).await?;
        ensure!(
            !status.success() && !text.contains("panicked"),
            "the wiped node ended with {status}:\n{text}"
        );
        ensure!(text.contains("tessera cluster replace 1"), "the way back is not named:\n{text}");
        ensure!(!text.contains("making a new cluster"), "the wiped node made a second cluster:\n{text}");
        let new = operator::replace(self.cluster, &[2, 3], 1).await?;
        ensure!(new == 6, "node 6 was to be next, but node {new} took the place");
        let last = text.lines().rev().find(|line| line.contains("replace 1")).unwrap_or_default();
        Ok(last.to_owned())
    }
}
