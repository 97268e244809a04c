//! Settings that are not ours: those of Fleet, and variables that others put into the environment.

use super::ConfigKey;

/// Sections of Fleet's configuration that have no counterpart here.
const SECTIONS: [&str; 27] = [
    "activity",
    "app",
    "auth",
    "beta",
    "calendar",
    "conditional_access",
    "dev",
    "email",
    "firehose",
    "geoip",
    "google_workspace",
    "kafkarest",
    "kinesis",
    "lambda",
    "license",
    "mdm",
    "microsoft_compliance_partner",
    "nats",
    "packaging",
    "partnerships",
    "pubsub",
    "sentry",
    "ses",
    "splunk",
    "upgrades",
    "vulnerabilities",
    "webhook",
];

/// Fleet's keys in sections that are here, too.
const KEYS: [&str; 83] = [
    "filesystem.audit_log_file",
    "filesystem.enable_log_compression",
    "filesystem.max_age",
    "filesystem.max_backups",
    "filesystem.max_size",
    "logging.disable_banner",
    "logging.disable_topics",
    "logging.enable_topics",
    "logging.error_retention_period",
    "logging.otel_logs_enabled",
    "logging.tracing_enabled",
    "logging.tracing_type",
    "mysql.region",
    "mysql.sql_mode",
    "mysql.sts_assume_role_arn",
    "mysql.sts_external_id",
    "mysql_read_replica.region",
    "mysql_read_replica.sql_mode",
    "mysql_read_replica.sts_assume_role_arn",
    "mysql_read_replica.sts_external_id",
    "osquery.allow_body_auth_fallback",
    "osquery.async_host_collect_interval",
    "osquery.async_host_collect_lock_timeout",
    "osquery.async_host_collect_log_stats_interval",
    "osquery.async_host_collect_max_jitter_percent",
    "osquery.async_host_delete_batch",
    "osquery.async_host_insert_batch",
    "osquery.async_host_redis_pop_count",
    "osquery.async_host_redis_scan_keys_count",
    "osquery.async_host_update_batch",
    "osquery.enable_async_host_processing",
    "osquery.enable_log_rotation",
    "osquery.max_jitter_percent",
    "osquery.max_log_write_body_size",
    "osquery.min_software_last_opened_at_diff",
    "osquery.node_key_size",
    "osquery.policy_update_interval",
    "osquery.result_log_file",
    "osquery.status_log_file",
    "prometheus.basic_auth.disable",
    "redis.cache_name",
    "redis.host_cache_enabled",
    "redis.host_cache_ttl",
    "redis.live_query_small_target_threshold",
    "redis.region",
    "redis.sts_assume_role_arn",
    "redis.sts_external_id",
    "s3.carves_access_key_id",
    "s3.carves_bucket",
    "s3.carves_disable_ssl",
    "s3.carves_endpoint_url",
    "s3.carves_force_s3_path_style",
    "s3.carves_prefix",
    "s3.carves_region",
    "s3.carves_secret_access_key",
    "s3.carves_sts_assume_role_arn",
    "s3.carves_sts_external_id",
    "s3.software_installers_access_key_id",
    "s3.software_installers_bucket",
    "s3.software_installers_disable_ssl",
    "s3.software_installers_endpoint_url",
    "s3.software_installers_force_s3_path_style",
    "s3.software_installers_prefix",
    "s3.software_installers_region",
    "s3.software_installers_secret_access_key",
    "s3.software_installers_sts_assume_role_arn",
    "s3.software_installers_sts_external_id",
    "s3.sts_assume_role_arn",
    "s3.sts_external_id",
    "server.cleanup_dist_targets_age",
    "server.default_max_request_body_size",
    "server.force_h2c",
    "server.frequent_cleanups_enabled",
    "server.gzip_responses",
    "server.keepalive",
    "server.max_installer_size",
    "server.private_key",
    "server.private_key_arn",
    "server.private_key_region",
    "server.sandbox_enabled",
    "server.tls_compatibility",
    "server.websockets_allow_unsafe_origin",
    "session.key_size",
];

/// Keys of [`SECTIONS`] that are commonly given as flags.
const FLAGS: [&str; 17] = [
    "app_enable_scheduled_query_stats",
    "app_invite_token_validity_period",
    "app_token_key",
    "app_token_key_size",
    "auth_bcrypt_cost",
    "auth_jwt_key",
    "auth_jwt_key_path",
    "auth_salt_key_size",
    "debug",
    "dev",
    "dev_license",
    "license_enforce_host_limit",
    "license_key",
    "upgrades_allow_missing_migrations",
    "vulnerabilities_current_instance_checks",
    "vulnerabilities_databases_path",
    "vulnerabilities_periodicity",
];

/// Flags of Fleet's server that are accepted and have no effect.
pub fn foreign_flags() -> impl Iterator<Item = String> {
    FLAGS.into_iter().map(str::to_owned).chain(KEYS.into_iter().map(|key| key.replace('.', "_")))
}

/// Whether a name is a section of Fleet's, or a key outside of any, such as `dev: true`.
pub(super) fn is_section(name: &str) -> bool {
    SECTIONS.contains(&name) || FLAGS.contains(&name)
}

/// Whether a `section.key` is one of Fleet's.
pub(super) fn is_key(dotted: &str) -> bool {
    KEYS.contains(&dotted) || dotted.split_once('.').is_some_and(|(section, _)| SECTIONS.contains(&section))
}

/// What a variable that begins with `FLEET_` and is no setting is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Foreign<'a> {
    /// Somebody else's, who cannot be expected to know of us.
    Others,
    /// Probably a misspelling of this setting.
    NearMiss(&'a ConfigKey),
}

/// Judges a variable that is no setting.
pub(super) fn judge<'a>(name: &str, text: &str, keys: &'a [ConfigKey]) -> Foreign<'a> {
    let rest = name.strip_prefix("FLEET_").unwrap_or(name).to_ascii_lowercase();
    let is_fleets = KEYS.iter().any(|key| key.replace('.', "_") == rest)
        || SECTIONS.iter().any(|section| rest.strip_prefix(section).is_some_and(|key| key.starts_with('_')));
    if is_fleets || is_of_containers(name, text) {
        return Foreign::Others;
    }
    nearest(&rest, keys).map_or(Foreign::Others, Foreign::NearMiss)
}

/// Whether Kubernetes or Docker puts the variable into containers beside a service whose name begins with `fleet`.
fn is_of_containers(name: &str, text: &str) -> bool {
    let is_port = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let words: Vec<&str> = name.split('_').collect();
    let is_of_port = |words: &[&str]| {
        words.windows(3).any(|words| matches!(words, ["PORT", port, "TCP" | "UDP" | "SCTP"] if is_port(port)))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_of_port(&words)
        || (name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme)))
}

/// The key that differs by so little that it was probably meant.
fn nearest<'a>(flag: &str, keys: &'a [ConfigKey]) -> Option<&'a ConfigKey> {
    /// Names up to this length may have one letter wrong, longer ones two: `port` is not a misspelt `cert`.
    const SHORT: usize = 5;
    let distances = keys.iter().map(|key| (strsim::osa_distance(flag, &key.flag()), key));
    let is_near = |(distance, key): &(usize, &ConfigKey)| *distance <= if key.name.len() <= SHORT { 1 } else { 2 };
    distances.filter(is_near).min_by_key(|(distance, _)| *distance).map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn misspelt_settings_are_told_from_variables_of_others() {
        let keys = Config::keys();
        for (name, text, meant) in [
            ("FLEET_SERVER_ADRESS", "x", Some("server.address")),
            ("FLEET_SERVER_TSL", "false", Some("server.tls")),
            ("FLEET_SERVR_URL_PREFIX", "/x", Some("server.url_prefix")),
            ("FLEET_SERVER_URLPREFIX", "/x", Some("server.url_prefix")),
            ("FLEET_MYSQL_PASWORD", "x", Some("mysql.password")),
            ("FLEET_OSQUERY_HOST_IDENTIFER", "uuid", Some("osquery.host_identifier")),
            ("FLEET_SERVICE_HOST", "10.0.0.9", None),
            ("FLEET_SERVICE_PORT_HTTPS", "8080", None),
            ("FLEET_PORT", "tcp://10.0.0.9:8080", None),
            ("FLEET_SERVER_PORT", "tcp://10.0.0.9:8080", None),
            ("FLEET_SERVER_PORT", "8080", None),
            ("FLEET_PORT_8080_TCP_ADDR", "10.0.0.9", None),
            ("FLEET_CACHE_REDIS_MASTER_PORT", "tcp://10.0.0.5:6379", None),
            ("FLEET_REDIS_PORT_6379_TCP", "tcp://10.0.0.5:6379", None),
            ("FLEET_LICENSE_KEY", "", None),
            ("FLEET_SERVER_PRIVATE_KEY", "x", None),
            ("FLEET_VULNERABILITIES_DATABASES_PATH", "v", None),
            ("FLEET_AUTH_JWT_KEY", "x", None),
            ("FLEET_VERSION", "4.20", None),
            ("FLEET_DOMAIN", "example.com", None),
        ] {
            let expected =
                keys.iter().find(|key| meant == Some(&key.dotted())).map_or(Foreign::Others, Foreign::NearMiss);
            assert_eq!(judge(name, text, &keys), expected, "{name}");
        }
    }

    #[test]
    fn no_setting_counts_as_somebody_else_s() {
        for key in Config::keys() {
            assert!(!is_key(&key.dotted()), "{}", key.dotted());
            assert!(!foreign_flags().any(|flag| flag == key.flag()), "{}", key.flag());
        }
    }
}
