//! Databases for the server, started for the bench alone.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::process::{Cores, Process};

/// Which database and bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendKind {
    /// SQLite and in-process messaging, the default of the server.
    Sqlite,
    /// MariaDB and Redis, started from the programs on this machine.
    Mariadb,
}

impl BackendKind {
    /// As it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite + memory",
            Self::Mariadb => "MariaDB + Redis",
        }
    }

    /// Whether this server can use it.
    pub fn is_known_by(self, setting_keys: &str) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Mariadb => ["`mysql.address`", "`redis.address`"].iter().all(|key| setting_keys.contains(key)),
        }
    }
}

/// The processes behind a server, and the flags that name them to the server.
pub struct Backend {
    pub flags: Vec<String>,
    /// The file, if the database is one.
    sqlite: Option<PathBuf>,
    database: Option<Process>,
    bus: Option<Process>,
}

impl Backend {
    pub async fn start(kind: BackendKind, muster: &Path, folder: &Path) -> Result<Self> {
        match kind {
            BackendKind::Sqlite => {
                let path = folder.join("muster.db");
                let flags = vec![format!("--sqlite_path={}", path.display())];
                Ok(Self { flags, sqlite: Some(path), database: None, bus: None })
            }
            BackendKind::Mariadb => Self::mariadb_and_redis(muster, folder).await,
        }
    }

    /// Runs a statement on the database, of a server that is stopped.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        match &self.sqlite {
            Some(path) => Ok(rusqlite::Connection::open(path)?.execute_batch(statement)?),
            None => {
                // Recursion is bounded by a setting.
                let statement = format!("SET max_recursive_iterations = 4294967295; {statement}");
                let words = self.flags.iter().filter_map(|flag| flag.strip_prefix("--mysql_address=127.0.0.1:"));
                let port = words.map(|port| format!("--port={port}"));
                let fixed = ["--no-defaults", "--host=127.0.0.1", "--user=root", "--database=muster"];
                let execute = format!("--execute={statement}");
                quietly(Command::new("mariadb").args(fixed).args(port).arg(execute)).await
            }
        }
    }

    /// An expression that joins texts.
    pub fn joined(&self, parts: &[&str]) -> String {
        match self.sqlite {
            Some(_) => parts.join(" || "),
            None => format!("concat({})", parts.join(", ")),
        }
    }

    /// CPU time of the database's own process, if it has one.
    pub fn database_pid(&self) -> Option<u32> {
        self.database.as_ref().map(|process| process.pid)
    }

    pub async fn stop(self) -> Result<()> {
        // What they hold is thrown away, so they need not end in order.
        drop(self.bus);
        drop(self.database);
        Ok(())
    }

    async fn mariadb_and_redis(muster: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("mariadb");
        let data_flag = format!("--datadir={}", data.display());
        let install = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data_flag];
        quietly(Command::new("mariadb-install-db").args(install)).await?;
        let (port, redis_port) = (free_port()?, free_port()?);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let database = Process::start(
            "mariadbd",
            &words(&[
                "mariadbd",
                "--no-defaults",
                &data_flag,
                &format!("--user={user}"),
                &format!("--port={port}"),
                "--bind-address=127.0.0.1",
                &format!("--socket={}", folder.join("mariadb.sock").display()),
                "--skip-name-resolve",
            ]),
            Cores::All,
            folder,
        )?;
        let bus = Process::start(
            "redis-server",
            &words(&["redis-server", "--bind", "127.0.0.1", "--port", &redis_port.to_string(), "--save", ""]),
            Cores::All,
            folder,
        )?;
        let mut backend = Self {
            flags: vec![
                format!("--mysql_address=127.0.0.1:{port}"),
                "--mysql_database=muster".to_owned(),
                "--mysql_username=root".to_owned(),
                format!("--redis_address=127.0.0.1:{redis_port}"),
            ],
            sqlite: None,
            database: Some(database),
            bus: Some(bus),
        };
        let port_flag = format!("--port={port}");
        let create =
            ["--no-defaults", "--host=127.0.0.1", &port_flag, "--user=root", "--execute=CREATE DATABASE muster"];
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = quietly(Command::new("mariadb").args(create)).await {
            for process in backend.database.iter_mut().chain(&mut backend.bus) {
                process.check_running()?;
            }
            if Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        quietly(Command::new(muster).args(["prepare", "db"]).args(&backend.flags)).await?;
        Ok(backend)
    }
}

/// Runs a command whose output only matters when it fails.
async fn quietly(command: &mut Command) -> Result<()> {
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let ran = ran.with_context(|| format!("cannot run {command:?}"))?;
    if !ran.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&ran.stderr));
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
