use anyhow::bail;
use muster_api::rest::{GlobalScheduleDocument, OptionsSpec, SecretsSpec};
use serde_json::{Map, Value};

use super::print::{self, PrintedDocument};
use super::{ConfigArgs, DocumentFormat, SecretArgs};
use crate::output;
use crate::rest::RestClient;

/// Keys that come from the server's configuration file; `apply` cannot change them.
const SERVER_SIDE: [&str; 4] = ["license", "logging", "update_interval", "vulnerabilities"];

pub async fn enroll_secret(server: &RestClient, args: SecretArgs) -> anyhow::Result<()> {
    let found: SecretsSpec = server.get("spec/enroll_secret").await?;
    if !args.plain {
        args.format.only_documents("enroll_secret")?;
        return print::items(&[PrintedDocument::new("enroll_secret", &found.spec)?], args.format);
    }
    // Any secret that is good will do; the newest is the one that stays when secrets are changed over.
    let now = std::time::SystemTime::now().into();
    match found.spec.secrets.iter().filter(|secret| secret.admits(now)).max_by_key(|secret| secret.created_at) {
        Some(newest) => output::line(&newest.secret),
        None if !found.spec.secrets.is_empty() => {
            bail!("each enroll secret has expired or is used up; apply another, or change its expires_at or quota")
        }
        None => bail!("there is no enroll secret; apply one as a document of kind enroll_secret"),
    }
}

pub async fn options(server: &RestClient, format: DocumentFormat) -> anyhow::Result<()> {
    format.only_documents("options")?;
    let found: OptionsSpec = server.get("spec/osquery_options").await?;
    print::items(&[PrintedDocument::new("options", &found.spec)?], format)
}

pub async fn global_schedule(server: &RestClient, format: DocumentFormat) -> anyhow::Result<()> {
    format.only_documents("global_schedule")?;
    let found: GlobalScheduleDocument = server.get("spec/global_schedule").await?;
    print::items(&[PrintedDocument::new("global_schedule", &found.spec)?], format)
}

pub async fn config(server: &RestClient, args: ConfigArgs) -> anyhow::Result<()> {
    args.format.only_documents("config")?;
    let mut found: Map<String, Value> = server.get("config").await?;
    if !args.include_server_config {
        found.retain(|key, _| !SERVER_SIDE.contains(&key.as_str()));
    }
    print::items(&[PrintedDocument::new("config", &found)?], args.format)
}
