//! The flags of osquery that a config can set, with their types and defaults.

use serde_json::Value;

/// How agents read a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int32,
    UInt32,
    UInt64,
    Text,
}

/// What a flag is when nobody has set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Default {
    Bool(bool),
    Number(u32),
    Text(&'static str),
}

/// A flag that a config can set.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFlag {
    pub name: &'static str,
    pub kind: Type,
    default: Option<Default>,
}

const fn flag(name: &'static str, kind: Type, default: Default) -> KnownFlag {
    KnownFlag { name, kind, default: Some(default) }
}

/// A flag that cannot be given back its default from here: because that is empty, which agents skip, or differs between
/// systems, or because agents are commonly started with another value that they would lose, and live queries, refreshing
/// or their identity with it.
const fn lasting(name: &'static str, kind: Type) -> KnownFlag {
    KnownFlag { name, kind, default: None }
}

/// What is known of a flag.
pub(super) fn known(name: &str) -> Option<&'static KnownFlag> {
    KNOWN.binary_search_by_key(&name, |known| known.name).ok().and_then(|position| KNOWN.get(position))
}

/// What sets a flag back to what it is when nobody has set it; `None` if that is not known or cannot be said to agents.
pub fn default_of(name: &str) -> Option<Value> {
    Some(match known(name)?.default? {
        Default::Bool(value) => value.into(),
        Default::Number(value) => value.into(),
        Default::Text(value) => value.into(),
    })
}

/// All of them, by name. Hidden ones and those of one system are among them.
pub(super) const KNOWN: [KnownFlag; 188] = [
    flag("allow_unsafe", Type::Bool, Default::Bool(false)),
    flag("alsologtostderr", Type::Bool, Default::Bool(false)),
    flag("audit_allow_accept_socket_events", Type::Bool, Default::Bool(true)),
    flag("audit_allow_apparmor_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_config", Type::Bool, Default::Bool(false)),
    flag("audit_allow_failed_socket_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_fim_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_fork_process_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_kill_process_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_null_accept_socket_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_process_events", Type::Bool, Default::Bool(true)),
    flag("audit_allow_seccomp_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_selinux_events", Type::Bool, Default::Bool(false)),
    flag("audit_allow_sockets", Type::Bool, Default::Bool(false)),
    flag("audit_allow_unix", Type::Bool, Default::Bool(false)),
    flag("audit_allow_user_events", Type::Bool, Default::Bool(true)),
    flag("audit_backlog_limit", Type::Int32, Default::Number(4096)),
    flag("audit_backlog_wait_time", Type::Int32, Default::Number(0)),
    flag("audit_debug", Type::Bool, Default::Bool(false)),
    flag("audit_fim_debug", Type::Bool, Default::Bool(false)),
    flag("audit_fim_show_accesses", Type::Bool, Default::Bool(false)),
    flag("audit_force_reconfigure", Type::Bool, Default::Bool(false)),
    flag("audit_force_unconfigure", Type::Bool, Default::Bool(false)),
    flag("audit_persist", Type::Bool, Default::Bool(true)),
    flag("audit_show_partial_fim_events", Type::Bool, Default::Bool(false)),
    flag("audit_show_untracked_res_warnings", Type::Bool, Default::Bool(false)),
    lasting("augeas_lenses", Type::Text),
    lasting("aws_access_key_id", Type::Text),
    flag("aws_debug", Type::Bool, Default::Bool(false)),
    flag("aws_disable_imdsv1_fallback", Type::Bool, Default::Bool(false)),
    flag("aws_enable_proxy", Type::Bool, Default::Bool(false)),
    lasting("aws_firehose_endpoint", Type::Text),
    flag("aws_firehose_period", Type::UInt64, Default::Number(10)),
    lasting("aws_firehose_region", Type::Text),
    lasting("aws_firehose_stream", Type::Text),
    lasting("aws_imdsv2_request_attempts", Type::UInt32),
    lasting("aws_imdsv2_request_interval", Type::UInt32),
    flag("aws_kinesis_disable_log_status", Type::Bool, Default::Bool(false)),
    lasting("aws_kinesis_endpoint", Type::Text),
    flag("aws_kinesis_period", Type::UInt64, Default::Number(10)),
    flag("aws_kinesis_random_partition_key", Type::Bool, Default::Bool(false)),
    lasting("aws_kinesis_region", Type::Text),
    lasting("aws_kinesis_stream", Type::Text),
    lasting("aws_profile_name", Type::Text),
    lasting("aws_proxy_host", Type::Text),
    lasting("aws_proxy_password", Type::Text),
    lasting("aws_proxy_port", Type::UInt32),
    lasting("aws_proxy_scheme", Type::Text),
    lasting("aws_proxy_username", Type::Text),
    lasting("aws_region", Type::Text),
    lasting("aws_secret_access_key", Type::Text),
    lasting("aws_session_token", Type::Text),
    lasting("aws_sts_arn_role", Type::Text),
    lasting("aws_sts_region", Type::Text),
    lasting("aws_sts_session_name", Type::Text),
    flag("aws_sts_timeout", Type::UInt64, Default::Number(3600)),
    lasting("bpf_buffer_storage_size", Type::UInt64),
    lasting("bpf_perf_event_array_exp", Type::UInt64),
    flag("buffered_log_max", Type::UInt64, Default::Number(1_000_000)),
    flag("config_tls_accelerated_refresh", Type::UInt64, Default::Number(300)),
    lasting("config_tls_refresh", Type::UInt64),
    flag("decorations_top_level", Type::Bool, Default::Bool(false)),
    flag("disable_audit", Type::Bool, Default::Bool(true)),
    flag("disable_caching", Type::Bool, Default::Bool(false)),
    flag("disable_database", Type::Bool, Default::Bool(false)),
    flag("disable_decorators", Type::Bool, Default::Bool(false)),
    lasting("disable_distributed", Type::Bool),
    flag("disable_endpointsecurity", Type::Bool, Default::Bool(true)),
    flag("disable_endpointsecurity_fim", Type::Bool, Default::Bool(true)),
    flag("disable_events", Type::Bool, Default::Bool(false)),
    flag("disable_hash_cache", Type::Bool, Default::Bool(false)),
    flag("disable_logging", Type::Bool, Default::Bool(false)),
    flag("disable_memory", Type::Bool, Default::Bool(false)),
    flag("distributed_denylist_duration", Type::UInt64, Default::Number(86_400)),
    flag("distributed_interval", Type::UInt64, Default::Number(60)),
    flag("distributed_loginfo", Type::Bool, Default::Bool(false)),
    flag("distributed_plugin", Type::Text, Default::Text("tls")),
    flag("distributed_tls_max_attempts", Type::UInt64, Default::Number(3)),
    lasting("distributed_tls_read_endpoint", Type::Text),
    lasting("distributed_tls_write_endpoint", Type::Text),
    lasting("docker_socket", Type::Text),
    flag("enable_bpf_events", Type::Bool, Default::Bool(false)),
    flag("enable_dns_lookup_events", Type::Bool, Default::Bool(false)),
    flag("enable_file_events", Type::Bool, Default::Bool(false)),
    flag("enable_foreign", Type::Bool, Default::Bool(false)),
    flag("enable_keyboard_events", Type::Bool, Default::Bool(false)),
    flag("enable_mouse_events", Type::Bool, Default::Bool(false)),
    flag("enable_ntfs_event_publisher", Type::Bool, Default::Bool(false)),
    flag("enable_numeric_monitoring", Type::Bool, Default::Bool(false)),
    flag("enable_powershell_events_subscriber", Type::Bool, Default::Bool(false)),
    flag("enable_process_etw_events", Type::Bool, Default::Bool(false)),
    flag("enable_syslog", Type::Bool, Default::Bool(false)),
    flag("enable_windows_events_publisher", Type::Bool, Default::Bool(false)),
    flag("enable_windows_events_subscriber", Type::Bool, Default::Bool(false)),
    flag("ephemeral", Type::Bool, Default::Bool(false)),
    flag("es_fim_enable_open_events", Type::Bool, Default::Bool(false)),
    lasting("es_fim_mute_path_literal", Type::Text),
    lasting("es_fim_mute_path_prefix", Type::Text),
    lasting("etw_kernel_trace_buffer_size", Type::UInt32),
    lasting("etw_kernel_trace_flush_timer", Type::UInt32),
    lasting("etw_kernel_trace_maximum_buffers", Type::UInt32),
    lasting("etw_kernel_trace_minimum_buffers", Type::UInt32),
    lasting("etw_userspace_trace_buffer_size", Type::UInt32),
    lasting("etw_userspace_trace_flush_timer", Type::UInt32),
    lasting("etw_userspace_trace_maximum_buffers", Type::UInt32),
    lasting("etw_userspace_trace_minimum_buffers", Type::UInt32),
    flag("events_enforce_denylist", Type::Bool, Default::Bool(false)),
    flag("events_expiry", Type::UInt64, Default::Number(3600)),
    flag("events_max", Type::UInt64, Default::Number(50_000)),
    flag("events_optimize", Type::Bool, Default::Bool(true)),
    lasting("events_streaming_plugin", Type::Text),
    lasting("experiment_list", Type::Text),
    flag("extensions_default_index", Type::Bool, Default::Bool(true)),
    flag("groups_service_delay", Type::UInt64, Default::Number(150)),
    flag("groups_service_interval", Type::UInt64, Default::Number(1800)),
    flag("hardware_disabled_types", Type::Text, Default::Text("partition")),
    flag("hash_cache_max", Type::UInt32, Default::Number(500)),
    flag("hash_delay", Type::UInt64, Default::Number(20)),
    lasting("host_identifier", Type::Text),
    flag("ignore_registry_exceptions", Type::Bool, Default::Bool(false)),
    flag("ignore_table_exceptions", Type::Bool, Default::Bool(false)),
    lasting("keychain_access_cache", Type::Bool),
    lasting("keychain_access_interval", Type::UInt32),
    lasting("log_dir", Type::Text),
    lasting("logbufsecs", Type::Int32),
    flag("logger_event_type", Type::Bool, Default::Bool(true)),
    lasting("logger_kafka_acks", Type::Text),
    lasting("logger_kafka_brokers", Type::Text),
    lasting("logger_kafka_compression", Type::Text),
    lasting("logger_kafka_topic", Type::Text),
    flag("logger_min_status", Type::Int32, Default::Number(0)),
    flag("logger_min_stderr", Type::Int32, Default::Number(0)),
    flag("logger_numerics", Type::Bool, Default::Bool(false)),
    lasting("logger_path", Type::Text),
    flag("logger_rotate", Type::Bool, Default::Bool(false)),
    flag("logger_rotate_max_files", Type::UInt64, Default::Number(25)),
    flag("logger_rotate_size", Type::UInt64, Default::Number(26_214_400)),
    flag("logger_snapshot_event_type", Type::Bool, Default::Bool(false)),
    flag("logger_syslog_facility", Type::Int32, Default::Number(19)),
    flag("logger_syslog_prepend_cee", Type::Bool, Default::Bool(false)),
    flag("logger_tls_backoff_max", Type::UInt64, Default::Number(3600)),
    flag("logger_tls_compress", Type::Bool, Default::Bool(false)),
    lasting("logger_tls_endpoint", Type::Text),
    flag("logger_tls_max_lines", Type::UInt64, Default::Number(1024)),
    flag("logger_tls_max_linesize", Type::UInt64, Default::Number(1_048_576)),
    flag("logger_tls_period", Type::UInt64, Default::Number(4)),
    lasting("lxd_socket", Type::Text),
    lasting("malloc_trim_threshold", Type::UInt64),
    lasting("max_log_size", Type::Int32),
    lasting("minloglevel", Type::Int32),
    flag("ntfs_event_publisher_debug", Type::Bool, Default::Bool(false)),
    lasting("nullvalue", Type::Text),
    lasting("numeric_monitoring_filesystem_path", Type::Text),
    lasting("numeric_monitoring_plugins", Type::Text),
    flag("numeric_monitoring_pre_aggregation_time", Type::UInt64, Default::Number(60)),
    flag("pack_delimiter", Type::Text, Default::Text("_")),
    flag("pack_refresh_interval", Type::UInt64, Default::Number(3600)),
    flag("read_max", Type::UInt64, Default::Number(52_428_800)),
    flag("schedule_default_interval", Type::UInt64, Default::Number(3600)),
    flag("schedule_epoch", Type::UInt64, Default::Number(0)),
    flag("schedule_lognames", Type::Bool, Default::Bool(false)),
    flag("schedule_max_drift", Type::UInt64, Default::Number(60)),
    flag("schedule_reload", Type::UInt64, Default::Number(3600)),
    flag("schedule_reload_sql", Type::Bool, Default::Bool(false)),
    flag("schedule_splay_percent", Type::UInt64, Default::Number(10)),
    flag("schedule_timeout", Type::UInt64, Default::Number(0)),
    lasting("specified_identifier", Type::Text),
    lasting("stop_logging_if_full_disk", Type::Bool),
    flag("syslog_events_expiry", Type::UInt64, Default::Number(2_592_000)),
    flag("syslog_events_max", Type::UInt64, Default::Number(100_000)),
    lasting("syslog_pipe_path", Type::Text),
    flag("syslog_rate_limit", Type::UInt64, Default::Number(100)),
    flag("table_delay", Type::UInt64, Default::Number(0)),
    flag("thrift_string_size_limit", Type::Int32, Default::Number(0)),
    flag("thrift_timeout", Type::UInt32, Default::Number(300)),
    flag("thrift_verbose", Type::Bool, Default::Bool(false)),
    flag("tls_disable_status_log", Type::Bool, Default::Bool(false)),
    flag("tls_dump", Type::Bool, Default::Bool(false)),
    flag("users_service_delay", Type::UInt64, Default::Number(250)),
    flag("users_service_interval", Type::UInt64, Default::Number(1800)),
    flag("usn_journal_reader_debug", Type::Bool, Default::Bool(false)),
    lasting("utc", Type::Bool),
    flag("value_max", Type::Int32, Default::Number(512)),
    flag("verbose", Type::Bool, Default::Bool(false)),
    flag("windows_event_channels", Type::Text, Default::Text("System,Application,Setup,Security")),
    flag("worker_threads", Type::Int32, Default::Number(4)),
    flag("yara_delay", Type::UInt32, Default::Number(50)),
    flag("yara_sigurl_authenticate", Type::Bool, Default::Bool(false)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sorted_so_that_they_are_found() {
        assert!(KNOWN.is_sorted_by(|a, b| a.name < b.name));
        for flag in &KNOWN {
            assert!(known(flag.name).is_some());
            assert!(!super::super::cli_only::is_cli_only(flag.name), "{}", flag.name);
        }
        assert!(known("nonsense").is_none());
    }
}
