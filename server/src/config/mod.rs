//! Settings of the server process: one section per file, read from defaults, a YAML file, `FLEET_*` variables and
//! flags; later layers win. All problems are reported together and prevent the start. What is somebody else's is warned of.

mod activities;
mod carves;
mod documents;
mod filesystem;
#[cfg(test)]
mod fleet_keys_tests;
mod foreign;
mod freeze;
mod import;
mod live;
mod load;
mod logging;
mod mysql;
mod networks;
mod osquery;
#[cfg(feature = "planted-faults")]
mod planted;
mod prometheus;
mod redis;
mod rollouts;
mod s3;
mod section;
mod server;
mod session;
mod sqlite;
mod statistics;
mod unused;
mod value;

use std::path::Path;

pub use activities::Activities;
pub use carves::Carves;
pub use documents::Documents;
pub use filesystem::Filesystem;
pub use foreign::foreign_flags;
pub use freeze::{Freeze, FreezeWindow, FreezeWindows, MinuteOfDay, Recurrence};
pub use import::import_source;
pub use live::{Live, MAX_CANARIES, MAX_LIVE_RATE};
pub use load::{ConfigErrors, Loaded, Sources, describe, load};
pub use logging::Logging;
pub use mysql::{Mysql, MysqlEndpoint, MysqlReadReplica, MysqlTls};
pub use osquery::{HostIdentifier, LogPlugin, Osquery, SchemaCheck};
#[cfg(feature = "planted-faults")]
pub use planted::Planted;
pub use prometheus::PrometheusBasicAuth;
pub use redis::{Redis, split_address};
pub use rollouts::Rollouts;
pub use s3::S3;
pub use section::ConfigKey;
pub use server::Server;
pub use session::Session;
pub use sqlite::Sqlite;
pub use statistics::Statistics;
pub use value::{Bytes, HIDDEN, Secret, without_password};

/// Declares [`Config`] from the one list of sections. A new section is a file, a `mod` and a line here.
macro_rules! sections {
    ($( $(#[$cfg:meta])? $field:ident: $section:ident, )*) => {
        /// All settings. Build it with [`load`], or start from `Config::default()` in tests.
        #[derive(Debug, Clone, Default)]
        pub struct Config {
            $( $(#[$cfg])? pub $field: $section, )*
        }

        impl Config {
            /// Every key of every section, in the order they are shown.
            pub fn keys() -> Vec<ConfigKey> {
                [$( $(#[$cfg])? $section::keys(), )*].concat()
            }

            /// Every key with its value as operators may see it, in that order.
            pub fn shown(&self) -> Vec<(ConfigKey, String)> {
                let values = [$( $(#[$cfg])? self.$field.shown(), )*].concat();
                Self::keys().into_iter().zip(values).collect()
            }

            /// Sets one key from text.
            fn set(&mut self, section: &str, name: &str, text: &str) -> Result<(), String> {
                match section {
                    $( $(#[$cfg])? $section::NAME => self.$field.set(name, text), )*
                    _ => Err("unknown section".to_owned()),
                }
            }
        }
    };
}

sections! {
    server: Server,
    sqlite: Sqlite,
    mysql: Mysql,
    mysql_read_replica: MysqlReadReplica,
    osquery: Osquery,
    filesystem: Filesystem,
    carves: Carves,
    s3: S3,
    live: Live,
    statistics: Statistics,
    freeze: Freeze,
    rollouts: Rollouts,
    documents: Documents,
    redis: Redis,
    session: Session,
    activities: Activities,
    logging: Logging,
    prometheus_basic_auth: PrometheusBasicAuth,
    #[cfg(feature = "planted-faults")]
    planted: Planted,
}

impl Config {
    /// The certificates and keys for the databases in use, by their keys in the configuration.
    pub(crate) fn mysql_files(&self) -> Vec<(String, &Path)> {
        let mut files = Vec::new();
        for (section, mysql) in [(Mysql::NAME, &self.mysql), (MysqlReadReplica::NAME, &self.mysql_read_replica.0)] {
            let named = [("tls_ca", &mysql.tls_ca), ("tls_cert", &mysql.tls_cert), ("tls_key", &mysql.tls_key)];
            for (key, path) in named {
                if let (true, Some(path)) = (mysql.is_on(), path) {
                    files.push((format!("{section}.{key}"), path.as_path()));
                }
            }
        }
        files
    }

    /// The database in use, as operators call it.
    pub(crate) fn database(&self) -> String {
        match self.mysql.is_on() {
            true => format!("{} at {}", self.mysql.database, self.mysql.address),
            false => self.sqlite.path.display().to_string(),
        }
    }

    /// All passwords, those in files included.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let databases = [&self.mysql, &self.mysql_read_replica.0].into_iter().filter_map(|mysql| mysql.password().ok());
        let others = [&self.redis.password, &self.redis.sentinel_password, &self.prometheus_basic_auth.password];
        let paths =
            [&self.redis.password_path, &self.redis.sentinel_password_path, &self.prometheus_basic_auth.password_path];
        let files = paths.into_iter().flatten().filter_map(|path| std::fs::read_to_string(path).ok());
        let files = files.map(|text| Secret::new(text.trim_end_matches(['\n', '\r'])));
        let store = self.s3.secret().ok();
        databases
            .chain(store)
            .chain(others.into_iter().cloned())
            .chain(files)
            .filter(|secret| !secret.is_empty())
            .collect()
    }

    /// Contradictions between values that are valid on their own.
    fn contradictions(&self) -> Vec<String> {
        let mut problems = self.server.contradictions();
        problems.extend(self.mysql.contradictions("mysql"));
        problems.extend(self.mysql_read_replica.contradictions(&self.mysql));
        problems.extend(self.osquery.contradictions());
        problems.extend(self.carves.contradictions());
        problems.extend(self.s3.contradictions());
        problems.extend(self.live.contradictions());
        problems.extend(self.statistics.contradictions());
        problems.extend(self.documents.contradictions());
        problems.extend(self.redis.contradictions());
        problems.extend(self.prometheus_basic_auth.contradictions());
        problems
    }
}
