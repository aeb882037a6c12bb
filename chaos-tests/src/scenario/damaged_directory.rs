//! Bytes of a stopped follower's write-ahead log are changed, in its middle or at its end.
//!
//! It refuses to start, says how to rejoin, and the others serve on. A node that started with a hole in its log, or without
//! its end, could vote against what it had acknowledged. It comes back through the documented path, as a new node.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::invariant;
use crate::load;
use crate::operator;
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;

/// What the message must name: what is wrong, and the way out.
const MESSAGE: [&str; 3] = ["damaged", "wipe its data directory", "tessera cluster join"];

/// Which records are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Some in the middle.
    Middle,
    /// The last one, which was acknowledged.
    Tail,
}

/// One follower.
///
/// # Errors
/// If the node starts, or does not say how to rejoin, or cannot, or the others do not serve.
pub async fn run(part: Part) -> Result<Figures> {
    let scenario = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        scenario(part, cluster, choices, figures).await
    };
    scenario::run("damaged_directory", 3, scenario).await
}

async fn scenario(
    part: Part,
    cluster: &mut Cluster,
    choices: &mut Choices,
    figures: &mut Figures,
) -> Result<()> {
    let sites = cluster.sites().await?;
    load::enrol_all(&sites, &Token::several("DAMAGE", 200, Kind::Hotp, choices)).await?;
    let observer = cluster.site_of_all().await?;
    let leader = cluster.leader(&observer).await?;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).context("there is no follower")?;
    cluster.kill(&[follower]).await?;

    let segment = largest_segment(cluster.data_dir(follower)?)?;
    let offset = damage(&segment, part)?;
    figures.add("damaged", format!("{} at byte {offset}", segment.file_name().unwrap_or_default().display()));
    let (status, text) = cluster.launch_in_vain(follower).await?;
    figures.add("exit status", status);
    figures.add("message", text.lines().last().unwrap_or_default());
    ensure!(!status.success(), "the node refused to start, but ended with {status}");
    for part in MESSAGE {
        ensure!(text.contains(part), "the message does not say {part:?}:\n{text}");
    }
    ensure!(!text.contains("panicked"), "the node panicked:\n{text}");

    let others: Vec<Site> = sites.into_iter().filter(|site| site.node != Some(follower)).collect();
    invariant::liveness::check(&others, "damage", choices).await?;

    fs::remove_dir_all(cluster.data_dir(follower)?)?;
    let alive: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != follower).collect();
    let new = operator::replace(cluster, &alive, follower).await?;
    figures.add("came back as node", new);
    let sites = cluster.sites().await?;
    let listing = invariant::liveness::check(&sites, "replaced", choices).await?;
    invariant::equal_digests::check(&sites, 3).await?;
    let record = cluster.history().record();
    invariant::check_history(&record)?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

/// The longest file of the write-ahead log.
fn largest_segment(data_dir: &Path) -> Result<PathBuf> {
    let mut folders = vec![data_dir.to_owned()];
    let mut segments: Vec<(u64, PathBuf)> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "wal") {
                segments.push((fs::metadata(&path)?.len(), path));
            }
        }
    }
    segments.sort();
    Ok(segments.pop().with_context(|| format!("no write-ahead log below {}", data_dir.display()))?.1)
}

/// Changes some bytes of the part that is in use; returns where.
fn damage(segment: &Path, part: Part) -> Result<u64> {
    const CHANGED: usize = 8;
    let bytes = fs::read(segment)?;
    // The file is filled with zeros behind the last record.
    let used = bytes.iter().rposition(|byte| *byte != 0).context("the segment is empty")?;
    let first = match part {
        Part::Middle => used / 2,
        Part::Tail => used.saturating_sub(CHANGED),
    };
    let changed: Vec<u8> = bytes.iter().skip(first).take(CHANGED).map(|byte| byte ^ 0x55).collect();
    let offset = u64::try_from(first)?;
    OpenOptions::new().write(true).open(segment)?.write_all_at(&changed, offset)?;
    Ok(offset)
}
