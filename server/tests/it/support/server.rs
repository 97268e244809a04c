use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::transport::Trust;
use muster::clock::{Clock, Moment};
use muster::config::Config;
use muster::{Lifecycle, Running, serve};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Address, Database, Rest, eventually_ok, mariadb, on_mariadb, on_redis};

/// When manual clocks start: 2026-01-15 12:00 UTC.
const START: Moment = Moment(1_768_478_400_000_000);

/// How long an address may stay taken after a restart.
const RESTART: Duration = Duration::from_secs(10);

/// A server in this process, with TLS, on a free port, whose clock stands still until it is moved.
pub struct TestServer {
    config: Config,
    pub clock: Clock,
    /// As the administrator.
    pub rest: Rest,
    pub address: Address,
    running: Option<(Running, Lifecycle)>,
    folder: TempDir,
}

impl TestServer {
    /// A server that is set up and knows [`super::ENROLL_SECRET`].
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with other settings, set up.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut server = Self::empty(change).await;
        server.rest = server.rest.clone().set_up().await;
        server
    }

    /// A server on MariaDB, whatever database the other tests use.
    pub async fn on_mariadb() -> Self {
        Self::with(|config| {
            if !mariadb::is_chosen() {
                on_mariadb(config, mariadb::shared());
            }
        })
        .await
    }

    /// A server nobody has set up yet.
    pub async fn empty(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config_in(folder.path());
        if mariadb::is_chosen() {
            on_mariadb(&mut config, mariadb::shared());
            on_redis(&mut config.redis);
        }
        change(&mut config);
        let clock = Clock::manual(START);
        let (running, lifecycle) = run(&config, &clock).await.unwrap();
        let address = address_of(&config, running.address());
        let rest = Rest::new(&address_of(&config, running.operator_address()));
        // Those who know the addresses find them again after a restart.
        config.server.address = running.address().to_string();
        if !config.server.operator_address.is_empty() {
            config.server.operator_address = running.operator_address().to_string();
        }
        Self { config, clock, rest, address, running: Some((running, lifecycle)), folder }
    }

    /// Another server over the same database, with the same clock and files of its own.
    pub async fn beside(first: &Self) -> Self {
        Self::beside_with(first, |_| {}).await
    }

    /// As [`TestServer::beside`], with other settings.
    pub async fn beside_with(first: &Self, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = config_in(folder.path());
        let mut config = first.config.clone();
        config.server.address = own.server.address;
        config.filesystem = own.filesystem;
        config.live.dir = Some(folder.path().join("live"));
        change(&mut config);
        let clock = first.clock.clone();
        let (running, lifecycle) = run(&config, &clock).await.unwrap();
        let address = address_of(&config, running.address());
        config.server.address = running.address().to_string();
        let rest = Rest::new(&address).with_token(first.rest.token());
        Self { config, clock, rest, address, running: Some((running, lifecycle)), folder }
    }

    pub fn agent(&self, index: u32) -> TestAgent {
        self.address.agent(index)
    }

    pub async fn enrolled(&self, index: u32) -> TestAgent {
        self.address.enrolled(index).await
    }

    /// Where `/debug` is served.
    pub fn debug_address(&self) -> Address {
        address_of(&self.config, self.running.as_ref().unwrap().0.debug_address())
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn results(&self) -> PathBuf {
        self.config.filesystem.result_log_file.clone()
    }

    pub fn statuses(&self) -> PathBuf {
        self.config.filesystem.status_log_file.clone()
    }

    /// The database, from outside.
    pub fn database(&self) -> Database {
        Database::of(&self.config)
    }

    /// One number out of the database.
    pub fn number(&self, sql: &str) -> i64 {
        self.database().number(sql)
    }

    /// The sum of all metrics whose line begins so.
    pub async fn metric(&self, begins: &str) -> f64 {
        let text = self.rest.get("/metrics").await.text;
        let lines = text.lines().filter(|line| line.starts_with(begins));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Somebody with this role and the administrator's password, logged in.
    pub fn user(&self, role: &str) -> Rest {
        let (database, token, now) = (self.database(), format!("token-of-{role}"), self.clock.now().0);
        let email = format!("{role}-user@example.com");
        database.execute(&format!(
            "INSERT INTO users (email, name, global_role, api_only, created_at, updated_at) \
             VALUES ('{email}', '{role}', '{role}', 0, {now}, {now})"
        ));
        let user_id = database.number(&format!("SELECT id FROM users WHERE email = '{email}'"));
        database.execute(&format!(
            "INSERT INTO user_passwords (user_id, hash) \
             SELECT {user_id}, hash FROM user_passwords ORDER BY user_id LIMIT 1"
        ));
        let hash: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        database.execute(&format!(
            "INSERT INTO sessions (token_hash, user_id, created_at, accessed_at) VALUES (X'{hash}', {user_id}, {now}, {now})"
        ));
        self.rest.with_token(&token)
    }

    /// Has it read its files again, as SIGHUP does.
    pub fn reload(&self) {
        self.running.as_ref().unwrap().1.reload();
    }

    /// Changes the settings that the next start has.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    pub async fn run_tasks(&self) {
        self.running.as_ref().unwrap().0.run_tasks().await;
    }

    /// Stops and waits until everything is written.
    pub async fn stop(&mut self) {
        if let Some((running, lifecycle)) = self.running.take() {
            lifecycle.stop();
            running.finished().await.unwrap();
        }
    }

    /// Starts again at the same address, if it can.
    pub async fn try_start(&mut self) -> anyhow::Result<()> {
        assert!(self.running.is_none());
        self.running = Some(run(&self.config, &self.clock).await?);
        Ok(())
    }

    /// Stops, and starts again at the same address.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (config, clock) = (self.config.clone(), self.clock.clone());
        self.running = Some(eventually_ok(RESTART, async || run(&config, &clock).await).await.unwrap());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some((_, lifecycle)) = &self.running {
            lifecycle.abort();
        }
    }
}

async fn run(config: &Config, clock: &Clock) -> anyhow::Result<(Running, Lifecycle)> {
    let lifecycle = Lifecycle::default();
    Ok((serve(config.clone(), clock.clone(), lifecycle.clone()).await?, lifecycle))
}

fn address_of(config: &Config, address: SocketAddr) -> Address {
    let (port, prefix) = (address.port(), &config.server.url_prefix);
    if config.server.tls {
        let trust = Trust::CaFile(config.server.tls_dir.join("server.crt"));
        Address { url: format!("https://127.0.0.1:{port}{prefix}"), trust }
    } else {
        Address { url: format!("http://127.0.0.1:{port}{prefix}"), trust: Trust::Anyone }
    }
}

/// Settings for a server whose files are all in one folder.
pub fn config_in(folder: &Path) -> Config {
    let mut config = Config::default();
    config.server.address = "127.0.0.1:0".to_owned();
    config.server.tls_dir = folder.join("tls");
    config.server.workers = 2;
    config.server.shutdown_timeout = Duration::from_secs(2);
    config.sqlite.path = folder.join("muster.db");
    config.filesystem.result_log_file = folder.join("logs/results");
    config.filesystem.status_log_file = folder.join("logs/statuses");
    config.carves.dir = Some(folder.join("carves"));
    config.session.logins_per_minute = 10_000;
    // A test that counts what hosts are asked says so if they are to be asked for their tables, too.
    config.osquery.schema_update_interval = Duration::ZERO;
    config
}
