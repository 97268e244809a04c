use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{AGENT_ENDPOINTS, Rest, ServerSetup, TestServer, assert_refused, eventually, free_port};

const SOON: Duration = Duration::from_secs(20);

/// A server with an address for operators. Both use TLS.
async fn with_two_addresses() -> TestServer {
    TestServer::with(|config| {
        config.server.tls = true;
        config.server.operator_address = "127.0.0.1:0".to_owned();
    })
    .await
}

#[tokio::test]
async fn agents_and_operators_are_served_each_at_an_address() {
    let mut server = with_two_addresses().await;
    let mut agent = server.enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    assert!(agent.read().await.verdict.is_success());
    assert_eq!(server.rest.get("hosts").await.status, 200);
    assert!(server.metric("http_requests_total").await > 0.0);
    let at_agents = Rest::new(&server.address).with_token(server.rest.token());
    for rest in [&at_agents, &server.rest] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(rest.get(path).await.status, 200, "{path}");
        }
    }
    server.restart().await;
    assert!(agent.config().await.verdict.is_success());
    assert_eq!(server.rest.get("hosts").await.status, 200);
}

#[tokio::test]
async fn whoever_asks_at_the_wrong_address_is_told_the_right_one() {
    let server = with_two_addresses().await;
    let config = &server.config().server;
    let at_agents = Rest::new(&server.address).with_token(server.rest.token());
    for path in ["hosts", "login", "/api/v1/setup", "/api/latest/fleet/hosts", "/metrics", "/", "/nothing"] {
        let answer = at_agents.get(path).await;
        assert_eq!(answer.status, 421, "{path}: {}", answer.text);
        let named = format!("server.operator_address ({})", config.operator_address);
        assert!(answer.problems()[0].contains(&named), "{path}: {}", answer.text);
    }
    let mut agent = server.enrolled(1).await;
    let operators = crate::support::Address {
        url: server.address.url.replace(&config.address, &config.operator_address),
        trust: server.address.trust.clone(),
    };
    operators.draw(&mut agent);
    for endpoint in AGENT_ENDPOINTS {
        let exchange = agent.raw(endpoint, "{}", &[]).await;
        assert_refused(&exchange, "at the address of operators");
        let text = String::from_utf8_lossy(exchange.body()).into_owned();
        assert!(text.contains(&format!("server.address ({})", config.address)), "{text}");
    }
}

/// Both addresses say that the server stops, serve until the drain is over, and show a renewed certificate.
#[tokio::test]
async fn both_addresses_live_one_life() {
    let port = free_port();
    let flag = format!("server_operator_address=127.0.0.1:{port}");
    let setup = ServerSetup::new(&[&flag, "server_drain=60s", "server_shutdown_timeout=70s"]);
    let mut server = setup.start().await;
    assert!(server.said().contains(&format!("operator_address=127.0.0.1:{port}")), "{}", server.said());
    let rest = Rest::new(&setup.address_at(port)).set_up().await;
    setup.address().enrolled(1).await;

    crate::lifecycle::certificate::renew(&setup);
    server.signal("HUP");
    let (agents, operators) = eventually("the new certificate is shown at both", SOON, async || {
        let agents = setup.address().agent(2).enroll().await.verdict.is_success();
        let operators = Rest::new(&setup.address_at(port)).with_token(rest.token());
        let is_shown = agents && operators.try_get("me").await.is_some_and(|answer| answer.status == 200);
        is_shown.then(|| (Rest::new(&setup.address()), operators))
    })
    .await;

    server.signal("TERM");
    for rest in [&agents, &operators] {
        eventually("the server says that it stops", SOON, async || {
            (rest.get("/healthz").await.status == 503).then_some(())
        })
        .await;
    }
    assert_eq!(operators.get("hosts").await.status, 200);
    assert!(setup.address().agent(3).enroll().await.verdict.is_success());
    server.signal("TERM");
    server.ended(SOON).await;
    for port in [setup.port(), port] {
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

#[test]
fn an_address_that_cannot_be_used_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let own = free_port();
    for (operators, reason) in [
        (taken.to_string(), format!("cannot listen on {taken}")),
        (format!("127.0.0.1:{own}"), "is the same as server.address".to_owned()),
        // The same address in other words.
        (format!("localhost:{own}"), format!("cannot listen on 127.0.0.1:{own}")),
        ("localhost".to_owned(), "expects an address and a port".to_owned()),
    ] {
        let (agents, operators) =
            (format!("server_address=127.0.0.1:{own}"), format!("server_operator_address={operators}"));
        let setup = ServerSetup::on_sqlite(&[&agents, &operators]);
        let output = setup.command().stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("server.operator_address") && said.contains(&reason), "{said}");
    }
}
