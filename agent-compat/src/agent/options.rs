//! Taking over the `options` of a configuration.

use serde_json::Value;

use super::flags::Flags;

/// Result of applying one member of `options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// Taken over, or a real flag that has no part in this model.
    Taken,
    /// Only a flag file may set it.
    CommandLineOnly,
    /// Not a flag.
    Unknown,
}

const COMMAND_LINE_ONLY: [&str; 24] = [
    "tls_hostname",
    "tls_server_certs",
    "tls_client_cert",
    "tls_client_key",
    "tls_session_reuse",
    "tls_session_timeout",
    "tls_accept_gzip",
    "tls_enroll_max_attempts",
    "tls_enroll_max_interval",
    "proxy_hostname",
    "disable_enrollment",
    "disable_reenrollment",
    "config_plugin",
    "config_tls_endpoint",
    "config_tls_max_attempts",
    "config_refresh",
    "config_accelerated_refresh",
    "config_enable_backup",
    "logger_plugin",
    "logger_stderr",
    "database_path",
    "pidfile",
    "disable_tables",
    "enable_tables",
];
const COMMAND_LINE_PREFIXES: [&str; 6] =
    ["watchdog_", "disable_watchdog", "enable_watchdog", "enroll_", "carver_", "extensions_"];
/// Flags that exist but change nothing here.
const OTHER_PREFIXES: [&str; 12] = [
    "custom_",
    "events_",
    "audit_",
    "disable_",
    "enable_",
    "schedule_",
    "logger_",
    "distributed_",
    "es_fim_",
    "syslog_",
    "yara_",
    "windows_event",
];
const OTHERS: [&str; 10] = [
    "verbose",
    "read_max",
    "table_delay",
    "host_identifier",
    "utc",
    "nullvalue",
    "hash_cache_max",
    "aws_region",
    "worker_threads",
    "docker_socket",
];

impl Flags {
    /// Takes over one member of a configuration's `options`.
    pub(super) fn apply(&mut self, name: &str, value: &Value, only_new_cli: bool) -> Applied {
        if value.as_str() == Some("") {
            return Applied::Taken;
        }
        let number = as_number(value);
        let flag = as_bool(value);
        let set = |field: &mut u64| {
            if let Some(number) = number {
                *field = number;
            }
        };
        let set_size = |field: &mut usize| {
            if let Some(number) = number {
                *field = usize::try_from(number).unwrap_or(usize::MAX);
            }
        };
        let set_bool = |field: &mut bool| {
            if let Some(flag) = flag {
                *field = flag;
            }
        };
        match name {
            // These aliases escape the check for command line flags, but cannot switch refreshing on.
            "config_tls_refresh" if self.config_refresh > 0 => set(&mut self.config_refresh),
            "config_tls_accelerated_refresh" => set(&mut self.config_accelerated_refresh),
            "config_refresh" if !only_new_cli => set(&mut self.config_refresh),
            "config_accelerated_refresh" if !only_new_cli => set(&mut self.config_accelerated_refresh),
            "logger_tls_period" => set(&mut self.logger_tls_period),
            "logger_tls_max_lines" => set_size(&mut self.logger_tls_max_lines),
            "logger_tls_max_linesize" => set_size(&mut self.logger_tls_max_linesize),
            "logger_tls_compress" => set_bool(&mut self.logger_tls_compress),
            "logger_tls_backoff_max" => set(&mut self.logger_tls_backoff_max),
            "buffered_log_max" => set_size(&mut self.buffered_log_max),
            "tls_disable_status_log" => set_bool(&mut self.tls_disable_status_log),
            "logger_min_status" => set(&mut self.logger_min_status),
            "logger_event_type" => set_bool(&mut self.logger_event_type),
            "logger_snapshot_event_type" => set_bool(&mut self.logger_snapshot_event_type),
            "logger_numerics" => set_bool(&mut self.logger_numerics),
            "disable_distributed" => set_bool(&mut self.disable_distributed),
            "distributed_interval" => set(&mut self.distributed_interval),
            "distributed_tls_max_attempts" => {
                if let Some(number) = number {
                    self.distributed_tls_max_attempts = u32::try_from(number).unwrap_or(u32::MAX);
                }
            }
            "distributed_denylist_duration" => set(&mut self.distributed_denylist_duration),
            "schedule_splay_percent" => set(&mut self.schedule_splay_percent),
            "schedule_default_interval" => set(&mut self.schedule_default_interval),
            "schedule_epoch" => set(&mut self.schedule_epoch),
            "pack_delimiter" => self.pack_delimiter = as_text(value).into(),
            "pack_refresh_interval" => set(&mut self.pack_refresh_interval),
            "decorations_top_level" => set_bool(&mut self.decorations_top_level),
            "disable_decorators" => set_bool(&mut self.disable_decorators),
            _ => return classify(name),
        }
        Applied::Taken
    }
}

fn classify(name: &str) -> Applied {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if COMMAND_LINE_ONLY.contains(&name) || starts(&COMMAND_LINE_PREFIXES) {
        Applied::CommandLineOnly
    } else if OTHERS.contains(&name) || starts(&OTHER_PREFIXES) || name.ends_with("_endpoint") {
        Applied::Taken
    } else {
        Applied::Unknown
    }
}

fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

fn as_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_u64().map(|number| number != 0),
        Value::String(text) => match text.as_str() {
            "true" | "t" | "1" | "yes" | "y" => Some(true),
            "false" | "f" | "0" | "no" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_set_flags_and_command_line_flags_are_refused() {
        let mut flags = Flags::default();
        assert_eq!(flags.apply("distributed_interval", &json!("7"), true), Applied::Taken);
        assert_eq!(flags.apply("logger_event_type", &json!(false), true), Applied::Taken);
        assert_eq!(flags.apply("pack_delimiter", &json!("/"), true), Applied::Taken);
        assert_eq!(flags.apply("pack_delimiter", &json!(""), true), Applied::Taken);
        assert_eq!(flags.apply("config_refresh", &json!(1), true), Applied::CommandLineOnly);
        assert_eq!(flags.apply("watchdog_level", &json!(1), true), Applied::CommandLineOnly);
        assert_eq!(flags.apply("not_a_flag", &json!(1), true), Applied::Unknown);
        assert_eq!(flags.apply("custom_thing", &json!(1), true), Applied::Taken);
        assert_eq!((flags.distributed_interval, flags.logger_event_type), (7, false));
        assert_eq!((&*flags.pack_delimiter, flags.config_refresh), ("/", 60));
        flags.apply("config_tls_refresh", &json!(20), true);
        assert_eq!(flags.config_refresh, 20);
        flags.apply("config_refresh", &json!(30), false);
        assert_eq!(flags.config_refresh, 30);
    }
}
