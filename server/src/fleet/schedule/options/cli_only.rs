//! Flags that agents take only from their flagfile or command line.

/// Flags of agents up to now; whole families are in [`PREFIXES`].
const FLAGS: [&str; 40] = [
    "alarm_timeout",
    "aws_enforce_fips",
    "config_accelerated_refresh",
    "config_check",
    "config_dump",
    "config_enable_backup",
    "config_path",
    "config_plugin",
    "config_refresh",
    "config_tls_endpoint",
    "config_tls_max_attempts",
    "daemonize",
    "database_dump",
    "database_path",
    "disable_carver",
    "disable_enrollment",
    "disable_extensions",
    "disable_reenrollment",
    "disable_tables",
    "disable_watchdog",
    "enable_extensions_watchdog",
    "enable_tables",
    "enable_watchdog_debug",
    "flagfile",
    "force",
    "install",
    "keep_container_worker_open",
    "logger_mode",
    "logger_plugin",
    "logger_stderr",
    "logtostderr",
    "pidfile",
    "proxy_hostname",
    "stderrthreshold",
    "tls_accept_gzip",
    "tls_client_cert",
    "tls_client_key",
    "tls_hostname",
    "tls_server_certs",
    "uninstall",
];

const PREFIXES: [&str; 7] =
    ["carver_", "enroll_", "experiments_", "extensions_", "tls_enroll_", "tls_session_", "watchdog_"];

/// Aliases of two of them that agents do take from a config.
const ALIASES: [(&str, &str); 2] =
    [("config_refresh", "config_tls_refresh"), ("config_accelerated_refresh", "config_tls_accelerated_refresh")];

/// Whether agents ignore the flag in a config.
pub(in crate::fleet::schedule) fn is_cli_only(flag: &str) -> bool {
    // The one of its family that they take.
    let is_exception = flag == "extensions_default_index";
    !is_exception && (FLAGS.contains(&flag) || PREFIXES.iter().any(|prefix| flag.starts_with(prefix)))
}

/// The flag agents take in its place.
pub(super) fn alias_of(flag: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(name, _)| *name == flag).map(|(_, alias)| *alias)
}
