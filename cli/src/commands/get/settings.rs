use muster_api::rest::SecretsSpec;
use serde_json::{Map, Value};

use super::print::{self, Item};
use super::{ConfigArgs, Format};
use crate::rest::Server;

/// What the server's own configuration sets, and `apply` cannot change.
const SERVER_SIDE: [&str; 4] = ["license", "logging", "update_interval", "vulnerabilities"];

pub async fn enroll_secret(server: &Server, format: Format) -> anyhow::Result<()> {
    let found: SecretsSpec = server.get("spec/enroll_secret").await?;
    print::items(&[Item::new("enroll_secret", &found.spec)?], format)
}

pub async fn config(server: &Server, args: ConfigArgs) -> anyhow::Result<()> {
    let mut found: Map<String, Value> = server.get("config").await?;
    if !args.include_server_config {
        found.retain(|key, _| !SERVER_SIDE.contains(&key.as_str()));
    }
    print::items(&[Item::new("config", &found)?], args.format)
}
