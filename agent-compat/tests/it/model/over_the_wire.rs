//! Real connections to a tiny server.

use std::sync::{Arc, Mutex};

use agent_compat::{
    Agent, Flags, SqliteHost, TestAgent, Verdict,
    agent::{AgentEndpoint, LiveResult},
    live,
    transport::{Direct, Trust},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, watch},
};

use tokio_rustls::TlsAcceptor;

use super::world::identity;

trait ServedStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ServedStream for S {}

/// Answers each request by its path, and sends head and body of each to `seen`.
async fn server(seen: mpsc::UnboundedSender<(String, String)>, tls: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let secure = tls.is_some();
    tokio::spawn(async move {
        loop {
            let Ok((tcp, _)) = listener.accept().await else {
                return;
            };
            let (seen, tls) = (seen.clone(), tls.clone());
            tokio::spawn(async move {
                let mut stream: Box<dyn ServedStream> = match tls {
                    None => Box::new(tcp),
                    Some(acceptor) => match acceptor.accept(tcp).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                };
                let mut bytes = Vec::new();
                let (head, length) = loop {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if let Some((head, _)) = text.split_once("\r\n\r\n") {
                        let length = head.split_once("Content-Length: ").unwrap().1.lines().next().unwrap().to_owned();
                        break (head.to_owned(), length.parse::<usize>().unwrap());
                    }
                };
                while bytes.len() < head.len() + 4 + length {
                    stream.read_buf(&mut bytes).await.unwrap();
                }
                let body = String::from_utf8_lossy(&bytes[head.len() + 4..]).into_owned();
                let (status, answer) = match head.split(' ').nth(1).unwrap() {
                    path if path.ends_with("enroll") => ("200 OK", r#"{"node_key":"k1"}"#),
                    path if path.ends_with("config") => {
                        ("200 OK", r#"{"schedule":{"up":{"query":"SELECT 1 AS one","interval":1,"snapshot":true}}}"#)
                    }
                    path if path.ends_with("read") => ("200 OK", r#"{"queries":{"a":"SELECT 7 AS x"}}"#),
                    path if path.ends_with("write") => ("200 OK", ""),
                    _ => ("503 Busy", r#"{"error":"busy"}"#),
                };
                let _ = seen.send((head, body));
                let length = answer.len();
                let text = format!("HTTP/1.1 {status}\r\nX-Test: 1\r\nContent-Length: {length}\r\n\r\n{answer}");
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://localhost:{}", address.port())
}

#[tokio::test]
async fn a_test_agent_takes_one_step_per_call() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let url = server(seen, None).await;
    let mut agent = TestAgent::simulated(1, "s3", &url, &Trust::Anyone).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    assert_eq!(agent.node_key(), "k1");
    assert!(agent.config().await.verdict.is_success());
    agent.run_scheduled("up");
    let flushed = agent.flush_logs().await;
    assert_eq!(flushed[0].status(), 503);
    assert_eq!(flushed[0].header("x-test"), Some("1"));
    assert_eq!(flushed[0].verdict, Verdict::Failure("busy".to_owned()));
    assert_eq!(agent.agent().buffered_lines(), 1, "a failed delivery keeps its lines");
    let round = agent.distributed().await;
    assert!(round.read.verdict.is_success() && round.write.unwrap().verdict.is_success());
    let result = LiveResult { id: "b".to_owned(), rows: Vec::new(), status: 1, message: "no".to_owned(), cost: None };
    assert!(agent.write([result]).await.verdict.is_success());
    assert!(agent.raw(AgentEndpoint::Log, "poison", &[("Content-Type", "text/plain")]).await.verdict.value().is_none());
    assert_eq!(agent.counters().endpoint(AgentEndpoint::DistributedWrite).successes, 2);
    drop(agent);
    let mut heads = Vec::new();
    while let Ok((head, body)) = requests.try_recv() {
        heads.push((head, body));
    }
    assert_eq!(heads.len(), 7);
    assert!(heads[0].0.starts_with("POST /api/v1/osquery/enroll HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: osquery/"));
    assert!(heads[4].1.starts_with(r#"{"queries":{"a":[{"x":"7"}]},"statuses":{"a":0},"#), "{}", heads[4].1);
    assert!(heads[6].0.contains("Content-Type: text/plain") && heads[6].1 == "poison");
}

#[tokio::test]
async fn nobody_listening_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut agent = TestAgent::simulated(1, "s3", &url, &Trust::Anyone).unwrap();
    let exchange = agent.enroll().await;
    assert!(exchange.response.is_none() && !exchange.verdict.is_success());
}

#[tokio::test]
async fn a_living_agent_enrolls_answers_and_stops() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let url = server(seen, None).await;
    let flags = Flags { enroll_secret: "s3".into(), ..Flags::default() };
    let agent = Agent::new(identity("5.23.1"), flags, Box::new(SqliteHost::new()), live::now_ms());
    let agent = Arc::new(Mutex::new(agent));
    let transport = Direct::new(&url, &Trust::Anyone).unwrap().lingering(true);
    let (stop, stopped) = watch::channel(false);
    let life = tokio::spawn(live::run(Arc::clone(&agent), transport, stopped));
    while let Some((head, _)) = requests.recv().await {
        if head.contains("distributed/write") {
            break;
        }
    }
    stop.send(true).unwrap();
    life.await.unwrap();
    let agent = live::lock(&agent);
    assert_eq!((agent.counters().enrollments, agent.export_key()), (1, Some("k1")));
    assert!(agent.counters().endpoint(AgentEndpoint::Config).successes == 1);
}

/// A server that shows a certificate and signs with a key, whether or not they belong together.
async fn tls_server(shown: &rcgen::Certificate, key: &rcgen::KeyPair) -> String {
    let provider = rustls::crypto::ring::default_provider();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider.key_provider.load_private_key(key.into()).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![shown.der().clone()], key));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let (seen, _) = mpsc::unbounded_channel();
    server(seen, Some(TlsAcceptor::from(Arc::new(config)))).await
}

async fn assert_trust(url: &str, trust: Trust, accepted: bool) {
    let mut agent = TestAgent::simulated(1, "s3", url, &trust).unwrap();
    assert_eq!(agent.enroll().await.verdict.is_success(), accepted, "{trust:?}");
}

#[tokio::test]
async fn the_servers_certificate_is_verified() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let url = tls_server(&made.cert, &made.signing_key).await;
    assert_trust(&url, Trust::CaPem(made.cert.pem()), true).await;
    assert_trust(&url, Trust::CaPem(other.cert.pem()), false).await;
    assert_trust(&url, Trust::Anyone, true).await;
    assert_trust(&url, Trust::Unverified, true).await;
}

#[tokio::test]
async fn a_server_must_hold_the_key_of_its_certificate_unless_nothing_is_verified() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let url = tls_server(&made.cert, &other.signing_key).await;
    assert_trust(&url, Trust::CaPem(made.cert.pem()), false).await;
    assert_trust(&url, Trust::Anyone, false).await;
    assert_trust(&url, Trust::Unverified, true).await;
}
