//! Settings that are not ours: those of Fleet, and variables that others put into the environment.

use super::ConfigKey;

/// Settings of Fleet that have no effect here, of one section or a part of it.
struct ForeignKeys {
    section: &'static str,
    /// Why they have none.
    why: &'static str,
    /// Keys that may also be given as flags.
    keys: &'static [&'static str],
}

const fn of(section: &'static str, why: &'static str, keys: &'static [&'static str]) -> ForeignKeys {
    ForeignKeys { section, why, keys }
}

const SINKS: &str = "logs go to files or to standard output";
const LATER: &str = "there is nothing like it here";
const CLOUD: &str = "databases are reached by user and password";
const ASYNC: &str = "what hosts report is always collected and written together";

const AWS_STREAMS: [&str; 8] = [
    "region",
    "endpoint_url",
    "access_key_id",
    "secret_access_key",
    "sts_assume_role_arn",
    "sts_external_id",
    "status_stream",
    "result_stream",
];

/// Sections of Fleet that have no counterpart here. Any key in them is Fleet's, because newer versions add some.
const SECTIONS: [ForeignKeys; 27] = [
    of("activity", "activities are kept in the database", &["enable_audit_log", "audit_log_plugin"]),
    of(
        "app",
        "tokens and invitations are not made this way; costs of queries are set in statistics.*",
        &["token_key", "token_key_size", "invite_token_validity_period", "enable_scheduled_query_stats"],
    ),
    of(
        "auth",
        "passwords and sessions are kept another way",
        &["bcrypt_cost", "salt_key_size", "jwt_key", "jwt_key_path"],
    ),
    of("beta", LATER, &[]),
    of("calendar", LATER, &[]),
    of("conditional_access", LATER, &[]),
    of("dev", LATER, &[]),
    of("email", "no mail is sent", &[]),
    of("firehose", SINKS, &AWS_STREAMS),
    of("geoip", LATER, &["database_path"]),
    of("google_workspace", LATER, &[]),
    of(
        "kafkarest",
        SINKS,
        &["proxyhost", "status_topic", "result_topic", "audit_topic", "timeout", "content_type_value"],
    ),
    of("kinesis", SINKS, &AWS_STREAMS),
    of(
        "lambda",
        SINKS,
        &[
            "region",
            "access_key_id",
            "secret_access_key",
            "sts_assume_role_arn",
            "sts_external_id",
            "status_function",
            "result_function",
        ],
    ),
    of("license", "no licence is needed", &["key", "enforce_host_limit"]),
    of("mdm", "devices are not managed", &[]),
    of("microsoft_compliance_partner", LATER, &[]),
    of("nats", SINKS, &[]),
    of("packaging", "installers are not built", &["global_enroll_secret"]),
    of("partnerships", LATER, &[]),
    of("pubsub", SINKS, &["project", "status_topic", "result_topic", "audit_topic", "add_attributes"]),
    of("sentry", "errors are kept here, see fleetctl debug errors", &["dsn"]),
    of("ses", "no mail is sent", &[]),
    of("splunk", SINKS, &[]),
    of("upgrades", "migrations that are missing always stop the start", &["allow_missing_migrations"]),
    of(
        "vulnerabilities",
        "there is no search for vulnerabilities",
        &[
            "databases_path",
            "periodicity",
            "cpe_database_url",
            "cpe_translations_url",
            "cve_feed_prefix_url",
            "current_instance_checks",
            "disable_schedule",
            "disable_data_sync",
            "disable_win_os_vulnerabilities",
            "recent_vulnerability_max_age",
        ],
    ),
    of("webhook", "there are no webhooks", &[]),
];

/// Fleet's keys in sections that are here, too.
const KEYS: [ForeignKeys; 23] = [
    of(
        "filesystem",
        "rotated files are kept by filesystem.rotate_size and filesystem.rotate_keep, and not compressed",
        &["enable_log_compression", "max_age", "max_backups", "max_size"],
    ),
    of("filesystem", "activities are kept in the database", &["audit_log_file"]),
    of("logging", LATER, &["disable_banner", "disable_topics", "enable_topics"]),
    of("logging", "errors are kept until the server stops", &["error_retention_period"]),
    of("logging", "there is no tracing", &["otel_logs_enabled", "tracing_enabled", "tracing_type"]),
    of("mysql", CLOUD, &["region", "sts_assume_role_arn", "sts_external_id"]),
    of("mysql", "the server sets it itself", &["sql_mode"]),
    of("mysql_read_replica", CLOUD, &["region", "sts_assume_role_arn", "sts_external_id"]),
    of("mysql_read_replica", "the server sets it itself", &["sql_mode"]),
    of(
        "osquery",
        ASYNC,
        &[
            "async_host_collect_interval",
            "async_host_collect_lock_timeout",
            "async_host_collect_log_stats_interval",
            "async_host_collect_max_jitter_percent",
            "async_host_delete_batch",
            "async_host_insert_batch",
            "async_host_redis_pop_count",
            "async_host_redis_scan_keys_count",
            "async_host_update_batch",
            "enable_async_host_processing",
        ],
    ),
    of("osquery", "hosts are spread over the whole interval", &["max_jitter_percent"]),
    of(
        "osquery",
        "there are no policies and no software",
        &["policy_update_interval", "min_software_last_opened_at_diff"],
    ),
    of(
        "osquery",
        "limits and keys of agents have settings of their own",
        &["allow_body_auth_fallback", "max_log_write_body_size", "node_key_size"],
    ),
    of("prometheus.basic_auth", "metrics are served without a password unless one is set", &["disable"]),
    of(
        "redis",
        LATER,
        &[
            "cache_name",
            "host_cache_enabled",
            "host_cache_ttl",
            "live_query_small_target_threshold",
            "region",
            "sts_assume_role_arn",
            "sts_external_id",
        ],
    ),
    of(
        "s3",
        "keys of carves are s3.bucket, s3.prefix and so on",
        &[
            "carves_access_key_id",
            "carves_bucket",
            "carves_disable_ssl",
            "carves_endpoint_url",
            "carves_force_s3_path_style",
            "carves_prefix",
            "carves_region",
            "carves_secret_access_key",
            "carves_sts_assume_role_arn",
            "carves_sts_external_id",
        ],
    ),
    of(
        "s3",
        "software is not installed",
        &[
            "software_installers_access_key_id",
            "software_installers_bucket",
            "software_installers_disable_ssl",
            "software_installers_endpoint_url",
            "software_installers_force_s3_path_style",
            "software_installers_prefix",
            "software_installers_region",
            "software_installers_secret_access_key",
            "software_installers_sts_assume_role_arn",
            "software_installers_sts_external_id",
        ],
    ),
    of("s3", "buckets are reached by access key and secret", &["sts_assume_role_arn", "sts_external_id"]),
    of("server", "TLS 1.2 and 1.3 are served, and nothing older", &["tls_compatibility"]),
    of("server", "there is nothing that it would encrypt", &["private_key", "private_key_arn", "private_key_region"]),
    of("server", LATER, &["sandbox_enabled", "websockets_allow_unsafe_origin"]),
    of(
        "server",
        "connections and limits have settings of their own",
        &[
            "cleanup_dist_targets_age",
            "default_max_request_body_size",
            "force_h2c",
            "frequent_cleanups_enabled",
            "gzip_responses",
            "keepalive",
            "max_installer_size",
        ],
    ),
    of("session", "keys of sessions have one size", &["key_size"]),
];

/// Settings outside of any section.
const ALONE: [&str; 3] = ["debug", "dev", "dev_license"];
const ALONE_WHY: &str = "it is for Fleet's developers; debug messages are logging.debug";

/// Keys of older versions of Fleet, and the keys that they mean.
const FORMER: [(&str, &str); 3] = [
    ("osquery.enable_log_rotation", "filesystem.enable_log_rotation"),
    ("osquery.result_log_file", "filesystem.result_log_file"),
    ("osquery.status_log_file", "filesystem.status_log_file"),
];

/// The key of today that an older version of Fleet called so.
pub(super) fn meant_by_former(dotted: &str) -> Option<&'static str> {
    FORMER.iter().find(|(former, _)| *former == dotted).map(|(_, key)| *key)
}

/// Keys of older versions of Fleet.
pub(super) fn former_keys() -> impl Iterator<Item = &'static str> {
    FORMER.into_iter().map(|(former, _)| former)
}

/// Flags of Fleet's server that are no settings of today: accepted without an effect, or in their former meaning.
pub fn foreign_flags() -> impl Iterator<Item = String> {
    let flag = |section: &str, key: &str| format!("{}_{key}", section.replace('.', "_"));
    let of_part = move |unused: &'static ForeignKeys| unused.keys.iter().map(move |key| flag(unused.section, key));
    let former = former_keys().map(|dotted| dotted.replace('.', "_"));
    SECTIONS.iter().chain(&KEYS).flat_map(of_part).chain(ALONE.into_iter().map(str::to_owned)).chain(former)
}

/// Why a setting outside of any section, or a section with one value, such as `dev: true`, has no effect; `None` if it is not
/// Fleet's.
pub(super) fn why_alone(name: &str) -> Option<&'static str> {
    if ALONE.contains(&name) {
        return Some(ALONE_WHY);
    }
    SECTIONS.iter().find(|unused| unused.section == name).map(|unused| unused.why)
}

/// Why a `section.key` of Fleet has no effect; `None` if it is not Fleet's.
pub(super) fn why_key(dotted: &str) -> Option<&'static str> {
    let (section, key) = dotted.rsplit_once('.')?;
    let of_known = KEYS.iter().find(|unused| unused.section == section && unused.keys.contains(&key));
    let first = dotted.split('.').next()?;
    of_known.or_else(|| SECTIONS.iter().find(|unused| unused.section == first)).map(|unused| unused.why)
}

/// Why a `section_key` of Fleet has no effect; `None` if it is not Fleet's.
pub(super) fn why_flag(flag: &str) -> Option<&'static str> {
    let rest = |unused: &ForeignKeys| flag.strip_prefix(&unused.section.replace('.', "_"))?.strip_prefix('_');
    let is_key = |unused: &&ForeignKeys| rest(unused).is_some_and(|key| unused.keys.contains(&key));
    let is_in_section = |unused: &&ForeignKeys| rest(unused).is_some();
    let found = KEYS.iter().find(is_key).or_else(|| SECTIONS.iter().find(is_in_section));
    found.map(|unused| unused.why).or_else(|| ALONE.contains(&flag).then_some(ALONE_WHY))
}

/// What a variable that begins with `FLEET_` and is no setting is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Foreign<'a> {
    /// A setting of Fleet, and why it has no effect.
    Fleets(&'static str),
    /// Put there by Kubernetes or Docker, who cannot be expected to know of us.
    Containers,
    /// Somebody else's.
    Others,
    /// Probably a misspelling of this setting.
    NearMiss(&'a ConfigKey),
}

/// Judges a variable that is no setting.
pub(super) fn judge<'a>(name: &str, text: &str, keys: &'a [ConfigKey]) -> Foreign<'a> {
    if is_of_containers(name, text) {
        return Foreign::Containers;
    }
    let rest = name.strip_prefix("FLEET_").unwrap_or(name).to_ascii_lowercase();
    if let Some(why) = why_flag(&rest) {
        return Foreign::Fleets(why);
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
        let meant = |dotted: &str| Foreign::NearMiss(keys.iter().find(|key| key.dotted() == dotted).unwrap());
        for (name, text, expected) in [
            ("FLEET_SERVER_ADRESS", "x", meant("server.address")),
            ("FLEET_SERVER_TSL", "false", meant("server.tls")),
            ("FLEET_SERVR_URL_PREFIX", "/x", meant("server.url_prefix")),
            ("FLEET_SERVER_URLPREFIX", "/x", meant("server.url_prefix")),
            ("FLEET_MYSQL_PASWORD", "x", meant("mysql.password")),
            ("FLEET_OSQUERY_HOST_IDENTIFER", "uuid", meant("osquery.host_identifier")),
            ("FLEET_SERVICE_HOST", "10.0.0.9", Foreign::Containers),
            ("FLEET_SERVICE_PORT_HTTPS", "8080", Foreign::Containers),
            ("FLEET_PORT", "tcp://10.0.0.9:8080", Foreign::Containers),
            ("FLEET_SERVER_PORT", "tcp://10.0.0.9:8080", Foreign::Containers),
            ("FLEET_SERVER_PORT", "8080", Foreign::Others),
            ("FLEET_PORT_8080_TCP_ADDR", "10.0.0.9", Foreign::Containers),
            ("FLEET_CACHE_REDIS_MASTER_PORT", "tcp://10.0.0.5:6379", Foreign::Containers),
            ("FLEET_REDIS_PORT_6379_TCP", "tcp://10.0.0.5:6379", Foreign::Containers),
            ("FLEET_LICENSE_KEY", "", Foreign::Fleets("no licence is needed")),
            ("FLEET_VULNERABILITIES_NEWER", "v", Foreign::Fleets("there is no search for vulnerabilities")),
            ("FLEET_VERSION", "4.20", Foreign::Others),
            ("FLEET_DOMAIN", "example.com", Foreign::Others),
        ] {
            assert_eq!(judge(name, text, &keys), expected, "{name}");
        }
    }

    #[test]
    fn no_setting_counts_as_somebody_else_s() {
        for key in Config::keys() {
            assert_eq!(why_key(&key.dotted()), None, "{}", key.dotted());
            assert_eq!(why_flag(&key.flag()), None, "{}", key.flag());
            assert!(!foreign_flags().any(|flag| flag == key.flag()), "{}", key.flag());
        }
    }

    #[test]
    fn former_keys_mean_keys_that_are_there() {
        let keys = Config::keys();
        for (former, key) in FORMER {
            assert!(keys.iter().any(|known| known.dotted() == key), "{key}");
            assert!(keys.iter().all(|known| known.dotted() != former), "{former}");
        }
    }
}
