mod report;

use super::ClientSession;
use super::send::{self, FileArgs, SpecOperation};
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let Some(documents) = args.files.read(SpecOperation::Apply)? else {
        return Ok(());
    };
    let server = session.authenticated().await?;
    let applied = send::send(&server, SpecOperation::Apply, &documents, args.files.dry_run).await?;
    output::data(&report::render(&applied))
}
