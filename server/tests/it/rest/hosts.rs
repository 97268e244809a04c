use std::time::Duration;

use agent_compat::agent::{Identity, Platform};
use muster_api::rest::{Action, HostCount, HostEnvelope, HostList, HostStatus};
use serde_json::json;

use crate::support::{Database, ENROLL_SECRET, TestServer};

/// Hosts whose names, systems and times differ; the first is `host-0`.
pub async fn fleet(server: &TestServer, count: u32) {
    for index in 0..count {
        server.clock.advance(Duration::from_secs(10));
        let platform = [Platform::Linux, Platform::Darwin, Platform::Windows][index as usize % 3];
        let identity = Identity {
            host_identifier: format!("id-{index}"),
            uuid: format!("UUID-{:02}", 50 - index),
            fqdn: format!("host-{index}.example"),
            computer_name: format!("Computer {index}"),
            ..Identity::simulated(1, index, platform)
        };
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        assert!(agent.config().await.verdict.is_success());
    }
    // What hosts were told of their intervals decides when they count as offline.
    server.run_tasks().await;
}

/// Hosts that never call, with ids from 1 and names in the order of the ids.
pub fn add_hosts(database: &Database, now: i64, count: u32) {
    let texts = "instance_id, computer_name, uuid, platform, platform_like, os_version, build, code_name, \
         osquery_version, cpu_type, cpu_subtype, cpu_brand, hardware_vendor, hardware_model, hardware_version, \
         hardware_serial, primary_ip, primary_mac, shard_hostname";
    let numbers = "memory, cpu_physical_cores, cpu_logical_cores, uptime_secs, distributed_interval, config_refresh, \
         logger_tls_period, gigs_disk_space_available, percent_disk_space_available, refetch_requested";
    let times = "created_at, updated_at, enrolled_at, seen_at, detail_updated_at, label_updated_at";
    let many = |value: &str, columns: &str| vec![value.to_owned(); columns.split(',').count()].join(", ");
    let (text, number, time) =
        (many("'some text of a usual length'", texts), many("10", numbers), many(&now.to_string(), times));
    let ids: Vec<u32> = (1..=count).collect();
    for batch in ids.chunks(500) {
        let rows: Vec<String> = batch
            .iter()
            .map(|id| format!("({id}, 'id-{id}', 'id-{id}', 'host-{id:09}', {text}, {number}, {time})"))
            .collect();
        database.execute(&format!(
            "INSERT INTO hosts (id, identifier, claimed_identifier, hostname, {texts}, {numbers}, {times}) VALUES {}",
            rows.join(", ")
        ));
    }
}

/// As [`add_hosts`], and starts the server again: it reads what others have put into the database when it starts.
pub async fn add_hosts_to(server: &mut TestServer, count: u32) {
    add_hosts(&server.database(), server.clock.now().0, count);
    server.restart().await;
}

async fn names(server: &TestServer, query: &str) -> Vec<String> {
    let found: HostList = server.rest.read(&format!("hosts?{query}")).await;
    let name = |name: String| name.trim_end_matches(".example").trim_start_matches("host-").to_owned();
    found.hosts.into_iter().map(|host| name(host.hostname)).collect()
}

async fn count(server: &TestServer, query: &str) -> u64 {
    server.rest.read::<HostCount>(&format!("hosts/count?{query}")).await.count
}

#[tokio::test]
async fn hosts_come_in_pages() {
    let server = TestServer::start().await;
    fleet(&server, 7).await;
    for (query, expected) in [
        ("", "0 1 2 3 4 5 6"),
        ("per_page=3", "0 1 2"),
        ("page=0&per_page=3", "0 1 2"),
        ("page=2&per_page=3", "6"),
        ("page=3&per_page=3", ""),
        ("page=1", ""),
        ("page=0", "0 1 2 3 4 5 6"),
        ("per_page=100&page=0&status=online", "0 1 2 3 4 5 6"),
        ("per_page=2&page=1&status=online", "2 3"),
    ] {
        assert_eq!(names(&server, query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn hosts_come_in_the_order_asked_for() {
    let server = TestServer::start().await;
    fleet(&server, 4).await;
    for (query, expected) in [
        ("order_key=id&order_direction=desc", "3 2 1 0"),
        ("order_key=hostname&order_direction=desc", "3 2 1 0"),
        ("order_key=display_name", "0 1 2 3"),
        ("order_key=uuid", "3 2 1 0"),
        ("order_key=created_at&order_direction=desc", "3 2 1 0"),
        ("order_key=seen_time&order_direction=asc", "0 1 2 3"),
        ("order_key=platform&order_direction=desc&per_page=1", "2"),
    ] {
        assert_eq!(names(&server, query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn hosts_are_searched_by_what_people_call_them() {
    let mut server = TestServer::start().await;
    fleet(&server, 12).await;
    for (id, name) in [(5, "Räksmörgås 4"), (8, "ÄPPLE 7")] {
        server.database().execute(&format!("UPDATE hosts SET computer_name = '{name}' WHERE id = {id}"));
    }
    server.restart().await;
    for (text, expected) in [
        ("host-1", "1 10 11"),
        ("HOST-1.EXAMPLE", "1"),
        ("uuid-45", "5"),
        ("Computer%203", "3"),
        ("%25", ""),
        ("_", ""),
        ("'", ""),
        ("nothing", ""),
        ("R%C3%A4ksm%C3%B6rg%C3%A5s%204", "4"),
        ("%C3%84PPLE", "7"),
        ("%C3%84pple", "7"),
    ] {
        assert_eq!(names(&server, &format!("query={text}")).await.join(" "), expected, "{text}");
        assert_eq!(count(&server, &format!("query={text}")).await, expected.split_whitespace().count() as u64);
    }
}

#[tokio::test]
async fn hosts_go_offline_and_cease_to_be_new() {
    let server = TestServer::start().await;
    fleet(&server, 2).await;
    let states = async || {
        let mut counts = Vec::new();
        for status in ["online", "offline", "new"] {
            counts.push(count(&server, &format!("status={status}")).await);
        }
        counts
    };
    assert_eq!(states().await, [2, 0, 2]);
    server.clock.advance(Duration::from_secs(3600));
    fleet(&server, 1).await;
    assert_eq!(states().await, [1, 1, 2]);
    let found: HostList = server.rest.read("hosts?status=offline").await;
    assert_eq!(found.hosts[0].status, HostStatus::Offline);
    server.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(states().await, [0, 2, 0]);
    assert_eq!(count(&server, "").await, 2);
}

#[tokio::test]
async fn a_host_is_shown_with_the_secret_it_enrolled_with() {
    let server = TestServer::start().await;
    let apply = async |secrets: serde_json::Value| {
        server.rest.apply(&[json!({ "kind": "enroll_secret", "spec": { "secrets": secrets } })]).await
    };
    apply(json!([{ "secret": ENROLL_SECRET, "name": "default" }, { "secret": "other" }])).await;
    server.enrolled(1).await;
    let name = async || server.rest.get("hosts/1").await.json()["host"]["enroll_secret_name"].clone();
    assert_eq!(name().await, "default");
    let listed: HostList = server.rest.read("hosts").await;
    assert_eq!(listed.hosts[0].enroll_secret_name, "default");
    let without_names = json!([{ "secret": ENROLL_SECRET }, { "secret": "other" }]);
    assert_eq!(apply(without_names.clone()).await.changes[0].action, Action::Unchanged);
    assert_eq!(name().await, "default", "a file without names leaves them");
    apply(json!([{ "secret": ENROLL_SECRET, "name": "renamed" }, { "secret": "other" }])).await;
    assert_eq!(name().await, "renamed");
    let secrets = server.rest.get("spec/enroll_secret").await.json();
    assert_eq!(
        (&secrets["spec"]["secrets"][0]["name"], &secrets["spec"]["secrets"][1]["name"]),
        (&json!("renamed"), &serde_json::Value::Null)
    );
    assert_eq!(secrets["specs"]["secrets"][0]["name"], "renamed");
    assert!(secrets["specs"]["secrets"][1]["name"].as_str().unwrap().starts_with("secret-"));
    apply(json!([{ "secret": "other" }])).await;
    assert_eq!(name().await, "");
}

/// Fleet's clients ask so for what Muster does not have; it narrows nothing.
#[tokio::test]
async fn parameters_of_fleets_clients_without_a_meaning_here_are_ignored() {
    let server = TestServer::start().await;
    fleet(&server, 2).await;
    for query in [
        "additional_info_filters=*",
        "additional_info_filters=&device_mapping=true",
        "populate_software=true&populate_policies=true&populate_users=true&populate_labels=true",
        "disable_failing_policies=true&disable_issues=1",
        "after=",
    ] {
        for path in ["hosts", "labels/1/hosts"] {
            let found: HostList = server.rest.read(&format!("{path}?{query}")).await;
            assert_eq!(found.hosts.len(), 2, "{path}?{query}");
        }
        assert_eq!(count(&server, query).await, 2, "{query}");
    }
}

#[tokio::test]
async fn a_list_goes_on_after_a_value() {
    let server = TestServer::start().await;
    fleet(&server, 4).await;
    let first = server.rest.read::<HostList>("hosts?per_page=1").await.hosts.remove(0);
    let created = first.created_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    for (query, expected) in [
        ("after=2".to_owned(), "2 3"),
        ("after=2&order_key=id&order_direction=desc".to_owned(), "0"),
        ("after=host-1.example&order_key=hostname".to_owned(), "2 3"),
        ("after=Computer%201&order_key=computer_name&per_page=1".to_owned(), "2"),
        (format!("after={created}&order_key=created_at"), "1 2 3"),
    ] {
        assert_eq!(names(&server, &query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn hosts_that_were_not_seen_for_a_month_are_missing() {
    let day = Duration::from_secs(24 * 3600);
    let server = TestServer::with(|config| config.session.duration = 100 * day).await;
    fleet(&server, 2).await;
    server.clock.advance(29 * day);
    assert_eq!(names(&server, "status=mia").await, [""; 0]);
    server.clock.advance(day);
    for (status, expected) in [("mia", "0 1"), ("missing", "0 1"), ("offline", "0 1"), ("online", ""), ("new", "")] {
        assert_eq!(names(&server, &format!("status={status}")).await.join(" "), expected, "{status}");
    }
}

#[tokio::test]
async fn parameters_nobody_knows_are_refused() {
    let server = TestServer::start().await;
    for path in ["hosts", "hosts/count"] {
        for bad in [
            "statuss=online",
            "status=sleeping",
            "page=-1",
            "page=x",
            "per_page=0",
            "per_page=-1",
            "order_key=secret",
            "order_direction=desc",
            "order_key=id&order_direction=up",
            "limit=5",
            "after=x",
            "order_key=seen_time&after=yesterday",
            "a",
        ] {
            let answer = server.rest.get(&format!("{path}?{bad}")).await;
            assert_eq!(answer.status, 400, "{path}?{bad}: {}", answer.text);
            assert_eq!(answer.problems().len(), 1, "{path}?{bad}");
        }
    }
}

#[tokio::test]
async fn a_host_is_found_by_any_of_its_names() {
    let server = TestServer::start().await;
    fleet(&server, 3).await;
    for word in ["id-1", "UUID-49", "host-1.example", "Computer%201"] {
        let found: HostEnvelope = server.rest.read(&format!("hosts/identifier/{word}")).await;
        assert_eq!(found.host.host.hostname, "host-1.example", "{word}");
    }
}

#[tokio::test]
async fn a_page_far_beyond_the_last_is_empty() {
    let server = TestServer::start().await;
    fleet(&server, 1).await;
    for query in
        ["page=9999999999999&per_page=10000", "page=9223372036854775807&per_page=10000", "page=9223372036854775807"]
    {
        assert_eq!(names(&server, query).await, [""; 0], "{query}");
    }
    assert_eq!(names(&server, "per_page=10000").await, ["0"]);
    for path in
        ["hosts?per_page=10001", "labels?page=1&per_page=9223372036854775807", "hosts/report?format=csv&per_page=10001"]
    {
        let answer = server.rest.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(
            answer.problems()[0].contains("per_page is 10000 at most; leave out page and per_page"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_in_json() {
    let server = TestServer::start().await;
    for bad in ["hosts/x", "hosts/99999999999999999999", "hosts/-1", "hosts/1.5"] {
        let answer = server.rest.get(bad).await;
        assert!([400, 404].contains(&answer.status), "{bad}: {answer:?}");
        assert_eq!(answer.problems().len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn a_name_several_hosts_have_is_not_guessed() {
    let server = TestServer::start().await;
    for index in 0..2 {
        let identity = Identity { fqdn: "same".to_owned(), ..Identity::simulated(1, index, Platform::Linux) };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
    }
    let answer = server.rest.get("hosts/identifier/same").await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let identifier = Identity::simulated(1, 0, Platform::Linux).host_identifier;
    assert!(answer.text.contains(&identifier), "{}", answer.text);
}

#[tokio::test]
async fn a_host_is_shown_with_what_it_said_of_itself() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(super::DOCUMENTS).await;
    let mut agent = server.agent(1);
    let secret = agent.agent().flags().enroll_secret.to_string();
    let secrets = serde_json::json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": secret }] } });
    server.rest.apply(&[secrets]).await;
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    server.run_tasks().await;
    insta::assert_snapshot!("host", server.rest.get("hosts/1").await.text);
    insta::assert_snapshot!("hosts", server.rest.get("hosts").await.text);
}
