//! The Muster server: osquery's TLS API for agents, a REST API for operators, and the product behind them.

mod admin;
mod agent;
mod app;
mod bearer;
mod bus;
pub mod clock;
pub mod config;
mod debug;
pub mod doctor;
mod documents;
mod fleet;
mod histogram;
mod lifecycle;
mod listeners;
mod liveness;
mod lock;
mod ops;
mod panics;
mod pool;
mod proxies;
#[cfg(test)]
#[path = "../tests/it/support/redis.rs"]
mod redis_processes;
mod request_id;
mod service_manager;
mod sinks;
mod spacing;
mod store;
mod tasks;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod under_way;
mod unread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

pub use crate::admin::api_document;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::guard::TableGuard;
pub use crate::fleet::import::{ImportReport, ImportWish};
use crate::fleet::logs::Logs;
pub use crate::lifecycle::Lifecycle;
use crate::listeners::{Listeners, Servers};
use crate::liveness::Liveness;
use crate::service_manager::ServerSigns;
pub use crate::service_manager::ServiceManager;
pub use crate::store::Copied;
use crate::store::import_fleet::FleetSource;
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

/// How often the files of the certificate and of the table guard are looked at: what renews them need not be able to send a
/// signal.
const FILES_READ_EVERY: Duration = Duration::from_secs(60);

/// The part of the time left for a stop in which leases on log batches may be given up.
const RELEASING: u32 = 2;

/// A running server.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    operator_address: SocketAddr,
    debug_address: SocketAddr,
    finished: oneshot::Receiver<Result<()>>,
    nudges: mpsc::UnboundedSender<tasks::Nudge>,
    signs: ServerSigns,
}

impl Running {
    /// The address it listens on, with the real port if port 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that serves operators: another one if `server.operator_address` is set.
    pub fn operator_address(&self) -> SocketAddr {
        self.operator_address
    }

    /// The address that serves `/debug`: another one if `server.debug_address` is set.
    pub fn debug_address(&self) -> SocketAddr {
        self.debug_address
    }

    /// Runs all periodic tasks now and waits for them.
    pub async fn run_tasks(&self) {
        let (done, ran) = oneshot::channel();
        // A server that has stopped has no work left.
        if self.nudges.send(done).is_ok() {
            let _ = ran.await;
        }
    }

    /// Says to the service manager how the server is, until the future is dropped. It must run beside the server's own threads.
    pub fn report_to(&self, manager: ServiceManager) -> impl Future<Output = ()> + Send + use<> {
        manager.follow(self.signs.clone())
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
    if let Some(path) = &config.server.agent_ca
        && let Err(error) = tls::check_agent_ca(path)
    {
        problems.push(format!("server.agent_ca: {error:#}"));
    }
    if let Some(path) = &config.server.guard
        && let Err(error) = fleet::guard::check(path)
    {
        problems.push(format!("server.guard: {error:#}"));
    }
    if config.redis.is_used()
        && let Err(error) = bus::RedisShare::check(&config.redis)
    {
        problems.push(format!("{error:#}"));
    }
    problems.extend(config.prometheus_basic_auth.password().err());
    for (key, path) in config.mysql_files() {
        if let Err(error) = std::fs::read(path) {
            problems.push(format!("{key}: cannot read {}: {error}", path.display()));
        }
    }
    problems
}

/// What is wrong with the documents folder. A server starts all the same: hosts go on with what was applied last.
pub fn check_documents(config: &Config) -> Vec<String> {
    let fault = config.documents.folder.as_deref().and_then(documents::fault);
    fault.into_iter().map(|fault| format!("documents.folder: {fault}")).collect()
}

/// Starts a server and returns once it accepts requests. The server runs until `lifecycle` stops it.
///
/// # Errors
/// Whatever keeps the server from starting, with the remedy.
pub async fn serve(config: Config, clock: Clock, lifecycle: Lifecycle) -> Result<Running> {
    config.secrets().iter().for_each(|secret| telemetry::hide(secret.reveal()));
    tracing::info!(version = VERSION, database = config.database(), redis = config.redis.is_used(), "starting");
    let certificate = if config.server.tls { Some(Certificate::load(&config.server, clock.clone())?) } else { None };
    let listeners = Listeners::open(&config.server)?;
    let (address, operator_address) = (listeners.address()?, listeners.operator_address()?);
    let debug_address = listeners.debug_address()?;
    // Boxed: what callers hold would else be as deep as the database's drivers.
    let app = Box::pin(App::build(&config, clock, &lifecycle)).await?;
    if let Some(certificate) = &certificate {
        certificate.watch_expiry(&app.metrics);
    }
    let liveness = Liveness::default();
    let servers = listeners.serve(&config, &app, certificate.as_ref(), &lifecycle, &liveness)?;
    let signs = ServerSigns { lifecycle: lifecycle.clone(), liveness: liveness.clone(), ops: app.ops.clone(), address };
    let (nudges, nudged) = mpsc::unbounded_channel();
    let ending = StopTimes::of(&config.server);
    let finished = on_own_thread(move || run(app, servers, certificate, lifecycle, liveness, nudged, ending))?;
    let transport = if config.server.tls { "https" } else { "http" };
    if operator_address == address {
        tracing::info!(%address, transport, "listening");
    } else {
        tracing::info!(%address, %operator_address, transport, "listening");
    }
    if debug_address != operator_address {
        tracing::info!(%debug_address, "serving /debug");
    }
    Ok(Running { address, operator_address, debug_address, finished, nudges, signs })
}

/// Brings the database up to date and returns the number of steps taken. Reports each step, and names that differ in
/// capitals alone, one line each. Safe to run more than once, concurrently, and beside running servers.
///
/// # Errors
/// Errors of the database; running it again continues there.
pub async fn prepare(config: &Config, mut report: impl FnMut(&str)) -> Result<usize> {
    if config.mysql.is_on() {
        let database = config.database();
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

/// Brings over what the database `from` of Fleet holds, and tells of each step. Works beside running servers, which see it
/// within seconds.
///
/// # Errors
/// Errors of either database; running it again goes on.
pub async fn import_fleet(
    config: &Config,
    clock: Clock,
    from: &config::Mysql,
    wish: ImportWish,
    announce: impl FnMut(&str),
) -> Result<ImportReport> {
    let address = format!("{} at {}", from.database, from.address);
    let source = FleetSource::open(from).await.with_context(|| format!("cannot read the database {address}"))?;
    let importer = app::importer(config, clock).await?;
    let outcome = importer.run(&source, wish, announce).await;
    // Everything is read; a connection that breaks now does no harm.
    let _ = source.close().await;
    importer.store.close().await;
    outcome.with_context(|| format!("cannot import {address}"))
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

/// Serves until told to stop, then drains, writes what is only in memory, and closes.
async fn run(
    app: App,
    servers: Servers,
    certificate: Option<Certificate>,
    lifecycle: Lifecycle,
    liveness: Liveness,
    nudges: mpsc::UnboundedReceiver<tasks::Nudge>,
    ending: StopTimes,
) -> Result<()> {
    let handles = servers.handles();
    let (deadline, known_deadline) = oneshot::channel();
    let stopper =
        spawn_local(stop_when_asked(handles, Arc::clone(&app.fleet.logs), lifecycle.clone(), ending, deadline));
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
    // On the thread of the tasks.
    let beat = spawn_local(liveness.beat("of the tasks"));
    let served = tokio::select! {
        served = servers.ended() => served,
        () = lifecycle.aborted() => Ok(()),
    };
    lifecycle.stop();
    lifecycle.close();
    lifecycle.end();
    let _ = tasks.await;
    reloader.abort();
    beat.abort();
    let deadline = tokio::time::timeout(Duration::ZERO, known_deadline).await;
    stopper.abort();
    let left = match deadline {
        Ok(Ok(deadline)) => deadline.saturating_duration_since(Instant::now()),
        _ => ending.timeout,
    };
    let left = left.max(ending.reserve());
    if tokio::time::timeout(left, Box::pin(finish(&app, left / RELEASING))).await.is_err() {
        tracing::warn!("shutdown timeout reached before everything in memory was written; seconds of it are lost");
    }
    tracing::info!("stopped");
    served.context("the listener has failed")
}

/// Opens the log files again when asked to, and reads the certificate and the table guard again then and every minute.
async fn reload(
    certificate: Option<Certificate>,
    fleet: fleet::Fleet,
    metrics: Arc<telemetry::Metrics>,
    lifecycle: Lifecycle,
) {
    loop {
        fleet.guard.warn_of_labels(&fleet.schedule.plan());
        tokio::select! {
            () = lifecycle.reload_asked() => {
                lifecycle.set_reloading(true);
                fleet.logs.reopen();
                read_again(certificate.as_ref(), &fleet.guard, &metrics).await;
                lifecycle.set_reloading(false);
            }
            () = tokio::time::sleep(FILES_READ_EVERY) => read_again(certificate.as_ref(), &fleet.guard, &metrics).await,
        }
    }
}

/// Reads the certificate and the table guard again. A folder that hangs delays the next look and nothing else.
async fn read_again(certificate: Option<&Certificate>, guard: &Arc<TableGuard>, metrics: &Arc<telemetry::Metrics>) {
    let (certificate, guard, metrics) = (certificate.cloned(), Arc::clone(guard), Arc::clone(metrics));
    let look = move || {
        guard.reload();
        if let Some(certificate) = certificate {
            certificate.reload();
            certificate.watch_expiry(&metrics);
        }
    };
    let _ = tokio::task::spawn_blocking(look).await;
}

/// Writes what is only in memory, gives up the lead, and closes the database. Leases on log batches are given up within a
/// time.
async fn finish(app: &App, releasing: Duration) {
    // The threads that served requests have ended.
    app.store.renew_connections();
    let hosts = app.fleet.hosts.index.all();
    // why together: a database that hangs keeps no leases from being given up.
    let ((), uses) = tokio::join!(app.fleet.logs.release_all(&hosts, releasing), write_uses(app));
    if let Err(error) = app.fleet.logs.save(hosts).await {
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
    if let Err(error) = app.fleet.hosts.write_secret_uses().await {
        tracing::warn!(%error, "could not write when enroll secrets were last used; half a minute of it is lost");
    }
    if let Err(error) = app.fleet.checkin.write_reports(true).await {
        tracing::warn!(%error, "could not write the last answers of hosts; they are asked again");
    }
    if let Err(error) = app.fleet.statistics.write(true).await {
        tracing::warn!(%error, "could not write the last samples of schedules; the next ones tell the same");
    }
    app.store.close().await;
}

/// Writes when hosts were last seen, and which node keys were used.
async fn write_uses(app: &App) -> fleet::Result<()> {
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
    uses
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
    handles: Vec<ServerHandle>,
    logs: Arc<Logs>,
    lifecycle: Lifecycle,
    ending: StopTimes,
    deadline: oneshot::Sender<Instant>,
) {
    lifecycle.asked_to_stop().await;
    logs.take_no_leases();
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
    tokio::join!(join_all(handles.iter().map(|handle| handle.stop(true))), hurry);
}
