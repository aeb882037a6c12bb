use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules { promote_after: SECOND * 2, remove_dead_after: Some(SECOND * 60), voters_min: 3 }
}

fn place(id: u64) -> Member {
    Member { raft_addr: format!("otp{id}:7580"), api_url: format!("https://otp{id}") }
}

fn member(id: u64) -> NodeMemberV1 {
    NodeMemberV1 {
        incarnation: [7; 16],
        raft_addr: place(id).raft_addr.into(),
        api_url: place(id).api_url.into(),
        joined_at: <_>::default(),
        replaces: None,
        first: false,
    }
}

/// A cluster under test. Everybody is healthy for a minute unless said otherwise.
struct Case {
    record: NodesV1,
    sight: Sight,
}

/// Node 1 leads; `voters` vote, `learners` do not, and all of them are recorded as members.
fn case(voters: &[u64], learners: &[u64]) -> Case {
    let all = || voters.iter().chain(learners).copied();
    let healthy = Health { healthy_for: Some(SECOND * 60), silent_for: None, lag: Some(0) };
    Case {
        record: NodesV1 {
            last_id: all().max().unwrap_or_default(),
            nodes: all().map(|id| (id, NodeEntry::Member(member(id)))).collect(),
        },
        sight: Sight {
            leader: 1,
            voters: voters.iter().copied().collect(),
            members: all().map(|id| (id, place(id))).collect(),
            health: all().map(|id| (id, healthy)).collect(),
        },
    }
}

impl Case {
    fn change(mut self, id: u64, change: impl FnOnce(&mut NodeMemberV1)) -> Self {
        match self.record.nodes.get_mut(&id) {
            Some(NodeEntry::Member(member)) => change(member),
            other => panic!("{other:?}"),
        }
        self
    }

    fn replaces(self, new: u64, old: u64) -> Self {
        self.change(new, |member| member.replaces = Some(old))
    }

    fn health(mut self, id: u64, health: Health) -> Self {
        self.sight.health.insert(id, health);
        self
    }

    /// A node that has not answered for so many seconds.
    fn dead(self, id: u64, seconds: u32) -> Self {
        self.health(id, Health { silent_for: Some(SECOND * seconds), ..Health::default() })
    }

    fn retired(mut self, id: u64) -> Self {
        self.record.nodes.insert(id, NodeEntry::Retired(<_>::default()));
        self
    }

    fn recorded(mut self, id: u64) -> Self {
        self.record.nodes.insert(id, NodeEntry::Member(member(id)));
        self
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a table of values reads better without references")]
    fn check(&self, expected: Option<Step>) {
        assert_eq!(next(&self.record, &self.sight, &rules()), expected, "{:?}", self.sight);
    }
}

#[test]
fn nothing_is_done_when_all_is_well() {
    case(&[1], &[]).check(None);
    case(&[1, 2, 3], &[]).check(None);
    case(&[1, 2, 3], &[]).dead(3, 59).check(None);
}

#[test]
fn a_recorded_member_becomes_a_learner_and_then_votes() {
    case(&[1], &[]).recorded(2).check(Some(Step::AddLearner(2, place(2))));
    case(&[1], &[2]).check(Some(Step::Promote(2)));
    case(&[1, 2, 3], &[4, 5]).check(Some(Step::Promote(4)));
}

#[test]
fn a_learner_votes_only_after_it_was_healthy_for_a_while() {
    let health = |seconds: u32, lag| Health { healthy_for: Some(SECOND * seconds), silent_for: None, lag };
    let case = |health: Health| case(&[1, 2, 3], &[4]).health(4, health);
    case(health(1, Some(0))).check(None);
    case(health(2, Some(0))).check(Some(Step::Promote(4)));
    case(health(2, Some(PROMOTION_LAG))).check(None);
    case(health(2, None)).check(None);
    case(Health { healthy_for: None, silent_for: None, lag: Some(0) }).check(None);
    case(Health::default()).check(None);
    // The first nodes of a cluster wait only for the log.
    let first = |health: Health| case(health).change(4, |member| member.first = true);
    first(health(0, Some(0))).check(Some(Step::Promote(4)));
    first(health(0, Some(PROMOTION_LAG))).check(None);
}

#[test]
fn a_vote_is_not_given_when_the_larger_cluster_would_have_no_majority() {
    // Three of five would be needed, and two voters and the new one would be there: enough.
    case(&[1, 2, 3, 4], &[5]).dead(3, 1).dead(4, 1).check(Some(Step::Promote(5)));
    case(&[1, 2, 3, 4, 6], &[5]).dead(2, 1).dead(3, 1).dead(4, 1).check(None);
}

#[test]
fn a_retired_member_is_removed_while_a_majority_is_left() {
    case(&[1, 2, 3], &[4]).retired(4).check(Some(Step::Remove(4)));
    case(&[1, 2, 3], &[]).retired(3).check(Some(Step::Remove(3)));
    case(&[1, 2, 3], &[]).retired(3).dead(3, 1).check(Some(Step::Remove(3)));
    case(&[1, 2, 3], &[]).retired(3).dead(2, 1).check(None);
    case(&[1, 2], &[]).retired(2).check(Some(Step::Remove(2)));
    case(&[1, 2, 3, 4, 5], &[]).retired(5).dead(3, 1).dead(4, 1).check(None);
    case(&[1, 2, 3, 4, 5], &[]).retired(4).dead(3, 1).dead(4, 1).check(Some(Step::Remove(4)));
    // One that cannot go yet does not hold up another one.
    case(&[1, 2, 3], &[4]).retired(3).dead(2, 1).retired(4).check(Some(Step::Remove(4)));
}

#[test]
fn a_leader_that_is_to_go_hands_over_to_one_that_stays() {
    case(&[1, 2, 3], &[]).retired(1).check(Some(Step::HandOver(2)));
    let behind = Health { healthy_for: None, silent_for: None, lag: Some(7) };
    case(&[1, 2, 3], &[]).retired(1).health(2, behind).check(Some(Step::HandOver(3)));
    case(&[1, 2, 3, 4], &[]).retired(1).retired(2).dead(3, 1).check(Some(Step::HandOver(4)));
    // Without node 2 there would be no majority, and node 1 hands over to nobody that goes.
    case(&[1, 2, 3], &[]).retired(1).retired(2).dead(3, 1).check(None);
    case(&[1, 2, 3, 4], &[]).retired(1).retired(2).check(Some(Step::HandOver(3)));
    case(&[1], &[]).retired(1).check(None);
}

#[test]
fn a_replacement_takes_the_vote_of_the_old_node_in_one_step() {
    case(&[1, 2, 3], &[4]).replaces(4, 3).dead(3, 5).check(Some(Step::Replace { old: 3, new: 4 }));
    case(&[1, 2, 3], &[4]).replaces(4, 3).check(Some(Step::Replace { old: 3, new: 4 }));
    case(&[1, 2, 3], &[4]).replaces(4, 1).check(Some(Step::HandOver(2)));
    // Not before it is ready.
    case(&[1, 2, 3], &[4]).replaces(4, 3).health(4, Health::default()).check(None);
    // The old node was removed by hand meanwhile.
    case(&[1, 2], &[4]).replaces(4, 3).check(Some(Step::Promote(4)));
    // It has taken the place, and the old id is still a member: also after a change of leader.
    case(&[1, 2, 4], &[3]).replaces(4, 3).check(Some(Step::Retire(3)));
    case(&[1, 2, 4], &[]).replaces(4, 3).recorded(3).check(Some(Step::Retire(3)));
    case(&[1, 2, 4], &[3]).replaces(4, 3).retired(3).check(Some(Step::Remove(3)));
}

#[test]
fn an_emptied_machine_comes_back_after_its_old_id_is_gone() {
    let same_address =
        |case: Case| case.replaces(4, 3).change(4, |new| new.raft_addr = place(3).raft_addr.into());
    let emptied = || same_address(case(&[1, 2, 3], &[]).dead(3, 5).recorded(4));
    emptied().check(Some(Step::Retire(3)));
    emptied().retired(3).check(Some(Step::Remove(3)));
    // Without the majority it has to wait.
    emptied().dead(2, 1).check(None);
    let mut gone = emptied().retired(3);
    gone.sight.voters.remove(&3);
    gone.sight.members.remove(&3);
    let there = Member { raft_addr: place(3).raft_addr, api_url: place(4).api_url };
    gone.check(Some(Step::AddLearner(4, there)));
}

#[test]
fn a_member_that_moved_is_looked_for_at_its_new_address() {
    let moved = case(&[1, 2, 3], &[]).change(2, |member| member.raft_addr = "new:1".into());
    moved.check(Some(Step::Move(2, Member { raft_addr: "new:1".to_owned(), ..place(2) })));
}

#[test]
fn the_dead_are_retired_only_where_the_rest_is_safe_and_large_enough() {
    case(&[1, 2, 3, 4, 5], &[]).dead(5, 60).check(Some(Step::Retire(5)));
    case(&[1, 2, 3, 4, 5], &[]).dead(5, 59).check(None);
    case(&[1, 2, 3, 4], &[]).dead(4, 60).check(Some(Step::Retire(4)));
    case(&[1, 2, 3], &[]).dead(3, 600).check(None);
    // Two dead of five: four with two dead have no majority.
    case(&[1, 2, 3, 4, 5], &[]).dead(4, 60).dead(5, 60).check(Some(Step::Retire(4)));
    case(&[1, 2, 3, 4, 5], &[]).dead(3, 60).dead(4, 60).dead(5, 60).check(None);
    let never = Rules { remove_dead_after: None, ..rules() };
    let dead = case(&[1, 2, 3, 4, 5], &[]).dead(5, 6000);
    assert_eq!(next(&dead.record, &dead.sight, &never), None);
}

#[test]
fn how_many_may_fail() {
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
    for (voters, live, expected) in [
        (&[1][..], &[1][..], Some(0)),
        (&[1, 2], &[1, 2], Some(0)),
        (&[1, 2], &[1], None),
        (&[1, 2, 3], &[1, 2, 3], Some(1)),
        (&[1, 2, 3], &[1, 3], Some(0)),
        (&[1, 2, 3], &[1], None),
        (&[1, 2, 3, 4], &[1, 2, 3, 4], Some(1)),
        (&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6], Some(2)),
    ] {
        assert_eq!(tolerates(&set(voters), &set(live)), expected, "{voters:?} {live:?}");
    }
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
    let text = |voters: &[u64], live: &[u64], node| {
        removal(&set(voters), &set(live), node).map_err(|refused| refused.0).err()
    };
    assert_eq!(text(&[1, 2, 3], &[1, 2, 3], 3), None);
    assert_eq!(text(&[1, 2, 3], &[1, 2], 3), None);
    assert_eq!(text(&[1, 2, 3], &[1], 4), None, "a learner");
    assert_eq!(
        text(&[1, 2, 3], &[1, 2], 2).as_deref(),
        Some(
            "removing node 2 would leave nodes 1 and 3 with a vote, of which 3 does not answer: 2 of 2 are needed and 1 \
             would be there. Bring it back first, or replace it (`tessera cluster replace 3`)"
        )
    );
    let five = text(&[1, 2, 3, 4, 5], &[1, 2, 3], 3);
    assert!(five.as_deref().is_some_and(|text| text.contains("of which 4 and 5 do not answer")), "{five:?}");
    assert!(text(&[1], &[1], 1).is_some_and(|text| text.contains("only node with a vote")));
}
