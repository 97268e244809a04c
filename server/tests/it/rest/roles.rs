use muster_api::rest::BASES;

use super::operations::{self, Least, Operation, furnished};

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let server = furnished().await;
    for operation in operations::all(&server).await.iter().filter(|operation| operation.least > Least::Nobody) {
        for rest in [server.rest.anonymous(), server.rest.with_token("made-up"), server.rest.with_token("")] {
            let answer = rest.send(operation.method, operation.path, operation.body.as_ref()).await;
            assert_eq!(answer.status, 401, "{operation:?}: {answer:?}");
            assert_eq!(answer.problems(), ["base: Authentication failed"], "{operation:?}");
        }
    }
    assert_eq!(server.number("SELECT count(*) FROM queries WHERE name = 'of the matrix'"), 0);
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_no_more() {
    for (role, rank) in [("observer", Least::Observer), ("maintainer", Least::Maintainer), ("admin", Least::Admin)] {
        let server = furnished().await;
        let user = server.user(role);
        for operation in operations::all(&server).await {
            let answer = user.send(operation.method, operation.path, operation.body.as_ref()).await;
            if rank >= operation.least {
                assert_eq!(answer.status, 200, "{role}: {operation:?}: {}", answer.text);
            } else {
                assert_eq!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
                assert_eq!(answer.json()["message"], "Permission Denied");
            }
        }
    }
}

/// One document too many in an apply forbids all of it.
#[tokio::test]
async fn an_apply_is_forbidden_as_a_whole() {
    let server = furnished().await;
    let maintainer = server.user("maintainer");
    let documents = [
        serde_json::json!({ "kind": "query", "spec": { "name": "allowed", "query": "SELECT 1" } }),
        serde_json::json!({ "kind": "config", "spec": { "org_info": { "org_name": "not allowed" } } }),
    ];
    for dry_run in [true, false] {
        assert_eq!(maintainer.try_apply(&documents, dry_run).await.status, 403);
    }
    assert_eq!(server.number("SELECT count(*) FROM queries WHERE name = 'allowed'"), 0);
}

/// Whoever may read agent options in one place may read them in all.
#[tokio::test]
async fn agent_options_are_for_those_who_may_read_what_hosts_are_served() {
    let server = furnished().await;
    let id = server.number("SELECT id FROM hosts WHERE identifier = 'the-host'");
    for (role, is_shown) in [("observer", false), ("maintainer", true), ("admin", true)] {
        let user = server.user(role);
        let config = user.get("config").await.json();
        assert_eq!(config["org_info"]["org_name"], "Documents");
        assert_eq!(config.get("agent_options").is_some(), is_shown, "{role}: {config}");
        for path in [format!("hosts/{id}/config"), "hosts/identifier/the-host/config".to_owned()] {
            assert_eq!(user.get(&path).await.status, if is_shown { 200 } else { 403 }, "{role}: {path}");
        }
    }
}

#[tokio::test]
async fn every_base_serves_the_same() {
    let server = furnished().await;
    // The answer for SockJS has a random number.
    let is_the_same = |operation: &&Operation| operation.method == "GET" && operation.route != "/results/info";
    for operation in operations::all(&server).await.iter().filter(is_the_same) {
        let mut answers = Vec::new();
        for base in BASES {
            answers.push(server.rest.get(&format!("{base}/{}", operation.path)).await.text);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{operation:?}");
    }
}

/// Operations for everyone with a session, whatever the role.
const WITHOUT_A_ROLE: [&str; 7] =
    ["/me", "/change_password", "/logout", "/version", "/config", "/status/live_query", "/status/result_store"];

/// A role that only a newer version knows allows nothing here.
#[tokio::test]
async fn an_unknown_role_may_nothing() {
    let server = furnished().await;
    let user = server.user("superuser");
    assert!(user.get("me").await.json()["user"]["global_role"].is_null());
    assert!(user.get("config").await.json().get("agent_options").is_none());
    for operation in operations::all(&server).await.iter().filter(|operation| operation.least > Least::Nobody) {
        let answer = user.send(operation.method, operation.path, operation.body.as_ref()).await;
        let is_open = WITHOUT_A_ROLE.contains(&operation.route) && operation.least == Least::Observer;
        // Objects that the refused requests before would have created are not found.
        let expected: &[u16] = if is_open { &[200] } else { &[403, 404] };
        assert!(expected.contains(&answer.status), "{operation:?}: {}", answer.text);
    }
}

/// Documents of which nothing is kept change nothing, hold nobody up, and are no way around the roles.
#[tokio::test]
async fn an_apply_of_nothing_needs_a_role_and_moves_nothing_on() {
    let server = furnished().await;
    let (observer, maintainer) = (server.user("observer"), server.user("maintainer"));
    let generation = || server.number("SELECT value FROM generations WHERE name = 'schedule'");
    let before = generation();
    let policy = serde_json::json!({ "kind": "policy", "spec": { "name": "p" } });
    for documents in [vec![], vec![policy]] {
        for path in ["spec/apply", "spec/delete"] {
            let body = serde_json::json!({ "documents": documents });
            assert_eq!(observer.post(path, &body).await.status, 403, "{path}");
            let done = maintainer.post(path, &body).await;
            assert_eq!(done.status, 200, "{path}: {}", done.text);
            let changes = done.json()["changes"].as_array().unwrap().len();
            assert_eq!(changes, documents.len(), "{path}");
        }
    }
    assert_eq!(generation(), before);
}
