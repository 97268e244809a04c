//! What a dry run tells: what differs, field by field, and how many hosts would notice.

use agent_compat::agent::{Identity, Platform};
use muster_api::rest::Applied;
use serde_json::{Value, json};

use crate::support::TestServer;

fn doc(kind: &str, spec: Value) -> Value {
    json!({ "kind": kind, "spec": spec })
}

async fn enroll(server: &TestServer, name: &str, number: u32, platform: Platform) {
    let identity = Identity { host_identifier: name.to_owned(), ..Identity::simulated(1, number, platform) };
    assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
}

async fn plan(server: &TestServer, documents: &[Value]) -> Applied {
    server.rest.try_apply(documents, true).await.read()
}

#[tokio::test]
async fn hosts_that_would_get_another_config_are_counted() {
    let server = TestServer::start().await;
    for (number, name) in (1..).zip(["l1", "l2", "l3"]) {
        enroll(&server, name, number, Platform::Linux).await;
    }
    enroll(&server, "m1", 4, Platform::Darwin).await;
    // Once this answers, all hosts are in memory.
    assert_eq!(server.rest.get("hosts/count").await.json()["count"], 4);
    let query = |sql: &str| doc("query", json!({ "name": "q", "query": sql }));
    let label =
        |hosts: Value| doc("label", json!({ "name": "some", "label_membership_type": "manual", "hosts": hosts }));
    let pack = |label: &str| {
        doc(
            "pack",
            json!({
                "name": "p", "targets": { "labels": [label] }, "queries": [{ "query": "q", "interval": 60 }],
            }),
        )
    };
    let hosts =
        async |documents: &[Value]| plan(&server, documents).await.hosts.map(|hosts| (hosts.changed, hosts.total));

    assert_eq!(hosts(&[query("SELECT 1")]).await, Some((0, 4)), "nobody runs it");
    let base = [query("SELECT 1"), label(json!(["l1", "l2"])), pack("some")];
    assert_eq!(hosts(&base).await, Some((2, 4)), "the label and its pack are new");
    server.rest.apply(&base).await;
    assert_eq!(hosts(&base).await, None, "nothing would change");
    assert_eq!(hosts(&[query("SELECT 2")]).await, Some((2, 4)));
    assert_eq!(hosts(&[label(json!(["l2", "m1"]))]).await, Some((2, 4)), "one leaves, one joins");
    assert_eq!(hosts(&[pack("All Hosts")]).await, Some((2, 4)), "the others");
    assert_eq!(hosts(&[doc("config", json!({ "org_info": { "org_name": "Another" } }))]).await, Some((0, 4)));
    let options = |darwin: u32| {
        doc(
            "options",
            json!({
                "config": { "options": { "logger_tls_period": 10 } },
                "overrides": { "platforms": { "darwin": { "options": { "logger_tls_period": darwin } } } },
            }),
        )
    };
    assert_eq!(hosts(&[options(5)]).await, Some((4, 4)));
    server.rest.apply(&[options(5)]).await;
    assert_eq!(hosts(&[options(6)]).await, Some((1, 4)));
    let scheduled = doc("query", json!({ "name": "q", "query": "SELECT 1", "interval": 5 }));
    assert_eq!(hosts(&[scheduled]).await, Some((4, 4)));

    let gone = json!({ "documents": [doc("pack", json!({ "name": "p" }))], "dry_run": true });
    let deleted: Applied = server.rest.post("spec/delete", &gone).await.read();
    let hosts = deleted.hosts.unwrap();
    assert_eq!((hosts.changed, hosts.total), (2, 4));
    assert_eq!(hosts.platforms.iter().map(|platform| platform.hosts_count).sum::<u64>(), 2);
    assert!(hosts.platforms.iter().all(|hosts| ["ubuntu", "debian"].contains(&hosts.platform.as_str())), "{hosts:?}");
    assert_eq!(server.rest.get("spec/packs/p").await.status, 200);
    let done = server.rest.apply(&[query("SELECT 3")]).await;
    assert_eq!(done.hosts, None, "only a dry run counts");
}

#[tokio::test]
async fn what_differs_is_told_without_secrets() {
    let server = TestServer::start().await;
    let documents = |sql: &str, key: &str, secret: &str| {
        [
            doc("query", json!({ "name": "q", "query": sql })),
            doc("options", json!({ "config": { "options": { "aws_secret_access_key": key } } })),
            doc("enroll_secret", json!({ "secrets": [{ "secret": secret }, { "secret": "obvious-fake-kept" }] })),
        ]
    };
    let applied = server.rest.apply(&documents("SELECT 1", "obvious-fake-1", "obvious-fake-2")).await;
    assert_eq!(applied.changes[0].differences, [], "of what is new everything differs");
    let answer = server.rest.try_apply(&documents("SELECT 2", "obvious-fake-3", "obvious-fake-4"), true).await;
    assert!(!answer.text.contains("obvious-fake"), "{}", answer.text);
    let applied: Applied = answer.read();
    let [query, options, secrets] = applied.changes.as_slice() else { panic!("{applied:?}") };
    let found = &query.differences[0];
    assert_eq!((found.before.as_deref(), found.after.as_deref()), (Some("SELECT 1"), Some("SELECT 2")));
    assert!(options.differences[0].is_secret, "{options:?}");
    assert_eq!(secrets.differences[0].after.as_deref(), Some("2 secrets: 1 new, 1 removed"));
    let details = server.database().text("SELECT details FROM activities ORDER BY id DESC LIMIT 1");
    assert!(!details.contains("differences") && !details.contains("obvious-fake"), "{details}");
}

#[tokio::test]
async fn other_terms_of_secrets_are_told_without_the_secrets() {
    let server = TestServer::start().await;
    let secrets = |one: Value, other: Value| doc("enroll_secret", json!({ "secrets": [one, other] }));
    let with = |secret: &str, more: Value| {
        let mut all = json!({ "secret": secret });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let before = with("obvious-fake-1", json!({ "name": "CI runners", "quota": 5 }));
    server.rest.apply(&[secrets(before, with("obvious-fake-2", json!({})))]).await;
    let one = with("obvious-fake-1", json!({ "expires_at": "2030-01-31T00:00:00Z", "quota": "unlimited" }));
    let other = with("obvious-fake-2", json!({ "name": "is obvious-fake-2", "quota": 7 }));
    let documents = [secrets(one, other)];
    let answer = server.rest.try_apply(&documents, true).await;
    assert!(!answer.text.contains("obvious-fake"), "{}", answer.text);
    let applied: Applied = answer.read();
    let reported = |applied: &Applied| -> Vec<String> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_default();
        let line = |found: &muster_api::rest::FieldDifference| {
            format!("{}: {} -> {}", found.field, shown(&found.before), shown(&found.after))
        };
        applied.changes[0].differences.iter().map(line).collect()
    };
    assert_eq!(
        reported(&applied),
        [
            r#"secrets["CI runners"].expires_at: never -> 2030-01-31T00:00:00Z"#,
            r#"secrets["CI runners"].quota: 5 hosts -> unlimited"#,
            "secrets[1].quota: unlimited -> 7 hosts",
        ]
    );
    server.rest.apply(&documents).await;
    assert_eq!(reported(&plan(&server, &documents).await), [""; 0]);
    let details = server.database().text("SELECT details FROM activities ORDER BY id DESC LIMIT 1");
    assert!(!details.contains("differences") && !details.contains("obvious-fake"), "{details}");
}

#[tokio::test]
async fn options_with_mistakes_can_be_forced_as_long_as_agents_can_read_them() {
    let server = TestServer::start().await;
    let apply = async |options: Value| {
        let documents = [doc("options", options)];
        server.rest.post("spec/apply", &json!({ "documents": documents, "force": true })).await
    };
    let mistaken = json!({ "config": { "options": { "distributed_interval": "ten" }, "decorator": {} }, "update": {} });
    assert_eq!(server.rest.try_apply(&[doc("options", mistaken.clone())], false).await.problems().len(), 3);
    let applied: Applied = apply(mistaken).await.read();
    assert_eq!(applied.warnings.iter().filter(|warning| warning.reason.starts_with("forced, although: ")).count(), 3);
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!({ "a": deep });
    }
    for grave in [
        json!({ "config": [] }),
        json!({ "overrides": { "platforms": { "darwin": "x" } } }),
        json!({ "config": { "views": deep } }),
        json!([]),
    ] {
        let answer = apply(grave.clone()).await;
        assert_eq!(answer.status, 422, "{grave}: {}", answer.text);
    }
    // Mistakes elsewhere stay what they are.
    let body = json!({ "documents": [doc("query", json!({ "name": "q", "qery": "" }))], "force": true });
    assert_eq!(server.rest.post("spec/apply", &body).await.status, 422);
}
