//! One way to filter hosts, whatever is done with those that are found.

use std::time::Duration;

use muster_api::rest::{HostCount, HostList};
use serde_json::{Map, Value, json};

use super::hosts::{add_hosts_to, fleet};
use crate::support::TestServer;

/// Hosts with the ids 1 to 6 that differ in system, disk and label; the id of the label.
async fn mixed(server: &mut TestServer) -> i64 {
    add_hosts_to(server, 6).await;
    for (id, platform, os_version, gigs, percent) in [
        (1, "ubuntu", "Ubuntu 24.04", "5.25", "10.5"),
        (2, "ubuntu", "Ubuntu 22.04", "50", "60"),
        // It has not said it yet.
        (3, "debian", "Debian 12", "0", "0"),
        (4, "windows", "Windows 11 10.0.22631", "20.5", "3"),
        (5, "darwin", "macOS 15.1", "0.01", "0"),
        (6, "darwin", "macOS", "100", "90"),
    ] {
        server.database().execute(&format!(
            "UPDATE hosts SET platform = '{platform}', os_version = '{os_version}', gigs_disk_space_available = {gigs}, \
             percent_disk_space_available = {percent} WHERE id = {id}"
        ));
    }
    server.restart().await;
    let label = json!({ "kind": "label", "spec": {
        "name": "some", "label_membership_type": "manual", "hosts": ["id-1", "id-3", "id-5"],
    } });
    server.rest.apply(&[label]).await;
    server.number("SELECT id FROM labels WHERE name = 'some'")
}

/// The ids that a list shows.
async fn ids(server: &TestServer, path: &str) -> Vec<i64> {
    server.rest.read::<HostList>(path).await.hosts.iter().map(|host| host.id).collect()
}

/// Filters, and the ids of the hosts that they find.
type FilterCase<'a> = (&'a [(&'a str, &'a str)], &'a [i64]);

#[tokio::test]
async fn whatever_is_asked_of_hosts_the_filters_find_the_same() {
    let mut server = TestServer::start().await;
    let label = mixed(&mut server).await;
    let label = &*label.to_string();
    let cases: [FilterCase<'_>; 15] = [
        (&[], &[1, 2, 3, 4, 5, 6]),
        (&[("label_id", label)], &[1, 3, 5]),
        (&[("label_id", label), ("platform", "linux")], &[1, 3]),
        (&[("platform", "linux")], &[1, 2, 3]),
        (&[("platform", "ubuntu")], &[1, 2]),
        (&[("os_name", "Ubuntu")], &[1, 2]),
        (&[("os_name", "Ubuntu"), ("os_version", "22.04")], &[2]),
        (&[("os_version", "Debian 12")], &[3]),
        (&[("os_name", "macOS")], &[5, 6]),
        (&[("os_name", "Ubunt")], &[]),
        (&[("low_disk_space", "20")], &[1, 5]),
        (&[("low_disk_space", "21"), ("query", "HOST-00000000")], &[1, 4, 5]),
        (&[("low_disk_space", "1000"), ("platform", "windows")], &[4]),
        (&[("status", "offline"), ("platform", "darwin")], &[]),
        (&[("status", "new"), ("os_name", "Windows 11")], &[4]),
    ];
    // They have called as they came into the database.
    for (filter, expected) in cases {
        let query: Vec<String> = filter.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = query.join("&").replace(' ', "%20");
        assert_eq!(ids(&server, &format!("hosts?{query}")).await, expected, "{query}");
        assert_eq!(server.rest.read::<HostCount>(&format!("hosts/count?{query}")).await.count, expected.len() as u64);
        let report = server.rest.get(&format!("hosts/report?format=csv&columns=id&{query}")).await.text;
        let lines: Vec<i64> = report.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines, expected, "{query}");
        if !filter.iter().any(|(key, _)| *key == "low_disk_space") {
            let summary = server.rest.get(&format!("host_summary?{query}")).await.json();
            assert_eq!(summary["totals_hosts_count"], expected.len(), "{query}");
        }
        let filters: Map<String, Value> = (filter.iter())
            .map(|(key, value)| ((*key).to_owned(), value.parse::<i64>().map_or(json!(value), |number| json!(number))))
            .collect();
        let found =
            server.rest.post("hosts/delete", &json!({ "filters": filters, "all": true, "dry_run": true })).await;
        assert_eq!(found.status, 200, "{query}: {}", found.text);
        assert_eq!(found.json(), json!({ "count": expected.len() }), "{query}");
    }
    for (path, expected) in [
        (format!("labels/{label}/hosts?os_name=macOS"), &[5_i64][..]),
        (format!("labels/{label}/hosts?platform=linux&order_key=id&order_direction=desc"), &[3, 1]),
    ] {
        assert_eq!(ids(&server, &path).await, expected, "{path}");
    }
    for (bad, status) in [
        ("hosts?label_id=999999", 404),
        ("hosts/count?label_id=999999", 404),
        ("host_summary?label_id=999999", 404),
        ("hosts?label_id=x", 400),
        ("hosts?low_disk_space=x", 400),
        ("hosts?low_disk_space=99999999999", 400),
        ("hosts?after_id=3", 400),
        ("labels/999999/hosts", 404),
    ] {
        assert_eq!(server.rest.get(bad).await.status, status, "{bad}");
    }
    let twice = server.rest.get(&format!("labels/{label}/hosts?label_id={label}")).await;
    assert_eq!(twice.status, 400, "{}", twice.text);
}

#[tokio::test]
async fn hosts_are_ordered_by_the_disk_space_that_they_have_told() {
    let mut server = TestServer::start().await;
    mixed(&mut server).await;
    let order = "order_key=gigs_disk_space_available&order_direction=desc";
    for (query, expected) in [
        (order.to_owned(), &[6_i64, 2, 4, 1, 5, 3][..]),
        (format!("{order}&after=20.5&per_page=2"), &[1, 5]),
        ("order_key=percent_disk_space_available&per_page=3".to_owned(), &[3, 5, 4]),
        ("order_key=percent_disk_space_available&after=0&after_id=3&per_page=2".to_owned(), &[5, 4]),
    ] {
        assert_eq!(ids(&server, &format!("hosts?{query}")).await, expected, "{query}");
    }
    let bad = server.rest.get(&format!("hosts?{order}&after=much")).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
}

/// Whoever goes on behind the last host of a page, by its value and id, meets each host once, however many have the value.
#[tokio::test]
async fn pages_behind_a_host_lose_and_repeat_none() {
    let mut server = TestServer::start().await;
    mixed(&mut server).await;
    for direction in ["asc", "desc"] {
        let (mut met, mut behind) = (Vec::new(), String::new());
        loop {
            let page = format!("hosts?order_key=platform&order_direction={direction}&per_page=2{behind}");
            let page = server.rest.read::<HostList>(&page).await.hosts;
            let Some(last) = page.last() else { break };
            behind = format!("&after={}&after_id={}", last.platform, last.id);
            met.extend(page.iter().map(|host| host.id));
        }
        let whole = ids(&server, &format!("hosts?order_key=platform&order_direction={direction}")).await;
        assert_eq!((met.len(), &met), (6, &whole), "{direction}");
    }
}

#[tokio::test]
async fn hosts_are_counted_by_status_and_platform() {
    let day = Duration::from_secs(24 * 3600);
    let server = TestServer::with(|config| config.session.duration = 100 * day).await;
    fleet(&server, 2).await;
    server.clock.advance(31 * day);
    fleet(&server, 1).await;
    let mut summary = server.rest.get("host_summary").await.json();
    let labels = summary["builtin_labels"].take();
    assert_eq!(
        summary,
        json!({
            "totals_hosts_count": 2, "online_count": 1, "offline_count": 1, "mia_count": 1, "missing_30_days_count": 1,
            "new_count": 0, "all_linux_count": 1, "builtin_labels": null,
            "platforms": [{ "platform": "darwin", "hosts_count": 1 }, { "platform": "ubuntu", "hosts_count": 1 }],
        })
    );
    let names: Vec<&str> = labels.as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 7);
    assert!(names.contains(&"All Hosts") && labels[0]["label_type"] == "builtin", "{labels}");
    for (query, total) in [("platform=linux", 1), ("team_id=1", 2), ("platform=windows", 0)] {
        let narrowed = server.rest.get(&format!("host_summary?{query}")).await.json();
        assert_eq!(narrowed["totals_hosts_count"], total, "{query}");
    }
    server.database().execute("UPDATE hosts SET gigs_disk_space_available = 3 WHERE id = 1");
    let low = server.rest.get("host_summary?low_disk_space=10").await.json();
    assert_eq!((&low["low_disk_space_count"], &low["totals_hosts_count"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_search_finds_the_first_hosts_but_for_some() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 30).await;
    let found = async |body: Value| {
        let answer = server.rest.post("hosts/search", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.read::<HostList>().hosts.iter().map(|host| host.id).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({ "query": "HOST-00000001" })).await, (10..20).collect::<Vec<_>>());
    let body = json!({ "query": "host-00000002", "query_id": null, "excluded_host_ids": [20, 22] });
    assert_eq!(found(body).await, [21, 23, 24, 25, 26, 27, 28, 29]);
    assert_eq!(found(json!({})).await.len(), 10);
    assert_eq!(found(json!({ "query": "nothing", "excluded_host_ids": null })).await, [0_i64; 0]);
    assert_eq!(server.rest.post("hosts/search", &json!({ "qeury": "x" })).await.status, 400);
}
