//! `fleetctl profile`: what queries cost on this machine, before a fleet runs them.

mod levels;
mod osqueryi;
mod plan;
mod shown;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use muster_api::rest::FleetQueryCost;
use serde::Serialize;
use serde_json::Value;

use self::levels::Levels;
use self::osqueryi::{Osqueryi, RunCost};
use super::send::FileArgs;
use super::{ClientSession, costs};
use crate::args::Globals;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Measure the queries of a pack, and say which of them read more than they need
  fleetctl profile -f packs/base.yml

  # Measure one query ten times
  fleetctl profile --query 'select * from processes' --runs 10

  # Show beside it what the fleet has measured
  fleetctl profile -f packs/base.yml --compare";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// SQL to measure
    #[arg(long, value_name = "SQL")]
    query: Option<String>,
    /// Runs of each query, each in a process of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    runs: u8,
    /// Program to measure with: osqueryi, or osqueryd -S
    #[arg(long, value_name = "PATH", default_value = "osqueryi")]
    osqueryi: PathBuf,
    /// Seconds after which a run is broken off
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout: u16,
    /// Show beside it what the fleet has measured
    #[arg(long)]
    compare: bool,
    /// Print one JSON object for each query
    #[arg(long)]
    json: bool,
}

/// A query to measure.
struct NamedQuery {
    name: String,
    sql: String,
}

/// What a query costs on this machine.
#[derive(Debug, Serialize)]
struct Profile {
    name: String,
    query: String,
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The median of its runs, by CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<RunCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Levels>,
    runs: usize,
    /// What the query plan says that its author may want to know.
    remarks: Vec<String>,
    /// What the fleet has measured, of the schedule that costs most.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<FleetQueryCost>,
}

pub async fn run(globals: &Globals, args: Args) -> anyhow::Result<()> {
    let queries = queries(&args)?;
    let fleet = match args.compare {
        true => costs::of_fleet(&ClientSession::open(globals)?.authenticated().await?).await?.queries,
        false => Vec::new(),
    };
    let osqueryi = Osqueryi::find(&args.osqueryi, Duration::from_secs(args.timeout.into())).await?;
    let mut failed = 0;
    for query in queries {
        let mut profile = measure(&osqueryi, query, args.runs).await;
        profile.fleet = fleet.iter().find(|known| known.name == profile.name).cloned();
        failed += usize::from(profile.error.is_some());
        if args.json {
            output::line(&serde_json::to_string(&profile).context("cannot print the profile")?)?;
        } else {
            output::data(&shown::text(&profile, args.compare))?;
        }
    }
    if failed > 0 {
        bail!("{failed} {} not be measured", if failed == 1 { "query could" } else { "queries could" });
    }
    Ok(())
}

/// The queries of the files and of the command line.
fn queries(args: &Args) -> anyhow::Result<Vec<NamedQuery>> {
    let mut queries: Vec<NamedQuery> =
        args.query.iter().map(|sql| NamedQuery { name: "--query".to_owned(), sql: sql.clone() }).collect();
    if args.query.is_none() || args.files.are_given() {
        queries.extend(args.files.documents("measured")?.to_json().iter().filter_map(query_of));
    }
    if queries.is_empty() {
        bail!("the files hold no documents of kind query; convert osquery packs with: fleetctl convert");
    }
    Ok(queries)
}

fn query_of(document: &Value) -> Option<NamedQuery> {
    let spec = document.get("spec").filter(|_| document["kind"] == "query")?;
    Some(NamedQuery { name: spec["name"].as_str()?.to_owned(), sql: spec["query"].as_str()?.to_owned() })
}

async fn measure(osqueryi: &Osqueryi, NamedQuery { name, sql }: NamedQuery, runs: u8) -> Profile {
    let mut costs = Vec::new();
    let mut error = None;
    for _ in 0..runs {
        match osqueryi.run(&sql).await {
            Ok(cost) => costs.push(cost),
            Err(failed) => {
                error = Some(format!("{failed:#}"));
                break;
            }
        }
    }
    costs.sort_by(|one, other| one.cpu_ms.total_cmp(&other.cpu_ms));
    let runs = costs.len();
    let cost = costs.into_iter().nth(runs / 2).filter(|_| error.is_none());
    let remarks = match error.is_some() {
        true => Vec::new(),
        // The plan only adds remarks; without one there are none.
        false => osqueryi.plan(&sql).await.map(|details| plan::remarks(&details)).unwrap_or_default(),
    };
    Profile { name, query: sql, error, levels: cost.as_ref().map(Levels::of), cost, runs, remarks, fleet: None }
}
