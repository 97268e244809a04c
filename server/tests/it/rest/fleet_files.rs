//! Files as they were written for Fleet: they apply whole, and what means nothing here is skipped with one warning.

use muster_api::rest::{Action, Applied};
use serde_json::{Value, json};

use crate::support::{Rest, TestServer};

/// Paths of warnings, sorted.
fn warned(applied: &Applied) -> Vec<&str> {
    let mut paths: Vec<&str> = applied.warnings.iter().map(|warning| warning.name.as_str()).collect();
    paths.sort_unstable();
    paths
}

async fn read(rest: &Rest, path: &str) -> Value {
    rest.get(path).await.json()
}

#[tokio::test]
async fn files_apply_whole_with_one_warning_for_each_thing_that_is_skipped() {
    let server = TestServer::start().await;
    let cases: [(&str, &str, &[&str]); 12] = [
        (
            "config-with-host-settings",
            include_str!("fleet_files/config-with-host-settings.yml"),
            &[
                "documents[0].spec.agent_options.config.options.logger_tls_period",
                "documents[0].spec.agent_options.config.options.logger_tls_endpoint",
                "documents[0].spec.host_settings",
                "documents[0].spec.server_settings.enable_analytics",
            ],
        ),
        ("label-with-double-quotes", include_str!("fleet_files/label-with-double-quotes.yml"), &[]),
        (
            "options-with-flagfile-flags",
            include_str!("fleet_files/options-with-flagfile-flags.yml"),
            &[
                "documents[0].spec.config.options.logger_plugin",
                r#"documents[0].spec.config.decorators.interval["3600"]"#,
                "documents[0].spec.overrides.platforms.ubuntu.options.disable_tables",
            ],
        ),
        ("options-with-overrides-alone", include_str!("fleet_files/options-with-overrides-alone.yml"), &[]),
        ("empty-keys", include_str!("fleet_files/empty-keys.yml"), &[]),
        ("roles-with-null-teams", include_str!("fleet_files/roles-with-null-teams.yml"), &[]),
        (
            "secrets-with-names",
            include_str!("fleet_files/secrets-with-names.yml"),
            &["documents[0].spec.secrets[1].active"],
        ),
        (
            "secret-with-line-end",
            include_str!("fleet_files/secret-with-line-end.yml"),
            &["documents[0].spec.secrets[0].secret"],
        ),
        (
            "built-in-labels",
            include_str!("fleet_files/built-in-labels.yml"),
            &["documents[0].spec.name", "documents[1].spec.name"],
        ),
        ("pack-platforms", include_str!("fleet_files/pack-platforms.yml"), &["documents[2].spec.queries[0].platform"]),
        (
            "query-library",
            include_str!("fleet_files/query-library.yml"),
            &[
                "documents[1].kind",
                "documents[0].spec.platforms",
                "documents[0].spec.platform",
                "documents[0].spec.purpose",
                "documents[0].spec.tags",
                "documents[0].spec.remediation",
                "documents[0].spec.contributors",
            ],
        ),
        (
            "whole-config",
            include_str!("fleet_files/whole-config.yml"),
            &[
                "documents[0].spec.agent_options.config.options.logger_plugin",
                "documents[0].spec.host_settings",
                "documents[0].spec.integrations",
                "documents[0].spec.server_settings.enable_analytics",
                "documents[0].spec.server_settings.live_query_disabled",
                "documents[0].spec.server_settings.server_url",
                "documents[0].spec.smtp_settings",
                "documents[0].spec.sso_settings",
                "documents[0].spec.vulnerability_settings",
                "documents[0].spec.webhook_settings",
            ],
        ),
    ];
    for (name, text, warnings) in cases {
        let applied = server.rest.apply_yaml(text).await;
        let mut warnings = warnings.to_vec();
        warnings.sort_unstable();
        assert_eq!(warned(&applied), warnings, "{name}: {:?}", applied.warnings);
        let again = server.rest.apply_yaml(text).await;
        let is_settled =
            |change: &muster_api::rest::Change| matches!(change.action, Action::Unchanged | Action::Ignored);
        assert!(again.changes.iter().all(is_settled), "{name}: {:?}", again.changes);
    }
    let rest = &server.rest;
    assert_eq!(read(rest, "spec/packs/base_p").await["specs"]["queries"][0]["interval"], 60);
    assert_eq!(read(rest, "spec/labels/web%20servers").await["specs"]["platform"], "");
    let secrets = read(rest, "spec/enroll_secret").await;
    assert_eq!(secrets["spec"]["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(secrets["spec"]["secrets"][0]["secret"], "abcDEF123");
    let config = read(rest, "config").await;
    assert_eq!(config["org_info"]["org_name"], "Example");
    let parts: Vec<&String> = config.as_object().unwrap().keys().collect();
    assert_eq!(parts, ["agent_options", "host_expiry_settings", "org_info", "server_settings"]);
}

#[tokio::test]
async fn built_in_labels_that_are_applied_again_are_left_as_they_are() {
    let server = TestServer::start().await;
    let before = read(&server.rest, "spec/labels/All%20Linux").await;
    let applied = server.rest.apply_yaml(include_str!("fleet_files/built-in-labels.yml")).await;
    let actions: Vec<Action> = applied.changes.iter().map(|change| change.action).collect();
    assert_eq!(actions, [Action::Ignored, Action::Ignored, Action::Created]);
    assert_eq!(read(&server.rest, "spec/labels/All%20Linux").await, before);
}

#[tokio::test]
async fn specs_of_older_clients_may_have_null_for_lists() {
    let server = TestServer::start().await;
    let body: Value = serde_json::from_str(include_str!("fleet_files/pack-with-null-queries.json")).unwrap();
    let answer = server.rest.post("spec/packs", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let warnings = answer.json()["warnings"].as_array().unwrap().clone();
    let names: Vec<&Value> = warnings.iter().map(|warning| &warning["name"]).collect();
    assert_eq!(names, ["specs[0].targets", "specs[0].queries"], "an empty pack does nothing");
    let secrets = json!({ "spec": { "secrets": [
        { "name": "default", "secret": "new-one", "active": true }, { "name": "old", "secret": "old-one", "active": false },
    ] } });
    let answer = server.rest.post("spec/enroll_secret", &secrets).await.json();
    assert_eq!(answer["warnings"][0]["name"], "secrets[1].active");
    let secrets = read(&server.rest, "spec/enroll_secret").await;
    assert_eq!(secrets["specs"]["secrets"][0]["secret"], "new-one");
    assert_eq!(secrets["specs"]["secrets"][0]["active"], true);
    assert_eq!(server.rest.post("spec/enroll_secret", &secrets).await.status, 200, "what was read can be sent back");
    let roles = json!({ "spec": { "roles": { "admin@example.com": { "global_role": "admin", "teams": null } } } });
    assert_eq!(server.rest.post("users/roles/spec", &roles).await.json(), json!({}));
}

/// A file whose secrets are all switched off would leave no host a way in.
#[tokio::test]
async fn inactive_secrets_alone_remove_nothing() {
    let server = TestServer::start().await;
    let before = read(&server.rest, "spec/enroll_secret").await;
    let secrets = json!([{ "secret": "one", "active": false }, { "secret": "two", "active": false }]);
    let document = json!({ "kind": "enroll_secret", "spec": { "secrets": secrets } });
    let answer = server.rest.try_apply(&[document], false).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(
        answer.problems()[0].starts_with("documents[0].spec.secrets: has inactive secrets alone"),
        "{}",
        answer.text
    );
    assert_eq!(read(&server.rest, "spec/enroll_secret").await, before);
    server.rest.apply(&[json!({ "kind": "enroll_secret", "spec": { "secrets": [] } })]).await;
    assert_eq!(server.number("SELECT count(*) FROM enroll_secrets"), 0, "an empty list says what it means");
}

/// Fleet finds the hosts of such labels by what it knows of them.
#[tokio::test]
async fn a_label_by_host_vitals_is_skipped_alone() {
    let server = TestServer::start().await;
    let label = |name: &str, membership: &str| json!({ "kind": "label", "spec": { "name": name, "label_membership_type": membership, "criteria": {} } });
    let query = json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } });
    let applied = server.rest.apply(&[label("vitals", "host_vitals"), query]).await;
    assert_eq!(warned(&applied), ["documents[0].spec.label_membership_type"]);
    assert_eq!(
        applied.changes.iter().map(|change| change.action).collect::<Vec<_>>(),
        [Action::Ignored, Action::Created]
    );
    let specs = json!({ "specs": [{ "name": "vitals", "label_membership_type": "host_vitals" }] });
    let answer = server.rest.post("spec/labels", &specs).await;
    assert_eq!((answer.status, &answer.json()["warnings"][0]["name"]), (200, &json!("specs[0].label_membership_type")));
    assert_eq!(server.rest.try_apply(&[label("x", "by magic")], false).await.status, 422);
    assert_eq!(server.number("SELECT count(*) FROM labels WHERE name = 'vitals'"), 0);
}

/// A manual label that names hosts that have not enrolled yet, or not any more.
#[tokio::test]
async fn names_of_hosts_that_are_not_there_stay_in_a_manual_label() {
    let server = TestServer::start().await;
    for (text, hosts) in [
        (
            include_str!("fleet_files/label-with-hosts-to-come.yml"),
            json!(["C02SERIAL01", "WIN-HOST.corp.example", "not-enrolled-yet"]),
        ),
        (include_str!("fleet_files/label-with-hosts-that-are-gone.yml"), json!(["web_01", "webx01"])),
    ] {
        let applied = server.rest.apply_yaml(text).await;
        let count = hosts.as_array().unwrap().len();
        assert_eq!(applied.warnings.len(), count, "{:?}", applied.warnings);
        assert_eq!(read(&server.rest, "spec/labels/canaries").await["specs"]["hosts"], hosts);
        let again = server.rest.apply_yaml(text).await;
        assert!(again.changes.iter().all(|change| change.action == Action::Unchanged), "{:?}", again.changes);
        assert_eq!(again.warnings.len(), count);
    }
    assert_eq!(server.rest.get("spec/queries/unrelated").await.status, 200);
}

#[tokio::test]
async fn a_host_that_has_come_is_a_member_when_its_label_is_applied_again() {
    let server = TestServer::start().await;
    let label = json!({ "kind": "label", "spec": {
        "name": "l", "label_membership_type": "manual", "hosts": ["late", "gone"],
    } });
    server.rest.apply(std::slice::from_ref(&label)).await;
    let identity = agent_compat::agent::Identity {
        host_identifier: "late".to_owned(),
        ..agent_compat::agent::Identity::simulated(1, 1, agent_compat::agent::Platform::Linux)
    };
    let mut agent = server.address.agent_of(identity);
    assert!(agent.enroll().await.verdict.is_success());
    let applied = server.rest.apply(&[label]).await;
    assert_eq!(
        (applied.changes[0].action, applied.changes[0].fields.as_slice()),
        (Action::Changed, &["hosts".to_owned()][..])
    );
    assert_eq!(applied.warnings.len(), 1);
    let count = "SELECT count(*) FROM label_members JOIN labels ON labels.id = label_id WHERE name = 'l'";
    assert_eq!(server.number(count), 1);
    let spec = read(&server.rest, "spec/labels/l").await;
    assert_eq!(spec["specs"]["hosts"], json!(["gone", "late"]), "as it was written");
}

#[tokio::test]
async fn all_problems_of_all_documents_are_told_at_once() {
    let server = TestServer::start().await;
    let doc = |kind: &str, spec: Value| json!({ "kind": kind, "spec": spec });
    let documents = [
        doc("query", json!({ "name": 7, "query": " ", "qery": 1 })),
        doc(
            "pack",
            json!({ "name": "main", "queries": [
            { "query": "none", "interval": "60" }, { "interval": 0, "name": "a:b" },
        ], "targets": { "labels": ["none"] } }),
        ),
        doc("label", json!({ "name": "l", "platform": "macos" })),
        doc("config", json!({ "org_info": { "org_nam": 1 }, "agent_options": { "config": { "decorator": {} } } })),
        doc("enroll_secret", json!({ "secrets": [{ "secret": "" }, {}] })),
        doc("user_roles", json!({ "roles": { "nobody@example.com": { "global_role": "root" } } })),
        doc("nothing", json!({})),
        doc("query", json!("text")),
    ];
    let answer = server.rest.try_apply(&documents, false).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let mut paths: Vec<String> = answer
        .problems()
        .iter()
        .map(|problem| problem.split_once(": ").unwrap().0.trim_start_matches("documents").to_owned())
        .collect();
    paths.sort();
    paths.dedup();
    assert_eq!(
        paths,
        [
            "[0].spec.name",
            "[0].spec.qery",
            "[0].spec.query",
            "[1].spec.name",
            "[1].spec.queries[0].interval",
            "[1].spec.queries[0].query",
            "[1].spec.queries[1].interval",
            "[1].spec.queries[1].name",
            "[1].spec.queries[1].query",
            "[1].spec.targets.labels[0]",
            "[2].spec.platform",
            "[2].spec.query",
            "[3].spec.agent_options.config.decorator",
            "[3].spec.org_info.org_nam",
            "[4].spec.secrets[0].secret",
            "[4].spec.secrets[1].secret",
            r#"[5].spec.roles["nobody@example.com"]"#,
            r#"[5].spec.roles["nobody@example.com"].global_role"#,
            "[6].kind",
            "[7].spec",
        ]
    );
}
