//! Agents that must show a client certificate, over real TLS.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::tls::Version;
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::support::{ENROLL_SECRET, Rest, ServerSetup, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A CA that issues certificates of agents.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, good until the end of a year.
    fn issue(&self, year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["agent.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "agent");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).unwrap()
    }
}

fn client(folder: &Path, identity: Option<Identity>, newest: Version) -> Client {
    let trusted = Certificate::from_pem(&std::fs::read(folder.join("tls/server.crt")).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).tls_version_max(newest).timeout(SOON);
    let client = match identity {
        Some(identity) => client.identity(identity),
        None => client,
    };
    client.build().unwrap()
}

async fn enroll(setup: &ServerSetup, client: &Client) -> (u16, Value) {
    let body = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": "agent" });
    let request = client.post(format!("{}/api/v1/osquery/enroll", setup.address().url)).json(&body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn assert_not_certified(answer: &(u16, Value), reason: &str) {
    let (status, body) = answer;
    assert_eq!(*status, 403, "{body}");
    assert!(body["error"].as_str().unwrap().contains(reason), "{body}");
    assert!(body.get("node_invalid").is_none(), "no agent may lose its key by that: {body}");
}

#[tokio::test]
async fn agents_show_a_certificate_and_operators_need_none() {
    let (ours, others) = (Ca::new("ours"), Ca::new("others"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agents.pem");
    std::fs::write(&file, &ours.pem).unwrap();
    let setup = ServerSetup::new(&[&format!("server_agent_ca={}", file.display())]);
    let server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    assert_eq!(rest.get("me").await.status, 200, "operators need none");
    let with = |identity: Option<Identity>| client(setup.folder(), identity, Version::TLS_1_3);

    let without = with(None);
    assert_not_certified(&enroll(&setup, &without).await, "agents need a client certificate");
    let mut agent = setup.address().agent(1);
    assert!(!agent.enroll().await.verdict.is_success());
    assert_not_certified(&enroll(&setup, &with(Some(others.issue(2099)))).await, "none of a CA");
    assert_not_certified(&enroll(&setup, &with(Some(ours.issue(2021)))).await, "expired");
    for newest in [Version::TLS_1_2, Version::TLS_1_3] {
        let good = client(setup.folder(), Some(ours.issue(2099)), newest);
        let (status, body) = enroll(&setup, &good).await;
        assert!(status == 200 && body["node_key"].is_string(), "{body}");
        let config = good
            .post(format!("{}/api/osquery/config", setup.address().url))
            .json(&json!({ "node_key": body["node_key"] }));
        assert_eq!(config.send().await.unwrap().status().as_u16(), 200);
        let refused = without
            .post(format!("{}/api/osquery/config", setup.address().url))
            .json(&json!({ "node_key": body["node_key"] }));
        assert_eq!(refused.send().await.unwrap().status().as_u16(), 403, "a key alone is not enough");
    }
    // A certificate that is of no use to agents does operators no harm.
    let health = with(Some(others.issue(2099))).get(format!("{}/healthz", setup.address().url));
    assert_eq!(health.send().await.unwrap().status().as_u16(), 200);

    // Other CAs are read while the server runs, and files that cannot be used change nothing.
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    server.signal("HUP");
    eventually("the log says so", SOON, async || {
        server.said().contains("cannot load server.agent_ca again").then_some(())
    })
    .await;
    assert_eq!(enroll(&setup, &with(Some(ours.issue(2099)))).await.0, 200);
    std::fs::write(&file, &others.pem).unwrap();
    server.signal("HUP");
    eventually("the other CA holds", SOON, async || {
        (enroll(&setup, &with(Some(others.issue(2099)))).await.0 == 200).then_some(())
    })
    .await;
    assert_not_certified(&enroll(&setup, &with(Some(ours.issue(2099)))).await, "none of a CA");
    assert!(server.said().contains("agents need a client certificate"), "{}", server.said());
}

#[test]
fn files_and_settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let path = |name: &str| format!("server_agent_ca={}", folder.path().join(name).display());
    for (flags, reason) in [
        (vec![path("none.pem")], "cannot read"),
        (vec![path("empty.pem")], "contains no certificate"),
        (vec![path("empty.pem"), "server_tls=false".to_owned()], "let the proxy check them"),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = ServerSetup::new(&flags).command().output().unwrap();
        assert!(!output.status.success(), "{flags:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("server.agent_ca") && said.contains(reason), "{flags:?}: {said}");
    }
}
