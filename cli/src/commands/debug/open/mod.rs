//! `fleetctl debug open`: what an archive shows, without the server it comes from.

mod findings;
mod frames;
mod pprof;
mod reader;
mod summary;

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use self::summary::Summary;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Say what is slow, blocked, failing or full
  fleetctl debug open fleet-profiles-archive-20260801120000Z.tar.gz

  # The same for a script
  fleetctl debug open trouble.tar.gz --json | jq '.findings[] | select(.gravity == \"problem\")'";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Archive to read: one of `fleetctl debug archive`, also of Fleet's; nothing is unpacked to disk
    archive: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let contents = reader::read(&args.archive, reader::LIMITS)?;
    let summary = Summary::of(&args.archive, &contents);
    if args.json {
        output::line(&serde_json::to_string_pretty(&summary).context("cannot print the summary")?)?;
    } else {
        output::data(&output::printable(&summary.text()))?;
    }
    match summary.faults.len() {
        0 => Ok(()),
        1 => bail!("the archive has a fault; what it shows may be wrong or incomplete"),
        faults => bail!("the archive has {faults} faults; what it shows may be wrong or incomplete"),
    }
}
