use std::time::Duration;

use agent_compat::TestAgent;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};

use crate::support::{Rest, ServerSetup, TestServer, eventually};

const SOON: Duration = Duration::from_secs(20);

/// Puts a new certificate in the place of the server's.
pub fn renew(setup: &ServerSetup) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    for (name, text) in [("server.crt", cert.pem()), ("server.key", signing_key.serialize_pem())] {
        std::fs::write(setup.folder().join("tls").join(name), text).unwrap();
    }
}

async fn is_served(agent: &mut TestAgent) -> bool {
    agent.config().await.verdict.is_success()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let mut old = setup.address().enrolled(1).await;

    renew(&setup);
    server.signal("HUP");
    let new = setup.address();
    let mut agent = eventually("the new certificate is shown", SOON, async || {
        let mut agent = new.agent(2);
        agent.enroll().await.verdict.is_success().then_some(agent)
    })
    .await;
    assert!(!is_served(&mut old).await, "an agent that trusts the old certificate alone must not connect");

    let (cert, key) = (setup.folder().join("tls/server.crt"), setup.folder().join("tls/server.key"));
    let good = std::fs::read(&cert).unwrap();
    for broken in [&b"-----BEGIN CERTIFICATE-----\nAAAA"[..], b""] {
        std::fs::write(&cert, broken).unwrap();
        let warned = server.said().matches("cannot load the certificate again").count();
        server.signal("HUP");
        eventually("the log says so", SOON, async || {
            (server.said().matches("cannot load the certificate again").count() > warned).then_some(())
        })
        .await;
        assert!(is_served(&mut agent).await, "the certificate in use stays");
    }

    // A key that belongs to another certificate is no pair with this one.
    std::fs::write(&cert, good).unwrap();
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.signal("HUP");
    eventually("the log names both files", SOON, async || {
        server.said().contains("cannot be used together").then_some(())
    })
    .await;
    assert!(is_served(&mut agent).await);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_loaded_with_a_warning_and_measured() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    assert!(!server.said().contains("the certificate has expired"), "{}", server.said());
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    for (name, text) in [("server.crt", cert.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(setup.folder().join("tls").join(name), text).unwrap();
    }
    server.signal("HUP");
    eventually("the log warns", SOON, async || server.said().contains("the certificate has expired").then_some(()))
        .await;
    assert!(server.said().contains("expires_at=\"2021-01-01T00:00:00+00:00\""), "{}", server.said());
}

#[tokio::test]
async fn the_end_of_the_certificate_is_a_metric() {
    let server = TestServer::with(|config| config.server.tls = true).await;
    assert!(server.metric("muster_certificate_expiry_timestamp_seconds").await > 1_800_000_000.0);
}
