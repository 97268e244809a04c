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
