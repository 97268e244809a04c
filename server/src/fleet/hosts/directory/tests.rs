use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::clock::Moment;
use crate::fleet::hosts::list::{HostFilter, HostState};
use crate::store::directory::DirectoryRow;
use crate::store::host_lists::{HostOrder, OrderValue};

const NOW: Moment = Moment(1_700_000_000_000_000);

fn host(id: i64, name: &str, platform: &str, seen_secs_ago: u64, label_ids: Vec<i64>) -> DirectoryHost {
    let at = NOW.minus(Duration::from_secs(seen_secs_ago));
    let row = DirectoryRow {
        id,
        hostname: name.to_owned(),
        computer_name: format!("Computer {name}"),
        uuid: format!("uuid-{id}"),
        hardware_serial: format!("SN{id}"),
        primary_ip: format!("10.0.0.{id}"),
        platform: platform.to_owned(),
        os_version: format!("{platform} 1"),
        osquery_version: "5.23.0".to_owned(),
        hardware_model: String::new(),
        memory: id % 3,
        created_at: at,
        enrolled_at: at,
        seen_at: at,
        distributed_interval: 10,
        config_refresh: 60,
    };
    DirectoryHost { row, label_ids }
}

fn directory() -> Arc<Directory> {
    let directory = Arc::new(Directory::new(Arc::default()));
    directory.has_loaded().now_or_never().unwrap().unwrap();
    directory
}

fn pick(directory: &Arc<Directory>, filter: &HostFilter) -> Vec<i64> {
    let pick = |filter: &HostFilter| HostPick { filter: filter.clone(), now: NOW, values: None };
    let picked = directory.pick(pick(filter)).now_or_never().unwrap().unwrap();
    let whole = HostFilter { limit: None, offset: 0, after: None, ..filter.clone() };
    let whole = directory.pick(pick(&whole)).now_or_never().unwrap().unwrap();
    let count = directory.count(pick(filter)).now_or_never().unwrap().unwrap();
    assert_eq!(count, whole.len() as u64);
    picked.into_iter().map(|host| host.id).collect()
}

/// What a list of hosts must be, host by host.
fn expected(hosts: &BTreeMap<i64, DirectoryHost>, filter: &HostFilter) -> Vec<i64> {
    let text = filter.text.to_ascii_lowercase();
    let has_text = |row: &DirectoryRow| {
        let names = [&row.hostname, &row.computer_name, &row.uuid, &row.hardware_serial, &row.primary_ip];
        names.iter().any(|name| name.to_ascii_lowercase().contains(&text))
    };
    let is_online = |row: &DirectoryRow| row.seen_at.plus(Duration::from_secs(70)) > NOW;
    let mut chosen: Vec<&DirectoryHost> = hosts
        .values()
        .filter(|host| filter.label_id.is_none_or(|label| host.label_ids.contains(&label)))
        .filter(|host| has_text(&host.row))
        .filter(|host| match filter.state {
            Some(HostState::Online) => is_online(&host.row),
            Some(HostState::Offline) => !is_online(&host.row),
            _ => true,
        })
        .collect();
    let key = |host: &DirectoryHost| match filter.order {
        HostOrder::Hostname => host.row.hostname.clone(),
        HostOrder::Platform => host.row.platform.clone(),
        HostOrder::Memory => format!("{:020}", host.row.memory),
        HostOrder::SeenTime => format!("{:020}", host.row.seen_at.0),
        _ => format!("{:020}", host.row.id),
    };
    chosen.sort_by_key(|host| host.row.id);
    chosen.sort_by(|a, b| match filter.is_descending {
        true => key(b).cmp(&key(a)),
        false => key(a).cmp(&key(b)),
    });
    if let Some(OrderValue::Text(after)) = &filter.after {
        chosen.retain(|host| if filter.is_descending { key(host) < *after } else { key(host) > *after });
    }
    let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    chosen.iter().skip(filter.offset as usize).take(limit).map(|host| host.row.id).collect()
}

#[derive(Debug, Clone)]
enum Edit {
    Put(i64, String, String, u64, Vec<i64>),
    Remove(i64),
    DropLabel(i64),
    List(Box<HostFilter>),
}

fn filter() -> impl Strategy<Value = HostFilter> {
    let order = prop_oneof![
        Just(HostOrder::Id),
        Just(HostOrder::Hostname),
        Just(HostOrder::Platform),
        Just(HostOrder::Memory),
        Just(HostOrder::SeenTime),
    ];
    let state = prop_oneof![Just(None), Just(Some(HostState::Online)), Just(Some(HostState::Offline))];
    let text = prop_oneof![Just(String::new()), "[a-cA-C1-3]{1,2}"];
    let label = proptest::option::of(1_i64..4);
    let limit = proptest::option::of(0_u64..5);
    let after = proptest::option::of("[a-c]{1,2}");
    (order, any::<bool>(), state, text, label, 0_u64..3, limit, after).prop_map(
        |(order, is_descending, state, text, label_id, offset, limit, after)| {
            let after = after.filter(|_| order == HostOrder::Hostname).map(OrderValue::Text);
            HostFilter { text, label_id, state, after, offset, limit, order, is_descending }
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    let labels = proptest::collection::btree_set(1_i64..4, 0..3);
    let put = (1_i64..40, "[a-c]{1,3}", prop_oneof!["ubuntu", "darwin"], 0_u64..140, labels).prop_map(
        |(id, name, platform, seen, labels)| Edit::Put(id, name, platform, seen, labels.into_iter().collect()),
    );
    prop_oneof![
        8 => put,
        2 => (1_i64..40).prop_map(Edit::Remove),
        1 => (1_i64..4).prop_map(Edit::DropLabel),
        4 => filter().prop_map(|filter| Edit::List(Box::new(filter))),
    ]
}

proptest! {
    /// Whatever is changed in whatever order, a list is what a look at each host would give.
    #[test]
    fn lists_are_what_a_look_at_each_host_gives(edits in proptest::collection::vec(edit(), 1..120)) {
        let directory = directory();
        let (mut hosts, mut gone) = (BTreeMap::new(), BTreeSet::new());
        for edit in edits {
            match edit {
                // Ids do not come again.
                Edit::Put(id, ..) if gone.contains(&id) => {}
                Edit::Put(id, name, platform, seen, labels) => {
                    let host = host(id, &name, &platform, seen, labels);
                    directory.put([host.clone()]);
                    hosts.insert(id, host);
                }
                Edit::Remove(id) => {
                    directory.remove([id]);
                    gone.insert(id);
                    hosts.remove(&id);
                }
                Edit::DropLabel(label) => {
                    directory.drop_labels(&BTreeSet::from([label]));
                    hosts.values_mut().for_each(|host| host.label_ids.retain(|id| *id != label));
                }
                Edit::List(filter) => prop_assert_eq!(pick(&directory, &filter), expected(&hosts, &filter)),
            }
        }
        let sizes = directory.label_sizes().now_or_never().unwrap().unwrap();
        for label in 1..4 {
            let size = hosts.values().filter(|host| host.label_ids.contains(&label)).count() as u64;
            prop_assert_eq!(sizes.get(&label).copied().unwrap_or_default(), size);
        }
    }
}

#[test]
fn a_page_leaves_newer_changes_and_takes_away_what_is_gone() {
    let directory = directory();
    for id in 1..=3 {
        directory.put([host(id, "old", "ubuntu", 0, Vec::new())]);
    }
    directory.drop_labels(&BTreeSet::from([8]));
    directory.begin_page();
    directory.put([host(1, "newer", "ubuntu", 0, Vec::new())]);
    directory.remove([2]);
    directory.drop_labels(&BTreeSet::from([7]));
    // The page was read before the changes; host 3 was deleted while nobody followed.
    directory.end_page([1, 2, 4].map(|id| host(id, "page", "ubuntu", 0, vec![7, 9])).into(), [1, 3].into());
    assert_eq!(pick(&directory, &HostFilter::default()), [1, 4]);
    assert_eq!(pick(&directory, &HostFilter { text: "NEWER".to_owned(), ..HostFilter::default() }), [1]);
    assert_eq!(directory.label_sizes().now_or_never().unwrap().unwrap(), HashMap::from([(9, 1)]));
    // What was read of it before its deletion does not bring it back.
    directory.put([host(2, "older", "ubuntu", 0, Vec::new())]);
    assert_eq!(pick(&directory, &HostFilter::default()), [1, 4]);
    assert_eq!(directory.newest(), 4);
}

#[test]
fn groups_are_labels_and_platforms_together_with_hosts_on_top() {
    let directory = directory();
    for (id, platform, labels) in
        [(1, "ubuntu", vec![1]), (2, "darwin", vec![1, 2]), (3, "ubuntu", vec![2]), (4, "windows", vec![])]
    {
        directory.put([host(id, "h", platform, 0, labels)]);
    }
    let members = |groups: TargetGroups| -> Vec<u64> {
        directory.members(groups).now_or_never().unwrap().unwrap().iter().collect()
    };
    assert_eq!(members(TargetGroups { all: true, ..TargetGroups::default() }), [1, 2, 3, 4]);
    let some = TargetGroups { all: true, excluded_labels: vec![2], ..TargetGroups::default() };
    assert_eq!(members(some), [1, 4]);
    let both = TargetGroups { label_lists: vec![vec![1], vec![2]], ..TargetGroups::default() };
    assert_eq!(members(both), [2]);
    let on_top = TargetGroups {
        label_lists: vec![vec![1]],
        platforms: vec!["ubuntu".to_owned()],
        hosts: [4, 99].into(),
        ..TargetGroups::default()
    };
    assert_eq!(members(on_top), [1, 4]);
    assert_eq!(members(TargetGroups::default()), [0_u64; 0]);
}
