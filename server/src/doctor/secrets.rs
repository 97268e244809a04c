//! Settings that weaken: passwords that are missing, short or usual, and what passes or is shown without any.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::Diagnosis;
use super::proxies::is_loopback;
use crate::config::{Config, Mysql, MysqlEndpoint, MysqlTls, Secret};

const SUBJECT: &str = "secrets";

/// Fewest characters of a password that nobody guesses.
const LONG_PASSWORD: usize = 12;

/// Passwords that others try first.
const USUAL: [&str; 8] = ["fleet", "muster", "mysql", "password", "toor", "root", "redis", "changeme"];

pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let mut diagnoses = metrics(config);
    diagnoses.extend(mysql("mysql", &config.mysql));
    diagnoses.extend(mysql("mysql_read_replica", &config.mysql_read_replica.0));
    diagnoses.extend(redis(config));
    diagnoses.extend(files(config));
    if diagnoses.is_empty() {
        diagnoses.push(Diagnosis::ok(SUBJECT, "no setting weakens the server"));
    }
    diagnoses
}

fn metrics(config: &Config) -> Vec<Diagnosis> {
    let (server, access) = (&config.server, &config.prometheus_basic_auth);
    let (key, address) = if server.operator_address.is_empty() {
        ("server.address", &server.address)
    } else {
        ("server.operator_address", &server.operator_address)
    };
    if access.username.is_empty() {
        if is_loopback(address) || is_private(address) {
            return Vec::new();
        }
        return vec![Diagnosis::warn(
            SUBJECT,
            format!("whoever reaches {address} ({key}) may read /metrics without a password"),
            "set prometheus.basic_auth.username and password_path, or give operators an address that strangers do not reach",
        )];
    }
    match access.password() {
        Ok(password) => weak("prometheus.basic_auth.password", &password, &access.username).into_iter().collect(),
        Err(reason) => vec![unreadable(&reason)],
    }
}

fn mysql(section: &str, mysql: &Mysql) -> Vec<Diagnosis> {
    if !mysql.is_on() {
        return Vec::new();
    }
    let mut diagnoses = Vec::new();
    match (mysql.password(), mysql.endpoint()) {
        // The socket may tell who the user is.
        (Ok(password), Ok(MysqlEndpoint::Socket(_))) if password.is_empty() => {}
        (Ok(password), _) => diagnoses.extend(weak(&format!("{section}.password"), &password, &mysql.username)),
        (Err(reason), _) => diagnoses.push(unreadable(&format!("{section}.{reason}"))),
    }
    if mysql.username == "root" {
        let remedy = "make a user with the rights that docs/operations.md names: root may write even where the database is read-only";
        diagnoses.push(Diagnosis::warn(SUBJECT, format!("{section}.username is root"), remedy));
    }
    let is_near = match mysql.endpoint() {
        Ok(MysqlEndpoint::Tcp { host, .. }) => is_loopback(&format!("{host}:0")),
        _ => true,
    };
    match mysql.tls() {
        MysqlTls::Off if !is_near => diagnoses.push(Diagnosis::warn(
            SUBJECT,
            format!(
                "{section}: without TLS, node keys and enroll secrets cross the network to {} in plain text",
                mysql.address
            ),
            "set tls_config and tls_ca, unless that network is trusted",
        )),
        MysqlTls::Unverified => diagnoses.push(Diagnosis::warn(
            SUBJECT,
            format!("{section}.tls_config=skip-verify trusts whoever answers"),
            "set it to true or custom, and tls_ca to the CA of the database",
        )),
        _ => {}
    }
    diagnoses
}

fn redis(config: &Config) -> Vec<Diagnosis> {
    let redis = &config.redis;
    if !redis.is_used() {
        return Vec::new();
    }
    let mut diagnoses = Vec::new();
    let is_near = redis.sentinel_addresses.is_empty() && redis.address.iter().all(|address| is_loopback(address));
    let has_password = redis.password_path.is_some() || !redis.password.is_empty();
    if !has_password && !is_near {
        diagnoses.push(Diagnosis::warn(
            SUBJECT,
            "Redis on another machine is used without a password",
            "let Redis ask for one (requirepass or an ACL), and set redis.password_path, unless nobody else reaches it",
        ));
    }
    if !redis.password.is_empty() {
        diagnoses.extend(weak("redis.password", &redis.password, &redis.username));
    }
    if !redis.use_tls && !is_near {
        diagnoses.push(Diagnosis::warn(
            SUBJECT,
            "redis.use_tls is off: answers of hosts cross the network to Redis in plain text",
            "set it, unless that network is trusted",
        ));
    }
    diagnoses
}

/// Files of passwords that others on this machine may read.
fn files(config: &Config) -> Vec<Diagnosis> {
    let files = [
        ("mysql.password_path", &config.mysql.password_path),
        ("mysql_read_replica.password_path", &config.mysql_read_replica.0.password_path),
        ("redis.password_path", &config.redis.password_path),
        ("redis.sentinel_password_path", &config.redis.sentinel_password_path),
        ("prometheus.basic_auth.password_path", &config.prometheus_basic_auth.password_path),
    ];
    let named = files.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
    named
        .filter(|(_, path)| is_open_to_all(path))
        .map(|(key, path)| {
            let found = format!("{key}: everybody on this machine may read {}", path.display());
            Diagnosis::warn(SUBJECT, found, "take this right away: chmod o= on the file")
        })
        .collect()
}

fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

fn unreadable(reason: &str) -> Diagnosis {
    Diagnosis::fail(
        SUBJECT,
        reason,
        "make the file readable for the user that runs the server, and write the password into it",
    )
}

/// Why a password is easy to guess; the password itself is not shown.
fn weak(key: &str, password: &Secret, username: &str) -> Option<Diagnosis> {
    let text = password.reveal();
    let found = if text.is_empty() {
        format!("{key} is empty")
    } else if text == username || USUAL.contains(&text.to_lowercase().as_str()) {
        format!("{key} is one that others try first")
    } else if text.chars().count() < LONG_PASSWORD {
        format!("{key} has fewer than {LONG_PASSWORD} characters")
    } else {
        return None;
    };
    Some(Diagnosis::warn(SUBJECT, found, "take a long random one, such as of `openssl rand -base64 24`"))
}

/// Whether the address belongs to a network that the internet does not reach.
fn is_private(address: &str) -> bool {
    match address.parse::<SocketAddr>().map(|socket| socket.ip().to_canonical()) {
        Ok(IpAddr::V4(four)) => four.is_private() || four.is_link_local(),
        Ok(IpAddr::V6(six)) => six.is_unique_local() || six.is_unicast_link_local(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, as_text, worst};
    use super::*;

    fn with(change: impl FnOnce(&mut Config)) -> Vec<Diagnosis> {
        let mut config = Config::default();
        config.server.address = "127.0.0.1:8080".to_owned();
        change(&mut config);
        check(&config)
    }

    #[test]
    fn what_weakens_is_named_and_no_password_is_shown() {
        assert_eq!(worst(&with(|_| {})), Severity::Ok);
        let metrics = with(|config| config.server.address = "0.0.0.0:8080".to_owned());
        assert!(metrics[0].found.contains("/metrics without a password"), "{metrics:?}");
        let private = with(|config| {
            config.server.address = "0.0.0.0:8080".to_owned();
            config.server.operator_address = "10.0.0.5:8443".to_owned();
        });
        assert_eq!(worst(&private), Severity::Ok, "{private:?}");
        let guarded = |password: &str| {
            with(|config| {
                config.prometheus_basic_auth.username = "scraper".to_owned();
                config.prometheus_basic_auth.password = Secret::new(password);
            })
        };
        assert_eq!(worst(&guarded("a-planted-long-password")), Severity::Ok);
        for password in ["scraper", "Changeme", "planted-1"] {
            let said = as_text(&guarded(password));
            assert!(said.starts_with("warn secrets: prometheus.basic_auth.password"), "{said}");
            assert!(!said.contains(&format!(" {password}")), "{said}");
        }
        let database = with(|config| {
            config.mysql.address = "db.example.com:3306".to_owned();
            config.mysql.username = "root".to_owned();
        });
        assert_eq!(database.len(), 3, "{database:?}");
        let near = with(|config| {
            config.mysql.address = "127.0.0.1:3306".to_owned();
            config.mysql.password = Secret::new("a-planted-long-password");
            config.redis.address = vec!["127.0.0.1:6379".to_owned()];
        });
        assert_eq!(worst(&near), Severity::Ok, "{near:?}");
        let far = with(|config| config.redis.address = vec!["redis.example.com:6379".to_owned()]);
        assert_eq!(far.len(), 2, "{far:?}");
    }
}
