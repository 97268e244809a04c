//! What hosts are told to run.

use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{AgentEndpoint, Identity, Platform};
use bytes::Bytes;
use muster_api::rest::{AgentConfig, LabelSummaries};
use serde_json::{Value, json};

use crate::support::{ENROLL_SECRET, TestServer};

async fn bytes_of(agent: &mut TestAgent) -> Bytes {
    let exchange = agent.config().await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
    exchange.response.unwrap().body
}

async fn config_of(agent: &mut TestAgent) -> Value {
    serde_json::from_slice(&bytes_of(agent).await).unwrap()
}

fn pack_names(config: &Value) -> Vec<&str> {
    config["packs"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn query() -> Value {
    json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } })
}

fn pack(name: &str, labels: &[&str]) -> Value {
    json!({ "kind": "pack", "spec": {
        "name": name, "targets": { "labels": labels }, "queries": [{ "query": "q", "interval": 60 }],
    } })
}

fn manual(name: &str, hosts: &[&str]) -> Value {
    json!({ "kind": "label", "spec": { "name": name, "label_membership_type": "manual", "hosts": hosts } })
}

fn options(config: Value, platforms: Value) -> Value {
    json!({ "kind": "config", "spec": { "agent_options": { "config": config, "overrides": { "platforms": platforms } } } })
}

async fn named(server: &TestServer, name: &str, platform: Platform) -> TestAgent {
    let identity = Identity { host_identifier: name.to_owned(), ..Identity::simulated(1, 1, platform) };
    let mut agent = server.address.agent_of(identity);
    assert!(agent.enroll().await.verdict.is_success());
    agent
}

#[tokio::test]
async fn hosts_get_the_packs_of_their_labels() {
    let server = TestServer::start().await;
    let mut linux = named(&server, "linux", Platform::Linux).await;
    let mut mac = named(&server, "mac", Platform::Darwin).await;
    server
        .rest
        .apply(&[
            query(),
            manual("chosen", &["mac"]),
            pack("everybody", &["All Hosts"]),
            pack("linux", &["All Linux"]),
            pack("chosen", &["chosen", "MS Windows"]),
            pack("nobody", &[]),
        ])
        .await;
    assert_eq!(pack_names(&config_of(&mut linux).await), ["everybody", "linux"]);
    let config = config_of(&mut mac).await;
    assert_eq!(pack_names(&config), ["chosen", "everybody"]);
    assert_eq!(config["packs"]["chosen"]["queries"], json!({ "q": { "interval": 60, "query": "SELECT 1" } }));
}

#[tokio::test]
async fn a_platform_may_have_options_of_its_own() {
    let server = TestServer::start().await;
    let platforms = json!({ "darwin": { "options": { "a": 2 }, "file_paths": { "x": ["/y"] } } });
    server.rest.apply(&[options(json!({ "options": { "a": 1, "b": 1 } }), platforms)]).await;
    let mut linux = named(&server, "linux", Platform::Linux).await;
    let mut mac = named(&server, "mac", Platform::Darwin).await;
    assert_eq!(config_of(&mut linux).await, json!({ "options": { "a": 1, "b": 1 } }));
    assert_eq!(config_of(&mut mac).await, json!({ "options": { "a": 2 }, "file_paths": { "x": ["/y"] } }));
}

#[tokio::test]
async fn hosts_with_the_same_packs_get_the_same_bytes_also_after_a_restart() {
    let mut server = TestServer::start().await;
    let mut one = named(&server, "one", Platform::Linux).await;
    let mut two = named(&server, "two", Platform::Linux).await;
    let packs: Vec<Value> = (0..20).rev().map(|n| pack(&format!("pack {n}"), &["All Linux", "All Hosts"])).collect();
    server.rest.apply(&[vec![query()], packs].concat()).await;
    let bytes = bytes_of(&mut one).await;
    assert_eq!(bytes_of(&mut two).await, bytes);
    assert_eq!(bytes_of(&mut one).await, bytes);
    server.restart().await;
    assert_eq!(bytes_of(&mut one).await, bytes);
    assert_eq!(bytes_of(&mut two).await, bytes);
    // Agents look at the hash of what they got: one config, however often it was fetched.
    assert_eq!(one.counters().configs_applied, 1);
}

#[tokio::test]
async fn a_manual_label_changes_the_configs_of_its_members_alone() {
    let server = TestServer::start().await;
    let mut inside = named(&server, "inside", Platform::Linux).await;
    let mut outside = named(&server, "outside", Platform::Linux).await;
    let documents = [query(), manual("l", &[]), pack("of the label", &["l"]), pack("everybody", &["All Hosts"])];
    server.rest.apply(&documents).await;
    let before = bytes_of(&mut outside).await;
    assert_eq!(bytes_of(&mut inside).await, before);
    server.rest.apply(&[manual("l", &["inside"])]).await;
    assert_eq!(pack_names(&config_of(&mut inside).await), ["everybody", "of the label"], "at the very next request");
    assert_eq!(bytes_of(&mut outside).await, before);
    server.rest.apply(&[manual("l", &["outside"])]).await;
    assert_eq!(bytes_of(&mut inside).await, before);
    assert_eq!(pack_names(&config_of(&mut outside).await), ["everybody", "of the label"]);
}

/// Changing what one label gets leaves every other host's bytes as they are.
#[tokio::test]
async fn a_changed_pack_changes_the_configs_of_its_hosts_alone() {
    let server = TestServer::start().await;
    let mut linux = named(&server, "linux", Platform::Linux).await;
    let mut mac = named(&server, "mac", Platform::Darwin).await;
    server.rest.apply(&[query(), pack("linux", &["All Linux"]), pack("mac", &["macOS"])]).await;
    let (before_linux, before_mac) = (bytes_of(&mut linux).await, bytes_of(&mut mac).await);
    let mut changed = pack("mac", &["macOS"]);
    changed["spec"]["queries"][0]["interval"] = json!(61);
    server.rest.apply(&[changed]).await;
    assert_eq!(bytes_of(&mut linux).await, before_linux);
    assert_ne!(bytes_of(&mut mac).await, before_mac);
}

#[tokio::test]
async fn what_is_switched_off_is_left_out() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let mut disabled = pack("disabled", &["All Hosts"]);
    disabled["spec"]["disabled"] = json!(true);
    let mut no_shard = pack("shard 0", &["All Hosts"]);
    no_shard["spec"]["shard"] = json!(0);
    let mut some = pack("some", &["All Hosts"]);
    some["spec"]["shard"] = json!(10);
    some["spec"]["queries"] = json!([
        { "query": "q", "name": "no shard", "interval": 60, "shard": 0 },
        { "query": "q", "name": "a shard", "interval": 60, "shard": 5 },
    ]);
    server.rest.apply(&[query(), disabled, no_shard, some]).await;
    let config = config_of(&mut agent).await;
    assert_eq!(pack_names(&config), ["some"]);
    assert_eq!(config["packs"]["some"]["shard"], 10);
    assert_eq!(
        config["packs"]["some"]["queries"],
        json!({ "a shard": { "query": "SELECT 1", "interval": 60, "shard": 5 } })
    );
}

#[tokio::test]
async fn agents_run_what_they_are_given() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let mut snapshot = pack("p", &["All Hosts"]);
    snapshot["spec"]["queries"][0]["snapshot"] = json!(true);
    server.rest.apply(&[query(), snapshot]).await;
    config_of(&mut agent).await;
    agent.run_scheduled("pack/p/q");
    assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    let kept = std::fs::read_to_string(server.results()).unwrap();
    let line: Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
    assert_eq!((&line["name"], &line["snapshot"]), (&json!("pack/p/q"), &json!([{ "1": "1" }])), "{kept}");
}

/// Agents load at most 1,048,575 bytes.
#[tokio::test]
async fn a_config_no_agent_could_load_is_refused_when_it_is_applied() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let before = bytes_of(&mut agent).await;
    let too_large = json!({ "options": { "x": "y".repeat(1_100_000) } });
    let for_macs = options(json!({}), json!({ "darwin": too_large }));
    let queries: Vec<Value> = (0..5)
        .map(|n| json!({ "kind": "query", "spec": { "name": format!("q{n}"), "query": "z".repeat(250_000) } }))
        .collect();
    let scheduled: Vec<Value> = (0..5).map(|n| json!({ "query": format!("q{n}"), "interval": 60 })).collect();
    let large_pack = json!({ "kind": "pack", "spec": {
        "name": "large", "targets": { "labels": ["MS Windows"] }, "queries": scheduled,
    } });
    for documents in [vec![options(too_large.clone(), json!({}))], vec![for_macs], [queries, vec![large_pack]].concat()]
    {
        let answer = server.rest.try_apply(&documents, false).await;
        assert_eq!(answer.status, 422, "{:.300}", answer.text);
        assert!(answer.text.contains("1048575"), "{:.300}", answer.text);
    }
    assert_eq!(bytes_of(&mut agent).await, before);
    assert_eq!(server.number("SELECT count(*) FROM queries"), 0);
}

/// Packs that fit each but not together: the host keeps the config it had.
#[tokio::test]
async fn a_host_whose_labels_make_too_large_a_config_keeps_its_last_one() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let mut documents = Vec::new();
    for half in ["first", "second"] {
        let names: Vec<String> = (0..3).map(|n| format!("{half} {n}")).collect();
        documents.extend(
            names.iter().map(|name| json!({ "kind": "query", "spec": { "name": name, "query": "z".repeat(250_000) } })),
        );
        let scheduled: Vec<Value> = names.iter().map(|name| json!({ "query": name, "interval": 60 })).collect();
        documents.push(manual(half, &[]));
        documents.push(
            json!({ "kind": "pack", "spec": { "name": half, "targets": { "labels": [half] }, "queries": scheduled } }),
        );
    }
    server.rest.apply(&documents).await;
    server.rest.apply(&[manual("first", &["host"])]).await;
    let last_good = bytes_of(&mut agent).await;
    assert_eq!(pack_names(&serde_json::from_slice(&last_good).unwrap()), ["first"]);
    // The label's members are changed behind the server's back, as another server on the same database would.
    server
        .database()
        .execute("INSERT INTO label_members (label_id, host_id) SELECT id, 1 FROM labels WHERE name = 'second'");
    let answer = server.rest.try_apply(&[manual("second", &["host"])], false).await;
    assert!([200, 422].contains(&answer.status), "{:.300}", answer.text);
    assert_eq!(bytes_of(&mut agent).await, last_good);
}

#[tokio::test]
async fn the_built_in_options_carry_the_prefix_of_the_server() {
    let server = TestServer::with(|config| config.server.url_prefix = "/fleet".to_owned()).await;
    let enroll = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": "one" });
    let enrolled = server.rest.post("/api/v1/osquery/enroll", &enroll).await.json();
    let key = json!({ "node_key": enrolled["node_key"] });
    let config = server.rest.post("/api/v1/osquery/config", &key).await.json();
    assert_eq!(config["options"]["logger_tls_endpoint"], "/fleet/api/v1/osquery/log");
    let described = server.rest.get("openapi.json").await.json();
    assert_eq!(described["servers"][0]["url"], "/fleet/api/v1/fleet");
    let shown = server.rest.get("config").await.json();
    assert_eq!(shown["agent_options"]["config"]["options"]["logger_tls_endpoint"], "/fleet/api/v1/osquery/log");
    let flags = json!({ "options": { "logger_tls_endpoint": "/api/v1/osquery/log", "pack_delimiter": "/" } });
    let applied = server.rest.apply(&[options(flags, json!({}))]).await;
    let warning =
        applied.warnings.iter().find(|warning| warning.name.ends_with(".options.logger_tls_endpoint")).unwrap();
    assert!(warning.reason.ends_with("write /fleet/api/v1/osquery/log"), "{warning:?}");
}

/// Options that nobody has chosen are not undone, and what becomes of each is said.
#[tokio::test]
async fn own_options_that_replace_the_built_in_ones_undo_nothing_and_say_so() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    assert_eq!(config_of(&mut agent).await["options"]["pack_delimiter"], "/");
    let own = json!({ "options": { "distributed_interval": 30, "logger_tls_endpoint": "/api/v1/osquery/log" } });
    let applied = server.rest.apply(&[options(own.clone(), json!({}))]).await;
    assert_eq!(config_of(&mut agent).await, own);
    let paths: Vec<&str> =
        applied.warnings.iter().map(|warning| warning.name.rsplit('.').next().unwrap_or_default()).collect();
    assert_eq!(paths, ["pack_delimiter", "logger_tls_period", "disable_distributed"], "{:?}", applied.warnings);
    assert!(applied.warnings[0].reason.contains("results are named pack_PACK_QUERY"), "{:?}", applied.warnings);
    assert_eq!(server.rest.apply(&[options(own, json!({}))]).await.warnings, []);
}

#[tokio::test]
async fn each_option_that_is_removed_is_warned_of_with_what_agents_get_instead() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let chosen = json!({ "options": { "pack_delimiter": "/", "events_max": 5, "host_identifier": "uuid" } });
    server.rest.apply(&[options(chosen, json!({}))]).await;
    let applied = server.rest.apply(&[options(json!({}), json!({}))]).await;
    assert_eq!(config_of(&mut agent).await["options"], json!({ "pack_delimiter": "_", "events_max": 50_000 }));
    let said: Vec<(&str, bool)> = applied
        .warnings
        .iter()
        .map(|warning| (warning.name.rsplit('.').next().unwrap_or_default(), warning.reason.contains("30 days")))
        .collect();
    assert_eq!(
        said,
        [("pack_delimiter", true), ("events_max", true), ("host_identifier", false)],
        "{:?}",
        applied.warnings
    );
}

/// Servers that were set up by earlier versions have the built-in options in their database.
#[tokio::test]
async fn built_in_options_that_an_earlier_version_stored_are_no_choice() {
    let mut server = TestServer::start().await;
    let mut agent = named(&server, "host", Platform::Linux).await;
    let built_in = server.rest.get("config").await.json()["agent_options"].to_string();
    server.database().execute(&format!(
        "UPDATE settings SET value = '{}' WHERE name = 'app_config'",
        json!({ "agent_options": serde_json::from_str::<Value>(&built_in).unwrap() })
    ));
    server.restart().await;
    let own = json!({ "options": { "distributed_interval": 30 } });
    server.rest.apply(&[options(own.clone(), json!({}))]).await;
    assert_eq!(config_of(&mut agent).await, own);
}

/// A config request of the newest agents, with the etag of the config they have.
async fn conditional(agent: &TestAgent, etag: impl Into<Value>) -> Value {
    let body = json!({ "node_key": agent.node_key(), "etag": etag.into() }).to_string();
    let exchange = agent.raw(AgentEndpoint::Config, body, &[]).await;
    serde_json::from_slice(&exchange.response.unwrap().body).unwrap()
}

/// Takes the etag out of a whole config, as agents do.
fn without_etag(mut config: Value) -> (String, Value) {
    let etag = config.as_object_mut().unwrap().remove("etag").unwrap();
    (etag.as_str().unwrap().to_owned(), config)
}

/// Asks with the etag of a config that was sent once: it is sent again, once.
async fn sent_again(agent: &TestAgent, etag: &str, config: &Value) -> String {
    let (again, whole) = without_etag(conditional(agent, etag).await);
    assert_eq!(&whole, config);
    assert_eq!(conditional(agent, again.as_str()).await, json!({ "etag": "ok" }));
    again
}

#[tokio::test]
async fn an_agent_that_has_the_config_is_told_that_it_is_unchanged() {
    let server = TestServer::start().await;
    let mut agent = named(&server, "linux", Platform::Linux).await;
    server.rest.apply(&[query(), pack("everybody", &["All Hosts"])]).await;

    let plain = config_of(&mut agent).await;
    let (etag, config) = without_etag(conditional(&agent, "").await);
    assert_eq!(config, plain);
    // The agent may not have been able to apply it, and applies what is sent again.
    let etag = sent_again(&agent, &etag, &config).await;
    // Of clones that share the host, each has an etag of its own.
    let clone = conditional(&agent, "").await;
    assert_eq!(without_etag(clone).1, plain);
    assert_eq!(conditional(&agent, etag.as_str()).await, json!({ "etag": "ok" }));
    for not_this in [json!("ok"), json!("another"), json!("")] {
        assert_eq!(without_etag(conditional(&agent, not_this).await).1, plain);
    }
    // Not an etag: the config as all others get it.
    for none in [json!(null), json!(7)] {
        assert_eq!(conditional(&agent, none).await, plain);
    }
    // A change to others, and one that is undone, leave the config as it is.
    server.rest.apply(&[pack("nobody", &[])]).await;
    assert_eq!(conditional(&agent, etag.as_str()).await, json!({ "etag": "ok" }));

    server.rest.apply(&[pack("more", &["All Linux"])]).await;
    let (newer, config) = without_etag(conditional(&agent, etag.as_str()).await);
    assert_eq!(pack_names(&config), ["everybody", "more"]);
    let newer = sent_again(&agent, &newer, &config).await;

    server.clock.advance(Duration::from_secs(3600));
    let (later, whole) = without_etag(conditional(&agent, newer.as_str()).await);
    assert_eq!(whole, config);
    assert_eq!(conditional(&agent, later.as_str()).await, json!({ "etag": "ok" }));
}

/// With the members of objects in one order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: std::collections::BTreeMap<_, _> =
                members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn the_config_of_labels_is_what_a_host_in_them_is_served() {
    let server = TestServer::start().await;
    let mut linux = named(&server, "linux", Platform::Linux).await;
    let mut mac = named(&server, "mac", Platform::Darwin).await;
    let own = options(
        json!({ "options": { "schedule_splay_percent": 20 }, "decorators": { "load": ["SELECT 1"] } }),
        json!({ "darwin": { "options": { "schedule_splay_percent": 30 }, "schedule": { "own": { "query": "SELECT 2", "interval": 5 } } } }),
    );
    let documents =
        [query(), manual("chosen", &["mac"]), pack("everybody", &["All Hosts"]), pack("chosen", &["chosen"]), own];
    server.rest.apply(&documents).await;
    // What was removed is served with its default until agents have forgotten it.
    server
        .rest
        .apply(&[options(json!({ "options": {} }), json!({ "darwin": { "options": { "verbose": true } } }))])
        .await;
    let labels: LabelSummaries = server.rest.read("labels/summary").await;
    let chosen = labels.labels.iter().find(|label| label.name == "chosen").unwrap().id.to_string();
    for (agent, labels) in [(&mut linux, ""), (&mut mac, chosen.as_str())] {
        let served = config_of(agent).await;
        let platform = agent.agent().identity().os.platform.clone();
        let exported: AgentConfig =
            server.rest.read(&format!("agent_config?platform={platform}&label_id={labels}")).await;
        assert_eq!(sorted(&exported.config).to_string(), sorted(&served).to_string(), "{platform}");
        assert_eq!(exported.labels[0], "All Hosts");
    }
    let without: AgentConfig = server.rest.read("agent_config?platform=darwin").await;
    assert_eq!(pack_names(&without.config), ["everybody"]);
    assert_eq!(server.rest.get("agent_config").await.status, 400);
    assert_eq!(server.rest.get("agent_config?platform=darwin&label_id=999").await.status, 404);
}
