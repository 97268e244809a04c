//! What a node logs.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::asked::{ANSWER_TIME, NodeArgs};
use crate::commands::ClientSession;
use crate::commands::query::go_duration;
use crate::output;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Show what the node logs
    Show(NodeArgs),
    /// Change what the node logs; it goes back by itself
    Set(LogLevelArgs),
}

#[derive(clap::Args)]
pub struct LogLevelArgs {
    /// Level, or levels of parts: info,muster::fleet::live=debug
    filter: String,
    /// Time after which the node goes back to its setting
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = go_duration)]
    lasts: Duration,
    #[command(flatten)]
    node: NodeArgs,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    let answer = match command {
        Command::Show(node) => node.get(session, "log-level").await?,
        Command::Set(LogLevelArgs { filter, lasts, node }) => {
            let body = json!({"filter": filter, "for_seconds": lasts.as_secs().max(1)});
            node.connection(session)?.put("log-level", body.to_string().into_bytes(), ANSWER_TIME).await?
        }
    };
    let level: Value = serde_json::from_slice(&answer.bytes).context("cannot read the answer to debug/log-level")?;
    let level = serde_json::to_string_pretty(&level).context("cannot print the answer")?;
    output::line(&level)
}
