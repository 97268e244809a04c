//! The services, built once from the configuration.

mod health;
mod import;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::health::ServerHealth;
pub use self::import::importer;
use crate::admin::AdminApi;
use crate::agent::AgentApi;
use crate::bus::{Counted, LiveBus, LocalNotifier, MemoryBus, Notifier, RedisDiagnostics, RedisShare};
use crate::clock::Clock;
use crate::config::{Config, LogPlugin};
use crate::debug::DebugApi;
use crate::fleet::access::Access;
use crate::fleet::apply::Applier;
use crate::fleet::carves::{CarveRequests, Carves};
use crate::fleet::changes::Changes;
use crate::fleet::checkin::{Checkin, CheckinParts};
use crate::fleet::diagnostics::Diagnostics;
use crate::fleet::documents::{DocumentsFolder, DocumentsParts};
use crate::fleet::guard::TableGuard;
use crate::fleet::hosts::{Hosts, ensure_builtin_labels};
use crate::fleet::live::{self, Live};
use crate::fleet::logs::{Logs, Sharing, Sinks};
use crate::fleet::rollouts::Rollouts;
use crate::fleet::schedule::{BuiltInOptions, Schedule};
use crate::fleet::schema::AgentSchemas;
use crate::fleet::specs::Specs;
use crate::fleet::statistics::Statistics;
use crate::fleet::{Fleet, Node};
use crate::lifecycle::Lifecycle;
use crate::ops::OpsApi;
use crate::sinks::{CarveBucket, CarveFiles, CarveStorage, FileSink, Rotation, Sink, StdoutSink, Webhook};
use crate::store::diagnostics::DatabaseDiagnostics;
use crate::store::{Store, StoreCounters, case_twins};
use crate::telemetry::{LogLimit, Metrics};

/// How much longer than the server Redis keeps a live query.
const SPARE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A refusal of an agent by one endpoint with one status is logged this often at most.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// Everything a server is made of.
#[derive(Debug)]
pub struct App {
    pub agent: AgentApi,
    pub admin: AdminApi,
    pub ops: OpsApi,
    pub debug: DebugApi,
    pub fleet: Fleet,
    pub store: Store,
    pub metrics: Arc<Metrics>,
}

impl App {
    /// Opens the database and the log files and loads what hosts run.
    ///
    /// # Errors
    /// Whatever cannot be opened, with the remedy.
    pub async fn build(config: &Config, clock: Clock, lifecycle: &Lifecycle) -> Result<Self> {
        let metrics = Arc::new(Metrics::new()?);
        let store = open_store(config, &metrics).await?;
        show_connections(&store, &metrics);
        ensure_builtin_labels(&store, clock.now()).await.context("cannot make the built-in labels")?;
        let osquery = &config.osquery;
        let built_in = BuiltInOptions::new(&config.server.url_prefix);
        let cache_bytes = osquery.max_config_cache.0;
        let schedule = Schedule::load(store.clone(), clock.clone(), built_in, cache_bytes, Arc::clone(&metrics))
            .await
            .context("cannot read packs, labels and options")?;
        let schedule = Arc::new(schedule);
        let shared = SharedParts::build(config, &metrics)?;
        let node = Arc::new(Node::new(store.clone(), clock.clone(), config.redis.is_used()));
        let hosts = Arc::new(Hosts::new(
            store.clone(),
            clock.clone(),
            osquery.clone(),
            Arc::clone(&schedule),
            Arc::clone(&metrics),
            Arc::clone(&node),
            Arc::clone(&shared.notifier),
        ));
        hosts.load_seen().await.context("cannot read when hosts were last seen")?;
        let schemas = Arc::new(AgentSchemas::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&hosts),
            osquery,
            Arc::clone(&metrics),
        ));
        let guard = TableGuard::load(
            config.server.guard.as_deref(),
            store.clone(),
            clock.clone(),
            Arc::clone(&schemas),
            Arc::clone(&metrics),
        );
        let guard = Arc::new(guard.context("server.guard")?);
        let bus = Arc::clone(&shared.bus);
        let requests = Arc::new(CarveRequests::new(store.clone(), clock.clone(), Arc::clone(&metrics)));
        let live = Live::load(live::Parts {
            store: store.clone(),
            bus: shared.bus,
            notifier: Arc::clone(&shared.notifier),
            node: Arc::clone(&node),
            clock: clock.clone(),
            config: config.live.clone(),
            answer_timeout: osquery.answer_timeout,
            store_timeout: osquery.store_timeout,
            hosts: Arc::clone(&hosts),
            schedule: Arc::clone(&schedule),
            carve_requests: Arc::clone(&requests),
            guard: Arc::clone(&guard),
            metrics: Arc::clone(&metrics),
        })
        .await
        .context("cannot take up the open live queries")?;
        let live = Arc::new(live);
        let statistics = Arc::new(Statistics::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&schedule),
            Arc::clone(&node),
            config.statistics.clone(),
            Arc::clone(&metrics),
        ));
        let checkin = Arc::new(Checkin::new(
            CheckinParts {
                store: store.clone(),
                clock: clock.clone(),
                schedule: Arc::clone(&schedule),
                hosts: Arc::clone(&hosts),
                live: Arc::clone(&live),
                statistics: Arc::clone(&statistics),
                schemas: Arc::clone(&schemas),
                metrics: Arc::clone(&metrics),
            },
            osquery,
            config.statistics.interval,
        ));
        let sinks = Sinks {
            results: sink(config, osquery.result_log_plugin, &config.filesystem.result_log_file)?,
            statuses: sink(config, osquery.status_log_plugin, &config.filesystem.status_log_file)?,
        };
        let max_in_flight = osquery.max_log_in_flight.0;
        let logs =
            Logs::load(sinks, max_in_flight, shared.batches, store.clone(), clock.clone(), Arc::clone(&metrics)).await;
        let logs = Arc::new(logs.context("cannot read the last log batches")?);
        let carves = Carves::new(
            store.clone(),
            carve_storage(config)?,
            clock.clone(),
            config.carves.clone(),
            osquery.store_timeout,
            requests,
            Arc::clone(&metrics),
        );
        let access = Access::new(store.clone(), clock.clone(), config, Arc::clone(&schedule), Arc::clone(&metrics));
        let access = Arc::new(access);
        let database = DatabaseDiagnostics::new(config, store.clone());
        let diagnostics = Diagnostics::new(database, shared.redis, bus, Arc::clone(&access), clock.clone());
        let notifier = Arc::clone(&shared.notifier);
        let changes = Changes::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&schedule),
            Arc::clone(&hosts),
            notifier,
            Arc::clone(&statistics),
            Arc::clone(&guard),
        );
        let applier = Arc::new(Applier::new(changes.clone()));
        let documents = DocumentsParts {
            store: store.clone(),
            clock: clock.clone(),
            node: Arc::clone(&node),
            access: Arc::clone(&access),
            applier: Arc::clone(&applier),
            schedule: Arc::clone(&schedule),
            metrics: Arc::clone(&metrics),
        };
        let fleet = Fleet {
            applier,
            documents: DocumentsFolder::new(&config.documents, documents),
            rollouts: Arc::new(Rollouts::new(
                changes.clone(),
                Arc::clone(&access),
                Webhook::new(&config.rollouts)?,
                Arc::clone(&metrics),
            )),
            access,
            changes,
            carves: Arc::new(carves),
            notifier: shared.notifier,
            checkin,
            hosts,
            live,
            logs,
            node,
            clock,
            diagnostics: Arc::new(diagnostics),
            guard,
            refusals: Arc::new(LogLimit::new(REFUSALS_EVERY)),
            specs: Specs::new(store.clone(), Arc::clone(&schedule)),
            schedule,
            schemas,
            statistics,
            task_runs: Arc::default(),
        };
        let health = ServerHealth { store: store.clone(), logs: Arc::clone(&fleet.logs) };
        let ops = OpsApi::new(Arc::clone(&metrics), Arc::new(health), lifecycle.clone(), &config.prometheus_basic_auth)
            .map_err(anyhow::Error::msg)?;
        Ok(Self {
            agent: AgentApi::new(fleet.clone(), lifecycle.clone(), Arc::clone(&metrics), config),
            admin: AdminApi::new(fleet.clone(), lifecycle.clone(), Arc::clone(&metrics), &config.server),
            debug: DebugApi::new(fleet.clone(), Arc::clone(&metrics), config),
            ops,
            fleet,
            store,
            metrics,
        })
    }
}

/// Where the contents of carves are kept. Nodes that share a database need a place that they share, too, which operators name.
fn carve_storage(config: &Config) -> Result<Option<Arc<dyn CarveStorage>>> {
    if config.s3.is_on() {
        return Ok(Some(Arc::new(CarveBucket::new(&config.s3)?)));
    }
    let beside = (!config.mysql.is_on()).then(|| config.sqlite.path.with_file_name("carves"));
    Ok(config.carves.dir.clone().or(beside).map(|dir| Arc::new(CarveFiles::new(dir)) as _))
}

/// Opens the database and makes sure that its schema is up to date.
async fn open_store(config: &Config, metrics: &Metrics) -> Result<Store> {
    if config.mysql.is_on() {
        return open_mysql(config, metrics).await;
    }
    let store = open_sqlite(config, metrics).await?;
    let missing = store.migrations().await?.missing.len();
    migrate_sqlite(config, &store).await?;
    if missing > 0 {
        tracing::info!(steps = missing, path = %config.sqlite.path.display(), "the database is up to date now");
        let twins = case_twins(store.reader()).await?;
        if !twins.is_empty() {
            // One line, because only so many of one callsite are written.
            tracing::warn!("{}", twins.join(" | "));
        }
    }
    Ok(store)
}

async fn open_mysql(config: &Config, metrics: &Metrics) -> Result<Store> {
    let database = config.database();
    let opened = Store::open_mysql(&config.mysql, counters(metrics)).await;
    let mut store = opened.with_context(|| format!("cannot open the database {database}"))?;
    let read_replica = &config.mysql_read_replica.0;
    if read_replica.is_on() {
        let opened = store.with_read_replica(read_replica).await;
        store = opened.with_context(|| format!("cannot use the read replica {}", read_replica.address))?;
    }
    let migrations = store.migrations().await.with_context(|| format!("cannot look at the database {database}"))?;
    if !migrations.missing.is_empty() {
        bail!(
            "the database {database} is not up to date: run `muster prepare db` with the same settings, then start again \
             (missing: {})",
            migrations.missing.join(", ")
        );
    }
    if store.is_half_filled().await? {
        bail!(
            "the database {database} is not complete: run the same `muster migrate-data` again until it has finished"
        );
    }
    if !migrations.unknown.is_empty() {
        tracing::warn!(
            unknown = migrations.unknown.join(", "),
            "the database was prepared by a newer version of Muster; update this node soon"
        );
    }
    Ok(store)
}

pub(crate) async fn open_sqlite(config: &Config, metrics: &Metrics) -> Result<Store> {
    let opened = Store::open_sqlite(&config.sqlite, counters(metrics)).await;
    opened.with_context(|| format!("cannot open the database {}", config.sqlite.path.display()))
}

pub(crate) async fn migrate_sqlite(config: &Config, store: &Store) -> Result<()> {
    let migrated = store.migrate().await;
    migrated.with_context(|| format!("cannot bring the database {} up to date", config.sqlite.path.display()))
}

fn show_connections(store: &Store, metrics: &Metrics) {
    let store = store.clone();
    metrics.read_before_rendering(move |metrics| {
        for pool in store.connection_pools() {
            metrics.sql_connections.with_label_values(&[pool.name, "in_use"]).set(pool.in_use.into());
            metrics.sql_connections.with_label_values(&[pool.name, "idle"]).set(pool.idle.into());
            metrics.sql_connections_max.with_label_values(&[pool.name]).set(pool.max.into());
        }
    });
}

fn counters(metrics: &Metrics) -> StoreCounters {
    StoreCounters {
        statements: metrics.sql_statements.clone(),
        failures: metrics.sql_failures.clone(),
        seconds: metrics.sql_seconds.clone(),
        rows_written: metrics.rows_written.clone(),
        retries: metrics.db_retries.clone(),
        replica_failures: metrics.replica_failures.clone(),
    }
}

/// The parts that nodes share over Redis, or their stand-ins on a single node.
struct SharedParts {
    bus: Arc<dyn LiveBus>,
    notifier: Arc<dyn Notifier>,
    batches: Option<Sharing>,
    redis: Option<RedisDiagnostics>,
}

impl SharedParts {
    fn build(config: &Config, metrics: &Metrics) -> Result<Self> {
        if config.redis.is_used() {
            let lifetime = config.live.max_deadline + config.live.retention + SPARE_LIFETIME;
            let redis = RedisShare::new(&config.redis, lifetime, metrics.redis()?).context("cannot use Redis")?;
            let batches = Some(Sharing(redis.batches));
            let diagnostics = Some(redis.diagnostics);
            return Ok(Self { bus: Arc::new(redis.bus), notifier: redis.notifier, batches, redis: diagnostics });
        }
        let live_dir = config.live.dir.clone().unwrap_or_else(|| config.sqlite.path.with_file_name("live"));
        let bus = MemoryBus::new(&live_dir, live::note_of)
            .with_context(|| format!("cannot use the folder of live queries {}", live_dir.display()))?;
        let bus = Arc::new(Counted::new(bus, metrics.bus_commands.clone()));
        Ok(Self { bus, notifier: Arc::new(LocalNotifier::default()), batches: None, redis: None })
    }
}

fn sink(config: &Config, plugin: LogPlugin, path: &std::path::Path) -> Result<Arc<dyn Sink>> {
    match plugin {
        LogPlugin::Filesystem => {
            let files = &config.filesystem;
            let rotation = files
                .enable_log_rotation
                .then_some(Rotation { size_bytes: files.rotate_size.0 as u64, keep: files.rotate_keep });
            let sink = FileSink::open(path, rotation)
                .with_context(|| format!("cannot open the log file {}", path.display()))?;
            Ok(Arc::new(sink))
        }
        LogPlugin::Stdout => {
            tracing::warn!("log lines go to stdout: what its reader loses is lost");
            Ok(Arc::new(StdoutSink))
        }
    }
}
