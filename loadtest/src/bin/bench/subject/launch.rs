//! Starting servers: fresh ones, further nodes over the same data, and those that were stopped.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{ConnectionMode, Programs, Subject};
use crate::backend::{Backend, BackendKind};
use crate::folder;
use crate::http::Address;
use crate::process::{Cores, Process};

/// A free port.
const ANY_PORT: &str = "127.0.0.1:0";

/// How a node is started, and started again.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    muster: PathBuf,
    mode: ConnectionMode,
    cores: Cores,
    /// Where its data is, and other settings.
    settings: Vec<String>,
}

impl Launch {
    fn words(&self, folder: &Path, listen: &str) -> Vec<String> {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut words = vec![
            self.muster.display().to_string(),
            "serve".to_owned(),
            "--until-stdin-closes".to_owned(),
            format!("--server_address={listen}"),
            format!("--server_tls={}", self.mode.is_tls()),
            format!("--server_tls_dir={}", path("tls")),
            format!("--server_agent_keepalive={}", if self.mode.is_direct() { "never" } else { "always" }),
            format!("--filesystem_result_log_file={}", path("results")),
            format!("--filesystem_status_log_file={}", path("statuses")),
            // Fleets of the bench come faster than real ones.
            "--osquery_enrolls_per_second=100000".to_owned(),
            "--osquery_enrolls_per_second_per_secret=100000".to_owned(),
        ];
        if self.cores != Cores::All {
            words.push("--server_workers=1".to_owned());
        }
        words.extend(self.settings.iter().cloned());
        words
    }
}

/// A server that was stopped, with what it keeps.
pub struct Stopped {
    launch: Launch,
    backend: Option<Backend>,
    folder: TempDir,
    /// Where it has listened.
    host: String,
}

impl Stopped {
    /// Changes the database.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        self.backend.as_ref().context("the database belongs to another node")?.execute(statement).await
    }

    /// An expression that joins texts.
    pub fn joined(&self, parts: &[&str]) -> String {
        self.backend.as_ref().map(|backend| backend.joined(parts)).unwrap_or_default()
    }

    /// Starts it again, on the same port.
    pub async fn start(self) -> Result<Subject> {
        let Self { launch, backend, folder, host } = self;
        Subject::serve(launch, backend, folder, &host).await
    }
}

impl Subject {
    /// A fresh server with these settings besides.
    pub async fn server(
        programs: &Programs,
        kind: BackendKind,
        mode: ConnectionMode,
        cores: Cores,
        settings: &[String],
    ) -> Result<Self> {
        let folder = folder::new()?;
        let backend = Backend::start(kind, &programs.muster, folder.path()).await?;
        let settings = backend.flags.iter().chain(settings).cloned().collect();
        let launch = Launch { muster: programs.muster.clone(), mode, cores, settings };
        Self::serve(launch, Some(backend), folder, ANY_PORT).await
    }

    /// Another node over the data of this one, which has to outlive it.
    pub async fn another(&self) -> Result<Self> {
        let launch = self.launch.clone().context("a ceiling has no data")?;
        Self::serve(launch, None, folder::new()?, ANY_PORT).await
    }

    async fn serve(launch: Launch, backend: Option<Backend>, folder: TempDir, listen: &str) -> Result<Self> {
        let mode = launch.mode;
        let words = launch.words(folder.path(), listen);
        let mut process = Process::start("muster", &words, launch.cores, folder.path())?;
        let host = process.says("listening address=").await?;
        let ca = folder.path().join("tls/server.crt");
        let address = Address::new(&host, mode.is_tls().then_some(ca.as_path()))?;
        Ok(Self { process, address, mode, backend, folder, launch: Some(launch) })
    }

    /// Stops the server as operators do, and keeps what it has written.
    pub async fn stopped(self) -> Result<Stopped> {
        let Self { process, address, backend, folder, launch, .. } = self;
        let launch = launch.context("a ceiling keeps nothing")?;
        process.terminate().await?;
        Ok(Stopped { launch, backend, folder, host: address.host })
    }
}
