use std::time::Duration;

use agent_compat::agent::{Identity, Platform};
use serde_json::{Value, json};

use super::{counts, hosts, start};
use crate::support::TestServer;

async fn chosen(server: &TestServer, id: i64) -> Vec<i64> {
    let listed = server.rest.get(&format!("live_queries/{id}/hosts?state=pending")).await.json();
    listed["hosts"].as_array().unwrap().iter().map(|host| host["id"].as_i64().unwrap()).collect()
}

async fn sample(server: &TestServer, limits: Value) -> i64 {
    let mut request = json!({ "query": "SELECT 1", "targets": { "all": true } });
    request.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    start(server, request).await.id
}

#[tokio::test]
async fn a_share_of_the_hosts_is_another_one_each_time_and_stays_with_its_job() {
    let mut server = TestServer::start().await;
    hosts(&server, 24).await;
    let mut shares = Vec::new();
    for _ in 0..3 {
        let id = sample(&server, json!({ "percent": 50 })).await;
        assert_eq!(counts(&server, id).await.targets, 12);
        shares.push((id, chosen(&server, id).await));
    }
    // Of 2.7 million shares there are, three times the same one does not happen by chance.
    assert!(shares.iter().any(|(_, share)| *share != shares[0].1), "{shares:?}");
    server.restart().await;
    for (id, share) in shares {
        assert_eq!(chosen(&server, id).await, share);
    }
}

#[tokio::test]
async fn limits_hold_together() {
    let server = TestServer::start().await;
    hosts(&server, 10).await;
    for (limits, expected) in [
        (json!({ "percent": 25 }), 3),
        (json!({ "max_hosts": 4 }), 4),
        (json!({ "max_hosts": 100 }), 10),
        (json!({ "percent": 50, "max_hosts": 2 }), 2),
        (json!({ "percent": 1 }), 1),
    ] {
        let id = sample(&server, limits.clone()).await;
        assert_eq!(counts(&server, id).await.targets, expected, "{limits}");
    }
    for (limits, path) in [
        (json!({ "percent": 0 }), "percent"),
        (json!({ "percent": 101 }), "percent"),
        (json!({ "max_hosts": 0 }), "max_hosts"),
    ] {
        let mut request = json!({ "query": "SELECT 1", "targets": { "all": true } });
        request.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let answer = server.rest.post("live_queries", &request).await;
        assert_eq!(answer.status, 422, "{limits}");
        assert!(answer.problems()[0].starts_with(path), "{limits}: {:?}", answer.problems());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_online_hosts_of_each_version_are_asked_and_only_those_that_consent() {
    let server = TestServer::with(|config| config.live.try_label = "consenting".to_owned()).await;
    // Of one platform and version, all of them.
    let alike = |index, platform| Identity {
        os: Identity::simulated(1, 0, platform).os,
        osquery_version: "5.23.1".to_owned(),
        ..Identity::simulated(1, index, platform)
    };
    let mut agents = Vec::new();
    for index in 0..6 {
        let mut agent = server.address.agent_of(alike(index, Platform::Linux));
        agent.enroll().await;
        crate::checkin::settle(&mut agent).await;
        agents.push(agent);
    }
    server.clock.advance(Duration::from_secs(3600));
    for index in 0..2 {
        let mut agent = server.address.agent_of(alike(100 + index, Platform::Windows));
        agent.enroll().await;
        crate::checkin::settle(&mut agent).await;
    }
    for agent in &mut agents[..5] {
        crate::checkin::settle(agent).await;
    }
    let request = |targets: Value, most: u32| json!({ "query": "SELECT 1", "targets": targets, "per_version": most });
    let unknown = server.rest.post("live_queries", &request(json!({}), 2)).await;
    assert!(unknown.status == 422 && unknown.text.contains("there is no label"), "{}", unknown.text);
    let refused = server.rest.post("live_queries", &request(json!({ "all": true }), 101)).await;
    assert!(refused.status == 422 && refused.text.contains("expects 1 to 100 hosts"), "{}", refused.text);
    let away = server.rest.post("live_queries", &request(json!({ "host_ids": [6] }), 2)).await;
    assert!(away.status == 422 && away.text.contains("none of these hosts is online"), "{}", away.text);

    let started = server.rest.post("live_queries", &request(json!({ "all": true }), 2)).await.json();
    let groups: Vec<(&str, u64, usize)> = started["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let hosts = group["host_ids"].as_array().unwrap();
            assert!(hosts.iter().all(|id| id.as_i64().unwrap() != 6), "offline: {group}");
            (group["platform"].as_str().unwrap(), group["size"].as_u64().unwrap(), hosts.len())
        })
        .collect();
    assert_eq!((groups.len(), groups[0].1, groups[0].2), (2, 6, 2), "{started}");
    assert_eq!(groups[1], ("windows", 2, 2), "{started}");
    assert_eq!(started["live_query"]["counts"]["targets"], 4);

    let names: Vec<&str> = agents[..2].iter().map(|agent| agent.agent().identity().fqdn.as_str()).collect();
    let spec = json!({ "name": "consenting", "label_membership_type": "manual", "hosts": names });
    let documents = json!({ "documents": [{ "kind": "label", "spec": spec }] });
    assert_eq!(server.rest.post("spec/apply", &documents).await.status, 200);
    let started = server.rest.post("live_queries", &request(json!({}), 9)).await.json();
    assert_eq!(started["groups"].as_array().unwrap().len(), 1, "{started}");
    assert_eq!(started["live_query"]["counts"]["targets"], 2, "{started}");
}
