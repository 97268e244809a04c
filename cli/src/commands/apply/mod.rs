mod files;
mod report;

use std::path::PathBuf;

use anyhow::bail;
use muster_api::rest::{Applied, Apply};

use super::Session;
use crate::documents::{Documents, Problem};
use crate::output;
use crate::rest::{RestError, Server};

#[derive(clap::Args)]
pub struct Args {
    /// File, folder, or - for standard input; may be given more than once
    #[arg(short = 'f', value_name = "FILE", env = "FILENAME")]
    files: Vec<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(session: &Session, args: Args) -> anyhow::Result<()> {
    if args.files.is_empty() {
        bail!("-f must be specified; name a YAML file, a folder of them, or - for standard input");
    }
    let mut documents = Documents::default();
    let mut problems = Vec::new();
    for (name, text) in files::read(&args.files)? {
        if let Err(found) = documents.add(&name, text) {
            problems.extend(found);
        }
    }
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    if documents.is_empty() {
        output::note("no documents found, nothing to apply");
        return Ok(());
    }
    let server = session.authenticated().await?;
    let applied = apply(&server, &documents, args.dry_run).await?;
    output::data(&report::render(&applied))
}

/// Has the server apply all documents or none. What it finds wrong is shown where it was written.
pub async fn apply(server: &Server, documents: &Documents, dry_run: bool) -> anyhow::Result<Applied> {
    let body = Apply { documents: documents.to_json(), dry_run };
    let errors = match server.post("spec/apply", &body).await {
        Ok(applied) => return Ok(applied),
        Err(RestError::Invalid(errors)) => errors,
        Err(error) => return Err(error.into()),
    };
    let errors: Vec<_> = errors.iter().map(|error| (error.name.as_str(), error.reason.as_str())).collect();
    Err(refused(&documents.problems(&errors)))
}

/// Shows problems, and sums them up.
pub fn refused(problems: &[Problem]) -> anyhow::Error {
    for problem in problems {
        output::note(&problem.to_string());
    }
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    anyhow::anyhow!("{} {noun}, nothing was applied", problems.len())
}
