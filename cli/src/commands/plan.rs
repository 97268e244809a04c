mod costs;
mod kept;

use std::fmt;

use muster_api::rest::Applied;

use super::ClientSession;
use super::apply::report;
use super::send::{self, FileArgs, SendWish, SpecOperation};
use super::try_out::{self, TryArgs};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Show what would change, on how many hosts and at what cost, and get an id for it
  fleetctl plan -f fleet-config/

  # Apply that, if it still changes the same
  fleetctl apply --plan 7

  # Show it again, and whether it is still good
  fleetctl plan show 7

  # Refuse files that would delete more than two objects
  fleetctl plan -f fleet-config/ --max-deletes 2

  # See what of the server no file names
  fleetctl plan -f fleet-config/ --delete-unnamed

  # Try each new query on two consenting hosts of each platform and osquery version first: exit code 1 if one fails
  fleetctl plan -f fleet-config/ --try 2 --try-label 'Query tests'

  # Find out whether somebody has changed the server beside the files: exit code 2
  fleetctl plan --drift -f fleet-config/";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    kept: Option<kept::Command>,
    #[command(flatten)]
    files: FileArgs,
    /// Also plan agent options in which the server finds mistakes
    #[arg(long)]
    force: bool,
    /// Refuse files that would delete more than N objects
    #[arg(long, value_name = "N")]
    max_deletes: Option<u64>,
    /// Also plan to delete the queries, packs, labels and schedule entries that no file names, and to reset agent options that none sets
    #[arg(long)]
    delete_unnamed: bool,
    /// Keep no plan; exit with code 2 if the server differs from the files
    #[arg(long, conflicts_with = "try_hosts")]
    drift: bool,
    #[command(flatten)]
    try_out: TryArgs,
}

/// The server is not as the files say.
#[derive(Debug)]
pub struct Drift(usize);

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = if self.0 == 1 { "object" } else { "objects" };
        write!(f, "{} {objects} of the server differ from the files", self.0)
    }
}

impl std::error::Error for Drift {}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    if let Some(command) = args.kept {
        return kept::run(session, command).await;
    }
    let Some(documents) = args.files.read(SpecOperation::Apply)? else {
        return Ok(());
    };
    let server = session.authenticated().await?;
    let Args { force, max_deletes, delete_unnamed, .. } = args;
    let wish = SendWish { dry_run: true, force, max_deletes, delete_unnamed };
    if args.drift {
        let applied = send::send(&server, SpecOperation::Apply, &documents, wish).await?;
        output::data(&report::render(&applied))?;
        let differing = applied.changes.iter().filter(|change| !report::is_without_effect(change.action)).count();
        return if differing == 0 { Ok(()) } else { Err(Drift(differing).into()) };
    }
    let plan = send::plan(&server, &documents, wish).await?;
    output::data(&render(&plan.applied))?;
    let until = plan.expires_at.format("%Y-%m-%d %H:%M UTC");
    output::data(&format!("plan {}, until {until}; apply it with: fleetctl apply --plan {}\n", plan.id, plan.id))?;
    try_out::of_plan(&server, &documents.to_json(), &plan.applied.changes, &args.try_out).await
}

/// What a plan changes, and what that is predicted to cost.
fn render(applied: &Applied) -> String {
    report::render(applied) + &applied.costs.as_ref().map(costs::render).unwrap_or_default()
}
