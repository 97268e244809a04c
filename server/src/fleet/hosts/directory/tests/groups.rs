use std::collections::HashMap;
use std::time::Instant;

use super::*;
use crate::fleet::schema::AgentGroup;

fn group(platform: &str) -> AgentGroup {
    AgentGroup::of(platform, "5.23.0").unwrap()
}

fn askable(directory: &Arc<Directory>, groups: &[&str], left_out: &[(i64, &str)], most: usize) -> Vec<(i64, String)> {
    let groups = groups.iter().map(|platform| group(platform)).collect();
    let left_out: HashMap<i64, AgentGroup> = left_out.iter().map(|(id, platform)| (*id, group(platform))).collect();
    let found = directory.askable(groups, left_out, most, NOW).now_or_never().unwrap().unwrap();
    found.into_iter().map(|host| (host.id, host.address)).collect()
}

#[test]
fn online_hosts_of_a_group_are_found_and_others_each_time() {
    let directory = directory();
    directory.put((1..=40).map(|id| host(id, "h", "ubuntu", if id <= 30 { 0 } else { 9_000 }, Vec::new())));
    directory.put((41..=50).map(|id| host(id, "h", "windows", 0, vec![7])));
    let all = askable(&directory, &["ubuntu"], &[(1, "ubuntu"), (2, "windows")], 100);
    let mut ids: Vec<i64> = all.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (2..=30).collect::<Vec<_>>(), "without those that are offline or left out of their group");
    assert!(all.contains(&(7, "10.0.0.7".to_owned())));
    let some = || askable(&directory, &["ubuntu", "windows"], &[], 5);
    assert_eq!((some().len(), askable(&directory, &["darwin"], &[], 5).len()), (10, 0));
    assert!((0..20).any(|_| some() != some()));
    let targets = |groups| directory.group_sizes(groups).now_or_never().unwrap().unwrap();
    let labelled = TargetGroups { label_lists: vec![vec![7]], hosts: [3].into(), ..TargetGroups::default() };
    assert_eq!(targets(labelled), [(group("ubuntu"), 1), (group("windows"), 10)].into());
}

/// Prints how long the leader looks at half a million hosts.
#[test]
#[ignore = "prints figures"]
fn looking_at_a_large_fleet() {
    const PLATFORMS: [&str; 10] =
        ["ubuntu", "debian", "rhel", "centos", "amzn", "arch", "sles", "fedora", "darwin", "windows"];
    let directory = Arc::new(Directory::new(Arc::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(directory.has_loaded()).unwrap();
    for id in 1..=500_000 {
        directory.put([host(id, "h", PLATFORMS[id as usize % 10], 0, Vec::new())]);
    }
    runtime.block_on(directory.platforms()).unwrap();
    let start = Instant::now();
    let groups = runtime.block_on(directory.platforms_and_versions()).unwrap().len();
    println!("{groups} groups counted in {:?}", start.elapsed());
    let wanted = PLATFORMS.map(group).into();
    let start = Instant::now();
    let found = runtime.block_on(directory.askable(wanted, HashMap::new(), 64, NOW)).unwrap().len();
    println!("{found} hosts found in {:?}", start.elapsed());
    let start = Instant::now();
    let all = TargetGroups { all: true, ..TargetGroups::default() };
    let sizes = runtime.block_on(directory.group_sizes(all)).unwrap().len();
    println!("{sizes} groups of all hosts counted in {:?}", start.elapsed());
}
