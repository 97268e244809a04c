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
    for (platform, os, expected) in [
        (Platform::Linux, "ubuntu", vec!["All Hosts", "All Linux", "Ubuntu Linux"]),
        (Platform::Linux, "debian", vec!["All Hosts", "All Linux"]),
        (Platform::Linux, "rhel", vec!["All Hosts", "All Linux", "Red Hat Linux"]),
        (Platform::Linux, "centos", vec!["All Hosts", "All Linux", "CentOS Linux"]),
        (Platform::Darwin, "darwin", vec!["All Hosts", "macOS"]),
        (Platform::Windows, "windows", vec!["All Hosts", "MS Windows"]),
    ] {
        let mut identity = Identity::simulated(2, 1, platform);
        os.clone_into(&mut identity.os.platform);
        identity.host_identifier = format!("host-{os}");
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
        let id = server.number(&format!("SELECT id FROM hosts WHERE identifier = 'host-{os}'"));
        let mut labels: Vec<String> = host(&server, id).await.labels.into_iter().map(|label| label.name).collect();
        labels.sort();
        assert_eq!(labels, expected, "{os}");
    }
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
