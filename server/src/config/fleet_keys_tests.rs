//! Every key of Fleet's configuration, as its documentation lists them: each is used, or has no effect and is named once.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::load::{Loaded, Sources, load};
use super::{Config, foreign_flags};

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    Used,
    /// Accepted, and named in the one warning.
    Idle,
}
use Here::{Idle, Used};

/// A file that can be read.
const A_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Keys with values that operators give them.
const KEYS: &[(&str, &str, Here)] = &[
    ("mysql.protocol", "tcp", Used),
    ("mysql.address", "localhost:3306", Used),
    ("mysql.database", "fleet", Used),
    ("mysql.username", "fleet", Used),
    ("mysql.password", "", Used),
    ("mysql.password_path", A_FILE, Used),
    ("mysql.tls_ca", "/etc/ca.pem", Used),
    ("mysql.tls_cert", "/etc/cert.pem", Used),
    ("mysql.tls_key", "/etc/key.pem", Used),
    ("mysql.tls_server_name", "db.example.com", Used),
    ("mysql.tls_config", "custom", Used),
    ("mysql.max_open_conns", "50", Used),
    ("mysql.max_idle_conns", "50", Used),
    ("mysql.conn_max_lifetime", "300", Used),
    ("mysql_read_replica.protocol", "tcp", Used),
    ("mysql_read_replica.address", "replica:3306", Used),
    ("mysql_read_replica.database", "fleet", Used),
    ("mysql_read_replica.username", "fleet", Used),
    ("mysql_read_replica.password", "", Used),
    ("mysql_read_replica.password_path", A_FILE, Used),
    ("mysql_read_replica.tls_ca", "/etc/ca.pem", Used),
    ("mysql_read_replica.tls_cert", "/etc/cert.pem", Used),
    ("mysql_read_replica.tls_key", "/etc/key.pem", Used),
    ("mysql_read_replica.tls_server_name", "db.example.com", Used),
    ("mysql_read_replica.tls_config", "custom", Used),
    ("mysql_read_replica.max_open_conns", "50", Used),
    ("mysql_read_replica.max_idle_conns", "50", Used),
    ("mysql_read_replica.conn_max_lifetime", "0", Used),
    ("redis.address", "localhost:6379", Used),
    ("redis.username", "", Used),
    ("redis.password", "", Used),
    ("redis.database", "0", Used),
    ("redis.use_tls", "true", Used),
    ("redis.tls_cert", "/etc/cert.pem", Used),
    ("redis.tls_key", "/etc/key.pem", Used),
    ("redis.tls_ca", "/etc/ca.pem", Used),
    ("redis.tls_server_name", "redis.example.com", Used),
    ("redis.tls_handshake_timeout", "10s", Used),
    ("redis.duplicate_results", "false", Idle),
    ("redis.connect_timeout", "5s", Used),
    ("redis.keep_alive", "10s", Used),
    ("redis.connect_retry_attempts", "0", Used),
    ("redis.cluster_follow_redirections", "true", Idle),
    ("redis.cluster_read_from_replica", "false", Idle),
    ("redis.max_idle_conns", "3", Idle),
    ("redis.max_open_conns", "0", Idle),
    ("redis.conn_max_lifetime", "0", Idle),
    ("redis.idle_timeout", "240s", Idle),
    ("redis.conn_wait_timeout", "0", Idle),
    ("redis.read_timeout", "10s", Used),
    ("redis.write_timeout", "10s", Idle),
    ("server.address", "0.0.0.0:8080", Used),
    ("server.cert", "/etc/fleet.crt", Used),
    ("server.key", "/etc/fleet.key", Used),
    ("server.tls", "True", Used),
    ("server.tls_compatibility", "intermediate", Idle),
    ("server.url_prefix", "", Used),
    ("server.keepalive", "true", Idle),
    ("server.sandbox_enabled", "false", Idle),
    ("server.websockets_allow_unsafe_origin", "false", Idle),
    ("auth.bcrypt_cost", "12", Idle),
    ("auth.salt_key_size", "24", Idle),
    ("auth.jwt_key", "not-a-secret", Idle),
    ("auth.jwt_key_path", "/run/secrets/jwt", Idle),
    ("app.token_key_size", "24", Idle),
    ("app.invite_token_validity_period", "5d", Idle),
    ("app.enable_scheduled_query_stats", "true", Idle),
    ("session.key_size", "64", Idle),
    ("session.duration", "24h", Used),
    ("license.key", "not-a-secret", Idle),
    ("license.enforce_host_limit", "false", Idle),
    ("osquery.node_key_size", "24", Idle),
    ("osquery.host_identifier", "provided", Used),
    ("osquery.enroll_cooldown", "0", Used),
    ("osquery.label_update_interval", "1h", Used),
    ("osquery.policy_update_interval", "1h", Idle),
    ("osquery.detail_update_interval", "1h0m0s", Used),
    ("osquery.max_jitter_percent", "10", Idle),
    ("osquery.status_log_plugin", "filesystem", Used),
    ("osquery.result_log_plugin", "stdout", Used),
    ("osquery.status_log_file", "/var/log/osquery_status", Used),
    ("osquery.result_log_file", "/var/log/osquery_result", Used),
    ("osquery.enable_log_rotation", "false", Used),
    ("osquery.enable_async_host_processing", "false", Idle),
    ("osquery.async_host_collect_interval", "30s", Idle),
    ("osquery.async_host_collect_max_jitter_percent", "10", Idle),
    ("osquery.async_host_collect_lock_timeout", "1m", Idle),
    ("osquery.async_host_collect_log_stats_interval", "1m", Idle),
    ("osquery.async_host_insert_batch", "2000", Idle),
    ("osquery.async_host_delete_batch", "2000", Idle),
    ("osquery.async_host_update_batch", "1000", Idle),
    ("osquery.async_host_redis_pop_count", "1000", Idle),
    ("osquery.async_host_redis_scan_keys_count", "1000", Idle),
    ("osquery.min_software_last_opened_at_diff", "1h", Idle),
    ("logging.debug", "f", Used),
    ("logging.json", "T", Used),
    ("logging.disable_banner", "true", Idle),
    ("logging.error_retention_period", "24h", Idle),
    ("filesystem.status_log_file", "/tmp/osquery_status", Used),
    ("filesystem.result_log_file", "/tmp/osquery_result", Used),
    ("filesystem.enable_log_rotation", "1", Used),
    ("filesystem.enable_log_compression", "false", Idle),
    ("firehose.region", "us-east-1", Idle),
    ("firehose.endpoint_url", "", Idle),
    ("firehose.access_key_id", "not-a-key", Idle),
    ("firehose.secret_access_key", "not-a-secret", Idle),
    ("firehose.sts_assume_role_arn", "arn", Idle),
    ("firehose.status_stream", "status", Idle),
    ("firehose.result_stream", "result", Idle),
    ("kinesis.region", "us-east-1", Idle),
    ("kinesis.endpoint_url", "", Idle),
    ("kinesis.access_key_id", "not-a-key", Idle),
    ("kinesis.secret_access_key", "not-a-secret", Idle),
    ("kinesis.sts_assume_role_arn", "arn", Idle),
    ("kinesis.status_stream", "status", Idle),
    ("kinesis.result_stream", "result", Idle),
    ("lambda.region", "us-east-1", Idle),
    ("lambda.access_key_id", "not-a-key", Idle),
    ("lambda.secret_access_key", "not-a-secret", Idle),
    ("lambda.sts_assume_role_arn", "arn", Idle),
    ("lambda.status_function", "status", Idle),
    ("lambda.result_function", "result", Idle),
    ("pubsub.project", "project", Idle),
    ("pubsub.status_topic", "status", Idle),
    ("pubsub.result_topic", "result", Idle),
    ("pubsub.add_attributes", "false", Idle),
    ("kafkarest.proxyhost", "https://kafka.example.com", Idle),
    ("kafkarest.status_topic", "status", Idle),
    ("kafkarest.result_topic", "result", Idle),
    ("kafkarest.timeout", "5", Idle),
    ("kafkarest.content_type_value", "application/vnd.kafka.json.v1+json", Idle),
    ("s3.bucket", "bucket", Used),
    ("s3.prefix", "carves/", Used),
    ("s3.region", "us-east-1", Used),
    ("s3.access_key_id", "not-a-key", Used),
    ("s3.secret_access_key", "not-a-secret", Used),
    ("s3.sts_assume_role_arn", "arn", Idle),
    ("s3.endpoint_url", "", Used),
    ("s3.disable_ssl", "false", Used),
    ("s3.force_s3_path_style", "false", Used),
    ("upgrades.allow_missing_migrations", "false", Idle),
    ("vulnerabilities.databases_path", "/var/vulndb", Idle),
    ("vulnerabilities.periodicity", "1h", Idle),
    ("vulnerabilities.cpe_database_url", "", Idle),
    ("vulnerabilities.cve_feed_prefix_url", "", Idle),
    ("vulnerabilities.current_instance_checks", "auto", Idle),
    ("vulnerabilities.disable_data_sync", "false", Idle),
    ("vulnerabilities.recent_vulnerability_max_age", "720h", Idle),
    ("prometheus.basic_auth.username", "scraper", Used),
    ("prometheus.basic_auth.password", "not-a-secret", Used),
    ("prometheus.basic_auth.disable", "false", Idle),
    ("geoip.database_path", "/var/geoip.mmdb", Idle),
    ("packaging.global_enroll_secret", "not-a-secret", Idle),
    ("sentry.dsn", "https://sentry.example.com/1", Idle),
    ("beta.some_feature", "true", Idle),
];

fn flag(dotted: &str) -> String {
    dotted.replace('.', "_")
}

/// Asserts that there is one warning, and that of these names exactly the idle ones are in the lines that follow it.
fn assert_named(loaded: &Loaded, idle: &BTreeSet<String>, used: &BTreeSet<String>) {
    let expected = format!("{} settings of Fleet have no effect here; the next lines name them", idle.len());
    assert_eq!(loaded.warnings, [expected]);
    let text = loaded.notes.join(" ");
    let words: BTreeSet<&str> = text.split([' ', ',', ';', '(', ')']).collect();
    for name in idle {
        assert!(words.contains(name.as_str()), "{name} is not named in: {text}");
    }
    for name in used {
        assert!(!words.contains(name.as_str()), "{name} is used, and is named in: {text}");
    }
    assert!(loaded.notes.iter().all(|line| line.len() < 800), "{:#?}", loaded.notes);
}

fn names(wanted: Here, name: impl Fn(&str) -> String) -> BTreeSet<String> {
    KEYS.iter().filter(|(_, _, here)| *here == wanted).map(|(dotted, ..)| name(dotted)).collect()
}

#[test]
fn a_file_with_all_keys_of_fleet_loads_with_one_warning() {
    let mut root = serde_json::json!({});
    for (dotted, text, _) in KEYS.iter() {
        let mut at = &mut root;
        for part in dotted.split('.') {
            at = &mut at[part];
        }
        // As the file's own parser reads what operators write without quotes.
        *at = serde_yaml::from_str(text).unwrap_or_else(|_| (*text).into());
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{root}").unwrap();
    let loaded = load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() }).unwrap();
    assert_named(&loaded, &names(Idle, str::to_owned), &names(Used, str::to_owned));
    assert!(!loaded.notes.concat().contains("not-a-"), "{:#?}", loaded.notes);
    assert_eq!(loaded.config.filesystem.result_log_file.display().to_string(), "/tmp/osquery_result");
    assert!(loaded.config.filesystem.enable_log_rotation && loaded.config.logging.json);
}

#[test]
fn variables_for_all_keys_of_fleet_load_with_one_warning() {
    let variable = |dotted: &str| format!("FLEET_{}", flag(dotted).to_ascii_uppercase());
    let variables = KEYS.iter().map(|(dotted, text, _)| (variable(dotted), (*text).to_owned())).collect();
    let loaded = load(&Sources { variables, ..Sources::default() }).unwrap();
    assert_named(&loaded, &names(Idle, variable), &names(Used, variable));
    // Fleet 3.x calls them so.
    let former = |dotted: &str| format!("KOLIDE_{}", flag(dotted).to_ascii_uppercase());
    let variables = KEYS.iter().map(|(dotted, text, _)| (former(dotted), (*text).to_owned())).collect();
    let of_kolide = load(&Sources { variables, ..Sources::default() }).unwrap();
    assert_eq!(of_kolide.config.shown(), loaded.config.shown());
}

#[test]
fn flags_for_all_keys_of_fleet_load_with_one_warning() {
    let known: BTreeSet<String> = Config::keys().iter().map(super::ConfigKey::flag).chain(foreign_flags()).collect();
    let is_flag = |dotted: &str| !dotted.starts_with("beta.");
    let flags: Vec<(String, String)> = KEYS
        .iter()
        .filter(|(dotted, ..)| is_flag(dotted))
        .map(|(dotted, text, _)| (flag(dotted), (*text).to_owned()))
        .collect();
    for (flag, _) in &flags {
        assert!(known.contains(flag), "--{flag}");
    }
    let loaded = load(&Sources { flags, ..Sources::default() }).unwrap();
    let shown = |dotted: &str| format!("--{}", flag(dotted));
    let idle =
        KEYS.iter().filter(|(dotted, _, here)| *here == Idle && is_flag(dotted)).map(|(dotted, ..)| shown(dotted));
    assert_named(&loaded, &idle.collect(), &names(Used, shown));
    let mut twice = Config::keys().iter().map(super::ConfigKey::flag).chain(foreign_flags()).collect::<Vec<_>>();
    twice.sort();
    let count = twice.len();
    twice.dedup();
    assert_eq!(twice.len(), count, "each flag is known once");
}

/// A destination that is not there must not be taken for another one.
#[test]
fn logs_for_a_destination_that_is_not_there_stop_the_start() {
    for plugin in ["firehose", "kinesis", "lambda", "pubsub", "kafkarest"] {
        let variables = vec![("FLEET_OSQUERY_RESULT_LOG_PLUGIN".to_owned(), plugin.to_owned())];
        let problems = load(&Sources { variables, ..Sources::default() }).unwrap_err().0;
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn keys_that_are_nobody_s_stop_the_start() {
    for text in ["server:\n  adress: x\n", "osquery:\n  nonsense: 1\n", "filesystem:\n  x: 1\n", "nobody:\n  x: 1\n"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        assert!(load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() }).is_err(), "{text}");
    }
}
