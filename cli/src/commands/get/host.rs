use anyhow::Context as _;
use muster_api::rest::{Explained, ExplainedQuery};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::HostArgs;
use super::print::{self, PrintedDocument};
use crate::commands::hosts::not_found;
use crate::rest::{RestClient, RestError, segment};
use crate::{output, table};

/// Keeps all fields that the server sends, also those that this version does not know.
#[derive(Deserialize)]
struct RawHostEnvelope {
    host: Map<String, Value>,
}

/// Prints a host with its effective configuration and schedule, or the schedule explained (`--why`).
pub async fn host(server: &RestClient, identifier: &str, args: &HostArgs) -> anyhow::Result<()> {
    if args.why {
        let explained = server.get(&config_path(identifier)).await;
        let explained: Explained = explained.map_err(|error| not_found(identifier, error))?;
        return why(&explained.schedule);
    }
    let found = server.get(&format!("hosts/identifier/{}", segment(identifier))).await;
    let RawHostEnvelope { mut host } = found.map_err(|error| not_found(identifier, error))?;
    match server.get::<Explained>(&config_path(identifier)).await {
        Ok(explained) => {
            let schedule = serde_json::to_value(explained.schedule).context("cannot print the response")?;
            host.insert("effective_config".to_owned(), explained.config);
            host.insert("config_hash".to_owned(), explained.config_hash.into());
            host.insert("schedule".to_owned(), schedule);
        }
        // Observers may not read the configuration, and older servers do not have the endpoint.
        Err(error @ (RestError::Forbidden(_) | RestError::NotFound(_))) => {
            output::note(&format!("effective configuration and schedule are not shown: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    print::items(&[PrintedDocument::new("host", &host)?], args.format)
}

fn config_path(identifier: &str) -> String {
    format!("hosts/identifier/{}/config", segment(identifier))
}

fn why(schedule: &[ExplainedQuery]) -> anyhow::Result<()> {
    if schedule.is_empty() {
        output::note("No queries scheduled");
        return Ok(());
    }
    let rows = schedule.iter().map(|query| {
        let runs = if query.runs { "yes" } else { "no" };
        vec![query.full_name.clone(), runs.to_owned(), query.reason.clone()]
    });
    output::data(&table::grid(&["Query", "Runs", "Why"], rows))
}
