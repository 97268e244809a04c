use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::bus::LinkMetrics;
use crate::clock::Clock;

/// A metric that can be made from its name, help and labels.
trait Metric: Collector + Clone + Sized + 'static {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error>;

    /// Makes the metric and adds it to the registry.
    fn register(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<Self, prometheus::Error> {
        let metric = Self::make(name, help, labels)?;
        registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

impl Metric for IntCounter {
    fn make(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(name, help)
    }
}

impl Metric for IntGauge {
    fn make(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(name, help)
    }
}

impl Metric for IntCounterVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Metric for IntGaugeVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Metric for GaugeVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Metric for HistogramVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(HistogramOpts::new(name, help), labels)
    }
}

/// Declares the metrics, one line each: field, kind, name, labels, help. The help is the field's doc comment too.
macro_rules! metrics {
    ($( $vis:vis $field:ident: $kind:ty = $name:literal [$($label:literal),*] $help:literal; )*) => {
        /// All metrics of one node. Each `Metrics` has a registry of its own, so that two nodes in one process do not mix.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $( #[doc = $help] $vis $field: $kind, )*
        }

        impl Metrics {
            /// # Errors
            /// When two metrics have one name: a fault of the program.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
                Ok(Self {
                    $( $field: <$kind as Metric>::register(&registry, $name, &[$($label),*], $help)?, )*
                    registry,
                })
            }
        }
    };
}

metrics! {
    pub requests: IntCounterVec = "http_requests_total" ["handler", "code"] "Requests answered.";
    pub request_seconds: HistogramVec = "http_request_duration_seconds" ["handler"] "Time from the start of a request to its answer.";
    pub enrolls: IntCounterVec = "muster_enrolls_total" ["outcome"] "Enrollments, by outcome.";
    pub key_lookups: IntCounter = "muster_key_lookups_total" [] "Node keys looked up in the database.";
    pub clones: IntCounter = "muster_clones_separated_total" [] "Host identities found to be shared by two machines, and separated.";
    pub hosts_in_memory: IntGauge = "muster_hosts_in_memory" [] "Hosts that have checked in with this node since its start.";
    hosts: IntGaugeVec = "muster_hosts" ["status"] "Hosts by status, on the leader; missing ones are offline, too.";
    hosts_by_platform: IntGaugeVec = "muster_hosts_by_platform" ["platform"] "Hosts by platform, on the leader: the 50 with most hosts, all others together under an empty name.";
    seen_messages: IntCounterVec = "muster_seen_messages_total" ["outcome"] "Messages between nodes about when hosts were last seen: sent, failed, heard, missed, or of an unknown version.";
    seen_pages: IntCounterVec = "muster_seen_pages_total" ["outcome"] "Stored pages of last-seen times: written, of a format that is unreadable for this version, or broken and written anew.";
    pub seen_page_bytes: IntCounter = "muster_seen_page_bytes_total" [] "Bytes of the stored pages of last-seen times that were written.";
    pub sql_statements: IntCounter = "muster_sql_statements_total" [] "SQL statements sent, without BEGIN and COMMIT.";
    pub rows_written: IntCounter = "muster_rows_written_total" [] "Rows inserted, updated or deleted by committed transactions.";
    pub db_retries: IntCounter = "muster_db_retries_total" [] "Transactions retried after a conflict with another transaction.";
    pub replica_failures: IntCounter = "muster_read_replica_failures_total" [] "Reads the read replica did not answer; the primary database was read instead.";
    pub bus_commands: IntCounterVec = "muster_bus_commands_total" ["command"] "Commands sent to the bus.";
    pub live_questions: IntCounter = "muster_live_questions_total" [] "Live queries sent to hosts.";
    pub live_results_bytes: IntGauge = "muster_live_results_bytes" [] "Bytes of the results of live queries that are kept.";
    pub suspects: IntCounter = "muster_live_suspects_total" [] "Live queries that probably stopped an agent.";
    pub questions: IntCounter = "muster_questions_total" [] "Detail and label queries sent to hosts.";
    pub parked_queries: IntCounter = "muster_parked_queries_total" [] "Detail and label queries parked for one host because they seem to stop its agent.";
    pub label_changes: IntCounterVec = "muster_label_changes_total" ["change"] "Label memberships added and removed.";
    pub unknown_answers: IntCounter = "muster_unknown_answers_total" [] "Answers to queries that are no longer open.";
    pub certificate_expires: IntGauge = "muster_certificate_expiry_timestamp_seconds" [] "When the server's certificate expires; 0 without TLS.";
    pub is_leader: IntGauge = "muster_is_leader" [] "1 if this node is the leader.";
    task_runs: IntCounterVec = "muster_task_runs_total" ["task", "outcome"] "Runs of periodic tasks on this node.";
    task_seconds: HistogramVec = "muster_task_duration_seconds" ["task"] "Duration of one run of a periodic task.";
    task_succeeded: IntGaugeVec = "muster_task_last_success_timestamp_seconds" ["task"] "When a periodic task last succeeded on this node.";
    pub pool_busy: IntGaugeVec = "muster_pool_busy" ["pool"] "Threads that work on large bodies of agents, for operators, or on lists that are being sent.";
    pub pool_waiting: IntGaugeVec = "muster_pool_waiting" ["pool"] "Work that waits for such a thread.";
    samples: IntCounterVec = "muster_statistics_samples_total" ["outcome"] "Samples of hosts' schedules: folded, late, or of hosts without a config.";
    pub unknown_statistics: IntCounter = "muster_statistics_unknown_queries_total" [] "Queries in samples that are not in the config of the host, or have SQL that was never served.";
    pub worker_restarts: IntCounter = "muster_worker_restarts_total" [] "Workers of agents found to have been replaced while their host went on.";
    denylisted_hosts: IntGaugeVec = "muster_query_denylisted_hosts" ["pack", "query"] "Hosts whose agents do not run a scheduled query, because it has stopped the worker; on the leader, of the 50 that cost most.";
    query_cpu: GaugeVec = "muster_query_cpu_seconds" ["pack", "query", "quantile"] "CPU time of a run of a scheduled query, today and yesterday; on the leader, of the 50 that cost most.";
    log_lines: IntCounterVec = "muster_log_lines_total" ["type", "fate"] "Log lines accepted: kept, or repeated and dropped.";
    pub batch_leases: IntGauge = "muster_log_batch_leases" [] "Hosts' logs whose batches this node keeps without asking Redis.";
    pub batch_leases_ended: IntCounterVec = "muster_log_batch_leases_ended_total" ["why"] "Such leases that have ended: revoked for another node, or lapsed because Redis did not answer or has lost data.";
    limit_hits: IntCounterVec = "muster_limit_hits_total" ["limit"] "Times a limit refused or cut something, by the name of the limit.";
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
    /// Counts samples of hosts' schedules.
    pub fn samples(&self, outcome: &str, count: u64) {
        self.samples.with_label_values(&[outcome]).inc_by(count);
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
            self.query_cpu.with_label_values(&[pack, query, "0.5"]).set(*p50);
            self.query_cpu.with_label_values(&[pack, query, "0.95"]).set(*p95);
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
        self.task_seconds.with_label_values(&[task]).observe(took.as_secs_f64());
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
        let registry = &self.registry;
        Ok(LinkMetrics {
            commands: self.bus_commands.clone(),
            failures: Metric::register(
                registry,
                "muster_redis_failures_total",
                &["command"],
                "Redis commands that were not answered.",
            )?,
            notifications: Metric::register(
                registry,
                "muster_notifications_total",
                &["outcome"],
                "Change events between nodes: published, failed, heard, or possibly missed.",
            )?,
            is_up: Metric::register(registry, "muster_redis_up", &[], "1 if Redis answered the last command.")?,
        })
    }

    /// Counts a message between nodes about last-seen times.
    pub fn seen_message(&self, outcome: &str) {
        self.seen_messages.with_label_values(&[outcome]).inc();
    }

    /// Counts stored pages of last-seen times.
    pub fn seen_pages(&self, outcome: &str, pages: u64) {
        self.seen_pages.with_label_values(&[outcome]).inc_by(pages);
    }

    /// Counts that a limit refused or cut something.
    pub fn limit_hit(&self, limit: &str) {
        self.limit_hits.with_label_values(&[limit]).inc();
    }

    /// Counts the lines of one log request by its type, `result` or `status`.
    pub fn log_lines(&self, log_type: &'static str, kept: u64, repeated: u64) {
        self.log_lines.with_label_values(&[log_type, "kept"]).inc_by(kept);
        self.log_lines.with_label_values(&[log_type, "repeated"]).inc_by(repeated);
    }

    /// The duration histogram of a route.
    pub fn timer(&self, handler: &str) -> Histogram {
        self.request_seconds.with_label_values(&[handler])
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
