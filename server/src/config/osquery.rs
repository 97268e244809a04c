use std::time::Duration;

use super::section::section;
use super::value::{Bytes, words};

words! {
    /// The field that identifies a host.
    HostIdentifier {
        /// The identifier that the agent sends (`--host_identifier`).
        Provided = "provided",
        Instance = "instance",
        Uuid = "uuid",
        Hostname = "hostname",
    }
}

words! {
    /// Destination of log lines.
    LogPlugin {
        Filesystem = "filesystem",
        Stdout = "stdout",
    }
}

words! {
    /// What becomes of SQL that names what hosts lack.
    SchemaCheck {
        Off = "off",
        Warn = "warn",
        Refuse = "refuse",
    }
}

section! {
    /// The osquery TLS API for agents.
    "osquery" Osquery {
        /// Field that identifies a host: provided, instance, uuid or hostname.
        host_identifier: HostIdentifier = HostIdentifier::Provided,
        /// Minimum time between two enrollments of a host; earlier enrollments are refused. 0 disables the check.
        enroll_cooldown: Duration = Duration::ZERO,
        /// Maximum enrollments per second over all secrets; agents above the limit are told to retry.
        enrolls_per_second: u32 = 10_000,
        /// Maximum enrollments per second with the same secret.
        enrolls_per_second_per_secret: u32 = 5_000,
        /// Maximum enrollments that wait for the database; agents above the limit are told to retry.
        max_enrolls_waiting: u32 = 2_000,
        /// Maximum time an enrollment waits for the database once its secret was found to be good, before it is refused.
        max_enroll_wait: Duration = Duration::from_secs(2),
        /// Maximum unknown node keys per second that MySQL or MariaDB confirms to be unknown, before their agents are told to enroll again; agents above the limit are told to retry.
        key_confirmations_per_second: u32 = 500,
        /// Interval at which the details of a host are refreshed.
        detail_update_interval: Duration = Duration::from_secs(3600),
        /// Interval at which the labels of a host are refreshed.
        label_update_interval: Duration = Duration::from_secs(3600),
        /// Interval at which a few hosts of each platform and version of osquery are asked which tables and columns they have; 0 asks none.
        schema_update_interval: Duration = Duration::from_secs(7 * 24 * 3600),
        /// What becomes of SQL that is saved or asked and names a table or column that none of the hosts has, as far as two hosts of a platform and version of osquery have reported: off, warn or refuse. Of live queries that some of their hosts cannot run is warned, too. Needs osquery.schema_update_interval.
        schema_check: SchemaCheck = SchemaCheck::Warn,
        /// Time an old node key stays valid after its last use, once a newer one is in use.
        old_key_grace: Duration = Duration::from_secs(600),
        /// Maximum time to answer a request of an agent; agents give up after 16s.
        answer_timeout: Duration = Duration::from_secs(10),
        /// Maximum time a request of an agent waits for the database before it is refused.
        store_timeout: Duration = Duration::from_millis(1_500),
        /// Maximum size of an enroll body.
        max_enroll_body: Bytes = Bytes::mib(1),
        /// Maximum size of a config body.
        max_config_body: Bytes = Bytes::kib(64),
        /// Maximum size of a distributed/read body.
        max_distributed_read_body: Bytes = Bytes::kib(64),
        /// Maximum size of a distributed/write body.
        max_distributed_write_body: Bytes = Bytes::mib(100),
        /// Maximum size of a log body as sent. Agents build bodies of up to 1,024 lines of 1 MiB; if bodies are refused, lower logger_tls_max_lines of the agents.
        max_log_body: Bytes = Bytes::mib(64),
        /// Maximum size of a log body after decompression.
        max_log_inflated: Bytes = Bytes::mib(128),
        /// Memory for request bodies over 64 KiB of all agents; further requests wait, then are told to retry.
        max_bodies_in_flight: Bytes = Bytes::mib(512),
        /// Memory for log lines that wait to be written; agents above the limit are told to retry.
        max_log_in_flight: Bytes = Bytes::mib(256),
        /// Destination of status logs: filesystem or stdout.
        status_log_plugin: LogPlugin = LogPlugin::Filesystem,
        /// Destination of result logs: filesystem or stdout.
        result_log_plugin: LogPlugin = LogPlugin::Filesystem,
        /// Memory for assembled configurations, of all plans together. One that finds no room, or had to make room, is assembled again when a host asks for it.
        max_config_cache: Bytes = Bytes::mib(64),
    }
}

/// Time after which agents give up a request.
const AGENT_DEADLINE: Duration = Duration::from_secs(16);

/// Highest `max_enrolls_waiting`: some kilobytes of memory for each, and all of them are put in order for each batch.
const MOST_ENROLLS_WAITING: u32 = 20_000;

/// Shortest `max_enroll_wait`, in which a database that works can write a batch.
const LEAST_ENROLL_WAIT: Duration = Duration::from_millis(100);

/// Shortest `schema_update_interval`: within it, a few hosts that do not answer are replaced by others.
const LEAST_SCHEMA_INTERVAL: Duration = Duration::from_secs(3600);

impl Osquery {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.schema_update_interval.is_zero() && self.schema_update_interval < LEAST_SCHEMA_INTERVAL {
            problems.push("osquery.schema_update_interval: must be 0 or at least 1h".to_owned());
        }
        if self.answer_timeout >= AGENT_DEADLINE {
            problems.push("osquery.answer_timeout: agents give up after 16s, so it must be shorter".to_owned());
        }
        if self.store_timeout >= self.answer_timeout {
            problems.push("osquery.store_timeout: must be shorter than osquery.answer_timeout".to_owned());
        }
        if self.enrolls_per_second == 0 || self.enrolls_per_second_per_secret == 0 {
            problems.push(
                "osquery.enrolls_per_second and osquery.enrolls_per_second_per_secret: must be at least 1".to_owned(),
            );
        }
        if !(1..=MOST_ENROLLS_WAITING).contains(&self.max_enrolls_waiting) {
            problems.push(format!("osquery.max_enrolls_waiting: must be between 1 and {MOST_ENROLLS_WAITING}"));
        }
        if self.max_enroll_wait < LEAST_ENROLL_WAIT {
            problems.push(format!("osquery.max_enroll_wait: must be at least {} ms", LEAST_ENROLL_WAIT.as_millis()));
        }
        if self.max_enroll_wait >= self.answer_timeout {
            problems.push("osquery.max_enroll_wait: must be shorter than osquery.answer_timeout".to_owned());
        }
        if self.key_confirmations_per_second == 0 {
            problems.push("osquery.key_confirmations_per_second: must be at least 1".to_owned());
        }
        let largest = [self.max_distributed_write_body, self.max_log_body, self.max_log_inflated]
            .into_iter()
            .max()
            .unwrap_or(Bytes(0));
        if self.max_bodies_in_flight < largest {
            problems.push(
                "osquery.max_bodies_in_flight: must hold at least one body of the largest size allowed".to_owned(),
            );
        }
        if self.max_log_in_flight < self.max_log_inflated {
            problems.push("osquery.max_log_in_flight: must be at least osquery.max_log_inflated".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_enrollments_have_limits() {
        let problems = |waiting: u32, millis: u64| {
            let max_enroll_wait = Duration::from_millis(millis);
            Osquery { max_enrolls_waiting: waiting, max_enroll_wait, ..Osquery::default() }.contradictions()
        };
        assert!(problems(1, 100).is_empty() && problems(20_000, 9_999).is_empty());
        for (waiting, millis, problem) in [
            (0, 2_000, "osquery.max_enrolls_waiting: must be between 1 and 20000"),
            (20_001, 2_000, "osquery.max_enrolls_waiting: must be between 1 and 20000"),
            (2_000, 0, "osquery.max_enroll_wait: must be at least 100 ms"),
            (2_000, 10_000, "osquery.max_enroll_wait: must be shorter than osquery.answer_timeout"),
        ] {
            assert_eq!(problems(waiting, millis), [problem]);
        }
    }
}
