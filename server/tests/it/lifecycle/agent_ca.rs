//! Agents that must show a client certificate, over real TLS.

#[path = "../../../../cli/tests/tls/old_format.rs"]
mod old_format;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::tls::Version;
use reqwest::{Certificate, Client, Identity};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

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
    assert_not_certified(
        &enroll(&setup, &with(Some(ours.issue(2021)))).await,
        "the certificate expired at 2021-12-31T",
    );
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

/// Shows one certificate to whoever asks, without a look at it.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Nobody but the log can say why: the handshake fails before a request.
#[tokio::test]
async fn a_certificate_of_the_old_format_is_named_in_the_log() {
    let ca = Ca::new("ours");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agents.pem");
    std::fs::write(&file, &ca.pem).unwrap();
    let setup = ServerSetup::new(&[&format!("server_agent_ca={}", file.display())]);
    let server = setup.start().await;
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateDer::from(old_format::certificate(&key));
    let signing = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signing = ring::default_provider().key_provider.load_private_key(signing).unwrap();
    let shown = CertifiedKey::new(vec![certificate], signing);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(setup.folder().join("tls/server.crt")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Always(Arc::new(shown))));
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let address = setup.address().url.trim_start_matches("https://").to_owned();
        let connection = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        // With TLS 1.3 the client learns of it when it reads.
        if let Ok(mut stream) = connector.connect(name, connection).await {
            assert!(stream.read_u8().await.is_err());
        }
    }
    let said = "the certificate is of X.509 version 1";
    eventually("the log says so", SOON, async || server.said().contains(said).then_some(())).await;
    let said = server.said();
    assert_eq!(said.matches("the handshake with a client certificate failed").count(), 1, "{said}");
    assert!(said.contains("extendedKeyUsage=clientAuth"), "{said}");
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
