//! The Muster server: osquery's TLS API for agents, a REST API for operators, and the product behind them.

mod admin;
mod agent;
mod app;
mod bus;
pub mod clock;
pub mod config;
mod fleet;
mod lifecycle;
mod lock;
mod ops;
mod panics;
mod proxies;
#[cfg(test)]
#[path = "../tests/it/support/redis.rs"]
mod redis_processes;
mod sinks;
mod store;
mod tasks;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod unread;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App as HttpApp, HttpServer};
use anyhow::{Context as _, Result, anyhow};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

pub use crate::admin::api_document;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
pub use crate::lifecycle::Lifecycle;
pub use crate::store::Copied;
use crate::tls::Certificate;

/// Serves many threads that allocate and free at one time with less work, and keeps less memory, than the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The version the program reports.
pub const VERSION: &str = if cfg!(feature = "planted-faults") {
    concat!(env!("CARGO_PKG_VERSION"), " WITH PLANTED FAULTS: only for tests of the load generator")
} else {
    env!("CARGO_PKG_VERSION")
};

/// How long a client may take to send the head of a request. It is then refused without a body, which agents take for
/// success, so this must lie beyond the 16 s after which agents have hung up.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Most connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// How often the files of the certificate are looked at: what renews them need not be able to send a signal.
const CERTIFICATE_READ_EVERY: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    finished: oneshot::Receiver<Result<()>>,
    nudges: mpsc::UnboundedSender<tasks::Nudge>,
}

impl Running {
    /// The address it listens on, with the real port if port 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs all periodic tasks now and waits for them.
    pub async fn run_tasks(&self) {
        let (done, ran) = oneshot::channel();
        // A server that has stopped has no work left.
        if self.nudges.send(done).is_ok() {
            let _ = ran.await;
        }
    }

    /// Waits until the server has stopped and has written everything.
    ///
    /// # Errors
    /// The error with which the server ended.
    pub async fn finished(self) -> Result<()> {
        self.finished.await.context("the server has crashed")?
    }
}

/// What is wrong with the files that the settings name, one line each. Nothing is connected to and nothing is made.
pub fn check_files(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let (true, Some(cert), Some(key)) = (config.server.tls, &config.server.cert, &config.server.key)
        && let Err(error) = tls::check(cert, key)
    {
        problems.push(format!("server.cert and server.key: {error:#}"));
    }
    if config.redis.is_used()
        && let Err(error) = bus::RedisShare::check(&config.redis)
    {
        problems.push(format!("{error:#}"));
    }
    for (key, path) in config.mysql_files() {
        if let Err(error) = std::fs::read(path) {
            problems.push(format!("{key}: cannot read {}: {error}", path.display()));
        }
    }
    problems
}

/// Starts a server and returns once it accepts requests. The server runs until `lifecycle` stops it.
///
/// # Errors
/// Whatever keeps the server from starting, with the remedy.
pub async fn serve(config: Config, clock: Clock, lifecycle: Lifecycle) -> Result<Running> {
    let certificate = if config.server.tls { Some(Certificate::load(&config.server, clock.clone())?) } else { None };
    let listener = listen(&config.server.address)?;
    let address = listener.local_addr()?;
    // Boxed: what callers hold would else be as deep as the database's drivers.
    let app = Box::pin(App::build(&config, clock, &lifecycle)).await?;
    if let Some(certificate) = &certificate {
        certificate.watch_expiry(&app.metrics);
    }
    let server = http_server(&config, &app, listener, certificate.as_ref(), &lifecycle)?;
    let (nudges, nudged) = mpsc::unbounded_channel();
    let ending = StopTimes::of(&config.server);
    let finished = on_own_thread(move || run(app, server, certificate, lifecycle, nudged, ending))?;
    tracing::info!(%address, transport = if config.server.tls { "https" } else { "http" }, "listening");
    Ok(Running { address, finished, nudges })
}

/// Brings the database up to date and returns the number of steps taken. Reports each step, and names that differ in
/// capitals alone, one line each. Safe to run more than once, concurrently, and beside running servers.
///
/// # Errors
/// Errors of the database; running it again continues there.
pub async fn prepare(config: &Config, mut report: impl FnMut(&str)) -> Result<usize> {
    if config.mysql.is_on() {
        let database = format!("{} at {}", config.mysql.database, config.mysql.address);
        let taken = store::prepare_mysql(&config.mysql, report).await;
        return taken.with_context(|| format!("cannot bring the database {database} up to date"));
    }
    let store = app::open_sqlite(config, &telemetry::Metrics::new()?).await?;
    let missing = store.migrations().await?.missing;
    missing.iter().for_each(|name| report(&format!("Migrating: {name}")));
    app::migrate_sqlite(config, &store).await?;
    store::case_twins(store.reader()).await?.iter().for_each(|twins| report(&format!("Warning: {twins}")));
    store.close().await;
    Ok(missing.len())
}

/// Copies the embedded database to the configured MySQL or MariaDB, and reports each table.
///
/// # Errors
/// Errors of either database; running it again continues.
pub async fn migrate_data(config: &Config, report: impl FnMut(&str)) -> Result<Copied> {
    let database = format!("{} at {}", config.mysql.database, config.mysql.address);
    let copied = store::migrate_data(&config.sqlite, &config.mysql, report).await;
    copied.with_context(|| format!("cannot copy {} to the database {database}", config.sqlite.path.display()))
}

/// Runs the server's own work on a thread of its own, beside the workers that answer requests.
fn on_own_thread<W>(work: impl FnOnce() -> W + Send + 'static) -> Result<oneshot::Receiver<Result<()>>>
where
    W: Future<Output = Result<()>>,
{
    let (done, finished) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("muster".to_owned()).spawn(move || {
        let outcome = runtime.block_on(LocalSet::new().run_until(work()));
        // Nobody may be waiting for the end.
        let _ = done.send(outcome);
    })?;
    Ok(finished)
}

fn listen(address: &str) -> Result<TcpListener> {
    let resolved = address
        .to_socket_addrs()
        .map_err(|error| {
            anyhow!("server.address: {address:?} is not an address and port such as 0.0.0.0:8080: {error}")
        })?
        .next()
        .ok_or_else(|| anyhow!("server.address: {address:?} names no address"))?;
    TcpListener::bind(resolved).map_err(|error| {
        anyhow!("cannot listen on {resolved}: {error}; stop what uses the port, or set server.address to another one")
    })
}

fn http_server(
    config: &Config,
    app: &App,
    listener: TcpListener,
    certificate: Option<&Certificate>,
    lifecycle: &Lifecycle,
) -> Result<actix_web::dev::Server> {
    let lifecycle = Arc::new(lifecycle.clone());
    let (agent, admin, ops) = (Data::new(app.agent.clone()), Data::new(app.admin.clone()), Data::new(app.ops.clone()));
    let prefix = config.server.url_prefix.clone();
    let json = admin::json_config(config.server.max_rest_body.0);
    let factory = move || {
        let lifecycle = Arc::clone(&lifecycle);
        HttpApp::new()
            .app_data(agent.clone())
            .app_data(admin.clone())
            .app_data(ops.clone())
            .app_data(json.clone())
            .app_data(admin::path_config())
            .wrap_fn(panics::caught)
            // The last one is the outermost.
            .wrap_fn(move |request, service| unread::read_before_answer(&lifecycle, request, service))
            .service(web::scope(&prefix).configure(agent::routes).configure(admin::routes).configure(ops::routes))
            .default_service(web::to(admin::no_such_operation))
    };
    let mut server = HttpServer::new(factory)
        .disable_signals()
        .backlog(BACKLOG)
        .max_connections(config.server.max_connections)
        .keep_alive(config.server.idle_timeout)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(StopTimes::of(&config.server).requests_secs());
    if config.server.workers > 0 {
        server = server.workers(config.server.workers);
    }
    let server = match certificate {
        Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config()?)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

/// Serves until told to stop, then drains, writes what is only in memory, and closes.
async fn run(
    app: App,
    server: actix_web::dev::Server,
    certificate: Option<Certificate>,
    lifecycle: Lifecycle,
    nudges: mpsc::UnboundedReceiver<tasks::Nudge>,
    ending: StopTimes,
) -> Result<()> {
    let handle = server.handle();
    let (deadline, known_deadline) = oneshot::channel();
    let stopper = spawn_local(stop_when_asked(handle, lifecycle.clone(), ending, deadline));
    let reloader = spawn_local(reload(certificate, app.fleet.clone(), Arc::clone(&app.metrics), lifecycle.clone()));
    let tasks = spawn_local({
        let (fleet, metrics, lifecycle) = (app.fleet.clone(), Arc::clone(&app.metrics), lifecycle.clone());
        async move {
            tasks::run(fleet, metrics, lifecycle.clone(), nudges).await;
            // Tasks end when the server stops; if one has crashed, the server must not go on without it.
            lifecycle.stop();
            lifecycle.close();
        }
    });
    let served = tokio::select! {
        served = server => served,
        () = lifecycle.aborted() => Ok(()),
    };
    lifecycle.stop();
    lifecycle.close();
    lifecycle.end();
    let _ = tasks.await;
    reloader.abort();
    let deadline = tokio::time::timeout(Duration::ZERO, known_deadline).await;
    stopper.abort();
    let left = match deadline {
        Ok(Ok(deadline)) => deadline.saturating_duration_since(Instant::now()),
        _ => ending.timeout,
    };
    if tokio::time::timeout(left.max(ending.reserve()), finish(&app)).await.is_err() {
        tracing::warn!("shutdown timeout reached before everything in memory was written; seconds of it are lost");
    }
    tracing::info!("stopped");
    served.context("the listener has failed")
}

/// Opens the log files again when asked to, and reads the certificate again then and every minute.
async fn reload(
    certificate: Option<Certificate>,
    fleet: fleet::Fleet,
    metrics: Arc<telemetry::Metrics>,
    lifecycle: Lifecycle,
) {
    loop {
        tokio::select! {
            () = lifecycle.reload_asked() => fleet.logs.reopen(),
            () = tokio::time::sleep(CERTIFICATE_READ_EVERY) => {}
        }
        let Some(certificate) = certificate.clone() else { continue };
        // A folder that hangs delays the next look and nothing else.
        let metrics = Arc::clone(&metrics);
        let look = move || {
            certificate.reload();
            certificate.watch_expiry(&metrics);
        };
        let _ = tokio::task::spawn_blocking(look).await;
    }
}

/// Writes what is only in memory, gives up the lead, and closes the database.
async fn finish(app: &App) {
    // The threads that served requests have ended.
    app.store.renew_connections();
    app.fleet.hosts.share_seen().await;
    if let Err(error) = app.fleet.hosts.keep_seen(true).await {
        tracing::warn!(%error, "could not write when hosts were last seen; seconds of it are lost");
    }
    // Of hosts that have got another key meanwhile, the last uses are written, too.
    let uses = async {
        app.fleet.follow().await?;
        app.fleet.hosts.write_key_uses(true).await
    };
    let uses = uses.await;
    if let Err(error) = &uses {
        tracing::warn!(%error, "could not write which node keys were used; old keys of agents that enrolled again are kept for a day");
    }
    if let Err(error) = app.fleet.logs.save(app.fleet.hosts.index.all()).await {
        tracing::warn!(%error, "could not write the last log batches; lines that agents send again may appear twice");
    }
    // While this node may still lead.
    if let Err(error) = app.fleet.live.sweep().await {
        tracing::warn!(%error, "could not write the state of live queries; they continue from their last checkpoint");
    }
    // The other nodes go on waiting for uses that were not written.
    if uses.is_ok()
        && let Err(error) = app.fleet.node.leave().await
    {
        tracing::warn!(%error, "could not announce that this node stops; other nodes notice when its lease ends");
    }
    // Last, as these may take long, and agents say again what is lost of them.
    if let Err(error) = app.fleet.hosts.write_intervals().await {
        tracing::warn!(%error, "could not write the intervals of hosts; they are written when configs are fetched again");
    }
    if let Err(error) = app.fleet.checkin.write_reports().await {
        tracing::warn!(%error, "could not write the last answers of hosts; they are asked again");
    }
    app.store.close().await;
}

/// How long each part of a stop may take.
#[derive(Debug, Clone, Copy)]
struct StopTimes {
    drain: Duration,
    timeout: Duration,
}

impl StopTimes {
    fn of(config: &config::Server) -> Self {
        Self { drain: config.drain, timeout: config.shutdown_timeout }
    }

    /// What is kept of the time for refusing the rest in words, and as much for writing what is only in memory.
    fn reserve(&self) -> Duration {
        (self.timeout / 8).min(Duration::from_millis(1_500))
    }

    /// How long requests under way may take once no new ones are taken, the refusal of the rest included. In whole
    /// seconds, because the listener counts in them.
    fn requests_secs(&self) -> u64 {
        self.timeout.saturating_sub(self.drain).saturating_sub(self.reserve()).as_secs().max(1)
    }
}

async fn stop_when_asked(
    handle: ServerHandle,
    lifecycle: Lifecycle,
    ending: StopTimes,
    deadline: oneshot::Sender<Instant>,
) {
    lifecycle.asked_to_stop().await;
    let end = Instant::now() + ending.timeout;
    // Nobody listens any more when the server has ended by itself.
    let _ = deadline.send(end);
    if !ending.drain.is_zero() {
        tracing::info!(drain = ?ending.drain, "draining; load balancers have time to notice");
        tokio::select! {
            () = tokio::time::sleep(ending.drain) => {}
            () = lifecycle.stopped() => {}
        }
    }
    lifecycle.close();
    let hurry = async {
        tokio::time::sleep(Duration::from_secs(ending.requests_secs()).saturating_sub(ending.reserve())).await;
        lifecycle.hurry();
    };
    tokio::join!(handle.stop(true), hurry);
}
