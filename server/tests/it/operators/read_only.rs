//! Servers that refuse every change of operators.

use agent_compat::agent::{Flags, Identity, Platform};

use crate::rest::operations::{self, furnished};
use crate::support::{Rest, TestServer};

/// Operations that change nothing, though they are no GET.
const READING: [&str; 8] = [
    "/translate",
    "/login",
    "/logout",
    "/hosts/search",
    "/targets",
    "/targets/count",
    "/live_queries/{id}/cancel",
    "/live_queries/{id}/pause",
];

/// What operators can change.
const TABLES: [&str; 10] = [
    "users",
    "queries",
    "packs",
    "labels",
    "pack_labels",
    "scheduled_queries",
    "enroll_secrets",
    "hosts",
    "live_queries",
    "settings",
];

#[tokio::test]
async fn every_change_is_refused_and_recorded_while_hosts_go_on() {
    let mut first = furnished().await;
    first.stop().await;
    let server = TestServer::beside_with(&first, |config| config.server.read_only = true).await;
    let user = server.user("admin");
    let counts = || TABLES.map(|table| server.number(&format!("SELECT count(*) FROM {table}")));
    let generation = || server.number("SELECT value FROM generations WHERE name = 'schedule'");
    let before = (counts(), generation());
    let mut refused = 0;
    for operation in operations::all(&server).await {
        let answer = user.send(operation.method, operation.path, operation.body.as_ref()).await;
        if operation.method == "GET" && operation.route != "/queries/run" || READING.contains(&operation.route) {
            assert_ne!(answer.status, 403, "{operation:?}: {}", answer.text);
            continue;
        }
        // There is no live query whose pace could be changed.
        let expected: &[u16] = if operation.route.starts_with("/live_queries/{id}") { &[404] } else { &[403] };
        assert!(expected.contains(&answer.status), "{operation:?}: {}", answer.text);
        if answer.status == 403 {
            assert!(answer.problems()[0].contains("server.read_only"), "{operation:?}: {}", answer.text);
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
    assert_eq!((counts(), generation()), before);
    server.run_tasks().await;
    assert!(server.number("SELECT count(*) FROM activities WHERE kind = 'refused_change'") >= 5);

    let query = serde_json::json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } });
    assert_eq!(server.rest.try_apply(&[query], true).await.status, 200);
    let flags = Flags { enroll_secret: "one".into(), ..Flags::default() };
    let mut agent = server.address.agent_with(Identity::simulated(7, 1, Platform::Linux), flags);
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    assert!(agent.read().await.verdict.is_success());
}

#[tokio::test]
async fn a_new_server_is_not_set_up_while_it_is_read_only() {
    let server = TestServer::empty(|config| config.server.read_only = true).await;
    let answer = server.rest.anonymous().post("/api/v1/setup", &Rest::set_up_body()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(server.number("SELECT count(*) FROM users"), 0);
}
