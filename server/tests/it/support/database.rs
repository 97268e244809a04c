use std::time::Duration;

use muster::config::{Config, Mysql, Secret};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database as Driver, DatabaseConnection, Statement};

use super::mariadb::{DatabaseAddress, blocking};

/// A server's database, from outside.
pub enum Database {
    Sqlite(rusqlite::Connection),
    Mariadb(Session),
}

/// What a server stores, one connection of its own.
pub struct Session {
    runtime: Option<tokio::runtime::Runtime>,
    db: DatabaseConnection,
}

impl Database {
    /// Opens what a server with these settings uses.
    pub fn of(config: &Config) -> Self {
        if !config.mysql.address.is_empty() {
            return Self::Mariadb(Session::open(&config.mysql));
        }
        let database = rusqlite::Connection::open(&config.sqlite.path).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        Self::Sqlite(database)
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Runs one statement.
    pub fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(database) => database.execute_batch(sql).unwrap(),
            Self::Mariadb(session) => session.execute(sql),
        }
    }

    /// The number that a query finds.
    pub fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(database) => database.query_row(sql, [], |row| row.get(0)).unwrap(),
            Self::Mariadb(session) => session.number(sql),
        }
    }

    /// The text that a query finds.
    pub fn text(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(database) => database.query_row(sql, [], |row| row.get(0)).unwrap(),
            Self::Mariadb(session) => session.text(sql),
        }
    }

    /// Keeps everybody from writing until [`Database::release`]. SQLite lets nobody begin to write, MariaDB nobody
    /// write to any table.
    pub fn hold(&self) {
        match self {
            Self::Sqlite(database) => database.execute_batch("BEGIN EXCLUSIVE").unwrap(),
            Self::Mariadb(session) => {
                let tables = session.text(
                    "SELECT CAST(group_concat(concat(table_name, ' READ')) AS CHAR) FROM information_schema.tables \
                     WHERE table_schema = database()",
                );
                session.execute(&format!("LOCK TABLES {tables}"));
            }
        }
    }

    pub fn release(&self) {
        match self {
            Self::Sqlite(database) => database.execute_batch("ROLLBACK").unwrap(),
            Self::Mariadb(session) => session.execute("UNLOCK TABLES"),
        }
    }
}

impl Session {
    fn open(mysql: &Mysql) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (user, password) = (&mysql.username, mysql.password.reveal());
        let mut options =
            ConnectOptions::new(format!("mysql://{user}:{password}@{}/{}", mysql.address, mysql.database));
        options.max_connections(1).sqlx_logging(false);
        let db = on(&runtime, Driver::connect(options)).unwrap();
        Self { runtime: Some(runtime), db }
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().unwrap()
    }

    fn execute(&self, sql: &str) {
        on(self.runtime(), self.db.execute_unprepared(sql)).unwrap();
    }

    fn one<T: sea_orm::TryGetable>(&self, sql: &str) -> T {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let row = on(self.runtime(), self.db.query_one_raw(statement)).unwrap();
        row.unwrap_or_else(|| panic!("{sql}: finds nothing")).try_get_by_index(0).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.one(sql)
    }

    fn text(&self, sql: &str) -> String {
        self.one(sql)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would wait, which is not allowed where tests run.
            runtime.shutdown_background();
        }
    }
}

fn on<T: Send>(runtime: &tokio::runtime::Runtime, work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join().unwrap())
}

/// Points a server to a fresh database, ready to be served from.
pub fn on_mariadb(config: &mut Config, address: &DatabaseAddress) {
    on_empty_mariadb(config, address);
    let config = config.clone();
    blocking(async move { muster::prepare(&config, |_| {}).await }).unwrap();
}

/// As [`on_mariadb`], before the database is prepared.
pub fn on_empty_mariadb(config: &mut Config, address: &DatabaseAddress) {
    config.mysql.address.clone_from(&address.address);
    config.mysql.username.clone_from(&address.username);
    config.mysql.password = Secret::new(&address.password);
    config.mysql.database = address.new_database();
    config.mysql.max_open_conns = 10;
}
