mod groups;
mod pages;

use futures_util::FutureExt as _;

use super::*;
use crate::clock::Moment;
use crate::fleet::hosts::list::HostFilter;
use crate::store::directory::DirectoryRow;

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

/// Ids of the hosts of a list.
fn pick(directory: &Arc<Directory>, filter: &HostFilter) -> Vec<i64> {
    let pick = HostPick::new(filter.clone(), NOW);
    directory.pick(pick).now_or_never().unwrap().unwrap().into_iter().map(|host| host.id).collect()
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
