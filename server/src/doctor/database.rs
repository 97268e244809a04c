//! The database: whether it answers, how fast, whether its tables are up to date, and its settings.

use std::time::Duration;

use super::{Diagnosis, clock};
use crate::clock::Clock;
use crate::config::{Config, Mysql};
use crate::store::{self, DatabaseFacts, EmbeddedDatabase};

const SUBJECT: &str = "database";

/// A statement that takes longer makes agents wait.
const SLOW: Duration = Duration::from_millis(5);
const VERY_SLOW: Duration = Duration::from_millis(50);

/// The largest documents need so much.
const PACKET: u64 = 64 << 20;

/// What MySQL and MariaDB start with, which is little for a fleet.
const DEFAULT_BUFFER_POOL: u64 = 128 << 20;

/// Connections of a node beside `max_open_conns`, for confirming keys.
const MORE_CONNECTIONS: u64 = 4;

pub(super) async fn check(config: &Config, clock: &Clock) -> Vec<Diagnosis> {
    if !config.mysql.is_on() {
        return embedded(config).await;
    }
    let (main, replica) = tokio::join!(mysql(config, clock), read_replica(config, clock));
    [main, replica].concat()
}

async fn embedded(config: &Config) -> Vec<Diagnosis> {
    let path = config.sqlite.path.display();
    let (facts, used) = match store::examine_sqlite(&config.sqlite).await {
        Ok(EmbeddedDatabase::Missing) => {
            return vec![Diagnosis::ok(SUBJECT, format!("SQLite: the first start makes {path}"))];
        }
        Ok(EmbeddedDatabase::Unrecovered) => {
            let found = format!("SQLite: beside {path} is a log (-wal) that was not taken in, and was not looked at");
            return vec![Diagnosis::warn(
                SUBJECT,
                found,
                "start the server, which takes it in, and run the doctor again",
            )];
        }
        Ok(EmbeddedDatabase::AtRest(facts)) => (facts, "not in use"),
        Ok(EmbeddedDatabase::InUse(facts)) => (facts, "in use, as there is a log beside it"),
        Err(error) => {
            let found = format!("SQLite: {path} cannot be read: {}", chain(&error));
            let remedy = "look whether it is a database of muster that this user may read; restore it from a backup if it is damaged";
            return vec![Diagnosis::fail(SUBJECT, found, remedy)];
        }
    };
    let mut diagnoses =
        vec![Diagnosis::ok(SUBJECT, format!("{}: {path} is {used}; {}", facts.version, latency(facts.latency)))];
    let setting = |name: &str| facts.settings.get(name).map(String::as_str);
    match setting("journal_mode") {
        None | Some("wal") => {}
        Some(other) => diagnoses.push(Diagnosis::warn(
            SUBJECT,
            format!("journal_mode is {other}, not wal"),
            "stop what else uses the file, and start the server, which sets it",
        )),
    }
    diagnoses.push(match setting("quick_check") {
        Some("ok") => Diagnosis::ok(SUBJECT, "quick_check: the file is whole"),
        Some(said) if said.starts_with("not looked") => Diagnosis::ok(
            SUBJECT,
            "quick_check: the file is too large to look at all of it here; nothing was found so far",
        ),
        said => Diagnosis::fail(
            SUBJECT,
            format!("quick_check: {}", said.unwrap_or_default()),
            "stop the server, keep a copy of the file and its -wal, and restore a backup",
        ),
    });
    let missing = &facts.migrations.missing;
    if !missing.is_empty() {
        diagnoses.push(Diagnosis::ok(SUBJECT, format!("the next start migrates it ({} steps)", missing.len())));
    }
    diagnoses.extend(newer(&facts));
    diagnoses.extend(short_secrets(&facts));
    diagnoses
}

async fn mysql(config: &Config, clock: &Clock) -> Vec<Diagnosis> {
    let mysql = &config.mysql;
    let name = format!("{} at {} (mysql.address)", mysql.database, mysql.address);
    let facts = match store::examine_mysql(mysql, clock).await {
        Ok(facts) => facts,
        Err(error) => return vec![unreachable(&name, &chain(&error))],
    };
    let mut diagnoses = vec![answers(&name, &facts)];
    diagnoses.extend(facts.ahead_micros.map(|ahead| clock::compared("the database", ahead, facts.latency)));
    let missing = &facts.migrations.missing;
    diagnoses.push(if missing.is_empty() {
        Diagnosis::ok(SUBJECT, "its tables are up to date")
    } else {
        let found = format!("{} migrations are missing, the first is {}", missing.len(), missing[0]);
        Diagnosis::fail(SUBJECT, found, "run `muster prepare db` with the same settings")
    });
    if facts.is_half_filled {
        let remedy = "run the same `muster migrate-data` again until it has finished";
        diagnoses.push(Diagnosis::fail(SUBJECT, "it is only partly filled", remedy));
    }
    diagnoses.extend(newer(&facts));
    let wrong = settings(&facts, mysql);
    if wrong.is_empty() {
        diagnoses.push(Diagnosis::ok(SUBJECT, "its settings suit"));
    }
    diagnoses.extend(wrong);
    diagnoses.extend(short_secrets(&facts));
    diagnoses
}

async fn read_replica(config: &Config, clock: &Clock) -> Vec<Diagnosis> {
    let replica = &config.mysql_read_replica.0;
    if !replica.is_on() {
        return Vec::new();
    }
    let name = format!("{} at {} (mysql_read_replica.address)", replica.database, replica.address);
    match store::examine_mysql(replica, clock).await {
        Ok(facts) => vec![answers(&name, &facts)],
        Err(error) => vec![Diagnosis::warn(
            SUBJECT,
            format!("{name} cannot be used: {}", chain(&error)),
            "start it, or correct the settings mysql_read_replica; mysql.address is read meanwhile",
        )],
    }
}

fn answers(name: &str, facts: &DatabaseFacts) -> Diagnosis {
    let found = format!("{}: {name} answers; {}", facts.version, latency(facts.latency));
    let remedy = "put the nodes nearer to the database, or find out what keeps it or the network busy";
    if facts.latency > VERY_SLOW {
        Diagnosis::fail(SUBJECT, found, remedy)
    } else if facts.latency > SLOW {
        Diagnosis::warn(SUBJECT, found, remedy)
    } else {
        Diagnosis::ok(SUBJECT, found)
    }
}

fn latency(median: Duration) -> String {
    format!("a round trip takes {:.2} ms (median of 20)", median.as_secs_f64() * 1_000.0)
}

fn unreachable(name: &str, reason: &str) -> Diagnosis {
    let remedy = "start it, or correct the settings mysql (address, user, password, TLS) and the rights of the user";
    Diagnosis::fail(SUBJECT, format!("{name} cannot be used: {reason}"), remedy)
}

fn newer(facts: &DatabaseFacts) -> Option<Diagnosis> {
    let unknown = &facts.migrations.unknown;
    (!unknown.is_empty()).then(|| {
        let found = format!("a newer version of muster has migrated it ({})", unknown.join(", "));
        Diagnosis::warn(SUBJECT, found, "update this node soon")
    })
}

fn short_secrets(facts: &DatabaseFacts) -> Option<Diagnosis> {
    (!facts.short_secrets.is_empty()).then(|| {
        let names: Vec<&str> = facts.short_secrets.iter().take(5).map(String::as_str).collect();
        Diagnosis::warn(
            "secrets",
            format!(
                "{} enroll secrets are shorter than 16 characters ({})",
                facts.short_secrets.len(),
                names.join(", ")
            ),
            "replace them: whoever guesses one can enroll machines",
        )
    })
}

/// What is wrong with the settings of MySQL or MariaDB.
fn settings(facts: &DatabaseFacts, mysql: &Mysql) -> Vec<Diagnosis> {
    let text = |name: &str| facts.settings.get(name).map(String::as_str);
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let mut wrong = Vec::new();
    let mut warn = |found: String, remedy: &str| wrong.push(Diagnosis::warn(SUBJECT, found, remedy));
    if let Some(set) = text("character_set").filter(|set| *set != "utf8mb4") {
        warn(
            format!("the character set of the database is {set}"),
            "ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, before `muster prepare db` makes tables",
        );
    }
    let needed = u64::from(mysql.max_open_conns) + MORE_CONNECTIONS;
    if let Some(most) = number("max_connections").filter(|most| *most < needed * 2) {
        warn(
            format!(
                "max_connections is {most}; one node may open {needed}, and an update needs those of one node more"
            ),
            "raise max_connections above (mysql.max_open_conns + 4) × (nodes + 1), or lower mysql.max_open_conns",
        );
    }
    if let Some(most) = number("max_user_connections").filter(|most| *most > 0 && *most < needed) {
        warn(
            format!("max_user_connections is {most}, and one node may open {needed}"),
            "raise it, or lower mysql.max_open_conns",
        );
    }
    if let Some(level) = text("transaction_isolation").filter(|level| *level != "READ-COMMITTED") {
        warn(
            format!("transactions are {level}, although each connection sets READ COMMITTED"),
            "look whether a proxy between undoes what connections set",
        );
    }
    if let Some(pool) = number("innodb_buffer_pool_size").filter(|pool| *pool < DEFAULT_BUFFER_POOL) {
        warn(
            format!("innodb_buffer_pool_size is {} MiB", pool >> 20),
            "raise it to 128 MiB at least, or half of the machine's memory if the machine is the database's own",
        );
    }
    if let Some(flush) = text("innodb_flush_log_at_trx_commit").filter(|flush| *flush != "1") {
        warn(
            format!("innodb_flush_log_at_trx_commit is {flush}: a power loss loses what was said to be stored"),
            "set it to 1",
        );
    }
    let has_log = text("log_bin").is_some_and(|on| on == "ON" || on == "1");
    if let Some(sync) = text("sync_binlog").filter(|sync| has_log && *sync != "1") {
        warn(
            format!("sync_binlog is {sync}: after a power loss replicas may differ from the database"),
            "set it to 1, if replicas or restores use the binary log",
        );
    }
    if let Some(seconds) = number("wait_timeout").filter(|seconds| *seconds < 60) {
        warn(format!("wait_timeout is {seconds} s: idle connections are closed at once"), "raise it to 600 at least");
    }
    if let Some(packet) = number("max_allowed_packet").filter(|packet| *packet < PACKET) {
        let said = if packet >> 20 > 0 { format!("{} MiB", packet >> 20) } else { format!("{packet} bytes") };
        warn(format!("max_allowed_packet is {said}: large documents do not fit"), "raise it to 64 MiB");
    }
    let is_on = |name: &str| text(name).is_some_and(|on| !["OFF", "0"].contains(&on));
    if is_on("read_only") || is_on("super_read_only") {
        wrong.push(Diagnosis::fail(
            SUBJECT,
            "the database takes no writes (read_only)",
            "set mysql.address to the server that does, or make this one writable",
        ));
    }
    wrong
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<Diagnosis> {
        let settings = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let facts = DatabaseFacts {
            version: "test".to_owned(),
            latency: Duration::ZERO,
            ahead_micros: None,
            migrations: Default::default(),
            is_half_filled: false,
            settings,
            short_secrets: Vec::new(),
        };
        super::settings(&facts, &Mysql::default())
    }

    #[test]
    fn each_setting_that_does_not_suit_is_named_with_its_value() {
        assert_eq!(of(&[]), []);
        let good = [
            ("character_set", "utf8mb4"),
            ("max_connections", "500"),
            ("transaction_isolation", "READ-COMMITTED"),
            ("innodb_buffer_pool_size", "134217728"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("log_bin", "OFF"),
            ("sync_binlog", "0"),
            ("wait_timeout", "28800"),
            ("max_allowed_packet", "67108864"),
            ("read_only", "OFF"),
        ];
        assert_eq!(of(&good), []);
        for (name, value, part) in [
            ("character_set", "latin1", "latin1"),
            ("max_connections", "107", "max_connections is 107"),
            ("transaction_isolation", "REPEATABLE-READ", "REPEATABLE-READ"),
            ("innodb_buffer_pool_size", "8388608", "8 MiB"),
            ("innodb_flush_log_at_trx_commit", "2", "is 2"),
            ("wait_timeout", "10", "10 s"),
            ("max_allowed_packet", "16777216", "16 MiB"),
        ] {
            let wrong = of(&[(name, value)]);
            assert_eq!(wrong.len(), 1, "{name}: {wrong:?}");
            assert!(wrong[0].found.contains(part) && wrong[0].severity == Severity::Warn, "{wrong:?}");
        }
        assert_eq!(of(&[("log_bin", "ON"), ("sync_binlog", "0")]).len(), 1);
        assert_eq!(of(&[("read_only", "ON")])[0].severity, Severity::Fail);
        assert_eq!(of(&[("read_only", "NO_LOCK")])[0].severity, Severity::Fail);
    }
}
