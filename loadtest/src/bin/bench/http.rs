//! The few requests that are not load: numbers, and what the ceiling is to answer.

use std::path::Path;
use std::time::Duration;

use agent_compat::transport::{SetupError, Trust, client_config, read_response};
use anyhow::{Context as _, Result, anyhow};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How an answer begins that succeeds, and how one ends that is sent in parts.
const OK: &[u8] = b"HTTP/1.1 200";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Anything bytes go through.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// Where a server is, and how to reach it.
#[derive(Clone)]
pub struct Address {
    pub host: String,
    tls: Option<TlsConnector>,
}

impl Address {
    /// `ca` is the server's certificate; without it plain HTTP is spoken.
    pub fn new(host: &str, ca: Option<&Path>) -> Result<Self> {
        let connector =
            |ca: &Path| Ok::<_, SetupError>(TlsConnector::from(client_config(&Trust::CaFile(ca.to_owned()))?));
        let tls = ca.map(connector).transpose()?;
        Ok(Self { host: host.to_owned(), tls })
    }

    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.host)
    }

    pub async fn connect(&self) -> Result<Box<dyn ByteStream>> {
        let stream = TcpStream::connect(&self.host).await.with_context(|| format!("cannot reach {}", self.host))?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
        })
    }

    /// One request on a connection of its own; the body of a success.
    pub async fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Vec<u8>> {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.fetch(method, path, &token, body).await
    }

    /// As [`Address::ask`], with these lines in the head.
    pub async fn fetch(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<Vec<u8>> {
        self.fetch_within(TIMEOUT, method, path, headers, body).await
    }

    /// As [`Address::fetch`], for an answer that takes longer.
    pub async fn fetch_within(
        &self,
        longest: Duration,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Result<Vec<u8>> {
        let work = async {
            let mut stream = self.connect().await?;
            stream.write_all(head(method, path, headers, body.len(), "close").as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
            let response = read_response(&mut stream, false).await?;
            let body = response.body.to_vec();
            anyhow::ensure!(response.status == 200, "status {}: {}", response.status, String::from_utf8_lossy(&body));
            Ok(body)
        };
        let outcome = tokio::time::timeout(longest, work)
            .await
            .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", longest.as_secs())));
        outcome.with_context(|| format!("{method} {}{path}", self.url()))
    }

    /// Takes an answer of any length to its end and keeps nothing of it; gives the number of bytes that came, head and all.
    pub async fn drain(&self, longest: Duration, path: &str, headers: &str) -> Result<u64> {
        let work = async {
            let mut stream = self.connect().await?;
            stream.write_all(head("GET", path, headers, 0, "close").as_bytes()).await?;
            stream.flush().await?;
            let (mut bytes, mut first, mut last, mut piece) = (0, Vec::new(), Vec::new(), vec![0_u8; 64 * 1024]);
            loop {
                let length = stream.read(&mut piece).await?;
                let read = &piece[..length];
                if first.len() < OK.len() {
                    first.extend_from_slice(&read[..length.min(OK.len() - first.len())]);
                }
                last.extend_from_slice(read);
                last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
                bytes += length as u64;
                if length == 0 {
                    break;
                }
            }
            anyhow::ensure!(first == OK, "the answer begins with {:?}", String::from_utf8_lossy(&first));
            anyhow::ensure!(last == LAST_CHUNK, "the answer breaks off after {bytes} bytes");
            Ok(bytes)
        };
        let outcome = tokio::time::timeout(longest, work)
            .await
            .unwrap_or_else(|_| Err(anyhow!("no end within {} s", longest.as_secs())));
        outcome.with_context(|| format!("GET {}{path}", self.url()))
    }

    /// Opens a connection, has one request answered on it, and gives it back still open.
    pub async fn used_connection(&self) -> Result<Box<dyn ByteStream>> {
        let body = r#"{"node_key":"nobody"}"#;
        let mut stream = self.connect().await?;
        let head = head("POST", "/api/v1/osquery/distributed/read", "", body.len(), "keep-alive");
        stream.write_all((head + body).as_bytes()).await?;
        stream.flush().await?;
        read_response(&mut stream, false).await?;
        Ok(stream)
    }
}

fn head(method: &str, path: &str, headers: &str, length: usize, connection: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {length}\r\n\r\n"
    )
}
