//! `fleetctl approve`: a second person for SQL that the table guard lets through only then.

use clap::Subcommand;
use muster_api::rest::{Approval, ApprovalEnvelope, ApprovalList, ApprovalState};
use serde_json::json;

use super::ClientSession;
use super::get::ReportFormat;
use crate::rest::{RestClient, segment};
use crate::{output, table};

pub const EXAMPLES: &str = "\
Examples:
  # Show what waits for somebody else
  fleetctl approve list

  # Approve a request of somebody else, who may ask for a day then
  fleetctl approve grant 3fa9c01b22de";

#[derive(Subcommand)]
pub enum Command {
    /// List the requests of the last day, with their SQL
    #[command(after_help = example!("Show what waits for somebody else", "fleetctl approve list"))]
    List(ReportFormat),
    /// Approve a request of somebody else
    #[command(after_help = example!("Approve a request that a colleague has told of", "fleetctl approve grant 3fa9c01b22de"))]
    Grant(DecideArgs),
    /// Deny a request of somebody else
    #[command(after_help = example!("Deny a request that nobody has told of", "fleetctl approve deny 3fa9c01b22de"))]
    Deny(DecideArgs),
}

#[derive(clap::Args)]
pub struct DecideArgs {
    /// The key of the request, as the refusal and the list show it
    #[arg(value_name = "KEY")]
    key: String,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    match command {
        Command::List(format) => list(&server, format).await,
        Command::Grant(args) => decide(&server, &args.key, "grant").await,
        Command::Deny(args) => decide(&server, &args.key, "deny").await,
    }
}

async fn list(server: &RestClient, format: ReportFormat) -> anyhow::Result<()> {
    let found = server.get::<ApprovalList>("approvals").await?.approvals;
    if format.printed(&found)? {
        return Ok(());
    }
    if found.is_empty() {
        output::note("Nothing waits for a second person");
        return Ok(());
    }
    let rows = found.iter().map(|approval| {
        vec![
            approval.key.clone(),
            state(approval).to_owned(),
            output::printable(&approval.asked_by),
            approval.sql_use.clone(),
            approval.expires_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            output::printable(&approval.rules.join(", ")),
            output::printable(approval.decided_by.as_deref().unwrap_or_default()),
            output::printable(&approval.query),
        ]
    });
    output::data(&table::grid(&["key", "state", "asked_by", "use", "expires_at", "rules", "decided_by", "query"], rows))
}

async fn decide(server: &RestClient, key: &str, verdict: &str) -> anyhow::Result<()> {
    let path = format!("approvals/{}/{verdict}", segment(key));
    let done: ApprovalEnvelope = server.post(&path, &json!({})).await?;
    let Approval { key, asked_by, expires_at, .. } = &done.approval;
    let until = expires_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let asked_by = output::printable(asked_by);
    match done.approval.state {
        ApprovalState::Granted => output::note(&format!(
            "Granted {key}: the table guard lets {asked_by} use this SQL until {until}; read-only servers and change freezes still \
             refuse what they refuse"
        )),
        ApprovalState::Denied | ApprovalState::Open => output::note(&format!("Denied {key} of {asked_by}")),
    }
    Ok(())
}

fn state(approval: &Approval) -> &'static str {
    match approval.state {
        ApprovalState::Open => "open",
        ApprovalState::Granted => "granted",
        ApprovalState::Denied => "denied",
    }
}
