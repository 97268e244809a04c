//! Hosts outside of a cohort are served what they were served before, byte for byte; hosts inside what they would be served if the
//! change were made.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Edition, ScheduledQuery};
use super::*;
use crate::fleet::schedule::{Plan, PlannedPack};
use crate::store::packs::TargetLabels;

fn query(name: u8, variant: u8) -> ScheduledQuery {
    ScheduledQuery {
        name: format!("q{name}"),
        sql: format!("SELECT {variant}"),
        interval_secs: 60 + i64::from(variant),
        snapshot: None,
        removed: None,
        denylist: None,
        shard: None,
        platform: String::new(),
        version: String::new(),
    }
}

/// What a pack may be: its labels, what it excludes, and its queries with their variants.
type PackShape = (Vec<i64>, Vec<i64>, Vec<(u8, u8)>);

fn pack(number: usize, (any, excluded, queries): &PackShape) -> PlannedPack {
    let mut queries: Vec<ScheduledQuery> = queries.iter().map(|(name, variant)| query(*name, *variant)).collect();
    queries.sort_by(|one, other| one.name.cmp(&other.name));
    queries.dedup_by(|one, other| one.name == other.name);
    PlannedPack {
        id: number as i64 + 1,
        // Not in the order of their ids.
        name: format!("pack {}", number * 7 % 10),
        platform: String::new(),
        version: String::new(),
        shard: None,
        discovery: Vec::new(),
        is_disabled: false,
        targets: TargetLabels { any: any.clone(), excluded: excluded.clone(), ..TargetLabels::default() },
        queries,
    }
}

fn shape() -> impl Strategy<Value = PackShape> {
    let labels = || prop::collection::btree_set(1..5_i64, 0..3).prop_map(|labels| labels.into_iter().collect());
    (labels(), labels(), prop::collection::vec((0..4_u8, 0..3_u8), 0..4))
}

/// Flags that have a default, so that their removal must be undone, and a view, which must be too.
fn options() -> impl Strategy<Value = Value> {
    let document = || {
        let flags = prop::collection::btree_map(
            prop::sample::select(vec!["logger_min_status", "schedule_splay_percent", "distributed_interval"]),
            1..4_u8,
            0..3,
        );
        (flags, any::<bool>()).prop_map(|(flags, has_view)| match has_view {
            true => json!({ "options": flags, "views": { "v": "SELECT 1" } }),
            false => json!({ "options": flags }),
        })
    };
    (document(), prop::option::of(document())).prop_map(|(config, darwin)| match darwin {
        Some(darwin) => json!({ "config": config, "overrides": { "platforms": { "darwin": darwin } } }),
        None => json!({ "config": config, "overrides": {} }),
    })
}

fn plan(options: &Value, retired: &Retired, packs: &[PlannedPack]) -> Plan {
    let mut packs = packs.to_vec();
    packs.sort_by(|one, other| one.name.cmp(&other.name));
    let edition = Edition { generation: 1, outdated_at: Moment(i64::MAX) };
    Plan::of(edition, options.clone(), retired.clone(), packs).with_labels(1..5)
}

fn rollout(id: i64, percent: f64, change: &RolloutChange, remains: Option<Retired>) -> PlannedRollout {
    PlannedRollout {
        id,
        name: id.to_string(),
        stage: 0,
        stage_began_at: Moment(0),
        stage_label_ids: Vec::new(),
        cohort: Cohort::of_percent(percent),
        change: change.clone(),
        reach: OptionsReach::of(change),
        remains,
    }
}

fn assignments() -> Vec<Assignment> {
    let all = (0..16_u8).flat_map(|labels| {
        ["ubuntu", "darwin"].map(|platform| Assignment {
            platform: platform.into(),
            label_ids: (1..5).filter(|id| labels >> (id - 1) & 1 == 1).collect(),
            ..Assignment::default()
        })
    });
    all.collect()
}

proptest! {
    #[test]
    fn a_cohort_gets_the_new_bytes_and_all_others_the_old_ones(
        before in prop::collection::vec(shape(), 1..4),
        after in prop::collection::vec(shape(), 1..5),
        is_changed in prop::collection::vec(any::<bool>(), 4),
        old_options in options(),
        new_options in options(),
        changes_options in any::<bool>(),
        id in 1..1_000_i64,
        percents in prop::collection::vec(0..=100_u8, 1..4),
    ) {
        let now = Moment(86_400_000_000 * 20_000);
        let retired = Retired::default();
        let new_options = if changes_options { new_options } else { old_options.clone() };
        let old_packs: Vec<PlannedPack> = before.iter().enumerate().map(|(n, shape)| pack(n, shape)).collect();
        // Some packs change, and some are new.
        let new_packs: Vec<PlannedPack> = (0..old_packs.len().max(after.len()))
            .filter_map(|n| match (old_packs.get(n), after.get(n)) {
                (Some(old), Some(new)) => Some(if is_changed[n] { pack(n, new) } else { old.clone() }),
                (Some(old), None) => Some(old.clone()),
                (None, Some(new)) => Some(pack(n, new)),
                (None, None) => None,
            })
            .collect();
        let old = plan(&old_options, &retired, &old_packs);
        let new_retired = retired.after(&old_options, &new_options, now).0;
        let new = plan(&new_options, &new_retired, &new_packs);
        let change = RolloutChange::between(&old, &new);
        prop_assert_eq!(change.is_empty(), old_packs == new_packs && old_options == new_options);
        // As it is kept.
        let kept: RolloutChange = serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap();
        prop_assert_eq!(&kept, &change);
        prop_assert_eq!(kept.changed_in(&old), None);
        prop_assert!(kept.is_made_in(&new));
        prop_assert!(change.is_empty() || !kept.is_made_in(&old));
        let remains = kept.remains(now);
        let mut percents = percents;
        percents.sort_unstable();
        let mut earlier: Vec<i64> = Vec::new();
        for percent in percents {
            let percent = f64::from(percent);
            let during = plan(&old_options, &retired, &old_packs).with_rollouts(vec![rollout(id, percent, &kept, None)]);
            let reverted = plan(&old_options, &retired, &old_packs)
                .with_rollouts(vec![rollout(id, percent, &kept, Some(remains.clone()))]);
            let mut inside = Vec::new();
            for (host_id, assignment) in (1..).zip(assignments().iter().cycle().take(64)) {
                let of_host = during.with_host(assignment, host_id, Moment(1));
                let is_in = !of_host.cohorts.is_empty();
                inside.extend(is_in.then_some(host_id));
                let expected = if is_in { new.assemble(assignment) } else { old.assemble(assignment) };
                prop_assert_eq!(&during.assemble(&of_host).bytes, &expected.bytes);
                // Hosts that the rollout does not touch share their config with those outside.
                if !during.is_touched(0, &of_host) {
                    prop_assert_eq!(during.key(&of_host), during.key(assignment));
                }
                let after = reverted.assemble(&reverted.with_host(assignment, host_id, Moment(1)));
                let mut document = old.options_for(assignment);
                if is_in {
                    remains.of(&assignment.platform).put_into(&mut document);
                }
                let again = super::super::assemble::assemble(document, old.packs_for(assignment));
                prop_assert_eq!(&after.bytes, &again.bytes);
                if !is_in || remains == Retired::default() {
                    prop_assert_eq!(&after.bytes, &old.assemble(assignment).bytes);
                }
            }
            prop_assert!(earlier.iter().all(|host| inside.contains(host)), "cohorts grow");
            earlier = inside;
        }
    }
}

#[test]
fn options_that_only_the_new_version_had_are_undone_on_hosts_of_the_cohort() {
    let options = |flags: Value| json!({ "config": { "options": flags }, "overrides": {} });
    let old = plan(&options(json!({ "distributed_interval": 10 })), &Retired::default(), &[]);
    let new = plan(&options(json!({ "distributed_interval": 20, "logger_min_status": 2 })), &Retired::default(), &[]);
    let change = RolloutChange::between(&old, &new);
    let reverted = plan(&old.agent_options, &Retired::default(), &[]).with_rollouts(vec![rollout(
        1,
        100.0,
        &change,
        Some(change.remains(Moment(1))),
    )]);
    let assignment = Assignment::default();
    let config: Value =
        serde_json::from_slice(&reverted.assemble(&reverted.with_host(&assignment, 1, Moment(1))).bytes).unwrap();
    assert_eq!(config["options"], json!({ "distributed_interval": 10, "logger_min_status": 0 }));
}

#[test]
fn two_rollouts_give_each_host_what_it_is_in() {
    let shape = |variant| (vec![1], Vec::new(), vec![(1, variant)]);
    let packs = |one, two| [pack(0, &shape(one)), pack(1, &shape(two))];
    let none = json!({});
    let with = |one, two| plan(&none, &Retired::default(), &packs(one, two));
    let old = with(0, 0);
    let (first, second) = (RolloutChange::between(&old, &with(1, 0)), RolloutChange::between(&old, &with(0, 2)));
    assert_eq!(first.common(&second), None);
    assert_eq!(first.common(&first), Some("the pack \"pack 0\"".to_owned()));
    let during = with(0, 0).with_rollouts(vec![rollout(1, 50.0, &first, None), rollout(2, 50.0, &second, None)]);
    let assignment = Assignment { label_ids: Box::new([1]), ..Assignment::default() };
    let mut seen = std::collections::BTreeSet::new();
    for host_id in 1..200 {
        let of_host = during.with_host(&assignment, host_id, Moment(1));
        let has = |position| of_host.cohorts.has(position);
        let expected = with(u8::from(has(0)), if has(1) { 2 } else { 0 }).assemble(&assignment);
        assert_eq!(during.assemble(&of_host).bytes, expected.bytes);
        seen.insert((has(0), has(1)));
    }
    assert_eq!(seen.len(), 4);
    assert_eq!(during.possible_cohorts().len(), 4);
    assert!(during.disturbed_rollout().is_none());
    let disturbed = with(0, 1).with_rollouts(vec![rollout(1, 50.0, &first, None), rollout(2, 50.0, &second, None)]);
    assert_eq!(
        disturbed.disturbed_rollout().map(|(rollout, what)| (rollout.id, what)),
        Some((2, "the pack \"pack 7\"".to_owned()))
    );
}
