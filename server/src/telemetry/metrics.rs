use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry, TextEncoder};
use tikv_jemalloc_ctl::{epoch, stats};

use super::listed::{NodeMetrics, RedisMetrics};
use crate::bus::LinkMetrics;
use crate::clock::Clock;
use crate::histogram::{ByteCount, Histogram};
use crate::lock::lock;

/// All metrics of one node. Each `Metrics` has a registry of its own, so that two nodes in one process do not mix.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    listed: NodeMetrics,
    readings: Readings,
}

/// What is read before the metrics are written as text.
#[derive(Default)]
struct Readings(Mutex<Vec<Reading>>);

type Reading = Box<dyn Fn(&NodeMetrics) + Send>;

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Readings").field(&lock(&self.0).len()).finish()
    }
}

impl Deref for Metrics {
    type Target = NodeMetrics;

    fn deref(&self) -> &NodeMetrics {
        &self.listed
    }
}

/// The metrics of the requests of one handler. Get it once.
#[derive(Debug, Clone)]
pub struct HandlerMetrics {
    name: Arc<str>,
    requests: IntCounterVec,
    succeeded: IntCounter,
    seconds: Arc<Histogram<Duration>>,
    request_bytes: Arc<Histogram<ByteCount>>,
    response_bytes: Arc<Histogram<ByteCount>>,
}

impl HandlerMetrics {
    /// Counts an answer with this HTTP status to a request of whose body so many bytes were read.
    pub fn answered(&self, status: &str, took: Duration, received: u64) {
        match status {
            "200" => self.succeeded.inc(),
            _ => self.requests.with_label_values(&[&self.name, status]).inc(),
        }
        self.seconds.observe(took);
        self.request_bytes.observe(ByteCount(received));
    }

    /// Records the size of the body of an answer.
    pub fn sent(&self, bytes: u64) {
        self.response_bytes.observe(ByteCount(bytes));
    }
}

/// The metrics of one of the agents' logs and its sink. Get it once.
#[derive(Debug)]
pub struct LogMetrics {
    labels: [&'static str; 2],
    kept: IntCounter,
    repeated: IntCounter,
    bytes: IntCounter,
    batches: IntCounter,
    refusals: IntCounterVec,
    pub append_seconds: Arc<Histogram<Duration>>,
}

impl LogMetrics {
    /// Counts a batch that is acknowledged.
    pub fn acknowledged(&self, kept: u64, repeated: u64, bytes: u64) {
        self.batches.inc();
        self.kept.inc_by(kept);
        self.repeated.inc_by(repeated);
        self.bytes.inc_by(bytes);
    }

    /// Counts a batch that is refused.
    pub fn refused(&self, reason: &str) {
        let [sink, log_type] = self.labels;
        self.refusals.with_label_values(&[sink, log_type, reason]).inc();
    }
}

/// A pool of threads or of connections at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolFigures {
    pub name: String,
    pub max: i64,
    pub in_use: i64,
    /// Work that waits for a thread, or connections that are open and not in use.
    pub other: i64,
}

/// Quantiles of the CPU time of a run of a scheduled query, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct QueryCpu<'a> {
    pub pack: &'a str,
    pub query: &'a str,
    pub p50: f64,
    pub p95: f64,
}

impl Metrics {
    /// # Errors
    /// When two metrics have one name: a fault of the program.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let listed = NodeMetrics::register(&registry)?;
        listed.build.with_label_values(&[crate::VERSION]).set(1);
        // Alerts are about its growth, which begins at what was shown before.
        listed.rollout_steps.with_label_values(&["halted"]);
        let metrics = Self { registry, listed, readings: Readings::default() };
        metrics.read_before_rendering(read_allocator);
        Ok(metrics)
    }

    /// Sets metrics whenever the metrics are asked for. `read` must neither wait nor take long.
    pub fn read_before_rendering(&self, read: impl Fn(&NodeMetrics) + Send + 'static) {
        lock(&self.readings.0).push(Box::new(read));
    }

    /// The metrics of a handler of requests.
    pub fn handler(&self, name: &str) -> HandlerMetrics {
        HandlerMetrics {
            name: name.into(),
            requests: self.requests.clone(),
            succeeded: self.requests.with_label_values(&[name, "200"]),
            seconds: self.request_seconds.with(&[name]),
            request_bytes: self.request_bytes.with(&[name]),
            response_bytes: self.response_bytes.with(&[name]),
        }
    }

    /// The metrics of a log, `result` or `status`, that goes to this sink.
    pub fn log(&self, sink: &'static str, log_type: &'static str) -> LogMetrics {
        let labels = [sink, log_type];
        LogMetrics {
            labels,
            kept: self.log_lines.with_label_values(&[sink, log_type, "kept"]),
            repeated: self.log_lines.with_label_values(&[sink, log_type, "repeated"]),
            bytes: self.log_bytes.with_label_values(&labels),
            batches: self.log_batches.with_label_values(&labels),
            refusals: self.log_refusals.clone(),
            append_seconds: self.log_append_seconds.with(&labels),
        }
    }

    /// Counts a target of a live query that was settled.
    pub fn live_settled(&self, state: &str) {
        self.live_settled.with_label_values(&[state]).inc();
    }

    /// Counts what came of the canaries of a live query.
    pub fn canary_verdict(&self, verdict: &str) {
        self.canary_verdicts.with_label_values(&[verdict]).inc();
    }

    /// Counts carves.
    pub fn carves(&self, outcome: &str, count: u64) {
        self.carves.with_label_values(&[outcome]).inc_by(count);
    }

    /// Counts samples of hosts' schedules.
    pub fn samples(&self, outcome: &str, count: u64) {
        self.samples.with_label_values(&[outcome]).inc_by(count);
    }

    /// Counts hosts that were picked to say which tables they have, and their reports.
    pub fn schema_reports(&self, outcome: &str, count: u64) {
        self.schema_reports.with_label_values(&[outcome]).inc_by(count);
    }

    /// Shows how many hosts there are.
    pub fn show_hosts(&self, states: &[(&str, u64)], platforms: &BTreeMap<String, u64>) {
        self.forget_hosts();
        let count = |hosts: u64| i64::try_from(hosts).unwrap_or(i64::MAX);
        states.iter().for_each(|(state, hosts)| self.hosts.with_label_values(&[state]).set(count(*hosts)));
        for (platform, hosts) in platforms {
            self.hosts_by_platform.with_label_values(&[platform]).set(count(*hosts));
        }
    }

    /// Shows no hosts any more.
    pub fn forget_hosts(&self) {
        self.hosts.reset();
        self.hosts_by_platform.reset();
    }

    /// Shows hosts that have denylisted queries, and quantiles of the CPU time of runs in seconds, by pack and query.
    pub fn show_queries(&self, denylisted: &[(&str, &str, u64)], cpu: &[QueryCpu<'_>]) {
        self.forget_queries();
        for (pack, query, hosts) in denylisted {
            let hosts = i64::try_from(*hosts).unwrap_or(i64::MAX);
            self.denylisted_hosts.with_label_values(&[pack, query]).set(hosts);
        }
        for QueryCpu { pack, query, p50, p95 } in cpu {
            self.query_cpu.with_label_values(&[pack, query, "50"]).set(*p50);
            self.query_cpu.with_label_values(&[pack, query, "95"]).set(*p95);
        }
    }

    /// Shows no queries any more.
    pub fn forget_queries(&self) {
        self.denylisted_hosts.reset();
        self.query_cpu.reset();
    }

    /// Records one run of a periodic task.
    pub fn task_ran(&self, task: &str, succeeded: bool, took: Duration) {
        self.task_runs.with_label_values(&[task, if succeeded { "done" } else { "failed" }]).inc();
        self.task_seconds.with(&[task]).observe(took);
        if succeeded {
            let now = Clock::system().now().seconds();
            self.task_succeeded.with_label_values(&[task]).set(now);
        }
    }

    /// Adds the metrics about Redis. Call it once, on a node that uses Redis.
    ///
    /// # Errors
    /// When it is called twice: a fault of the program.
    pub fn redis(&self) -> Result<LinkMetrics, prometheus::Error> {
        let RedisMetrics { failures, retries, seconds, notifications, is_up } = RedisMetrics::register(&self.registry)?;
        let commands = self.bus_commands.clone();
        Ok(LinkMetrics { commands, failures, retries, seconds, notifications, is_up })
    }

    /// Counts a message between nodes about last-seen times.
    pub fn seen_message(&self, outcome: &str) {
        self.seen_messages.with_label_values(&[outcome]).inc();
    }

    /// Counts stored pages of last-seen times.
    pub fn seen_pages(&self, outcome: &str, pages: u64) {
        self.seen_pages.with_label_values(&[outcome]).inc_by(pages);
    }

    /// Counts a step of a rollout.
    pub fn rollout_step(&self, step: &str) {
        self.rollout_steps.with_label_values(&[step]).inc();
    }

    /// Counts what came of telling the webhook of a step of a rollout.
    pub fn rollout_webhook(&self, outcome: &str) {
        self.rollout_webhook.with_label_values(&[outcome]).inc();
    }

    /// Counts that a limit refused or cut something.
    pub fn limit_hit(&self, limit: &str) {
        self.limit_hits.with_label_values(&[limit]).inc();
    }

    /// The values of a counter or gauge, by the values of its first label; an empty one for a metric without labels. Of several
    /// with one label the sum.
    pub fn values(&self, name: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        let families = self.registry.gather();
        for metric in families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric()) {
            let label = metric.get_label().first().map_or("", |label| label.value());
            *values.entry(label.to_owned()).or_default() +=
                metric.get_counter().get_value() + metric.get_gauge().get_value();
        }
        values
    }

    /// The pools of threads, with what waits for each.
    pub fn thread_pools(&self) -> Vec<PoolFigures> {
        let figures = |name: String| {
            let value = |gauge: &IntGaugeVec| gauge.with_label_values(&[&name]).get();
            let (max, in_use, other) = (value(&self.pool_threads), value(&self.pool_busy), value(&self.pool_waiting));
            PoolFigures { name, max, in_use, other }
        };
        labels(&self.pool_threads).into_iter().map(figures).collect()
    }

    /// The pools of connections to the database, with the idle connections of each.
    pub fn connection_pools(&self) -> Vec<PoolFigures> {
        lock(&self.readings.0).iter().for_each(|read| read(&self.listed));
        let figures = |name: String| {
            let max = self.sql_connections_max.with_label_values(&[&name]).get();
            let connections = |state: &str| self.sql_connections.with_label_values(&[name.as_str(), state]).get();
            let (in_use, other) = (connections("in_use"), connections("idle"));
            PoolFigures { name, max, in_use, other }
        };
        labels(&self.sql_connections_max).into_iter().map(figures).collect()
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        lock(&self.readings.0).iter().for_each(|read| read(&self.listed));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The values of the only label of a metric.
fn labels(gauge: &IntGaugeVec) -> Vec<String> {
    let families = gauge.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    metrics.filter_map(|metric| Some(metric.get_label().first()?.value().to_owned())).collect()
}

/// Reads what the allocator says of itself. A part that it does not tell keeps its value.
fn read_allocator(metrics: &NodeMetrics) {
    // Its numbers are those of the latest epoch.
    let _ = epoch::advance();
    let parts = [
        (&metrics.allocated, stats::allocated::read()),
        (&metrics.active, stats::active::read()),
        (&metrics.resident, stats::resident::read()),
    ];
    for (gauge, bytes) in parts {
        if let Ok(bytes) = bytes {
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}
