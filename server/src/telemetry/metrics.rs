use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::bus::LinkMetrics;
use crate::clock::Clock;
use crate::fleet::logs::LogStream;

/// Every number the server publishes. One per server, so that two in one process do not mix.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests answered, by API, route and outcome.
    pub requests: IntCounterVec,
    /// Seconds from the first byte of a request to its answer, by route.
    pub request_seconds: HistogramVec,
    /// Enrollments, by outcome.
    pub enrolls: IntCounterVec,
    /// Node keys that had to be looked up in the database.
    pub key_lookups: IntCounter,
    /// Statements sent to the database, rows written there, and transactions tried again.
    pub sql_statements: IntCounter,
    pub rows_written: IntCounter,
    pub db_retries: IntCounter,
    /// Readings that the read replica did not answer.
    pub replica_failures: IntCounter,
    /// Commands to the bus, by name.
    pub bus_commands: IntCounterVec,
    /// Live queries handed to hosts.
    pub live_questions: IntCounter,
    /// Live queries that have probably stopped an agent.
    pub suspects: IntCounter,
    /// Questions put to hosts about themselves.
    pub questions: IntCounter,
    /// Questions not put to a host any more, because they seem to stop its agent.
    pub parked_queries: IntCounter,
    /// Label memberships written.
    pub label_changes: IntCounterVec,
    /// Answers to questions nobody asks any more.
    pub unknown_answers: IntCounter,
    /// Identities found to be shared by two machines.
    pub clones: IntCounter,
    /// Hosts that have checked in since the start.
    pub hosts_in_memory: IntGauge,
    /// Whether this server does the work of all.
    pub is_leader: IntGauge,
    task_runs: IntCounterVec,
    task_seconds: HistogramVec,
    task_succeeded: IntGaugeVec,
    log_lines: IntCounterVec,
    limit_hits: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// When two numbers have one name: a fault of the program.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = counters("http_requests_total", "Requests answered.", &["handler", "code"])?;
        let request_seconds = HistogramVec::new(
            HistogramOpts::new("http_request_duration_seconds", "Time from the start of a request to its answer."),
            &["handler"],
        )?;
        registry.register(Box::new(request_seconds.clone()))?;
        let enrolls = counters("muster_enrolls_total", "Enrollments by outcome.", &["outcome"])?;
        let key_lookups = counter("muster_key_lookups_total", "Node keys looked up in the database.")?;
        let clones = counter("muster_clones_separated_total", "Identities found to be shared by two machines.")?;
        let sql_statements = counter("muster_sql_statements_total", "SQL statements sent, without BEGIN and COMMIT.")?;
        let rows_written = counter("muster_rows_written_total", "Rows inserted, updated or deleted.")?;
        let db_retries =
            counter("muster_db_retries_total", "Transactions tried again, because another one was in their way.")?;
        let replica_failures = counter(
            "muster_read_replica_failures_total",
            "Readings the read replica did not answer, and the database itself did.",
        )?;
        let bus_commands = counters("muster_bus_commands_total", "Commands to the bus.", &["command"])?;
        let live_questions = counter("muster_live_questions_total", "Live queries handed to hosts.")?;
        let suspects = counter("muster_live_suspects_total", "Live queries that have probably stopped an agent.")?;
        let questions = counter("muster_questions_total", "Questions put to hosts about themselves.")?;
        let parked_queries = counter("muster_parked_queries_total", "Questions a host is not asked any more.")?;
        let label_changes = counters("muster_label_changes_total", "Label memberships written.", &["change"])?;
        let unknown_answers =
            counter("muster_unknown_answers_total", "Answers of agents to questions nobody asks any more.")?;
        let log_lines = counters("muster_log_lines_total", "Log lines by type and fate.", &["type", "fate"])?;
        let limit_hits = counters(
            "muster_limit_hits_total",
            "Times a limit refused or cut something, by the limit's name.",
            &["limit"],
        )?;
        let is_leader = IntGauge::new("muster_is_leader", "1 if this node is the leader.")?;
        registry.register(Box::new(is_leader.clone()))?;
        let task_runs =
            counters("muster_task_runs_total", "Runs of periodic work on this server.", &["task", "outcome"])?;
        let task_seconds = HistogramVec::new(
            HistogramOpts::new("muster_task_duration_seconds", "Time a run of periodic work took."),
            &["task"],
        )?;
        registry.register(Box::new(task_seconds.clone()))?;
        let task_succeeded = IntGaugeVec::new(
            Opts::new("muster_task_last_success_timestamp_seconds", "When periodic work was last done on this server."),
            &["task"],
        )?;
        registry.register(Box::new(task_succeeded.clone()))?;
        let hosts_in_memory = IntGauge::new("muster_hosts_in_memory", "Hosts that have checked in since the start.")?;
        registry.register(Box::new(hosts_in_memory.clone()))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            requests,
            request_seconds,
            enrolls,
            key_lookups,
            sql_statements,
            rows_written,
            db_retries,
            replica_failures,
            bus_commands,
            live_questions,
            suspects,
            questions,
            parked_queries,
            label_changes,
            unknown_answers,
            clones,
            hosts_in_memory,
            is_leader,
            task_runs,
            task_seconds,
            task_succeeded,
            log_lines,
            limit_hits,
        })
    }

    /// Periodic work was done, or failed.
    pub fn task_ran(&self, task: &str, succeeded: bool, took: Duration) {
        self.task_runs.with_label_values(&[task, if succeeded { "done" } else { "failed" }]).inc();
        self.task_seconds.with_label_values(&[task]).observe(took.as_secs_f64());
        if succeeded {
            let now = Clock::system().now().0 / 1_000_000;
            self.task_succeeded.with_label_values(&[task]).set(now);
        }
    }

    /// The numbers about Redis, which are there when it is used.
    ///
    /// # Errors
    /// When it is called twice: a fault of the program.
    pub fn redis(&self) -> Result<LinkMetrics, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            self.registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let is_up = IntGauge::new("muster_redis_up", "1 while Redis answers.")?;
        self.registry.register(Box::new(is_up.clone()))?;
        Ok(LinkMetrics {
            commands: self.bus_commands.clone(),
            failures: counters("muster_redis_failures_total", "Commands Redis did not answer, by name.", "command")?,
            notifications: counters(
                "muster_notifications_total",
                "Change events between nodes: published, failed, heard, and times some may have been missed.",
                "outcome",
            )?,
            is_up,
        })
    }

    /// A limit did its work.
    pub fn limit_hit(&self, limit: &str) {
        self.limit_hits.with_label_values(&[limit]).inc();
    }

    /// Lines of one request were kept, some of which had been kept before.
    pub fn log_lines(&self, stream: LogStream, kept: u64, repeated: u64) {
        let stream = match stream {
            LogStream::Result => "result",
            LogStream::Status => "status",
        };
        self.log_lines.with_label_values(&[stream, "kept"]).inc_by(kept);
        self.log_lines.with_label_values(&[stream, "repeated"]).inc_by(repeated);
    }

    /// The timer of a route.
    pub fn timer(&self, handler: &str) -> Histogram {
        self.request_seconds.with_label_values(&[handler])
    }

    /// All numbers in Prometheus' text format.
    ///
    /// # Errors
    /// When a number cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
