//! The harness tested on a real defect: a data directory is replaced by an older copy of itself.
//!
//! No program can notice that its only data directory went back in time, so this node loses acknowledged enrolments and
//! accepts OTPs again. The invariants must say so; otherwise their silence in the other scenarios means nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::invariant::{no_replay, nothing_lost};
use crate::load;
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};

/// One node, whose directory goes back in time.
///
/// # Errors
/// If the invariants do not notice.
pub async fn run() -> Result<Figures> {
    scenario::run("rolled_back", 1, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let site = sites.first().context("there are no nodes")?;
    let early = Token::several("EARLY", 5, Kind::Hotp, choices);
    load::enrol_all(&sites, &early).await?;
    let node = cluster.ids();
    let data = cluster.data_dir(site.node.context("a client of one node")?)?.to_owned();
    let copy = data.with_extension("copy");
    cluster.kill(&node).await?;
    copy_folder(&data, &copy)?;
    cluster.restart(&node).await?;

    load::enrol_all(&sites, &Token::several("LATE", 5, Kind::Hotp, choices)).await?;
    for token in &early {
        site.login(token, 0).await;
    }
    cluster.kill(&node).await?;
    fs::remove_dir_all(&data)?;
    fs::rename(&copy, &data)?;
    cluster.restart(&node).await?;

    let before = cluster.history().record();
    ensure!(no_replay::violations(&before).is_empty(), "a replay before the directory went back");
    let listing = site.tokens().await?;
    let lost = nothing_lost::violations(&before, &listing);
    for token in &early {
        site.login(token, 0).await;
    }
    let replayed = no_replay::violations(&cluster.history().record());
    figures.add("losses found", lost.len());
    figures.add("replays found", replayed.len());
    // Five enrolments, and five counters; five OTPs.
    ensure!(lost.len() == 10, "not every loss was found: {lost:?}");
    ensure!(replayed.len() == 5, "not every replay was found: {replayed:?}");
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
