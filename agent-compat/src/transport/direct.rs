//! A connection per request, as stock agents open them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    Response, SetupError, Transport, TransportError, Trust,
    http1::{read_response, request_head},
    tls::client_config,
};
use crate::agent::{Request, Thread};

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Opens a new TCP and TLS connection for every request, without resumption.
///
/// A clone goes to the same server but shares no connections: give each agent its own.
pub struct Direct {
    host: String,
    port: u16,
    /// `None` for plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    lingers: bool,
    /// The used connection of each thread, kept until its next request.
    idle: [Mutex<Option<Box<dyn ByteStream>>>; 3],
}

impl Direct {
    /// A way to `http://host[:port]` or `https://host[:port]`.
    ///
    /// # Errors
    /// If the address or the certificates cannot be used.
    pub fn new(base_url: &str, trust: &Trust) -> Result<Self, SetupError> {
        let bad = || SetupError::Address(base_url.to_owned());
        let (secure, rest) = match base_url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(bad()),
        };
        let authority = rest.trim_end_matches('/');
        let bracket_end = authority.rfind(']');
        let colon = authority.rfind(':').filter(|colon| bracket_end.is_none_or(|end| *colon > end));
        let (host, port) = match colon {
            Some(colon) => (&authority[..colon], authority[colon + 1..].parse().map_err(|_| bad())?),
            None => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(bad());
        }
        let tls = if secure {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
            Some((client_config(trust)?, name))
        } else {
            None
        };
        Ok(Self { host: host.to_owned(), port, tls, lingers: false, idle: Default::default() })
    }

    /// Whether each thread keeps its used connection open until its next request, as stock agents do. Off at first.
    #[must_use]
    pub fn lingering(mut self, lingers: bool) -> Self {
        self.lingers = lingers;
        self
    }

    async fn connect(&self) -> Result<Box<dyn ByteStream>, TransportError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some((config, name)) => Box::new(TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await?),
        })
    }

    fn host_header(&self) -> String {
        let name = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { name } else { format!("{name}:{}", self.port) }
    }

    async fn exchange(&self, thread: Thread, request: &Request) -> Result<Response, TransportError> {
        let mut stream = self.connect().await?;
        let mut message = request_head(request, &self.host_header()).into_bytes();
        message.extend_from_slice(&request.body);
        stream.write_all(&message).await?;
        stream.flush().await?;
        let gunzip = request.headers.iter().any(|(name, _)| *name == "Accept-Encoding");
        let response = read_response(&mut stream, gunzip).await?;
        if self.lingers {
            *self.idle_of(thread) = Some(stream);
        } else {
            // The answer is complete; a failing goodbye changes nothing.
            let _ = stream.shutdown().await;
        }
        Ok(response)
    }

    fn idle_of(&self, thread: Thread) -> std::sync::MutexGuard<'_, Option<Box<dyn ByteStream>>> {
        self.idle[thread as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Direct {
    fn clone(&self) -> Self {
        Self {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls.clone(),
            lingers: self.lingers,
            idle: Default::default(),
        }
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Transport for Direct {
    async fn send(&self, thread: Thread, request: &Request, within: Duration) -> Result<Response, TransportError> {
        drop(self.idle_of(thread).take());
        timeout(within, self.exchange(thread, request)).await.unwrap_or(Err(TransportError::Timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_scheme_a_host_and_perhaps_a_port() {
        let host = |url| Direct::new(url, &Trust::Anyone).map(|direct| direct.host_header());
        assert_eq!(host("https://localhost").unwrap(), "localhost");
        assert_eq!(host("https://localhost:8443/").unwrap(), "localhost:8443");
        assert_eq!(host("http://127.0.0.1:8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(host("http://[::1]:8080").unwrap(), "[::1]:8080");
        for bad in ["localhost:1", "ftp://x", "https://", "https://h:port", "https://h/path"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(Direct::new("https://h", &Trust::CaPem("nothing".to_owned())).is_err());
    }
}
