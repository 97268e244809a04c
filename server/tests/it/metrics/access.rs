use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::config::Secret;

use crate::support::{Answer, Rest, ServerSetup, TestServer};

const PASSWORD: &str = "planted-password-for-tests";

async fn guarded() -> TestServer {
    TestServer::with(|config| {
        config.prometheus_basic_auth.username = "scraper".to_owned();
        config.prometheus_basic_auth.password = Secret::new(PASSWORD);
    })
    .await
}

async fn get_as(rest: &Rest, path: &str, username: &str, password: &str) -> Answer {
    rest.get_authorized(path, &format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))).await
}

#[tokio::test]
async fn metrics_are_for_whoever_shows_the_name_and_password() {
    let server = guarded().await;
    let answer = get_as(&server.rest, "/metrics", "scraper", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("\nmuster_is_leader "), "{}", answer.text);
    assert!(!answer.text.contains(PASSWORD) && !answer.text.contains("scraper"));
    for (username, password) in [("scraper", "guess"), ("scraper", ""), ("", ""), ("admin", PASSWORD)] {
        let answer = get_as(&server.rest, "/metrics", username, password).await;
        assert_eq!(answer.status, 401, "{username:?} {password:?}");
        assert_eq!(answer.headers["www-authenticate"], r#"Basic realm="metrics", charset="UTF-8""#);
        assert!(answer.text.contains("prometheus.basic_auth") && !answer.text.contains("muster_"), "{}", answer.text);
        assert!(!answer.text.contains(PASSWORD) && !answer.text.contains("scraper"), "{}", answer.text);
    }
}

/// A session is no key to the metrics, and the name and password are none to anything else.
#[tokio::test]
async fn metrics_and_the_rest_have_keys_of_their_own() {
    let server = guarded().await;
    for rest in [server.rest.anonymous(), server.rest.clone()] {
        assert_eq!(rest.get("/metrics").await.status, 401);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.rest.anonymous().get(path).await.status, 200, "{path}");
    }
    assert_eq!(get_as(&server.rest, "hosts", "scraper", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn without_a_name_anybody_may_read() {
    let server = TestServer::start().await;
    assert_eq!(server.rest.anonymous().get("/metrics").await.status, 200);
    let shown = get_as(&server.rest, "/metrics", "scraper", "anything").await;
    assert_eq!(shown.status, 200, "what nobody asks for does no harm");
}

#[tokio::test]
async fn the_password_may_stand_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{PASSWORD}\n")).unwrap();
    let server = TestServer::with(|config| {
        config.prometheus_basic_auth.username = "scraper".to_owned();
        config.prometheus_basic_auth.password_path = Some(file.path().to_owned());
    })
    .await;
    for (password, status) in [(PASSWORD, 200), ("", 401), ("guess", 401)] {
        assert_eq!(get_as(&server.rest, "/metrics", "scraper", password).await.status, status, "{password:?}");
    }
}

/// With debug messages, and with requests that are let in and refused.
#[tokio::test]
async fn the_password_is_in_no_log() {
    let setup = ServerSetup::on_sqlite(&["logging_debug=true", "prometheus_basic_auth_username=scraper"]);
    let mut command = setup.command();
    command.env("FLEET_PROMETHEUS_BASIC_AUTH_PASSWORD", PASSWORD);
    let server = setup.start_by(command).await;
    let rest = Rest::new(&setup.address());
    for (password, status) in [(PASSWORD, 200), ("another-planted-password", 401)] {
        assert_eq!(get_as(&rest, "/metrics", "scraper", password).await.status, status);
    }
    let said = server.said();
    assert!(said.contains("listening"), "{said}");
    assert!(!said.contains("planted-password"), "{said}");
}
