//! The flags of osqueryd that this model understands.

use std::sync::Arc;

/// Where the server listens for each kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the path of the request of the same name")]
pub struct Paths {
    pub enroll: Arc<str>,
    pub config: Arc<str>,
    pub log: Arc<str>,
    pub distributed_read: Arc<str>,
    pub distributed_write: Arc<str>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            enroll: "/api/v1/osquery/enroll".into(),
            config: "/api/v1/osquery/config".into(),
            log: "/api/v1/osquery/log".into(),
            distributed_read: "/api/v1/osquery/distributed/read".into(),
            distributed_write: "/api/v1/osquery/distributed/write".into(),
        }
    }
}

/// Flag values, named as osqueryd names them. Plain numbers without a unit in their name are seconds or counts, as in osqueryd.
///
/// The defaults are osqueryd's, except that live queries are on and the configuration is refreshed every 60 s, as
/// a generated flag file would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the osqueryd flag of the same name")]
pub struct Flags {
    pub enroll_secret: Arc<str>,
    pub paths: Arc<Paths>,
    pub tls_enroll_max_attempts: u32,
    pub tls_enroll_max_interval: u64,
    pub tls_accept_gzip: bool,
    pub disable_reenrollment: bool,
    pub config_refresh: u64,
    pub config_accelerated_refresh: u64,
    pub config_tls_max_attempts: u32,
    pub logger_tls_period: u64,
    pub logger_tls_max_lines: usize,
    pub logger_tls_max_linesize: usize,
    pub logger_tls_compress: bool,
    pub logger_tls_backoff_max: u64,
    pub buffered_log_max: usize,
    pub tls_disable_status_log: bool,
    pub logger_min_status: u64,
    pub logger_event_type: bool,
    pub logger_snapshot_event_type: bool,
    pub logger_numerics: bool,
    pub disable_distributed: bool,
    pub distributed_interval: u64,
    pub distributed_tls_max_attempts: u32,
    pub distributed_denylist_duration: u64,
    pub schedule_splay_percent: u64,
    pub schedule_default_interval: u64,
    pub schedule_epoch: u64,
    pub pack_delimiter: Arc<str>,
    pub pack_refresh_interval: u64,
    pub decorations_top_level: bool,
    pub disable_decorators: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            enroll_secret: "".into(),
            paths: Arc::new(Paths::default()),
            tls_enroll_max_attempts: 12,
            tls_enroll_max_interval: 600,
            tls_accept_gzip: false,
            disable_reenrollment: false,
            config_refresh: 60,
            config_accelerated_refresh: 300,
            config_tls_max_attempts: 3,
            logger_tls_period: 4,
            logger_tls_max_lines: 1024,
            logger_tls_max_linesize: 1024 * 1024,
            logger_tls_compress: false,
            logger_tls_backoff_max: 3600,
            buffered_log_max: 1_000_000,
            tls_disable_status_log: false,
            logger_min_status: 0,
            logger_event_type: true,
            logger_snapshot_event_type: false,
            logger_numerics: false,
            disable_distributed: false,
            distributed_interval: 60,
            distributed_tls_max_attempts: 3,
            distributed_denylist_duration: 86_400,
            schedule_splay_percent: 10,
            schedule_default_interval: 3600,
            schedule_epoch: 0,
            pack_delimiter: "_".into(),
            pack_refresh_interval: 3600,
            decorations_top_level: false,
            disable_decorators: false,
        }
    }
}

impl Flags {
    /// Name, type and value of the flags that `osquery_flags` lists.
    pub(super) fn listing(&self) -> Vec<(&'static str, &'static str, String)> {
        vec![
            ("buffered_log_max", "uint64", self.buffered_log_max.to_string()),
            ("config_accelerated_refresh", "uint64", self.config_accelerated_refresh.to_string()),
            ("config_refresh", "uint64", self.config_refresh.to_string()),
            ("config_tls_endpoint", "string", self.paths.config.to_string()),
            ("decorations_top_level", "bool", self.decorations_top_level.to_string()),
            ("disable_distributed", "bool", self.disable_distributed.to_string()),
            ("distributed_interval", "uint64", self.distributed_interval.to_string()),
            ("distributed_tls_read_endpoint", "string", self.paths.distributed_read.to_string()),
            ("distributed_tls_write_endpoint", "string", self.paths.distributed_write.to_string()),
            ("enroll_tls_endpoint", "string", self.paths.enroll.to_string()),
            ("logger_event_type", "bool", self.logger_event_type.to_string()),
            ("logger_min_status", "int32", self.logger_min_status.to_string()),
            ("logger_numerics", "bool", self.logger_numerics.to_string()),
            ("logger_snapshot_event_type", "bool", self.logger_snapshot_event_type.to_string()),
            ("logger_tls_backoff_max", "uint64", self.logger_tls_backoff_max.to_string()),
            ("logger_tls_compress", "bool", self.logger_tls_compress.to_string()),
            ("logger_tls_endpoint", "string", self.paths.log.to_string()),
            ("logger_tls_max_lines", "uint64", self.logger_tls_max_lines.to_string()),
            ("logger_tls_period", "uint64", self.logger_tls_period.to_string()),
            ("pack_delimiter", "string", self.pack_delimiter.to_string()),
            ("pack_refresh_interval", "uint64", self.pack_refresh_interval.to_string()),
            ("schedule_default_interval", "uint64", self.schedule_default_interval.to_string()),
            ("schedule_epoch", "uint64", self.schedule_epoch.to_string()),
            ("schedule_splay_percent", "uint64", self.schedule_splay_percent.to_string()),
        ]
    }
}
