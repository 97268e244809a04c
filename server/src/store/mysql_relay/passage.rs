//! One connection of the driver through the relay.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::packet::{CANNOT_CONNECT, Packet, TLS_FAILED};
use super::server::{ByteStream, MysqlServer};

/// Longest wait for the server until it is connected and trusted. Less than the pool waits for a connection, so that the
/// reason arrives.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Longest wait for a server to take a farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// From the driver to the server.
pub struct Passage {
    pub server: MysqlServer,
    /// Without one, both sides are in the clear.
    pub acceptor: Option<TlsAcceptor>,
}

impl Passage {
    /// Carries everything, in both directions, until one side ends. A server that cannot be reached or trusted is told to
    /// the driver as an error of the database.
    pub async fn carry(&self, driver: UnixStream) {
        // What goes wrong with the driver's side is known to the driver.
        let _ = self.begin_and_carry(driver).await;
    }

    async fn begin_and_carry(&self, driver: UnixStream) -> io::Result<()> {
        match &self.acceptor {
            Some(acceptor) => self.carry_encrypted(acceptor, driver).await,
            None => self.carry_in_the_clear(driver).await,
        }
    }

    async fn carry_in_the_clear(&self, driver: UnixStream) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        match timeout_at(deadline, self.server.dial(deadline)).await {
            Ok(Ok(server)) => carry_both(driver, server).await,
            Ok(Err(error)) => self.not_connected(driver, &error.to_string()).await,
            Err(_) => self.not_connected(driver, &late()).await,
        }
    }

    async fn carry_encrypted(&self, acceptor: &TlsAcceptor, mut driver: UnixStream) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (server, greeting) = match timeout_at(deadline, self.greeting(deadline)).await {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => return self.not_connected(driver, &error.to_string()).await,
            Err(_) => return self.not_connected(driver, &late()).await,
        };
        greeting.write(&mut driver).await?;
        if greeting.is_error() {
            return driver.shutdown().await;
        }
        // The driver asks for TLS, or ends when it has read in the greeting that the server has none.
        let request = timeout_at(deadline, Packet::read(&mut driver)).await??;
        let encrypted = match timeout_at(deadline, self.encrypted(server, &request)).await {
            Ok(Ok(encrypted)) => Ok(encrypted),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err(late()),
        };
        let mut driver = timeout(PATIENCE, acceptor.accept(driver)).await??;
        match encrypted {
            Ok(server) => carry_both(driver, server).await,
            Err(reason) => {
                let log_in = timeout(PATIENCE, Packet::read(&mut driver)).await??;
                let text =
                    format!("no TLS with {}: {reason}; check {}", self.server.address(), self.server.trust_settings());
                Packet::error(log_in.next_sequence(), TLS_FAILED, &text).write(&mut driver).await?;
                driver.shutdown().await
            }
        }
    }

    async fn greeting(&self, deadline: Instant) -> io::Result<(Box<dyn ByteStream>, Packet)> {
        let mut server = self.server.dial(deadline).await?;
        let greeting = Packet::read(&mut server).await?;
        Ok((server, greeting))
    }

    async fn encrypted(
        &self,
        mut server: Box<dyn ByteStream>,
        request: &Packet,
    ) -> anyhow::Result<TlsStream<Box<dyn ByteStream>>> {
        request.write(&mut server).await?;
        self.server.encrypt(server).await
    }

    async fn not_connected(&self, mut driver: UnixStream, reason: &str) -> io::Result<()> {
        let text = format!("cannot connect to {}: {reason}", self.server.address());
        Packet::error(0, CANNOT_CONNECT, &text).write(&mut driver).await?;
        driver.shutdown().await
    }
}

fn late() -> String {
    format!("not done within {} ms", PATIENCE.as_millis())
}

/// Until one side ends: neither MySQL nor the driver goes on after the other has.
async fn carry_both(driver: impl ByteStream, server: impl ByteStream) -> io::Result<()> {
    let (mut from_driver, mut to_driver) = tokio::io::split(driver);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    tokio::select! {
        ended = tokio::io::copy(&mut from_driver, &mut to_server) => {
            ended?;
            timeout(FAREWELL, to_server.shutdown()).await?
        }
        ended = tokio::io::copy(&mut from_server, &mut to_driver) => {
            ended?;
            timeout(FAREWELL, to_driver.shutdown()).await?
        }
    }
}
