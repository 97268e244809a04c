//! Shared by `apply` and `delete`: read documents from files and send them in one request.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use muster_api::documents::YAML_ENDINGS;
use muster_api::rest::{Applied, Apply, ApplyPlan, ApplyPlanEnvelope, FieldError, NewPlan};

use crate::documents::{DocumentProblem, Documents, Gathered};
use crate::files::Here;
use crate::rest::{RestClient, RestError};
use crate::{files, output};

#[derive(clap::Args)]
pub struct FileArgs {
    /// YAML file, directory of YAML files, or - for standard input; can be repeated
    #[arg(short = 'f', value_name = "FILE", env = "FILENAME", hide_env_values = true)]
    files: Vec<PathBuf>,
}

/// The operation of the server on the documents.
#[derive(Clone, Copy)]
pub enum SpecOperation {
    Apply,
    Delete,
}

/// How the operation is to be done.
#[derive(Clone, Copy, Default)]
pub struct SendWish {
    /// Only tell what would change.
    pub dry_run: bool,
    /// Take agent options with mistakes.
    pub force: bool,
    /// Refuse to delete more objects than that.
    pub max_deletes: Option<u64>,
    /// Delete what no document names.
    pub delete_unnamed: bool,
}

impl SpecOperation {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }

    pub fn done(self) -> &'static str {
        match self {
            Self::Apply => "applied",
            Self::Delete => "deleted",
        }
    }
}

impl FileArgs {
    pub fn are_given(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads all documents for an operation. Prints a note and returns `None` if there are none.
    pub fn read(&self, operation: SpecOperation) -> anyhow::Result<Option<Documents>> {
        let documents = self.documents(operation.done())?;
        if documents.is_empty() {
            output::note(&format!("no documents found, nothing to {}", operation.word()));
            return Ok(None);
        }
        Ok(Some(documents))
    }

    /// Reads all documents, of which there may be none.
    ///
    /// # Errors
    /// When any cannot be read: all problems are printed, and the error says that nothing was `done`.
    pub fn documents(&self, done: &str) -> anyhow::Result<Documents> {
        if self.files.is_empty() {
            bail!("-f must be specified: a YAML file, a directory of YAML files, or - for standard input");
        }
        let mut documents = Documents::default();
        let read = files::read(&self.files, &YAML_ENDINGS)?;
        read.note_skipped(&YAML_ENDINGS);
        let Gathered { mut problems, unused } = documents.add_all(read.texts, &Here);
        files::note_skipped(&unused, "they are no documents, and no file of Fleet's GitOps refers to them");
        problems.extend(read.unread.iter().map(|error| DocumentProblem::general(format!("{error:#}"))));
        if !problems.is_empty() {
            // The server checks what belongs together, so it is asked only when everything is there.
            let error = refused(&problems, done);
            return Err(anyhow!("{error}; there may be more, because the rest is checked once all files can be read"));
        }
        Ok(documents)
    }
}

/// Sends all documents in one request; the server applies all of them or none. Prints warnings with their file and line.
pub async fn send(
    server: &RestClient,
    operation: SpecOperation,
    documents: &Documents,
    wish: SendWish,
) -> anyhow::Result<Applied> {
    let SendWish { dry_run, force, max_deletes, delete_unnamed } = wish;
    let body = Apply { documents: documents.to_json(), plan: None, max_deletes, dry_run, force, delete_unnamed };
    let answer = server.post::<_, Applied>(&format!("spec/{}", operation.word()), &body).await;
    let applied = answer.map_err(|error| not_sent(documents, error, operation.done()))?;
    warn(documents, &applied.warnings);
    Ok(applied)
}

/// Has the server keep what an apply would change. Prints warnings with their file and line.
pub async fn plan(server: &RestClient, documents: &Documents, wish: SendWish) -> anyhow::Result<ApplyPlan> {
    let SendWish { force, max_deletes, delete_unnamed, .. } = wish;
    let body = NewPlan { documents: documents.to_json(), force, max_deletes, delete_unnamed };
    let answer = server.post::<_, ApplyPlanEnvelope>("spec/plan", &body).await;
    let plan = answer.map_err(|error| not_sent(documents, error, "planned"))?.plan;
    warn(documents, &plan.applied.warnings);
    Ok(plan)
}

/// Applies a plan, whose documents the server has.
pub async fn apply_plan(server: &RestClient, id: i64, wish: SendWish) -> anyhow::Result<Applied> {
    let SendWish { dry_run, force, max_deletes, .. } = wish;
    let body = Apply { plan: Some(id), max_deletes, dry_run, force, ..Apply::default() };
    let answer = server.post::<_, Applied>("spec/apply", &body).await;
    let none = Documents::default();
    let applied = answer.map_err(|error| not_sent(&none, error, "applied"))?;
    warn(&none, &applied.warnings);
    Ok(applied)
}

fn warn(documents: &Documents, warnings: &[FieldError]) {
    for problem in located(documents, warnings) {
        output::note(&problem.into_warning().to_string());
    }
}

/// Prints the problems with their file and line, if it is they that the server has refused.
fn not_sent(documents: &Documents, error: RestError, done: &str) -> anyhow::Error {
    match error {
        RestError::Invalid(errors) => refused(&located(documents, &errors), done),
        error => error.into(),
    }
}

fn located(documents: &Documents, errors: &[FieldError]) -> Vec<DocumentProblem> {
    let errors: Vec<_> = errors.iter().map(|error| (error.name.as_str(), error.reason.as_str())).collect();
    documents.problems(&errors)
}

/// Prints all problems and returns an error that counts them and says that nothing was `done`.
pub fn refused(problems: &[DocumentProblem], done: &str) -> anyhow::Error {
    for problem in problems {
        output::note(&problem.to_string());
    }
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    anyhow!("{} {noun}, nothing was {done}", problems.len())
}
