//! The configuration of the organization and the options of agents.

use serde_json::{Map, Value, json};

use super::columns::source_row;
use super::{Error, FleetSource, Result};

source_row! {
    /// The configuration from 4.3 on.
    JsonConfig from "app_config_json" {
        json: String = need "json_value";
    }
}

source_row! {
    /// The configuration of older versions.
    ColumnConfig from "app_configs" {
        org_name: String = may "org_name";
        org_logo_url: String = may "org_logo_url";
        server_url: String = may "server_url" "kolide_server_url";
        agent_options: Option<String> = may "agent_options";
    }
}

source_row! {
    /// Options of agents of 3.x.
    OsqueryOptions from "osquery_options" {
        /// 0: of all agents, 1: of a platform.
        override_type: i64 = need "override_type";
        platform: String = need "override_identifier";
        options: String = need "options";
    }
}

/// What of the configuration comes along. Texts are empty if they are not set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetConfig {
    pub org_name: String,
    pub org_logo_url: String,
    pub server_url: String,
    /// As the key `agent_options` of a document.
    pub agent_options: Option<Value>,
}

impl FleetSource {
    /// # Errors
    /// [`Error::Corrupt`] if what should be JSON is none, and when the database does not answer.
    pub async fn config(&self) -> Result<FleetConfig> {
        if let Some(row) = self.rows::<JsonConfig>("TRUE", [], "1").await?.first() {
            let json = parsed("app_config_json", "json_value", &row.json)?;
            let text = |part: &str, key: &str| json[part][key].as_str().unwrap_or_default().to_owned();
            return Ok(FleetConfig {
                org_name: text("org_info", "org_name"),
                org_logo_url: text("org_info", "org_logo_url"),
                server_url: text("server_settings", "server_url"),
                agent_options: json.get("agent_options").filter(|options| options.is_object()).cloned(),
            });
        }
        let Some(row) = self.rows::<ColumnConfig>("TRUE", [], "1").await?.into_iter().next() else {
            return Ok(FleetConfig { agent_options: self.older_options().await?, ..FleetConfig::default() });
        };
        let agent_options = match &row.agent_options {
            Some(options) => Some(parsed("app_configs", "agent_options", options)?),
            None => self.older_options().await?,
        };
        Ok(FleetConfig {
            org_name: row.org_name,
            org_logo_url: row.org_logo_url,
            server_url: row.server_url,
            agent_options: agent_options.filter(Value::is_object),
        })
    }

    async fn older_options(&self) -> Result<Option<Value>> {
        let rows: Vec<OsqueryOptions> = self.rows("TRUE", [], "`id`").await?;
        let (mut config, mut platforms) = (None, Map::new());
        for row in rows {
            let options = parsed("osquery_options", &row.platform, &row.options)?;
            match row.override_type {
                0 => config = Some(options),
                _ => drop(platforms.insert(row.platform, options)),
            }
        }
        Ok(config.map(|config| match platforms.is_empty() {
            true => json!({ "config": config }),
            false => json!({ "config": config, "overrides": { "platforms": platforms } }),
        }))
    }
}

fn parsed(table: &'static str, key: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt { table, key: key.to_owned(), reason: error.to_string() })
}
