//! What a folder holds is what there is.

use std::fs;

use serde_json::{Value, json};

use super::{Away, Folder, looked, meddle, names, problem, queries, query, status};
use crate::support::TestServer;

#[tokio::test]
async fn contents_are_applied_and_what_no_file_names_is_deleted() {
    let folder = Folder::new();
    folder.commit('1');
    let server = folder.server().await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(queries(&server).await, ["uptime"]);
    let mut agent = server.enrolled(1).await;
    let config = agent.config().await;
    assert_eq!(config.verdict.value().unwrap()["packs"]["base"]["queries"]["uptime"]["interval"], 60);
    let reported = server
        .database()
        .text("SELECT details FROM activities WHERE kind = 'applied_documents' AND actor_name = 'documents folder'");
    let reported: Value = serde_json::from_str(&reported).unwrap();
    assert_eq!(reported["commit"], "1".repeat(40));
    assert_eq!(reported["folder"], folder.path().display().to_string());
    let shown = status(&server).await;
    assert_eq!(shown["applied"]["commit"], "1".repeat(40), "{shown}");
    assert_eq!((&shown["here"]["is_applied"], shown.get("waits_for")), (&json!(true), None), "{shown}");
    let before = server.number("SELECT count(*) FROM activities");

    folder.put("options.yml", "kind: options\nspec: {config: {options: {distributed_interval: 77}}}\n");
    folder.put("schedule.yml", "kind: global_schedule\nspec: {queries: [{query: uptime, interval: 90}]}\n");
    folder.put("queries/own.yml", "kind: query\nspec: {name: own, query: SELECT 2, interval: 300}\n");
    folder.remove("packs/base.yml");
    folder.remove("labels/docker.yml");
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(queries(&server).await, ["own", "uptime"]);
    let config = agent.config().await;
    let config = config.verdict.value().unwrap();
    assert!(config["packs"].get("base").is_none(), "{config}");
    assert_eq!(config["options"]["distributed_interval"], 77);
    assert_eq!(server.number("SELECT count(*) FROM activities"), before + 1, "one change");
    let scheduled = server.rest.get("spec/global_schedule").await.json();
    assert_eq!(scheduled["spec"]["queries"].as_array().unwrap().len(), 2, "{scheduled}");

    // Nothing but the query is left, and the secret that hosts enroll with.
    for file in ["options.yml", "schedule.yml", "queries/own.yml"] {
        folder.remove(file);
    }
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(queries(&server).await, ["uptime"]);
    let scheduled = server.rest.get("spec/global_schedule").await.json();
    assert_eq!(scheduled["spec"]["queries"], json!([]), "{scheduled}");
    assert_ne!(
        server.rest.get("config").await.json()["agent_options"]["config"]["options"]["distributed_interval"],
        77
    );
    assert_eq!(server.number("SELECT count(*) FROM enroll_secrets"), 1);
    assert_eq!(server.rest.get("config").await.json()["org_info"]["org_name"], "Tests", "of the set-up");
    server.enrolled(2).await;
    let (generation, before) = (generation(&server), server.number("SELECT count(*) FROM activities"));
    looked(&server).await;
    looked(&server).await;
    assert_eq!((self::generation(&server), server.number("SELECT count(*) FROM activities")), (generation, before));
}

fn generation(server: &TestServer) -> i64 {
    server.number("SELECT value FROM generations WHERE name = 'schedule'")
}

#[tokio::test]
async fn what_others_change_is_undone() {
    let folder = Folder::new();
    let server = folder.server().await;
    let stray = [
        json!({ "kind": "query", "spec": { "name": "uptime", "query": "SELECT 'changed'" } }),
        json!({ "kind": "query", "spec": { "name": "stray", "query": "SELECT 1", "interval": 60 } }),
        json!({ "kind": "label", "spec": { "name": "stray", "query": "SELECT 1" } }),
        json!({ "kind": "pack", "spec": { "name": "stray", "targets": { "labels": ["stray"] },
                "queries": [{ "query": "uptime", "interval": 5 }] } }),
        json!({ "kind": "config", "spec": { "host_expiry_settings": { "host_expiry_enabled": true, "host_expiry_window": 9 } } }),
    ];
    meddle(&server, &stray).await;
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    let specs = server.rest.get("spec/queries").await.json();
    assert_eq!(names(&specs["specs"]), ["uptime"]);
    assert_eq!(specs["specs"][0]["query"], "SELECT * FROM uptime");
    assert_eq!(names(&server.rest.get("spec/packs").await.json()["specs"]), ["base"]);
    assert!(!names(&server.rest.get("spec/labels").await.json()["specs"]).contains(&"stray".to_owned()));
    assert_eq!(server.rest.get("config").await.json()["host_expiry_settings"]["host_expiry_enabled"], false);
    let reported =
        server.database().text("SELECT details FROM activities WHERE kind = 'applied_documents' ORDER BY id DESC");
    assert_eq!(serde_json::from_str::<Value>(&reported).unwrap()["restored"], true, "{reported}");
}

#[tokio::test]
async fn many_deletions_have_to_be_allowed() {
    let folder = Folder::new();
    for number in 0..4 {
        folder.put(&format!("queries/q{number}.yml"), &query(&format!("q{number}"), "SELECT 1"));
    }
    let server =
        TestServer::with(|config| (config.documents.folder, config.documents.max_deletes) = (Some(folder.path()), 3))
            .await;
    looked(&server).await;
    assert_eq!(queries(&server).await.len(), 5);
    for number in 0..4 {
        folder.remove(&format!("queries/q{number}.yml"));
    }
    folder.put("queries/uptime.yml", &query("uptime", "SELECT 'new'"));
    looked(&server).await;
    let refusal = problem(&server).await;
    assert!(refusal.starts_with("4 objects would be deleted") && refusal.contains("query \"q3\""), "{refusal}");
    assert_eq!(queries(&server).await.len(), 5);
    assert!(server.metric("muster_documents_failing ").await > 0.0);
    let word = refusal.split("put the line ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    // The word is for these deletions alone.
    folder.put(".deletions", &format!("# the old ones\n{word}\n"));
    folder.put("queries/q0.yml", &query("q0", "SELECT 1"));
    folder.remove("labels/docker.yml");
    folder.put("packs/base.yml", "kind: pack\nspec: {name: base, queries: [{query: uptime, interval: 60}]}\n");
    looked(&server).await;
    assert!(problem(&server).await.starts_with("4 objects would be deleted"), "{}", problem(&server).await);
    folder.remove("queries/q0.yml");
    folder.put("labels/docker.yml", "kind: label\nspec: {name: docker, query: SELECT 1 FROM apps}\n");
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(queries(&server).await, ["uptime"]);
    assert_eq!(server.metric("muster_documents_failing ").await, 0.0);
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_is_told() {
    let folder = Folder::new();
    let server = folder.server().await;
    let bad = "kind: pack\nspec:\n  name: base\n  queries:\n  - {query: none, interval: 60}\n";
    for (text, expected) in [
        ("kind: query\nspec: {name: new, query: [}\n", "queries/new.yml:2:"),
        ("kind: query\nspec: {name: new, querry: SELECT 1}\n", "queries/new.yml:2:"),
        (bad, "another pack document"),
    ] {
        folder.put("queries/new.yml", text);
        folder.put("queries/uptime.yml", &query("uptime", "SELECT 'new'"));
        looked(&server).await;
        let reported = problem(&server).await;
        assert!(reported.contains(expected), "{text}: {reported}");
        assert_eq!(server.rest.get("spec/queries").await.json()["specs"][0]["query"], "SELECT * FROM uptime");
        assert_eq!(server.rest.get("/readyz").await.status, 200);
        assert!(server.metric("muster_documents_failing ").await > 0.0);
        let page = crate::pages::admin(&server).get("/").await.text;
        assert!(page.contains("cannot be applied: ") && page.contains("queries/new.yml"), "{page}");
    }
    folder.remove("queries/new.yml");
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(server.rest.get("spec/queries").await.json()["specs"][0]["query"], "SELECT 'new'");
    assert!(server.metric("muster_documents_applied_timestamp_seconds ").await > 0.0);
}

#[tokio::test]
async fn a_pack_cannot_name_what_is_about_to_be_deleted() {
    let folder = Folder::new();
    let server = folder.server().await;
    folder.remove("queries/uptime.yml");
    looked(&server).await;
    let reported = problem(&server).await;
    assert!(reported.starts_with("packs/base.yml:6:") && reported.contains("no document has it"), "{reported}");
    assert_eq!(queries(&server).await, ["uptime"]);
}

#[tokio::test]
async fn a_folder_that_is_away_or_empty_deletes_nothing() {
    let folder = Folder::new();
    let server = folder.server().await;
    let path = folder.path();
    {
        let _away = Away::new(&path);
        looked(&server).await;
        assert!(problem(&server).await.contains("is it mounted?"), "{}", problem(&server).await);
        fs::create_dir(&path).unwrap();
        looked(&server).await;
        assert!(problem(&server).await.contains("holds no document"), "{}", problem(&server).await);
        assert_eq!(queries(&server).await, ["uptime"]);
        assert_eq!(server.metric("muster_documents_differ ").await, 1.0);
        fs::remove_dir(&path).unwrap();
    }
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(server.metric("muster_documents_differ ").await, 0.0);
}

#[tokio::test]
async fn a_repository_for_gitops_of_fleet_is_read_too() {
    let folder = Folder::new();
    folder.put(
        "default.yml",
        "queries:\n- path: lib/more.yml\nagent_options: {config: {options: {distributed_interval: 33}}}\n",
    );
    folder.put("lib/more.yml", "- {name: of gitops, query: SELECT 1, interval: 60}\n");
    let server = folder.server().await;
    assert_eq!(problem(&server).await, "");
    assert_eq!(queries(&server).await, ["of gitops", "uptime"]);
    let options = server.rest.get("config").await.json()["agent_options"].clone();
    assert_eq!(options["config"]["options"]["distributed_interval"], 33);
}
