//! Below HTTP: agents make one request per connection, and the oldest take a connection that ends without TLS's own
//! goodbye for an answer.

use std::sync::Arc;

use crate::harness::{CompatServer, RecordedRequest};
use anyhow::{Context as _, Result};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{one, server_knowing};

/// Sends a request and reads until the server has said goodbye. An end without a goodbye is an error.
async fn whole_conversation(
    server: &CompatServer,
    request: &RecordedRequest,
    tls: &'static SupportedProtocolVersion,
) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.certificate())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[tls])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.base_url().trim_start_matches("https://")).await?;
    let name = ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    // No offer of another protocol, as agents make none.
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let head = format!(
        "POST {} HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: NodeKey {}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        request.path,
        request.header_key.as_deref().context("no key")?,
        request.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&request.body).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("no goodbye")?;
    Ok(String::from_utf8(answer)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_the_connection_properly_after_its_answer() -> Result<()> {
    let request = one(7)?;
    let server = server_knowing([&request]).await?;
    for tls in [&TLS13, &TLS12] {
        let accepted = whole_conversation(&server, &request, tls).await?;
        assert!(accepted.starts_with("HTTP/1.1 200 ") && accepted.ends_with("\r\n\r\n{}"), "{accepted}");
        let refused = whole_conversation(&server, &request.with_key("unknown"), tls).await?;
        assert!(refused.starts_with("HTTP/1.1 401 ") && refused.ends_with('}'), "{refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_that_is_refused_is_read_to_its_end() -> Result<()> {
    let request = one(16)?;
    let server = CompatServer::start().await?;
    let refused = whole_conversation(&server, &request, &TLS13).await?;
    assert!(refused.contains(r#""node_invalid":true"#), "{refused}");
    Ok(())
}
