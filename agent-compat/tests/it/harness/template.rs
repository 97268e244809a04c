//! A server that was set up once, to be copied by every test.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use muster::config::Config;
use serde_json::json;
use tokio::sync::OnceCell;

use super::files;
use super::server::CompatServer;

/// The secret in the recorded enrollments.
pub const ENROLL_SECRET: &str = "enroll-secret-abc123";

/// The files of a server that has an administrator and one enroll secret.
#[derive(Debug)]
pub(crate) struct Template {
    database: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    pub(crate) token: String,
}

impl Template {
    pub(crate) async fn get() -> Result<&'static Self> {
        static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
        TEMPLATE.get_or_try_init(Self::make).await
    }

    async fn make() -> Result<Self> {
        let mut server = CompatServer::empty().await?;
        let admin = json!({ "admin": { "email": "admin@example.com", "password": "not a secret 1!" } });
        let done = server.operate("/api/v1/setup", &admin).await?;
        let token = done["token"].as_str().context("setting up gives a token")?.to_owned();
        server.set_token(&token);
        server.set_enroll_secrets(&[ENROLL_SECRET]).await?;
        server.stop().await?;
        let config = server.config();
        server.database()?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let (certificate, key) = tls_files(config);
        Ok(Self {
            database: files::read(&config.sqlite.path)?,
            certificate: files::read(&certificate)?,
            key: files::read(&key)?,
            token,
        })
    }

    /// Puts the files where a server with this configuration looks for them.
    pub(crate) fn write_to(&self, config: &Config) -> Result<()> {
        let (certificate, key) = tls_files(config);
        files::write(&config.sqlite.path, &self.database)?;
        files::write(&certificate, &self.certificate)?;
        files::write(&key, &self.key)
    }
}

fn tls_files(config: &Config) -> (PathBuf, PathBuf) {
    let folder: &Path = &config.server.tls_dir;
    (folder.join("server.crt"), folder.join("server.key"))
}
