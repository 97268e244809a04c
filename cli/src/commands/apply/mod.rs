mod report;

use super::Session;
use super::send::{self, Deed, Files};
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
}

pub async fn run(session: &Session, args: Args) -> anyhow::Result<()> {
    let Some(documents) = args.files.read(Deed::Apply)? else {
        return Ok(());
    };
    let server = session.authenticated().await?;
    let applied = send::send(&server, Deed::Apply, &documents, args.files.dry_run).await?;
    output::data(&report::render(&applied))
}
