//! A way to a service on 127.0.0.1 that can be made slow, silent or broken without touching the service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Connections at one time; more wait.
const MAX_CONNECTIONS: usize = 512;

/// Bytes taken at once, and how many such pieces may be under way in one direction of a connection.
const PIECE: usize = 16 * 1024;
const PIECES: usize = 64;

/// What happens to connections, those that are there and new ones alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// What goes to the service arrives so much later: a round trip takes so much longer.
    Slow(Duration),
    /// Connections are taken and kept, and nothing passes.
    Frozen,
    /// Connections are closed.
    Cut,
}

/// Listens on a port of its own while it lives, on a thread of its own, so that nothing a test does makes it slow.
pub struct Proxy {
    port: u16,
    passage: watch::Sender<Passage>,
    /// Ends with the proxy.
    _life: oneshot::Sender<()>,
}

type Rewrite = Arc<dyn Fn(&mut [u8]) -> bool + Send + Sync>;

impl Proxy {
    /// A way to the service at this host and port, open at first.
    pub fn to(service: &str) -> Self {
        Self::rewriting(service, |_| true)
    }

    /// As [`Proxy::to`], with other words going to the service than came, piece by piece. Where `rewrite` is false, the
    /// connection is silent from this piece on, for ever.
    pub fn rewriting(service: &str, rewrite: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static) -> Self {
        let rewrite: Rewrite = Arc::new(rewrite);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((passage, watched), (life, ended)) = (watch::channel(Passage::Open), oneshot::channel::<()>());
        let service = service.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = listen(listener, service, watched, rewrite) => {}
                    _ = ended => {}
                }
            });
        });
        Self { port, passage, _life: life }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn listen(listener: TcpListener, service: String, passage: watch::Receiver<Passage>, rewrite: Rewrite) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else { continue };
        let (service, mut passage, rewrite) = (service.clone(), passage.clone(), Arc::clone(&rewrite));
        tokio::spawn(async move {
            let mut cut = passage.clone();
            tokio::select! {
                // Ends too when the proxy is gone.
                _ = cut.wait_for(|passage| *passage == Passage::Cut) => {}
                _ = carry(client, &service, &mut passage, rewrite) => {}
            }
            drop(permit);
        });
    }
}

async fn carry(
    client: TcpStream,
    service: &str,
    passage: &mut watch::Receiver<Passage>,
    rewrite: Rewrite,
) -> io::Result<()> {
    thaw(passage).await;
    let service = TcpStream::connect(service).await?;
    client.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (client, service) = (client.into_split(), service.into_split());
    tokio::select! {
        ended = pass(client.0, service.1, passage.clone(), Some(rewrite)) => ended,
        ended = pass(service.0, client.1, passage.clone(), None) => ended,
    }
}

/// Waits while nothing may pass.
async fn thaw(passage: &mut watch::Receiver<Passage>) {
    // When the proxy is gone, so is the connection in a moment.
    let _ = passage.wait_for(|passage| *passage != Passage::Frozen).await;
}

/// Passes pieces in their order until one side ends. Pieces are late, not slow: many can be on their way. Only those to
/// the service are late and rewritten.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passage: watch::Receiver<Passage>,
    to_service: Option<Rewrite>,
) -> io::Result<()> {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let now = passage.clone();
    let taking = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            piece.truncate(length);
            if to_service.as_ref().is_some_and(|rewrite| !rewrite(&mut piece)) {
                std::future::pending::<()>().await;
            }
            let late = match *now.borrow() {
                Passage::Slow(late) if to_service.is_some() => late,
                _ => Duration::ZERO,
            };
            if length == 0 || sender.send((Instant::now() + late, piece)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let giving = async {
        while let Some((due, piece)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            thaw(&mut passage).await;
            to.write_all(&piece).await?;
        }
        io::Result::Ok(())
    };
    // What was taken before the end is still given.
    let (taken, given) = tokio::join!(taking, giving);
    taken.and(given)
}

#[tokio::test]
async fn a_passage_is_open_slow_frozen_and_cut() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = echo.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // The other side ends it.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let proxy = Proxy::to(&address);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let mut answer = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();

    let late = Duration::from_millis(300);
    proxy.set(Passage::Slow(late));
    let began = Instant::now();
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert!(began.elapsed() >= late);

    proxy.set(Passage::Frozen);
    stream.write_all(b"ping").await.unwrap();
    let mut other = TcpStream::connect(proxy.address()).await.unwrap();
    other.write_all(b"ping").await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
    assert!(nothing.is_err(), "{nothing:?}");
    proxy.set(Passage::Open);
    stream.read_exact(&mut answer).await.unwrap();
    other.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");

    proxy.set(Passage::Cut);
    assert!(!matches!(stream.read(&mut answer).await, Ok(1..)));
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(!matches!(refused.read(&mut answer).await, Ok(1..)));
}
