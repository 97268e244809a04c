//! What a node logs.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::asked::NodeArgs;
use super::facts::LogLevelNow;
use crate::commands::ClientSession;
use crate::commands::query::go_duration;
use crate::output;
use crate::rest::DebugAnswer;

pub const EXAMPLES: &str = "\
Examples:
  # Log more for ten minutes, then go back
  fleetctl debug log-level set info,sqlx=warn,rustls=debug --for 10m
  fleetctl debug log-level reset";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Show what the node logs
    #[command(after_help = example!("Show what the node logs, and for how long", "fleetctl debug log-level show"))]
    Show(NodeArgs),
    /// Change what the node logs; it goes back by itself
    #[command(after_help = example!("Log everything of the server itself for ten minutes", "fleetctl debug log-level set info,muster=debug --for 10m"))]
    Set(LogLevelArgs),
    /// Go back to what the configuration of the node says, within a second
    #[command(after_help = example!("Go back at once", "fleetctl debug log-level reset"))]
    Reset(NodeArgs),
}

/// The longest time for which the server changes what it logs.
const LONGEST: Duration = Duration::from_secs(86_400);

fn at_most_a_day(text: &str) -> Result<Duration, String> {
    match go_duration(text)? {
        lasts if lasts > LONGEST => Err("at most 1d".to_owned()),
        lasts => Ok(lasts),
    }
}

#[derive(clap::Args)]
pub struct LogLevelArgs {
    /// Level, or levels of parts: info,sqlx=warn,rustls=debug
    filter: String,
    /// Time after which the node goes back to its setting, at most 1d
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = at_most_a_day)]
    lasts: Duration,
    #[command(flatten)]
    node: NodeArgs,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    let answer = match command {
        Command::Show(node) => node.get(session, "log-level").await?,
        Command::Set(LogLevelArgs { filter, lasts, node }) => {
            change(session, &node, &filter, lasts.as_secs().max(1)).await?
        }
        Command::Reset(node) => {
            let now = node.get(session, "log-level").await?;
            let now: LogLevelNow =
                serde_json::from_slice(&now.bytes).context("cannot read the answer to debug/log-level")?;
            change(session, &node, &now.configured, 1).await?
        }
    };
    let level: Value = serde_json::from_slice(&answer.bytes).context("cannot read the answer to debug/log-level")?;
    let level = serde_json::to_string_pretty(&level).context("cannot print the answer")?;
    output::line(&level)
}

async fn change(session: &ClientSession, node: &NodeArgs, filter: &str, seconds: u64) -> anyhow::Result<DebugAnswer> {
    let body = json!({"filter": filter, "for_seconds": seconds});
    node.put(session, "log-level", body.to_string().into_bytes()).await
}
