mod report;

use super::ClientSession;
use super::send::{self, FileArgs, SpecOperation};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Apply all YAML files of a directory
  fleetctl apply -f fleet-config/

  # Show what would change
  fleetctl apply -f packs.yml --dry-run

  # Copy packs and their queries to another server
  fleetctl get packs --with-queries --yaml | fleetctl apply --context other -f -";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// Show what would change without changing anything
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let Some(documents) = args.files.read(SpecOperation::Apply)? else {
        return Ok(());
    };
    let server = session.authenticated().await?;
    let applied = send::send(&server, SpecOperation::Apply, &documents, args.dry_run).await?;
    output::data(&report::render(&applied))
}
