use agent_compat::agent::{Identity, Platform};
use muster::config::HostIdentifier;
use muster_api::rest::HostEnvelope;
use serde_json::json;

use super::{host, hosts, identity};
use crate::support::{ENROLL_SECRET, TestServer, assert_refused};

#[tokio::test]
async fn a_host_that_enrolls_again_keeps_its_row_and_its_older_key() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    let old_key = agent.node_key().to_owned();
    let mut renamed = identity(1);
    "renamed.corp.example".clone_into(&mut renamed.fqdn);
    let mut again = server.address.agent_of(renamed);
    assert!(again.enroll().await.verdict.is_success());
    assert_ne!(again.node_key(), old_key);
    assert!(agent.config().await.verdict.is_success(), "the old key is still good");
    assert!(again.config().await.verdict.is_success());
    let hosts = hosts(&server).await;
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].hostname, "renamed.corp.example");
    assert_eq!(server.number("SELECT count(*) FROM node_keys"), 2);
}

#[tokio::test]
async fn enrollments_at_one_time_make_one_host() {
    let server = TestServer::start().await;
    let mut agents: Vec<_> = (0..6).map(|_| server.agent(1)).collect();
    let answers = futures_util::future::join_all(agents.iter_mut().map(|agent| agent.enroll())).await;
    assert!(answers.iter().all(|exchange| exchange.verdict.is_success()), "{answers:?}");
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success());
    }
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 1);
}

#[tokio::test]
async fn keys_are_long_and_plain_and_nowhere_to_be_read() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let key = agent.node_key();
    assert!(key.len() >= 43, "{key}");
    assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{key}");
    for entry in std::fs::read_dir(server.folder()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()) {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let has_key = bytes.windows(key.len()).any(|part| part == key.as_bytes());
        assert!(!has_key, "{} holds a node key in clear", path.display());
    }
}

#[tokio::test]
async fn the_configured_name_decides_what_host_it_is() {
    for (by, expected) in [
        (HostIdentifier::Provided, "given"),
        (HostIdentifier::Instance, "the-instance"),
        (HostIdentifier::Uuid, "the-uuid"),
        (HostIdentifier::Hostname, "the.fqdn"),
    ] {
        let server = TestServer::with(|config| config.osquery.host_identifier = by).await;
        let name = |text: &str| text.to_owned();
        let identity = Identity {
            host_identifier: name("given"),
            instance_id: name("the-instance"),
            uuid: name("the-uuid"),
            fqdn: name("the.fqdn"),
            ..identity(1)
        };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
        let found: HostEnvelope = server.rest.read(&format!("hosts/identifier/{expected}")).await;
        assert_eq!(found.host.host.uuid, "the-uuid");
        let database = server.database();
        assert_eq!(database.text("SELECT identifier FROM hosts"), expected);
    }
}

#[tokio::test]
async fn a_host_without_the_configured_name_goes_by_the_one_it_gives() {
    let server = TestServer::with(|config| config.osquery.host_identifier = HostIdentifier::Instance).await;
    let body = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": "old-agent", "host_details": {} });
    let exchange = server.agent(1).raw(agent_compat::agent::AgentEndpoint::Enroll, body.to_string(), &[]).await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
    assert_eq!(server.number("SELECT count(*) FROM hosts WHERE identifier = 'old-agent'"), 1);
}

#[tokio::test]
async fn a_host_without_any_name_is_refused() {
    let server = TestServer::start().await;
    for name in [json!(""), json!("  "), json!(null), json!("x".repeat(300))] {
        let body = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": name }).to_string();
        let exchange = server.agent(1).raw(agent_compat::agent::AgentEndpoint::Enroll, body, &[]).await;
        assert_refused(&exchange, &name.to_string());
    }
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 0);
}

#[tokio::test]
async fn hosts_are_in_the_labels_of_their_platform() {
    let server = TestServer::start().await;
    for (platform, os, name, expected) in [
        (Platform::Linux, "ubuntu", "Ubuntu", vec!["All Hosts", "All Linux", "Ubuntu Linux"]),
        (Platform::Linux, "debian", "Debian GNU/Linux", vec!["All Hosts", "All Linux"]),
        (Platform::Linux, "rhel", "Red Hat Enterprise Linux", vec!["All Hosts", "All Linux", "Red Hat Linux"]),
        (Platform::Linux, "centos", "CentOS Stream", vec!["All Hosts", "All Linux", "CentOS Linux"]),
        (Platform::Linux, "rhel", "CentOS", vec!["All Hosts", "All Linux", "CentOS Linux"]),
        (Platform::Linux, "rhel", "Fedora", vec!["All Hosts", "All Linux"]),
        (Platform::Darwin, "darwin", "macOS", vec!["All Hosts", "macOS"]),
        (Platform::Windows, "windows", "Microsoft Windows 11 Pro", vec!["All Hosts", "MS Windows"]),
    ] {
        let mut identity = Identity::simulated(2, 1, platform);
        os.clone_into(&mut identity.os.platform);
        name.clone_into(&mut identity.os.name);
        identity.host_identifier = format!("host-{os}-{name}");
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        let id = server.number(&format!("SELECT id FROM hosts WHERE identifier = 'host-{os}-{name}'"));
        let labels = async || {
            let mut labels: Vec<String> = host(&server, id).await.labels.into_iter().map(|label| label.name).collect();
            labels.sort();
            labels
        };
        assert_eq!(labels().await, expected, "{os}, {name}");
        // What the host is asked later says the same.
        crate::checkin::settle(&mut agent).await;
        server.run_tasks().await;
        assert_eq!(labels().await, expected, "{os}, {name}");
    }
}

/// An agent of CentOS 6 says it is some relative of Red Hat; it is still what labels and overrides for CentOS mean.
#[tokio::test]
async fn labels_and_options_for_a_platform_reach_hosts_whose_agents_call_it_otherwise() {
    let server = TestServer::start().await;
    server
        .rest
        .apply_yaml(
            "apiVersion: v1\nkind: label\nspec: {name: centos with rpm, platform: centos, query: SELECT 1}\n---\n\
             apiVersion: v1\nkind: config\nspec:\n  agent_options:\n    config: {options: {distributed_interval: 10}}\n    \
             overrides: {platforms: {centos: {options: {distributed_interval: 33}}}}\n",
        )
        .await;
    server.clock.advance(std::time::Duration::from_secs(61));
    for (name, is_centos) in [("CentOS", true), ("Red Hat Enterprise Linux Server", false)] {
        let mut identity = Identity::simulated(2, 1, Platform::Linux);
        "rhel".clone_into(&mut identity.os.platform);
        name.clone_into(&mut identity.os.name);
        name.clone_into(&mut identity.host_identifier);
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        let config = agent.config().await;
        let interval = &config.verdict.value().unwrap()["options"]["distributed_interval"];
        assert_eq!(interval == &json!(33), is_centos, "{name}: {interval}");
        let questions = crate::checkin::questions(&agent.distributed().await);
        assert_eq!(
            questions.iter().any(|question| question == "fleet_label_query_8"),
            is_centos,
            "{name}: {questions:?}"
        );
    }
}

/// A kernel update may change how a machine writes its UUID.
#[tokio::test]
async fn capitals_in_an_identity_make_no_other_host() {
    let server = TestServer::start().await;
    let enroll = async |name: &str, uuid: &str| {
        let identity = Identity { host_identifier: name.to_owned(), uuid: uuid.to_owned(), ..identity(1) };
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        agent
    };
    let upper = "4C4C4544-0051-3010-8052-B4C04F4E3732";
    let mut before = enroll(upper, upper).await;
    let mut after = enroll(&upper.to_lowercase(), &upper.to_lowercase()).await;
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 1);
    assert!(before.config().await.verdict.is_success() && after.config().await.verdict.is_success());
    for word in [upper.to_owned(), upper.to_lowercase(), identity(1).fqdn.to_uppercase()] {
        let found: HostEnvelope = server.rest.read(&format!("hosts/identifier/{word}")).await;
        assert_eq!(found.host.host.id, 1, "{word}");
    }
    let targets = json!({ "hosts": [upper.to_lowercase()], "labels": ["all hosts"] });
    let answer = server.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": targets })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// What older versions took for two hosts stays two, each found by exactly its name.
#[tokio::test]
async fn hosts_that_differ_in_capitals_alone_stay_apart() {
    let server = TestServer::start().await;
    for name in ["web-01", "other"] {
        let identity = Identity { host_identifier: name.to_owned(), uuid: name.to_owned(), ..identity(1) };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
    }
    server.database().execute("UPDATE hosts SET identifier = 'WEB-01', claimed_identifier = 'WEB-01' WHERE id = 2");
    for (name, id) in [("web-01", 1), ("WEB-01", 2)] {
        let identity = Identity { host_identifier: name.to_owned(), uuid: format!("{name}-uuid"), ..identity(1) };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
        let found: HostEnvelope = server.rest.read(&format!("hosts/identifier/{name}")).await;
        assert_eq!((found.host.host.id, found.host.host.uuid), (id, format!("{name}-uuid")));
    }
    assert_eq!(server.rest.get("hosts/identifier/Web-01").await.status, 422, "which one is not said");
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 2);

    let mut lines = Vec::new();
    muster::prepare(server.config(), |line| lines.push(line.to_owned())).await.unwrap();
    let line = lines.iter().find(|line| line.starts_with("Warning: ")).unwrap();
    assert!(line.contains(r#""web-01" (id 1), "WEB-01" (id 2)"#), "{line}");
}

/// A machine that was installed anew with another system changes its labels.
#[tokio::test]
async fn another_platform_means_other_labels() {
    let server = TestServer::start().await;
    let mut before = Identity::simulated(2, 1, Platform::Windows);
    "same".clone_into(&mut before.host_identifier);
    let mut after = Identity::simulated(2, 1, Platform::Darwin);
    "same".clone_into(&mut after.host_identifier);
    assert!(server.address.agent_of(before).enroll().await.verdict.is_success());
    assert!(server.address.agent_of(after).enroll().await.verdict.is_success());
    let id = hosts(&server).await[0].id;
    let mut labels: Vec<String> = host(&server, id).await.labels.into_iter().map(|label| label.name).collect();
    labels.sort();
    assert_eq!(labels, ["All Hosts", "macOS"]);
}
