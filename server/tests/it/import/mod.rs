//! A database of Fleet is brought over, and agents go on as if nothing had happened.

mod fleet;
mod program;

use std::time::Duration;

use agent_compat::TestAgent;
use muster::ImportWish;
use serde_json::{Value, json};

use self::fleet::{FleetDatabase, VERSIONS, counts, key_of};
use crate::support::{Rest, TestServer};

const DRY: ImportWish = ImportWish { dry_run: true, overwrite: false };

/// An agent with the key that Fleet gave it.
fn known_to_fleet(server: &TestServer, index: u32) -> TestAgent {
    let mut agent = server.agent(index);
    agent.agent_mut().import_key(key_of(index));
    agent
}

/// Three hosts: one in no label, one that is a server, one that is odd.
fn fill(fleet: &FleetDatabase, agents: &[TestAgent]) {
    for (id, agent) in (11..).zip(agents) {
        fleet.add(id, agent, agent.node_key());
    }
    fleet.label(20, 12);
    fleet.label(21, 13);
}

async fn config_of(agent: &mut TestAgent) -> Value {
    let exchange = agent.config().await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
    serde_json::from_slice(exchange.body()).unwrap()
}

fn packs(config: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        config["packs"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

fn what(report: &Value) -> Vec<&str> {
    report["left"].as_array().unwrap().iter().map(|left| left["what"].as_str().unwrap()).collect()
}

fn actions<'a>(report: &'a Value, action: &str) -> Vec<(&'a str, &'a str)> {
    let of = |change: &&'a Value| change["action"] == action;
    let changes = report["objects"].as_array().unwrap().iter().filter(of);
    changes.map(|change| (change["kind"].as_str().unwrap(), change["name"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn agents_go_on_with_their_keys_and_the_config_they_had() {
    for version in VERSIONS {
        let server = TestServer::start().await;
        let fleet = FleetDatabase::new(version);
        let mut agents: Vec<TestAgent> = (1..=3).map(|index| known_to_fleet(&server, index)).collect();
        fill(&fleet, &agents);
        let before = fleet.dump();
        let report = fleet.import(&server, ImportWish::default()).await;
        server.run_tasks().await;
        assert_eq!(fleet.dump(), before, "{}: the source is as it was", version.name);
        assert_eq!(report["hosts"]["created"], 3, "{}: {report:#}", version.name);
        assert_eq!(report["hosts"]["keys_added"], 3);

        for agent in &mut agents {
            assert!(agent.read().await.verdict.is_success(), "{}", version.name);
        }
        let everywhere = json!({ "uptime": { "query": "SELECT * FROM uptime", "interval": 60, "snapshot": true } });
        let configs =
            [config_of(&mut agents[0]).await, config_of(&mut agents[1]).await, config_of(&mut agents[2]).await];
        for config in &configs {
            let pack = if version.name == "kolide 3.x" { "everywhere" } else { "Global" };
            let queries = &config["packs"][pack]["queries"];
            assert_eq!(queries["uptime"]["query"], everywhere["uptime"]["query"], "{}: {config:#}", version.name);
            assert_eq!((&queries["uptime"]["interval"], &queries["uptime"]["snapshot"]), (&json!(60), &json!(true)));
            assert_eq!(queries.as_object().unwrap().len(), 1, "what Fleet does not send does not come: {queries:#}");
            assert_eq!(config["options"]["distributed_interval"], 7);
            assert!(config["options"].get("no_such_flag").is_none());
            assert_eq!(config["decorators"]["load"], json!(["SELECT uuid AS host_uuid FROM system_info;"]));
        }
        let of_servers = &configs[1]["packs"]["servers only"];
        assert_eq!(of_servers["platform"], "linux");
        let kernel = &of_servers["queries"]["kernel of servers"];
        assert_eq!(
            (&kernel["query"], &kernel["interval"], &kernel["version"], &kernel["shard"]),
            (&json!("SELECT * FROM kernel_info"), &json!(3600), &json!("3.3.0"), &json!(100))
        );
        assert!(!packs(&configs[0]).contains(&"servers only") && !packs(&configs[2]).contains(&"servers only"));
        assert!(configs.iter().all(|config| !packs(config).contains(&"off")));
        if version.name == "Fleet 4.6x" {
            let of_label = &configs[2]["packs"]["Global (odd ones)"]["queries"]["of a label"];
            assert_eq!((&of_label["interval"], &of_label["removed"]), (&json!(30), &json!(false)));
            assert!(!packs(&configs[0]).contains(&"Global (odd ones)"));
        }

        for agent in &agents {
            assert_eq!(
                (agent.counters().node_invalid(), agent.node_key().len()),
                (0, key_of(1).len()),
                "{}",
                version.name
            );
        }
        assert_eq!(server.number("SELECT count(*) FROM hosts"), 3, "nobody enrolls");
        assert_eq!(server.number("SELECT count(*) FROM node_keys"), 3);
        let host = server.rest.get(&format!("hosts/identifier/{}", agents[0].agent().identity().host_identifier)).await;
        let host = &host.json()["host"];
        assert_eq!((&host["memory"], &host["hardware_serial"]), (&json!(8_589_934_592_i64), &json!("serial 11")));
        assert_eq!(host["platform"], "ubuntu");

        // An agent that enrolls all the same, with the secret it has, is the host it was.
        let secret = if version.name == "kolide 3.x" { "secret-of-three" } else { "secret-of-four" };
        let flags = agent_compat::agent::Flags { enroll_secret: secret.into(), ..Default::default() };
        let mut again = server.address.agent_with(agents[0].agent().identity().clone(), flags);
        assert!(again.enroll().await.verdict.is_success(), "{}", version.name);
        assert_eq!(server.number("SELECT count(*) FROM hosts"), 3);
    }
}

#[tokio::test]
async fn the_report_names_what_comes_and_what_does_not() {
    let [newest, _, oldest] = VERSIONS;
    let server = TestServer::start().await;
    let fleet = FleetDatabase::new(newest);
    fleet.execute(
        "INSERT INTO hosts (id, osquery_host_id, node_key) VALUES (1, 'no key', NULL), (2, NULL, NULL), \
         (3, repeat('x', 200), 'a key')",
    );
    let report = fleet.import(&server, ImportWish::default()).await;
    let (what, hosts) = (what(&report), &report["hosts"]);
    for left in [
        "label \"by vitals\"",
        "queries of teams",
        "targets of pack \"servers only\" that are hosts",
        "agent options: config.options.no_such_flag",
        "policies",
        "teams",
        "sessions",
        "devices under management",
        "pack \"everywhere\": query \"with: colon\"",
    ] {
        assert!(what.contains(&left), "{left}: {what:#?}");
    }
    assert!(!what.contains(&"software titles"), "there are none");
    assert_eq!(
        (&hosts["without_key"], &hosts["without_identifier"], &hosts["too_long"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(hosts["named"]["without_key"], json!(["no key"]));
    let next = report["next"].to_string();
    assert!(next.contains("the certificate that fleet.example.com shows"), "{next}");

    let of =
        |email: &str| report["users"].as_array().unwrap().iter().find(|user| user["email"] == email).unwrap().clone();
    assert_eq!(
        (&of("Ada@example.com")["outcome"], &of("Ada@example.com")["role"]),
        (&json!("created"), &json!("admin"))
    );
    assert_eq!(of("gone@example.com")["outcome"], "left");
    assert_eq!(of("admin@example.com")["note"], "has another role here, which stays");
    // Nobody signs in as somebody whose password did not come, until it is given one.
    let log_in = json!({ "email": "ada@example.com", "password": crate::support::PASSWORD });
    assert_eq!(server.rest.anonymous().post("login", &log_in).await.status, 401);
    let id = server.number("SELECT id FROM users WHERE email = 'ada@example.com'");
    let edit = json!({ "new_password": crate::support::PASSWORD });
    assert_eq!(server.rest.send("PATCH", &format!("users/{id}"), Some(&edit)).await.status, 200);
    assert_eq!(server.rest.anonymous().post("login", &log_in).await.status, 200);

    let secrets = server.rest.get("spec/enroll_secret").await.json();
    let secrets =
        secrets["spec"]["secrets"].as_array().unwrap().iter().map(|secret| secret["secret"].as_str().unwrap());
    let secrets: Vec<&str> = secrets.collect();
    assert!(secrets.contains(&"secret-of-the-team") && secrets.contains(&crate::support::ENROLL_SECRET), "{secrets:?}");
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'imported_from_fleet'"), 1);

    let server = TestServer::start().await;
    let report = FleetDatabase::new(oldest).import(&server, ImportWish::default()).await;
    assert_eq!(report["source"]["kind"], "Fleet 3.x");
    let roles = ["Ada@example.com", "bob@example.com", "gone@example.com"];
    let of =
        |email: &str| report["users"].as_array().unwrap().iter().find(|user| user["email"] == email).unwrap().clone();
    assert_eq!(roles.map(|email| of(email)["role"].clone()), [json!("admin"), json!("maintainer"), Value::Null]);
    assert!(self::what(&report).contains(&"enroll secret \"former\""), "{report:#}");
}

#[tokio::test]
async fn a_second_run_brings_the_difference_and_overwrites_nothing_newer() {
    let [newest, ..] = VERSIONS;
    let server = TestServer::start().await;
    let fleet = FleetDatabase::new(newest);
    let mut agents: Vec<TestAgent> = (1..=3).map(|index| known_to_fleet(&server, index)).collect();
    fill(&fleet, &agents);
    fleet.import(&server, ImportWish::default()).await;
    let again = fleet.import(&server, ImportWish::default()).await;
    assert_eq!((&again["hosts"]["unchanged"], &again["hosts"]["keys_added"]), (&json!(3), &json!(0)), "{again:#}");
    assert!(actions(&again, "changed").is_empty() && actions(&again, "created").is_empty(), "{again:#}");

    // One agent is moved here and gets a key of its own; one enrolls again at Fleet; one more comes; labels change.
    let mut moved = server.agent(1);
    server.clock.advance(Duration::from_secs(60));
    assert!(moved.enroll().await.verdict.is_success());
    assert!(moved.config().await.verdict.is_success());
    let fresh = "key+of/the/second/enrollment=";
    fleet.execute(&format!(
        "SET time_zone = '+00:00'; \
         UPDATE hosts SET node_key = '{fresh}', last_enrolled_at = '2026-01-15 12:00:30', hardware_serial = 'another', \
         detail_updated_at = '2026-01-15 12:00:40', label_updated_at = '2026-01-15 12:00:40' WHERE id = 13; \
         DELETE FROM label_membership WHERE label_id IN (20, 21); \
         UPDATE queries SET query = 'SELECT days FROM uptime' WHERE id = 1; UPDATE queries SET query = 'SELECT 8' WHERE id = 2"
    ));
    fleet.label(20, 13);
    let fourth = known_to_fleet(&server, 4);
    fleet.add(14, &fourth, fourth.node_key());
    agents.push(fourth);
    // Somebody changes a query here.
    server.rest.apply(&[json!({ "kind": "query", "spec": { "name": "kernel", "query": "SELECT 9" } })]).await;
    let second = fleet.import(&server, ImportWish::default()).await;
    let hosts = &second["hosts"];
    assert_eq!(
        (&hosts["created"], &hosts["newer_here"], &hosts["keys_added"]),
        (&json!(1), &json!(0), &json!(2)),
        "{hosts:#}"
    );
    assert_eq!(hosts["keys_dropped"], 1, "{hosts:#}");
    assert_eq!(actions(&second, "changed"), [("query", "uptime")]);
    assert_eq!(second["kept"], json!([{ "kind": "query", "name": "kernel", "fields": ["query"] }]));
    server.run_tasks().await;

    let mut renewed = known_to_fleet(&server, 3);
    renewed.agent_mut().import_key(fresh);
    assert!(packs(&config_of(&mut renewed).await).contains(&"servers only"), "it is a server now");
    assert!(!packs(&config_of(&mut agents[1]).await).contains(&"servers only"), "and this is none any more");
    config_of(&mut agents[3]).await;
    config_of(&mut moved).await;
    assert!(!agents[2].config().await.verdict.is_success(), "Fleet had replaced this key");
    let serial = "SELECT count(*) FROM hosts WHERE hardware_serial = 'another'";
    assert_eq!((server.number("SELECT count(*) FROM hosts"), server.number(serial)), (4, 1));

    let overwritten = fleet.import(&server, ImportWish { overwrite: true, ..ImportWish::default() }).await;
    assert_eq!(actions(&overwritten, "changed"), [("query", "kernel")]);
    assert_eq!(overwritten["kept"], json!([]));
}

#[tokio::test]
async fn an_agent_that_has_enrolled_here_keeps_its_newer_key() {
    let [newest, ..] = VERSIONS;
    let server = TestServer::start().await;
    let fleet = FleetDatabase::new(newest);
    let mut here = server.enrolled(1).await;
    fleet.add(11, &here, &key_of(1));
    let report = fleet.import(&server, ImportWish::default()).await;
    let hosts = &report["hosts"];
    assert_eq!(
        (&hosts["newer_here"], &hosts["keys_added"], &hosts["created"]),
        (&json!(1), &json!(0), &json!(0)),
        "{hosts:#}"
    );
    assert_eq!(hosts["named"]["newer_here"], json!([here.agent().identity().host_identifier]));
    server.run_tasks().await;
    config_of(&mut here).await;
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 1);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let [newest, ..] = VERSIONS;
    let server = TestServer::start().await;
    let fleet = FleetDatabase::new(newest);
    let agents: Vec<TestAgent> = (1..=3).map(|index| known_to_fleet(&server, index)).collect();
    fill(&fleet, &agents);
    let before = counts(&server.database());
    let dry = fleet.import(&server, DRY).await;
    assert_eq!(counts(&server.database()), before);
    let real = fleet.import(&server, ImportWish::default()).await;
    assert_ne!(counts(&server.database()), before);
    for part in ["objects", "users", "left", "kept"] {
        assert_eq!(dry[part], real[part], "{part}");
    }
    for number in ["created", "keys_added", "read"] {
        assert_eq!(dry["hosts"][number], real["hosts"][number], "{number}");
    }
}

#[tokio::test]
async fn what_is_no_database_of_fleet_is_named_as_such() {
    let [newest, _, oldest] = VERSIONS;
    let server = TestServer::start().await;
    let refused = async |fleet: &FleetDatabase| {
        let error = fleet.try_import(server.config(), &server, ImportWish::default()).await.unwrap_err();
        format!("{error:#}")
    };
    let other = FleetDatabase::new(newest);
    other.execute("DROP TABLE label_membership");
    let reason = refused(&other).await;
    assert!(reason.contains("is no database of Fleet") && reason.contains("no table label_membership"), "{reason}");
    let unknown = FleetDatabase::new(oldest);
    unknown.execute("ALTER TABLE hosts CHANGE node_key secret_key varchar(255)");
    let reason = refused(&unknown).await;
    assert!(reason.contains("the table hosts has no column node_key"), "{reason}");
    assert!(!reason.contains("not-a-password"));

    // The administrators of Fleet come without passwords, so nobody could give them any.
    let empty = TestServer::empty(|_| {}).await;
    let fleet = FleetDatabase::new(newest);
    let error = fleet.try_import(empty.config(), &empty, ImportWish::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("set the server up first"), "{error:#}");
    assert_eq!(empty.number("SELECT count(*) FROM users"), 0);
    let rest = Rest::new(&empty.address).set_up().await;
    assert_eq!(rest.get("users").await.status, 200);
}
