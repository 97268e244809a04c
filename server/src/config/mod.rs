//! Settings of the server process: one section per file, read from defaults, a YAML file, `FLEET_*` variables and
//! flags; later layers win. All problems are reported together and prevent the start.

mod filesystem;
mod live;
mod load;
mod logging;
mod mysql;
mod osquery;
#[cfg(feature = "planted-faults")]
mod planted;
mod redis;
mod section;
mod server;
mod session;
mod sqlite;
mod value;

pub use filesystem::Filesystem;
pub use live::Live;
pub use load::{ConfigErrors, Sources, describe, load};
pub use logging::Logging;
pub use mysql::{Mysql, MysqlEndpoint, MysqlReadReplica, MysqlTls};
pub use osquery::{HostIdentifier, LogPlugin, Osquery};
#[cfg(feature = "planted-faults")]
pub use planted::Planted;
pub use redis::{Redis, split_address};
pub use section::ConfigKey;
pub use server::Server;
pub use session::Session;
pub use sqlite::Sqlite;
pub use value::{Bytes, Secret};

/// All settings. Build it with [`load`], or start from `Config::default()` in tests.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub server: Server,
    pub sqlite: Sqlite,
    pub mysql: Mysql,
    pub mysql_read_replica: MysqlReadReplica,
    pub osquery: Osquery,
    pub filesystem: Filesystem,
    pub live: Live,
    pub redis: Redis,
    pub session: Session,
    pub logging: Logging,
    #[cfg(feature = "planted-faults")]
    pub planted: Planted,
}

impl Config {
    /// All keys in display order.
    pub fn keys() -> Vec<ConfigKey> {
        [
            Server::keys(),
            Sqlite::keys(),
            Mysql::keys(),
            MysqlReadReplica::keys(),
            Osquery::keys(),
            Filesystem::keys(),
            Live::keys(),
            Redis::keys(),
            Session::keys(),
            Logging::keys(),
            #[cfg(feature = "planted-faults")]
            Planted::keys(),
        ]
        .concat()
    }

    /// Sets one key from text.
    fn set(&mut self, section: &str, name: &str, text: &str) -> Result<(), String> {
        match section {
            "server" => self.server.set(name, text),
            "sqlite" => self.sqlite.set(name, text),
            "mysql" => self.mysql.set(name, text),
            "mysql_read_replica" => self.mysql_read_replica.set(name, text),
            "osquery" => self.osquery.set(name, text),
            "filesystem" => self.filesystem.set(name, text),
            "live" => self.live.set(name, text),
            "redis" => self.redis.set(name, text),
            "session" => self.session.set(name, text),
            "logging" => self.logging.set(name, text),
            #[cfg(feature = "planted-faults")]
            "planted" => self.planted.set(name, text),
            _ => Err("unknown section".to_owned()),
        }
    }

    /// Contradictions between values that are valid on their own.
    fn contradictions(&self) -> Vec<String> {
        let mut problems = self.server.contradictions();
        problems.extend(self.mysql.contradictions("mysql"));
        problems.extend(self.mysql_read_replica.contradictions(&self.mysql));
        problems.extend(self.osquery.contradictions());
        problems.extend(self.redis.contradictions());
        problems
    }
}
