//! All metrics of a node. Names follow Prometheus: base units, `_total` for counters. Labels have few values.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::registry::{MetricDescription, metrics};
use crate::histogram::{ByteCount, Histograms};

metrics! {
    /// The metrics that every node has.
    NodeMetrics {
        "Requests" {
            pub requests: IntCounterVec = "http_requests_total" ["handler", "code"] "Requests answered.";
            pub(super) request_seconds: Histograms<Duration> = "http_request_duration_seconds" ["handler"] "Time from the start of a request to its answer.";
            pub(super) request_bytes: Histograms<ByteCount> = "http_request_size_bytes" ["handler"] "Bytes of the body of a request that were read, before they were decompressed.";
            pub(super) response_bytes: Histograms<ByteCount> = "http_response_size_bytes" ["handler"] "Bytes of the body of an answer.";
            pub limit_hits: IntCounterVec = "muster_limit_hits_total" ["limit"] "Times a limit refused or cut something, by the name of the limit.";
            pub pool_threads: IntGaugeVec = "muster_pool_threads" ["pool"] "Most threads that each pool may use.";
            pub pool_busy: IntGaugeVec = "muster_pool_busy" ["pool"] "Busy threads of each pool: of agents for large bodies, of operators for their requests, for lists that are being sent, and for debug requests.";
            pub pool_waiting: IntGaugeVec = "muster_pool_waiting" ["pool"] "Work that waits for a thread of the pool.";
        }
        "Hosts" {
            pub checkins: IntCounter = "muster_checkins_total" [] "Check-ins: requests of agents with a valid node key.";
            pub enrolls: IntCounterVec = "muster_enrolls_total" ["outcome"] "Enrollments, by outcome.";
            pub key_lookups: IntCounter = "muster_key_lookups_total" [] "Node keys looked up in the database.";
            pub clones: IntCounter = "muster_clones_separated_total" [] "Host identities found to be shared by two machines, and separated.";
            pub hosts_in_memory: IntGauge = "muster_hosts_in_memory" [] "Hosts that have checked in with this node since its start.";
            pub directory_hosts: IntGauge = "muster_directory_hosts" [] "Hosts in the directory of this node: all hosts of the fleet, once it is loaded. The same on all nodes: take the maximum.";
            pub(super) hosts: IntGaugeVec = "muster_hosts" ["status"] "Hosts by status, shown by the leader: online, offline, or missing (not seen for 30 days). Missing hosts count as offline as well, so do not add these two.";
            pub(super) hosts_by_platform: IntGaugeVec = "muster_hosts_by_platform" ["platform"] "Hosts by platform, shown by the leader: the 50 with most hosts, all others together under an empty name.";
            pub questions: IntCounter = "muster_questions_total" [] "Detail and label queries sent to hosts.";
            pub parked_queries: IntCounter = "muster_parked_queries_total" [] "Detail and label queries parked for one host because they seem to stop its agent.";
            pub label_changes: IntCounterVec = "muster_label_changes_total" ["change"] "Label memberships added and removed.";
            pub(super) schema_reports: IntCounterVec = "muster_schema_reports_total" ["outcome"] "Hosts picked to say which tables they have (picked), and their answers: kept, or dropped because the host was not picked, has answered before or has another version by now.";
            pub unknown_answers: IntCounter = "muster_unknown_answers_total" [] "Answers to queries that are no longer open.";
            pub(super) seen_messages: IntCounterVec = "muster_seen_messages_total" ["outcome"] "Messages between nodes about when hosts were last seen: sent, failed, heard, missed, or of an unknown version.";
            pub(super) seen_pages: IntCounterVec = "muster_seen_pages_total" ["outcome"] "Stored pages of last-seen times: written, of a format that is unreadable for this version, or broken and written anew.";
            pub seen_page_bytes: IntCounter = "muster_seen_page_bytes_total" [] "Bytes of the stored pages of last-seen times that were written.";
        }
        "Log lines" {
            pub(super) log_lines: IntCounterVec = "muster_log_lines_total" ["sink", "type", "fate"] "Log lines acknowledged: kept, or repeated and dropped.";
            pub(super) log_bytes: IntCounterVec = "muster_log_bytes_total" ["sink", "type"] "Bytes of the log lines kept.";
            pub(super) log_batches: IntCounterVec = "muster_log_batches_total" ["sink", "type"] "Batches of log lines acknowledged.";
            pub(super) log_refusals: IntCounterVec = "muster_log_refusals_total" ["sink", "type", "reason"] "Batches of log lines refused, which agents keep and send again: sink (it could not keep them), max_log_in_flight, log_batch_lock, agent_gone, or fault.";
            pub(super) log_append_seconds: Histograms<Duration> = "muster_log_append_duration_seconds" ["sink", "type"] "Time until the sink has said that the lines of a batch are durable, or why not.";
            pub batch_leases: IntGauge = "muster_log_batch_leases" [] "Leases on log batches that this node holds.";
            pub batch_leases_ended: IntCounterVec = "muster_log_batch_leases_ended_total" ["why"] "Leases on log batches that have ended: revoked for another node, or lapsed because Redis did not answer or has lost data.";
        }
        "Carves" {
            pub(super) carves: IntCounterVec = "muster_carves_total" ["outcome"] "Carves that have begun, and how they went on: complete, failed (blocks stopped coming) or expired; and those that were refused when they wanted to begin.";
            pub carve_bytes: IntCounter = "muster_carve_bytes_total" [] "Bytes of the blocks of carves that were kept.";
            pub carves_held_bytes: IntGauge = "muster_carves_held_bytes" [] "Bytes that count for carves.max_total_bytes, shown by the leader.";
        }
        "Live queries" {
            pub live_open: IntGauge = "muster_live_queries_open" [] "Live queries that are open. The same on all nodes: take the maximum.";
            pub guard_findings: IntCounterVec = "muster_guard_findings_total" ["use", "effect"] "SQL about which the table guard had something to say, by what it is for and what became of it: warned, needs_approval or refused.";
            pub live_questions: IntCounter = "muster_live_questions_total" [] "Live queries sent to hosts.";
            pub(super) live_settled: IntCounterVec = "muster_live_targets_settled_total" ["state"] "Targets of live queries that this node settled one by one, by their state; those left at the end of a live query are not among them.";
            pub live_results_bytes: IntGauge = "muster_live_results_bytes" [] "Bytes of the results of live queries that are kept. With Redis the same on all nodes: take the maximum.";
            pub(super) canary_verdicts: IntCounterVec = "muster_live_canary_verdicts_total" ["verdict"] "Live queries by what came of their canaries: the others followed (passed), an operator let them follow (promoted), or the query was stopped (stopped).";
            pub suspects: IntCounter = "muster_live_suspects_total" [] "Hosts whose worker was probably stopped by a live query.";
        }
        "What queries cost" {
            pub(super) denylisted_hosts: IntGaugeVec = "muster_query_denylisted_hosts" ["pack", "query"] "Hosts whose agents do not run a scheduled query, because it has stopped the worker. Shown by the leader, for the 50 such queries that cost most.";
            pub(super) query_cpu: GaugeVec = "muster_query_cpu_seconds" ["pack", "query", "percentile"] "CPU time of a run of a scheduled query, today and yesterday: the 50th and the 95th percentile. Shown by the leader, for the 50 queries that cost most.";
            pub worker_restarts: IntCounter = "muster_worker_restarts_total" [] "Workers of agents that were replaced while their host went on, also by an upgrade of osquery, or that ended while a query ran, as agents say.";
            pub(super) samples: IntCounterVec = "muster_statistics_samples_total" ["outcome"] "Answers with the counters of a host's scheduled queries: counted (folded), too soon or out of order (late), or of a host whose config is not known (without_config).";
            pub rollouts_open: IntGauge = "muster_rollouts_open" [] "Rollouts that are under way, shown by the leader.";
            pub(super) rollout_steps: IntCounterVec = "muster_rollout_steps_total" ["step"] "Steps of rollouts that this node has taken: advanced, done, halted (a gate has reverted it), aborted, paused or resumed.";
            pub(super) rollout_webhook: IntCounterVec = "muster_rollout_webhook_total" ["outcome"] "Messages to rollouts.webhook_url: told, or failed, which are tried again for a day.";
            pub unknown_statistics: IntCounter = "muster_statistics_unknown_queries_total" [] "Queries in samples that are not in the config of the host, or have SQL that was never served.";
        }
        "Database" {
            pub sql_statements: IntCounter = "muster_sql_statements_total" [] "SQL statements sent, without BEGIN and COMMIT.";
            pub sql_failures: IntCounter = "muster_sql_failures_total" [] "SQL statements that failed.";
            pub sql_seconds: Histograms<Duration> = "muster_sql_statement_duration_seconds" ["use"] "Duration of an SQL statement: a read, a write, a read that must be up to date (current), or a read on the read replica.";
            pub rows_written: IntCounter = "muster_rows_written_total" [] "Rows inserted, updated or deleted by committed transactions.";
            pub db_retries: IntCounter = "muster_db_retries_total" [] "Transactions retried after a conflict with another transaction.";
            pub sql_connections: IntGaugeVec = "muster_sql_connections" ["pool", "state"] "Connections to the database by pool and state: in_use or idle.";
            pub sql_connections_max: IntGaugeVec = "muster_sql_connections_max" ["pool"] "Most connections that a pool may have; more statements wait.";
            pub replica_failures: IntCounter = "muster_read_replica_failures_total" [] "Reads the read replica did not answer; the primary database was read instead.";
        }
        "Bus" {
            pub bus_commands: IntCounterVec = "muster_bus_commands_total" ["command"] "Steps of live queries that this node has sent to the bus, in memory or in Redis.";
        }
        "Tasks" {
            pub is_leader: IntGauge = "muster_is_leader" [] "1 if this node is the leader.";
            pub(super) task_runs: IntCounterVec = "muster_task_runs_total" ["task", "outcome"] "Runs of periodic tasks on this node: done or failed.";
            pub(super) task_seconds: Histograms<Duration> = "muster_task_duration_seconds" ["task"] "Duration of one run of a periodic task.";
            pub(super) task_succeeded: IntGaugeVec = "muster_task_last_success_timestamp_seconds" ["task"] "When a periodic task last succeeded on this node.";
        }
        "Documents folder (only with documents.folder)" {
            pub documents_applied: IntGauge = "muster_documents_applied_timestamp_seconds" [] "When the contents of the documents folder that are in force were applied; 0 if none were.";
            pub documents_failing: IntGauge = "muster_documents_failing" [] "1 while the documents folder cannot be applied: a mistake in a file, too many deletions, a folder that is away or out of date.";
            pub documents_differ: IntGauge = "muster_documents_differ" [] "1 while the documents folder of this node does not hold what was applied last.";
        }
        "Process" {
            pub(super) build: IntGaugeVec = "muster_build_info" ["version"] "1, with the version of the server.";
            pub certificate_expires: IntGauge = "muster_certificate_expiry_timestamp_seconds" [] "When the server's certificate expires; 0 without TLS.";
            pub(super) allocated: IntGauge = "muster_allocator_allocated_bytes" [] "Bytes that the program has allocated.";
            pub(super) active: IntGauge = "muster_allocator_active_bytes" [] "Bytes of the memory pages that hold them.";
            pub(super) resident: IntGauge = "muster_allocator_resident_bytes" [] "Bytes of memory that the allocator holds, with free pages that it has not given back yet and its own data.";
        }
    }
}

metrics! {
    /// The metrics of nodes that use Redis.
    RedisMetrics {
        "Redis (only on nodes that use it)" {
            pub failures: IntCounterVec = "muster_redis_failures_total" ["command"] "Redis commands that were not answered.";
            pub retries: IntCounter = "muster_redis_retries_total" [] "Redis commands sent a second time, because the connection was broken or led to a former master.";
            pub seconds: Histograms<Duration> = "muster_redis_command_duration_seconds" ["purpose"] "Time until Redis has answered a command, or the command has failed: steps of live queries, their answers, reads of them, log batches, or change events.";
            pub notifications: IntCounterVec = "muster_notifications_total" ["outcome"] "Change events between nodes: published, failed, heard, or possibly missed.";
            pub is_up: IntGauge = "muster_redis_up" [] "1 if Redis answered the last command.";
        }
    }
}

/// The metrics that the library counts for the process.
pub(super) const PROCESS: &[MetricDescription] = &[
    process("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    process("process_max_fds", "gauge", "Maximum number of open file descriptors."),
    process("process_open_fds", "gauge", "Number of open file descriptors."),
    process("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    process("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
    process("process_threads", "gauge", "Number of OS threads in the process."),
    process("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
];

const fn process(name: &'static str, kind: &'static str, help: &'static str) -> MetricDescription {
    MetricDescription { group: "Process", name, kind, labels: &[], help }
}

/// All metrics that a node can have, in the order in which they are shown.
pub fn metric_descriptions() -> impl Iterator<Item = &'static MetricDescription> {
    NodeMetrics::DESCRIPTIONS.iter().chain(PROCESS).chain(RedisMetrics::DESCRIPTIONS)
}
