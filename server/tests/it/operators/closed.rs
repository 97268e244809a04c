//! What servers refuse that take no change of operators, whatever the reason.

use agent_compat::agent::{Flags, Identity, Platform};
use serde_json::json;

use crate::rest::operations::{self, Least};
use crate::support::TestServer;

/// Operations that change nothing, though they are no GET.
const READING: [&str; 9] = [
    "/spec/plan",
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

/// Sends every operation to a furnished server as each role: reading goes on, and each change and question is refused for this
/// reason and recorded.
pub async fn assert_all_refused(server: &TestServer, reason: &str) {
    let counts = || TABLES.map(|table| server.number(&format!("SELECT count(*) FROM {table}")));
    let generation = || server.number("SELECT value FROM generations WHERE name = 'schedule'");
    let roles = [(Least::Admin, "admin"), (Least::Maintainer, "maintainer"), (Least::Observer, "observer")];
    let users = roles.map(|(rank, role)| (rank, role, server.user(role)));
    let before = (counts(), generation());
    for (rank, role, user) in &users {
        let mut refused = 0;
        for operation in operations::all(server).await {
            let answer = user.send(operation.method, operation.path, operation.body.as_ref()).await;
            if operation.least > *rank {
                assert_eq!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
                continue;
            }
            if operation.method == "GET" && operation.route != "/queries/run" || READING.contains(&operation.route) {
                assert_ne!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
                continue;
            }
            // There is no live query whose pace could be changed.
            let expected: &[u16] = if operation.route.starts_with("/live_queries/{id}") { &[404] } else { &[403] };
            assert!(expected.contains(&answer.status), "{role}: {operation:?}: {}", answer.text);
            if answer.status == 403 {
                assert!(answer.problems()[0].contains(reason), "{role}: {operation:?}: {}", answer.text);
                refused += 1;
            }
        }
        let least = match rank {
            Least::Admin => 30,
            Least::Maintainer => 20,
            Least::Observer | Least::Nobody => 3,
        };
        assert!(refused >= least, "{role}: {refused}");
        assert_eq!((counts(), generation()), before, "{role}");
        server.run_tasks().await;
        let kept = "SELECT count(*) FROM activities WHERE kind = 'refused_change' AND actor_email =";
        let kept = server.number(&format!("{kept} '{role}-user@example.com'"));
        assert!(kept >= if *rank == Least::Observer { 2 } else { 4 }, "{role}: {kept}");
    }
    let query = json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } });
    assert_eq!(server.rest.try_apply(&[query], true).await.status, 200);
}

/// Agents notice nothing.
pub async fn assert_agents_go_on(server: &TestServer) {
    let flags = Flags { enroll_secret: "one".into(), ..Flags::default() };
    let mut agent = server.address.agent_with(Identity::simulated(7, 1, Platform::Linux), flags);
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    assert!(agent.read().await.verdict.is_success());
}
