use std::time::Duration;

use super::section::section;
use super::value::{Bytes, ConfigValue};

/// Which of an agent's names decides what host it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostIdentifier {
    /// What the agent's own `--host_identifier` provides.
    Provided,
    Instance,
    Uuid,
    Hostname,
}

impl ConfigValue for HostIdentifier {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "provided" => Ok(Self::Provided),
            "instance" => Ok(Self::Instance),
            "uuid" => Ok(Self::Uuid),
            "hostname" => Ok(Self::Hostname),
            _ => Err("expects provided, instance, uuid or hostname".to_owned()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Provided => "provided",
            Self::Instance => "instance",
            Self::Uuid => "uuid",
            Self::Hostname => "hostname",
        }
        .to_owned()
    }
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPlugin {
    Filesystem,
    Stdout,
}

impl ConfigValue for LogPlugin {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "filesystem" => Ok(Self::Filesystem),
            "stdout" => Ok(Self::Stdout),
            _ => Err("expects filesystem or stdout".to_owned()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Filesystem => "filesystem",
            Self::Stdout => "stdout",
        }
        .to_owned()
    }
}

section! {
    /// The osquery TLS API, as agents call it.
    "osquery" Osquery {
        /// Which name identifies a host: provided, instance, uuid or hostname.
        host_identifier: HostIdentifier = HostIdentifier::Provided,
        /// Refuse a host that enrolls again sooner than this; 0 never refuses.
        enroll_cooldown: Duration = Duration::ZERO,
        /// Enrollments a second, over all secrets; more are told to try again.
        enrolls_per_second: u32 = 200,
        /// Enrollments a second with any one secret.
        enrolls_per_second_per_secret: u32 = 100,
        /// How often a host is asked about itself.
        detail_update_interval: Duration = Duration::from_secs(3600),
        /// How often a host is asked which labels it is in.
        label_update_interval: Duration = Duration::from_secs(3600),
        /// A node key stays good for so long after its last use once a newer one is in use.
        old_key_grace: Duration = Duration::from_secs(600),
        /// Every request of an agent is answered within this time; agents give up after 16 s.
        answer_timeout: Duration = Duration::from_secs(10),
        /// A request that needs the database is refused when it does not answer within this time.
        store_timeout: Duration = Duration::from_millis(1_500),
        /// Largest enroll body.
        max_enroll_body: Bytes = Bytes::mib(1),
        /// Largest config body.
        max_config_body: Bytes = Bytes::kib(64),
        /// Largest distributed/read body.
        max_distributed_read_body: Bytes = Bytes::kib(64),
        /// Largest distributed/write body.
        max_distributed_write_body: Bytes = Bytes::mib(100),
        /// Largest log body as sent; the worst an agent can build is 1,024 lines of 1 MiB, so lower the agents' logger_tls_max_lines if this bites.
        max_log_body: Bytes = Bytes::mib(64),
        /// Largest log body after inflating.
        max_log_inflated: Bytes = Bytes::mib(128),
        /// Bytes of large bodies (over 64 KiB) held at one time, over all agents; more wait, then are told to try again.
        max_bodies_in_flight: Bytes = Bytes::mib(512),
        /// Bytes of log lines waiting for the disk; more are told to try again.
        max_log_in_flight: Bytes = Bytes::mib(256),
        /// Where status lines go: filesystem or stdout.
        status_log_plugin: LogPlugin = LogPlugin::Filesystem,
        /// Where result lines go: filesystem or stdout.
        result_log_plugin: LogPlugin = LogPlugin::Filesystem,
        /// Assembled configs kept in memory.
        max_config_cache: Bytes = Bytes::mib(64),
    }
}

/// The agents' own deadline for a whole request, in seconds; see their HTTP client.
const AGENT_DEADLINE: Duration = Duration::from_secs(16);

impl Osquery {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
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
