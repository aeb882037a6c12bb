//! What breaks. A fault is begun, lasts a while, and is healed; several can last at the same time.
//!
//! To add one: a variant of [`Fault`], its name, its place in [`Fault::HARD`] or [`Fault::SOFT`], and an arm of
//! [`Fault::begin`]; what has to be undone goes into [`Wounds`].

mod wounds;

use std::time::Duration;

use anyhow::{Context as _, Result};

pub use wounds::Wounds;

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::wait;

/// How long answers are held back before they are lost: shorter than an election timeout (450 ms), so that nothing
/// else happens.
const HELD_BACK: Duration = Duration::from_millis(250);

/// A node with a full disk stops with its next write, if it gets one in this time.
const DISK_FULL_LIMIT: Duration = Duration::from_secs(3);

/// What can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The leader is killed (SIGKILL) and started again.
    LeaderKilled,
    /// A follower is killed and started again.
    FollowerKilled,
    /// All nodes are killed at the same instant and started again.
    AllKilled,
    /// The leader is frozen (SIGSTOP) and goes on.
    LeaderFrozen,
    /// A follower is frozen and goes on.
    FollowerFrozen,
    /// No node can talk to the leader.
    LeaderAlone,
    /// A minority without the leader is cut off from the rest.
    MinorityCutOff,
    /// What the leader sends arrives nowhere, what is sent to it arrives.
    LeaderUnheard,
    /// What is sent to the leader does not arrive, what it sends does.
    LeaderDeaf,
    /// Of two nodes one does not hear the other.
    OneWay,
    /// Two halves that only one node in between can talk to.
    Bridge,
    /// The leader's answers to a follower get lost with the connection, several times.
    AnswersLost,
    /// A node's disk is full.
    DiskFull,
    /// One node after the other is asked to stop (SIGTERM) and started again.
    RollingRestart,
    /// Everything between nodes takes longer.
    Delay,
    /// Packets get lost and are sent again.
    Loss,
    /// A node's clock steps by minutes, and back.
    ClockStep,
    /// A node's disk is slow.
    SlowDisk,
    /// All nodes make a snapshot.
    Snapshot,
    /// A node joins while other things break, and is removed when all is healed.
    NodeJoins,
}

impl Fault {
    /// Those that take something away from the cluster.
    pub const HARD: [Self; 14] = [
        Self::LeaderKilled,
        Self::FollowerKilled,
        Self::AllKilled,
        Self::LeaderFrozen,
        Self::FollowerFrozen,
        Self::LeaderAlone,
        Self::MinorityCutOff,
        Self::LeaderUnheard,
        Self::LeaderDeaf,
        Self::OneWay,
        Self::Bridge,
        Self::AnswersLost,
        Self::DiskFull,
        Self::RollingRestart,
    ];

    /// Those that make something worse while all nodes go on.
    pub const SOFT: [Self; 6] =
        [Self::Delay, Self::Loss, Self::ClockStep, Self::SlowDisk, Self::Snapshot, Self::NodeJoins];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeaderKilled => "leader killed",
            Self::FollowerKilled => "follower killed",
            Self::AllKilled => "all nodes killed",
            Self::LeaderFrozen => "leader frozen",
            Self::FollowerFrozen => "follower frozen",
            Self::LeaderAlone => "leader cut off",
            Self::MinorityCutOff => "minority cut off",
            Self::LeaderUnheard => "leader not heard",
            Self::LeaderDeaf => "leader hears nothing",
            Self::OneWay => "one direction of a link cut",
            Self::Bridge => "bridge partition",
            Self::AnswersLost => "answers lost",
            Self::DiskFull => "disk full",
            Self::RollingRestart => "rolling restart",
            Self::Delay => "delay",
            Self::Loss => "packet loss",
            Self::ClockStep => "clock step",
            Self::SlowDisk => "slow disk",
            Self::Snapshot => "snapshot",
            Self::NodeJoins => "node joins and leaves",
        }
    }

    /// Breaks it, and notes what has to be healed.
    ///
    /// # Errors
    /// If the harness cannot do it, or a node does not survive what it must.
    pub async fn begin(
        self,
        cluster: &mut Cluster,
        choices: &mut Choices,
        wounds: &mut Wounds,
    ) -> Result<()> {
        cluster.history().fault(self.name());
        let roles = Roles::find(cluster, choices).await?;
        let Roles { leader, follower, others } = &roles;
        match self {
            Self::LeaderKilled => wounds.kill(cluster, &[*leader]).await?,
            Self::FollowerKilled => wounds.kill(cluster, &[*follower]).await?,
            Self::AllKilled => wounds.kill(cluster, &cluster.ids()).await?,
            Self::LeaderFrozen => wounds.freeze(cluster, *leader)?,
            Self::FollowerFrozen => wounds.freeze(cluster, *follower)?,
            Self::LeaderAlone => cluster.network().separate(&[*leader], others),
            Self::MinorityCutOff => {
                let (minority, majority) = roles.minority();
                cluster.network().separate(&minority, &majority);
            }
            Self::LeaderUnheard => others.iter().for_each(|other| cluster.network().cut(*leader, *other)),
            Self::LeaderDeaf => others.iter().for_each(|other| cluster.network().cut(*other, *leader)),
            Self::OneWay if choices.between(0, 1) == 0 => cluster.network().cut(*leader, *follower),
            Self::OneWay => cluster.network().cut(*follower, *leader),
            Self::Bridge => {
                let bridge = roles.either(choices);
                let rest: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != bridge).collect();
                let (one, other) = rest.split_at(rest.len() / 2);
                cluster.network().separate(one, other);
            }
            Self::AnswersLost => lose_answers(cluster, &roles).await,
            Self::DiskFull => disk_full(cluster, choices, wounds, *follower).await?,
            Self::RollingRestart => rolling_restart(cluster).await?,
            Self::Delay => {
                // There and back it stays within the time limit of a replication request, 100 ms.
                let delay = Duration::from_millis(choices.between(3, 30));
                cluster.network().change_all(|link| link.delay = delay);
            }
            Self::Loss => {
                let lost = choices.between(5, 50);
                cluster.network().change_all(|link| link.lost_of_thousand = lost);
            }
            Self::ClockStep => {
                let sign = if choices.between(0, 1) == 0 { "-" } else { "" };
                let step = format!("clock-step-ms {sign}{}", choices.between(60_000, 240_000));
                wounds.switch(cluster, roles.either(choices), &step)?;
            }
            Self::SlowDisk => {
                let delay = format!("sync-delay-ms {}", choices.between(20, 300));
                wounds.switch(cluster, roles.either(choices), &delay)?;
            }
            Self::Snapshot => {
                let number = format!("snapshot {}", choices.between(1, 1 << 40));
                cluster.ids().into_iter().try_for_each(|id| cluster.set_fault(id, &number))?;
            }
            Self::NodeJoins => wounds.let_join(cluster).await?,
        }
        cluster.note_majority();
        Ok(())
    }
}

/// Who is who when a fault begins.
#[derive(Debug)]
struct Roles {
    leader: u64,
    /// One of the others.
    follower: u64,
    /// All but the leader.
    others: Vec<u64>,
}

impl Roles {
    /// Without a leader somebody is treated as if it led.
    async fn find(cluster: &Cluster, choices: &mut Choices) -> Result<Self> {
        let ids = cluster.ids();
        let known = cluster.current_leader().await;
        let leader = known.or_else(|| choices.pick(&ids).copied()).context("there are no nodes")?;
        let others: Vec<u64> = ids.into_iter().filter(|id| *id != leader).collect();
        let follower = choices.pick(&others).copied().context("there is only one node")?;
        Ok(Self { leader, follower, others })
    }

    /// The leader or the follower: both have their own troubles.
    fn either(&self, choices: &mut Choices) -> u64 {
        if choices.between(0, 1) == 0 { self.leader } else { self.follower }
    }

    /// As many as can be missed, the follower first and the leader not among them; and the rest.
    fn minority(&self) -> (Vec<u64>, Vec<u64>) {
        let size = self.others.len() / 2;
        let mut order = self.others.clone();
        order.sort_by_key(|id| *id != self.follower);
        let majority = order.split_off(size).into_iter().chain([self.leader]).collect();
        (order, majority)
    }
}

async fn lose_answers(cluster: &Cluster, roles: &Roles) {
    for _ in 0..3 {
        cluster.network().cut(roles.leader, roles.follower);
        wait::pause(HELD_BACK).await;
        cluster.network().reset(roles.follower, roles.leader);
        cluster.network().change(roles.leader, roles.follower, |link| link.cut = false);
        wait::pause(HELD_BACK).await;
    }
}

/// The node stops by itself, or its next write comes later; either way it is started again when there is space.
async fn disk_full(
    cluster: &mut Cluster,
    choices: &mut Choices,
    wounds: &mut Wounds,
    follower: u64,
) -> Result<()> {
    let real = cluster.with_small_disk().filter(|_| choices.between(0, 2) > 0);
    let node = real.unwrap_or(follower);
    wounds.fill_disk(cluster, node, real.is_some())?;
    cluster.wait_ended(node, DISK_FULL_LIMIT).await?;
    Ok(())
}

async fn rolling_restart(cluster: &mut Cluster) -> Result<()> {
    for id in cluster.awake() {
        cluster.terminate(id).await?;
        cluster.restart(&[id]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_hard_or_soft_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Fault::HARD.iter().chain(&Fault::SOFT).map(|fault| fault.name()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_minority_can_be_missed() {
        let roles = |leader, follower, others: &[u64]| Roles { leader, follower, others: others.to_vec() };
        assert_eq!(roles(1, 3, &[2, 3]).minority(), (vec![3], vec![2, 1]));
        assert_eq!(roles(2, 4, &[1, 3, 4, 5]).minority(), (vec![4, 1], vec![3, 5, 2]));
    }
}
