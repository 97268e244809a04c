//! A server or a ceiling under measurement, with its address, metrics and CPU time.

mod launch;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::launch::Launch;
pub use self::launch::Stopped;
pub use self::snapshot::Snapshot;
use crate::backend::Backend;
use crate::http::Address;
use crate::process::{Cores, Process};
use crate::{folder, proc};

/// The operator the bench makes on each server.
pub const EMAIL: &str = "bench@example.com";
pub const PASSWORD: &str = "correct horse battery 1!";

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub muster: PathBuf,
    pub ceiling: PathBuf,
    pub loadtest: PathBuf,
}

/// Kind of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionMode {
    BalancedTls,
    BalancedPlain,
    DirectTls,
}

impl ConnectionMode {
    pub fn title(self) -> &'static str {
        match self {
            Self::BalancedTls => "balanced, TLS",
            Self::BalancedPlain => "balanced, plain",
            Self::DirectTls => "direct, TLS",
        }
    }

    pub fn is_tls(self) -> bool {
        self != Self::BalancedPlain
    }

    /// A connection for every request uses up the ports of one address.
    pub fn source_addresses(self) -> u32 {
        if self.is_direct() { 8 } else { 1 }
    }

    pub fn is_direct(self) -> bool {
        self == Self::DirectTls
    }
}

/// A running server or ceiling.
pub struct Subject {
    pub process: Process,
    pub address: Address,
    pub mode: ConnectionMode,
    backend: Option<Backend>,
    folder: TempDir,
    /// How it is started again; a ceiling is not.
    launch: Option<Launch>,
}

impl Subject {
    /// A ceiling that answers with the constants of `answers`, with the certificate of a server. It has questions at
    /// every read if `asks`, and none otherwise.
    pub async fn ceiling(
        programs: &Programs,
        mode: ConnectionMode,
        cores: Cores,
        answers: &ServerAnswers,
        asks: bool,
    ) -> Result<Self> {
        let folder = folder::new()?;
        let put = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes)?;
            Ok(path)
        };
        let ca = put("server.crt", &answers.cert)?;
        let key = put("server.key", &answers.key)?;
        let mut words = vec![
            programs.ceiling.display().to_string(),
            "--until-stdin-closes".to_owned(),
            format!("--log-file={}", folder.path().join("results").display()),
            format!("--config-answer={}", put("config.json", &answers.config)?.display()),
        ];
        if asks {
            words.push(format!("--read-answer={}", put("read.json", &answers.read)?.display()));
        }
        if mode.is_tls() {
            words.extend([format!("--cert={}", ca.display()), format!("--key={}", key.display())]);
        }
        if cores == Cores::All {
            words.push(format!("--workers={}", proc::cores()));
        }
        if mode.is_direct() {
            words.push("--close".to_owned());
        }
        let mut process = Process::start("ceiling", &words, cores, folder.path())?;
        let host = process.says("listening on ").await?;
        let address = Address::new(&host, mode.is_tls().then_some(ca.as_path()))?;
        Ok(Self { process, address, mode, backend: None, folder, launch: None })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Flags with which loadtest reaches it.
    pub fn target(&self) -> Vec<String> {
        let mut flags = vec![format!("--server={}", self.address.url())];
        if self.mode.is_tls() {
            // Verifying costs the generator more than the handshake costs the server, and is not what is measured.
            flags.push("--insecure".to_owned());
        }
        flags.push(format!("--mode={}", if self.mode.is_direct() { "direct" } else { "balanced" }));
        flags
    }

    /// Numbers first, CPU time last.
    pub async fn open(&self) -> Result<Snapshot> {
        let numbers = self.numbers().await?;
        Ok(Snapshot { cpu_us: self.cpu_us()?, database_cpu_us: self.database_cpu_us()?, numbers })
    }

    /// CPU time first, numbers last, so that what asking for them costs is outside.
    pub async fn close(&self) -> Result<Snapshot> {
        let (cpu_us, database_cpu_us) = (self.cpu_us()?, self.database_cpu_us()?);
        Ok(Snapshot { cpu_us, database_cpu_us, numbers: self.numbers().await? })
    }

    fn cpu_us(&self) -> Result<u64> {
        proc::cpu_us(self.process.pid)
    }

    fn database_cpu_us(&self) -> Result<Option<u64>> {
        self.backend.as_ref().and_then(Backend::database_pid).map(proc::cpu_us).transpose()
    }

    async fn numbers(&self) -> Result<BTreeMap<String, f64>> {
        let text = String::from_utf8(self.address.ask("GET", "/metrics", None, "").await?)?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// Makes the operator and returns the enroll secret.
    pub async fn set_up(&self) -> Result<String> {
        let body = json!({
            "admin": { "email": EMAIL, "name": "Bench", "password": PASSWORD },
            "org_info": { "org_name": "Bench" },
            "server_url": self.address.url(),
        });
        let done = self.address.ask("POST", "/api/v1/setup", None, &body.to_string()).await?;
        let done: Value = serde_json::from_slice(&done)?;
        let token = done["token"].as_str().context("setting up gave no token")?;
        let secrets = self.address.ask("GET", "/api/v1/fleet/spec/enroll_secret", Some(token), "").await?;
        let secrets: Value = serde_json::from_slice(&secrets)?;
        let secret = secrets["spec"]["secrets"][0]["secret"].as_str().context("the server has no enroll secret")?;
        Ok(secret.to_owned())
    }

    pub async fn stop(self) -> Result<()> {
        self.process.stop().await?;
        match self.backend {
            Some(backend) => backend.stop().await,
            None => Ok(()),
        }
    }
}

impl Cores {
    /// Where the server runs: alone on the first core, if the machine has more than one.
    pub fn server() -> Self {
        if proc::cores() > 1 { Self::Only(0) } else { Self::All }
    }

    /// Where the load comes from.
    pub fn generator() -> Self {
        if proc::cores() > 1 { Self::Only(1) } else { Self::All }
    }
}

/// Answers of a real server, for the ceiling to repeat, with the certificate and key of that server.
pub struct ServerAnswers {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
    pub config: Vec<u8>,
    pub read: Vec<u8>,
}
