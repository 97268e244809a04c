pub mod report;

use anyhow::bail;

use super::ClientSession;
use super::send::{self, FileArgs, SendWish, SpecOperation};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Apply all YAML files of a directory
  fleetctl apply -f fleet-config/

  # Show what would change, and on how many hosts
  fleetctl apply -f packs.yml --dry-run

  # Make the server hold what the files say and nothing else, but delete no more than 5 objects
  fleetctl apply -f fleet-config/ --delete-unnamed --max-deletes 5

  # Apply what was planned, if it still changes the same
  fleetctl apply --plan 7

  # Apply a repository for Fleet's GitOps
  fleetctl apply -f default.yml -f teams/

  # Copy packs and their queries to another server
  fleetctl get packs --with-queries --yaml | fleetctl apply --context other -f -";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// Show what would change, field by field, and on how many hosts, without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Also apply agent options in which the server finds mistakes
    #[arg(long)]
    force: bool,
    /// Apply a plan of `fleetctl plan` instead of files, if it still changes the same
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "force"])]
    plan: Option<i64>,
    /// Change nothing if more than N objects would be deleted
    #[arg(long, value_name = "N")]
    max_deletes: Option<u64>,
    /// Also delete the queries, packs, labels and schedule entries that no file names, and reset agent options that none sets
    #[arg(long, conflicts_with = "plan")]
    delete_unnamed: bool,
    /// Refused: there are no teams
    #[arg(long, hide = true, value_name = "NAME")]
    team: Option<String>,
    /// Refused: there are no teams and no policies
    #[arg(long, hide = true, value_name = "NAME")]
    policies_team: Option<String>,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    if let Some(team) = args.team.or(args.policies_team) {
        bail!(
            "there are no teams: apply without --team, make a label of the hosts of {team:?}, and put what they run into a \
             pack with that label in targets.labels"
        );
    }
    let Args { dry_run, force, max_deletes, delete_unnamed, .. } = args;
    let wish = SendWish { dry_run, force, max_deletes, delete_unnamed };
    if let Some(id) = args.plan {
        let server = session.authenticated().await?;
        let applied = send::apply_plan(&server, id, wish).await?;
        return output::data(&report::render(&applied));
    }
    let Some(documents) = args.files.read(SpecOperation::Apply)? else {
        return Ok(());
    };
    let server = session.authenticated().await?;
    let applied = send::send(&server, SpecOperation::Apply, &documents, wish).await?;
    output::data(&report::render(&applied))
}
