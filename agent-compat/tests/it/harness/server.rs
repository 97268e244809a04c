//! A real server in this process, with TLS and SQLite, in a folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{AgentEndpoint, Request, Thread};
use agent_compat::transport::{Direct, Response, Transport as _, Trust};
use anyhow::{Context as _, Result, anyhow};
use muster::clock::Clock;
use muster::config::Config;
use muster::{Lifecycle, Running, serve};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::answers::Sent;
use super::files;
use super::template::{ENROLL_SECRET, Template};
use super::{OSQUERY_VERSION, RecordedRequest};

/// Timeout of a request of an agent.
const AGENT_DEADLINE: Duration = Duration::from_secs(16);

/// Data that a server loses at [`CompatServer::restart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    Nothing,
    AllNodeKeys,
}

/// A server and its files.
#[derive(Debug)]
pub struct CompatServer {
    /// Removed when the server is dropped.
    _folder: TempDir,
    config: Config,
    clock: Clock,
    running: Option<(Running, Lifecycle)>,
    base_url: String,
    token: String,
}

impl CompatServer {
    /// Starts a server that is set up and knows [`ENROLL_SECRET`].
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> Result<Self> {
        Self::start_by(Clock::system()).await
    }

    /// The same by a clock of the test's.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_by(clock: Clock) -> Result<Self> {
        let template = Template::get().await?;
        let mut server = Self::not_running()?;
        server.clock = clock;
        server.token.clone_from(&template.token);
        template.write_to(&server.config)?;
        server.run().await?;
        Ok(server)
    }

    /// Starts a server that has never run.
    pub(crate) async fn empty() -> Result<Self> {
        let mut server = Self::not_running()?;
        server.run().await?;
        Ok(server)
    }

    fn not_running() -> Result<Self> {
        super::captured::capture();
        let folder = tempfile::tempdir()?;
        let mut config = Config::default();
        config.server.address = "127.0.0.1:0".to_owned();
        config.server.tls_dir = folder.path().join("tls");
        config.server.workers = 2;
        config.server.shutdown_timeout = Duration::from_secs(1);
        config.sqlite.path = folder.path().join("muster.db");
        // These tests are about what is said, not about how soon.
        config.osquery.store_timeout = Duration::from_secs(8);
        config.sqlite.busy_timeout = Duration::from_secs(8);
        config.filesystem.result_log_file = folder.path().join("logs/results");
        config.filesystem.status_log_file = folder.path().join("logs/statuses");
        Ok(Self {
            _folder: folder,
            config,
            clock: Clock::system(),
            running: None,
            base_url: String::new(),
            token: String::new(),
        })
    }

    async fn run(&mut self) -> Result<()> {
        let lifecycle = Lifecycle::default();
        let running = serve(self.config.clone(), self.clock.clone(), lifecycle.clone()).await?;
        self.base_url = format!("https://localhost:{}", running.address().port());
        // The agents know this address: it stays over restarts.
        self.config.server.address = running.address().to_string();
        self.running = Some((running, lifecycle));
        Ok(())
    }

    /// Stops the server and waits until it has.
    ///
    /// # Errors
    /// What went wrong while it ran or stopped.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some((running, lifecycle)) = self.running.take() {
            lifecycle.stop();
            running.finished().await?;
        }
        Ok(())
    }

    /// Stops the server and starts it again at the same address.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&mut self, forgets: Forgets) -> Result<()> {
        self.stop().await?;
        if forgets == Forgets::AllNodeKeys {
            self.database()?.execute("DELETE FROM node_keys", [])?;
        }
        self.run().await
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `https://localhost:PORT`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The certificate agents are given.
    pub fn certificate(&self) -> PathBuf {
        self.config.server.tls_dir.join("server.crt")
    }

    /// A way to the server that checks its certificate.
    ///
    /// # Errors
    /// When there is no certificate.
    pub fn transport(&self) -> Result<Direct> {
        Ok(Direct::new(&self.base_url, &Trust::CaFile(self.certificate()))?)
    }

    /// A model agent that has not enrolled.
    ///
    /// # Errors
    /// When there is no certificate.
    pub fn agent(&self, index: u32) -> Result<TestAgent> {
        Ok(TestAgent::simulated(index, ENROLL_SECRET, &self.base_url, &Trust::CaFile(self.certificate()))?)
    }

    /// Sends a recorded request with the headers it had, and checks and judges the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, request: &RecordedRequest) -> Result<Sent> {
        let response = self.send_within(request, AGENT_DEADLINE).await.with_context(|| request.name.clone())?;
        Ok(Sent::judged(request.endpoint(), response, &request.name))
    }

    /// Sends a recorded request and gives up after some time.
    ///
    /// # Errors
    /// When there is no answer by then.
    pub async fn send_within(&self, request: &RecordedRequest, within: Duration) -> Result<Response> {
        let json = || "application/json".to_owned();
        let mut headers =
            vec![("Content-Type", json()), ("Accept", json()), ("User-Agent", format!("osquery/{OSQUERY_VERSION}"))];
        headers.extend(request.header_key.as_ref().map(|key| ("Authorization", format!("NodeKey {key}"))));
        headers.extend(request.extra_headers.iter().cloned());
        self.post(&request.path, headers, request.body.clone(), within).await
    }

    async fn post(
        &self,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Response> {
        // The endpoint matters only to the agent model, which is not asked here.
        let request = Request {
            endpoint: AgentEndpoint::Log,
            path: path.into(),
            headers,
            body: body.into(),
            deadline_ms: u64::MAX,
        };
        Ok(self.transport()?.send(Thread::Config, &request, within).await?)
    }

    pub(crate) fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// Posts as the administrator.
    ///
    /// # Errors
    /// When it is refused; the message has the answer.
    pub async fn operate(&self, path: &str, body: &Value) -> Result<Value> {
        let headers =
            vec![("Content-Type", "application/json".to_owned()), ("Authorization", format!("Bearer {}", self.token))];
        let answer = self.post(path, headers, body.to_string().into_bytes(), Duration::from_secs(60)).await?;
        if answer.status == 200 {
            return Ok(serde_json::from_slice(&answer.body)?);
        }
        Err(anyhow!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }

    /// Replaces the secrets agents may enroll with.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn set_enroll_secrets(&self, secrets: &[&str]) -> Result<()> {
        let secrets: Vec<Value> = secrets.iter().map(|secret| json!({ "secret": secret })).collect();
        self.operate("/api/v1/fleet/spec/enroll_secret", &json!({ "spec": { "secrets": secrets } })).await?;
        Ok(())
    }

    /// The database, from outside.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn database(&self) -> Result<Connection> {
        let database = Connection::open(&self.config.sqlite.path)?;
        database.busy_timeout(Duration::from_secs(10))?;
        Ok(database)
    }

    /// The id of the one host there is.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn only_host(&self) -> Result<i64> {
        let database = self.database()?;
        let (count, id) =
            database.query_row("SELECT count(*), max(id) FROM hosts", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        match (count, id) {
            (1, Some(id)) => Ok(id),
            _ => Err(anyhow!("{count} hosts")),
        }
    }

    /// Makes a recorded node key good for a host. The server must not have been shown it before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn seed_key(&self, key: &str, host_id: i64) -> Result<()> {
        self.database()?.execute(
            "INSERT OR IGNORE INTO node_keys (key_hash, host_id, instance_id, created_at) \
             SELECT ?1, id, instance_id, created_at FROM hosts WHERE id = ?2",
            params![Sha256::digest(key.as_bytes()).to_vec(), host_id],
        )?;
        Ok(())
    }

    /// Enrolls one host with a recorded request, so that there is a row recorded keys can belong to.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn enroll_recorded(&self, request: &RecordedRequest) -> Result<i64> {
        let sent = self.send(request).await?;
        anyhow::ensure!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
        self.only_host()
    }

    /// Stored answers to a live query, in the order they came.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn live_answers(&self, id: i64) -> Result<Vec<Value>> {
        let begins = format!("{id}-");
        let mut found = std::fs::read_dir(self.config.sqlite.path.with_file_name("live"))?;
        let found = found.find_map(|entry| {
            let path = entry.ok()?.path();
            path.file_name()?.to_str()?.starts_with(&begins).then_some(path)
        });
        let lines = files::lines(&found.context("there is no file of answers")?)?;
        lines.iter().map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }

    /// The result lines kept so far, without their newlines.
    ///
    /// # Errors
    /// When the file cannot be read or does not end in a newline.
    pub fn result_lines(&self) -> Result<Vec<Vec<u8>>> {
        files::lines(&self.config.filesystem.result_log_file)
    }

    /// The status lines kept so far, without their newlines.
    ///
    /// # Errors
    /// When the file cannot be read or does not end in a newline.
    pub fn status_lines(&self) -> Result<Vec<Vec<u8>>> {
        files::lines(&self.config.filesystem.status_log_file)
    }
}

impl Drop for CompatServer {
    fn drop(&mut self) {
        if let Some((_, lifecycle)) = &self.running {
            lifecycle.abort();
        }
    }
}

/// Waits until `condition` gives something.
///
/// # Errors
/// When it does not in time.
pub async fn until<T>(within: Duration, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let looking = async {
        let mut look = tokio::time::interval(Duration::from_millis(100));
        loop {
            look.tick().await;
            if let Some(found) = condition()? {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(within, looking).await.unwrap_or_else(|_| Err(anyhow!("not within {within:?}: {what}")))
}
