//! The addresses that the server listens on: free, or in use, and by whom.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use muster_tls::TlsPolicy;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Diagnosis;
use crate::config::Config;

const SUBJECT: &str = "ports";

/// Time for finding out who listens.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Most bytes that are read of an answer.
const MAX_ANSWER: u64 = 16 * 1024;

pub(super) async fn check(config: &Config) -> Vec<Diagnosis> {
    let server = &config.server;
    let mut diagnoses = vec![check_one(config, "server.address", &server.address).await];
    let others =
        [("server.operator_address", &server.operator_address), ("server.debug_address", &server.debug_address)];
    for (key, address) in others.into_iter().filter(|(_, address)| !address.is_empty()) {
        diagnoses.push(check_one(config, key, address).await);
    }
    diagnoses
}

async fn check_one(config: &Config, key: &str, text: &str) -> Diagnosis {
    let address = match lookup_host(text).await.map(|mut found| found.next()) {
        Ok(Some(address)) => address,
        Ok(None) => return Diagnosis::fail(SUBJECT, format!("{key}: {text} names no address"), another(key)),
        Err(error) => return Diagnosis::fail(SUBJECT, format!("{key}: {text}: {error}"), another(key)),
    };
    // Closed at once; nothing is accepted.
    let error = match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => return Diagnosis::ok(SUBJECT, format!("{key}: {address} picks any free port")),
        Ok(_) => return Diagnosis::ok(SUBJECT, format!("{key}: {address} is free")),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse => match timeout(ASK_TIMEOUT, state_of_server(config, address)).await {
            Ok(Some(state)) => {
                Diagnosis::ok(SUBJECT, format!("{key}: a running muster listens on {address}, and says: {state}"))
            }
            _ => Diagnosis::fail(
                SUBJECT,
                format!("{key}: {address} is in use, and not by a muster with these settings"),
                format!("stop what listens there (`ss -ltnp` names it), or set {key} to another port"),
            ),
        },
        ErrorKind::PermissionDenied => Diagnosis::fail(
            SUBJECT,
            format!("{key}: this user may not listen on {address}"),
            format!("set {key} to a port above 1023 and forward to it, or grant CAP_NET_BIND_SERVICE"),
        ),
        ErrorKind::AddrNotAvailable => {
            Diagnosis::fail(SUBJECT, format!("{key}: {address} is no address of this machine"), another(key))
        }
        _ => Diagnosis::fail(SUBJECT, format!("{key}: cannot listen on {address}: {error}"), another(key)),
    }
}

fn another(key: &str) -> String {
    format!("set {key} to an address of this machine and a port, such as 0.0.0.0:8080")
}

/// What `GET /readyz` says there: `ready`, `stopping` or `unavailable`. Nothing if it is not answered as by a muster.
async fn state_of_server(config: &Config, address: SocketAddr) -> Option<String> {
    let reachable = match address {
        SocketAddr::V4(four) if four.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        SocketAddr::V6(six) if six.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    };
    let stream = TcpStream::connect(reachable).await.ok()?;
    let path = format!("{}/readyz", config.server.url_prefix);
    let answer = if config.server.tls {
        // Nothing secret is sent, and its certificate is looked at elsewhere.
        let client = TlsPolicy::unverified().client_config().ok()?;
        let name = ServerName::from(reachable.ip());
        ask(TlsConnector::from(Arc::new(client)).connect(name, stream).await.ok()?, &path).await?
    } else {
        ask(stream, &path).await?
    };
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1.trim()).ok()?;
    body.get("checks")?;
    Some(body.get("status")?.as_str()?.to_owned())
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // Some close without an end of TLS; what has come is looked at.
    let _ = stream.take(MAX_ANSWER).read_to_end(&mut answer).await;
    String::from_utf8(answer).ok()
}
