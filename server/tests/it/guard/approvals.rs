use std::time::Duration;

use muster_api::rest::{Approval, ApprovalEnvelope, ApprovalList, ApprovalState};
use serde_json::{Value, json};

use super::{GuardFile, rule};
use crate::live::hosts;
use crate::support::{Answer, Rest, TestServer};

const CURL: &str = "SELECT result FROM curl WHERE url = 'http://192.0.2.1/'";

async fn server() -> (GuardFile, TestServer) {
    let file = GuardFile::new(&rule("enforce", "approve: true"));
    let server = TestServer::with(|config| file.set(config)).await;
    hosts(&server, 1).await;
    (file, server)
}

async fn ask(user: &Rest) -> Answer {
    user.post("live_queries", &json!({ "query": CURL, "targets": { "all": true } })).await
}

async fn approvals(user: &Rest) -> Vec<Approval> {
    user.read::<ApprovalList>("approvals").await.approvals
}

async fn decide(user: &Rest, key: &str, verdict: &str) -> Answer {
    user.post(&format!("approvals/{key}/{verdict}"), &json!({})).await
}

/// The key that a refusal tells.
fn key(refused: &Answer) -> String {
    assert_eq!(refused.status, 422, "{}", refused.text);
    let problem = refused.problems().remove(0);
    assert!(problem.contains("asks for a second person (rule \"requests\")"), "{problem}");
    problem.rsplit(' ').next().unwrap().to_owned()
}

fn activities(server: &TestServer, kind: &str) -> i64 {
    server.number(&format!("SELECT count(*) FROM activities WHERE kind = '{kind}'"))
}

#[tokio::test]
async fn a_second_person_lets_it_through_for_a_day_and_for_who_has_asked() {
    let (_file, server) = server().await;
    let maintainer = server.user("maintainer");
    let observer = server.user("observer");
    let key = key(&ask(&maintainer).await);
    ask(&maintainer).await;
    let waiting = approvals(&server.rest).await;
    assert_eq!(waiting.len(), 1, "one request, however often it is asked");
    assert_eq!((waiting[0].key.as_str(), waiting[0].state), (key.as_str(), ApprovalState::Open));
    assert_eq!((waiting[0].query.as_str(), waiting[0].sql_use.as_str()), (CURL, "live"));
    assert!(waiting[0].findings[0].contains("hosts send requests"), "{waiting:?}");

    let own = decide(&maintainer, &key, "grant").await;
    assert!(own.problems()[0].contains("your own request"), "{}", own.text);
    assert_eq!(decide(&observer, &key, "grant").await.status, 403);
    assert_eq!(observer.get("approvals").await.status, 403);
    assert_eq!(decide(&server.rest, "0123456789ab", "grant").await.status, 404);
    assert_eq!(decide(&server.rest, &key[..3], "grant").await.status, 404);
    let granted = decide(&server.rest, &key, "grant").await.read::<ApprovalEnvelope>().approval;
    assert_eq!((granted.state, granted.decided_by.as_deref()), (ApprovalState::Granted, Some("admin@example.com")));
    assert_eq!(decide(&server.rest, &key, "grant").await.status, 200);
    assert_eq!(decide(&server.rest, &key, "deny").await.status, 422);

    let started = ask(&maintainer).await;
    assert_eq!(started.status, 200, "{}", started.text);
    assert!(started.text.contains("admin@example.com has approved it"), "{}", started.text);
    assert_eq!(ask(&server.rest).await.status, 422, "it is for who has asked");
    let other = json!({ "query": format!("{CURL} LIMIT 5"), "targets": { "all": true } });
    assert_eq!(maintainer.post("live_queries", &other).await.status, 422, "and for this SQL");
    let discovery = json!({ "query": "SELECT 1", "discovery": CURL, "targets": { "all": true } });
    assert_eq!(maintainer.post("live_queries", &discovery).await.status, 422, "and for this use");
    assert_eq!((activities(&server, "asked_for_approval"), activities(&server, "granted_approval")), (4, 1));

    server.clock.advance(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(ask(&maintainer).await.status, 422);
    assert_eq!(approvals(&server.rest).await.len(), 1, "asked anew");
    server.clock.advance(Duration::from_secs(9 * 24 * 3600));
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM guard_approvals"), 0);
}

#[tokio::test]
async fn what_was_denied_stays_refused() {
    let (_file, server) = server().await;
    let maintainer = server.user("maintainer");
    let key = key(&ask(&maintainer).await);
    assert_eq!(
        decide(&server.rest, &key, "deny").await.read::<ApprovalEnvelope>().approval.state,
        ApprovalState::Denied
    );
    let again = ask(&maintainer).await.problems()[0].clone();
    assert!(again.contains("admin@example.com has denied it, and nobody is asked again"), "{again}");
    assert!(!again.contains("approve grant"), "{again}");
    assert_eq!((activities(&server, "denied_approval"), activities(&server, "asked_for_approval")), (1, 1));
    let listed = approvals(&server.rest).await;
    assert_eq!((listed.len(), listed[0].state), (1, ApprovalState::Denied));
    assert_eq!(listed[0].decided_by.as_deref(), Some("admin@example.com"));
    assert!(!listed[0].rules.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn changes_wait_for_a_second_person_too_and_a_dry_run_asks_nobody() {
    let (_file, server) = server().await;
    let maintainer = server.user("maintainer");
    let label = [json!({ "kind": "label", "spec": { "name": "a", "query": CURL } })];
    let plan = maintainer.post("spec/plan", &json!({ "documents": label })).await;
    for tried in [maintainer.try_apply(&label, true).await, plan] {
        assert_eq!(tried.status, 422);
        let said = &tried.problems()[0];
        assert!(said.contains("nobody is asked for approval yet: that is done when the change is made"), "{said}");
        assert!(!said.contains("approve grant"), "no such request is there: {said}");
    }
    assert_eq!(approvals(&server.rest).await.len(), 0);
    let key = key(&maintainer.try_apply(&label, false).await);
    let tried = maintainer.try_apply(&label, true).await.problems()[0].clone();
    assert!(tried.contains(&format!("fleetctl approve grant {key}")), "it is there now: {tried}");
    decide(&server.rest, &key, "grant").await.read::<Value>();
    assert_eq!(maintainer.try_apply(&label, true).await.status, 200);
    let applied = maintainer.try_apply(&label, false).await;
    assert_eq!(applied.status, 200, "{}", applied.text);
    assert!(applied.text.contains("has approved it"), "{}", applied.text);
}
