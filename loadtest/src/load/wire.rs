//! Connections to the server. Buffers are used again and again.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use agent_compat::transport::{RawResponse, read_raw};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Room for answers that is kept between requests.
const KEEP: usize = 64 * 1024;

/// The server, and how to get there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its nodes, at least one.
    pub addresses: Vec<SocketAddr>,
    /// `None` for plain HTTP.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Addresses of 127.0.0.0/8 that connections come from, one after the other; 0 leaves the choice to the system.
    pub sources: u32,
}

pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    /// Makes a connection to one of the nodes.
    pub async fn connect(&self, number: u64, node: usize) -> io::Result<Connection> {
        let address = self.addresses.get(node).copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.sources > 1 {
            let [_, a, b, c] = (2 + (number % u64::from(self.sources)) as u32).to_be_bytes();
            // A port that waits for its connection to be forgotten can be taken for another one.
            socket.set_reuseaddr(true)?;
            socket.bind((IpAddr::V4(Ipv4Addr::new(127, a, b, c)), 0).into())?;
        }
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Connection::Plain(tcp),
            Some((config, name)) => {
                let tls = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await?;
                Connection::Tls(Box::new(tls))
            }
        })
    }
}

impl Connection {
    /// Sends a request and reads the answer into the buffer, which it fills from the start.
    pub async fn exchange(&mut self, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<RawResponse> {
        buffer.clear();
        buffer.shrink_to(KEEP);
        buffer.reserve(2048);
        match self {
            Self::Plain(tcp) => {
                tcp.write_all(request).await?;
                read_raw(tcp, buffer).await
            }
            Self::Tls(tls) => {
                tls.write_all(request).await?;
                tls.flush().await?;
                read_raw(tls, buffer).await
            }
        }
    }

    /// Says goodbye as agents do. The answer is complete, so a failure changes nothing.
    pub async fn close(self) {
        match self {
            Self::Plain(mut tcp) => {
                let _ = tcp.shutdown().await;
            }
            Self::Tls(mut tls) => {
                let _ = tls.shutdown().await;
            }
        }
    }
}
