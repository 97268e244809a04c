//! Applies documents: all of them in one transaction, or none.

mod config;
mod labels;
pub(super) mod names;
mod packs;
mod parse;
mod queries;
mod secrets;
mod sizes;

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::rest::{Action, Applied, Change, FieldError};
use muster_api::spec::Kind;
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::{Value, json};

use self::parse::Located;
use super::access::{Permission, Principal};
use super::hosts::Hosts;
use super::schedule::Schedule;
use super::{Error, Problem, Result};
use crate::clock::{Clock, Moment};
use crate::store::{self, Store, WriteError, activities, generations};

/// Documents one apply may have.
const MAX_DOCUMENTS: usize = 20_000;

/// Applies documents.
#[derive(Debug)]
pub struct Applier {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
}

/// One apply under way.
struct Run<'a> {
    tx: &'a DatabaseTransaction,
    now: Moment,
    author_id: i64,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    changes: Vec<(usize, Change)>,
    /// Hosts whose labels change.
    touched_hosts: BTreeSet<i64>,
}

/// Why the transaction is not committed.
enum Stop {
    Failed(Error),
    DryRun(Outcome),
}

/// What a run has to tell.
struct Outcome {
    changes: Vec<(usize, Change)>,
    warnings: Vec<Problem>,
    touched_hosts: BTreeSet<i64>,
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl WriteError for Stop {
    fn is_lost_race(&self) -> bool {
        false
    }
}

impl Applier {
    pub fn new(store: Store, clock: Clock, schedule: Arc<Schedule>, hosts: Arc<Hosts>) -> Self {
        Self { store, clock, schedule, hosts }
    }

    /// Applies `documents`, or says what applying them would change.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem found, each under its path such as `documents[2].spec.name`; then nothing
    /// has changed. [`Error::Forbidden`] if any of the documents is not the caller's to change.
    pub async fn apply(&self, principal: &Principal, documents: &[Value], dry_run: bool) -> Result<Applied> {
        if documents.len() > MAX_DOCUMENTS {
            return Err(Error::invalid(
                "documents",
                format!("more than {MAX_DOCUMENTS} documents; apply them in parts"),
            ));
        }
        let located = parse::documents(documents)?;
        for document in &located {
            principal.may(permission(document.spec.kind()))?;
        }
        let now = self.clock.now();
        let assignments = self.hosts.assignments();
        let outcome = self
            .store
            .write_with(async |tx| -> std::result::Result<_, Stop> {
                let mut run = Run {
                    tx,
                    now,
                    author_id: principal.user.id,
                    problems: Vec::new(),
                    warnings: Vec::new(),
                    changes: Vec::new(),
                    touched_hosts: BTreeSet::new(),
                };
                run.all(&located).await?;
                if run.problems.is_empty() && run.has_changes() {
                    generations::bump(tx, generations::SCHEDULE).await?;
                    sizes::check(tx, &assignments, now, &mut run.problems).await?;
                    let details = json!({ "changes": run.changes.iter().map(|(_, change)| change).filter(|change| change.action != Action::Unchanged).collect::<Vec<_>>() });
                    activities::add(tx, now, &principal.actor(), "applied_documents", &details).await?;
                }
                if !run.problems.is_empty() {
                    return Err(Error::Invalid(run.problems).into());
                }
                let has_changes = run.has_changes();
                let outcome =
                    Outcome { changes: run.changes, warnings: run.warnings, touched_hosts: run.touched_hosts };
                if dry_run || !has_changes { Err(Stop::DryRun(outcome)) } else { Ok(outcome) }
            })
            .await;
        let outcome = match outcome {
            Ok(mut outcome) => {
                // The change is made; a memory that cannot follow now does so at the next refresh.
                if let Err(error) = self.catch_up(std::mem::take(&mut outcome.touched_hosts)).await {
                    tracing::warn!(%error, "applied documents take effect once the database answers again");
                }
                outcome
            }
            Err(Stop::DryRun(outcome)) => outcome,
            Err(Stop::Failed(error)) => return Err(error),
        };
        Ok(outcome.told(dry_run))
    }

    async fn catch_up(&self, touched_hosts: BTreeSet<i64>) -> Result<()> {
        self.schedule.refresh().await?;
        self.hosts.refresh(&touched_hosts.into_iter().collect::<Vec<_>>()).await
    }
}

impl Run<'_> {
    /// Queries before the packs that name them, labels before the packs that are targeted at them.
    async fn all(&mut self, documents: &[Located]) -> Result<()> {
        self.queries(documents).await?;
        self.labels(documents).await?;
        self.packs(documents).await?;
        self.config(documents).await?;
        self.secrets(documents).await
    }

    fn has_changes(&self) -> bool {
        self.changes.iter().any(|(_, change)| change.action != Action::Unchanged)
    }

    fn problem(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem::new(place, reason));
    }

    /// Notes what becomes of a document, by comparing what is there with what will be.
    fn note<T: Serialize>(&mut self, document: &Located, name: &str, old: Option<&T>, new: &T) -> Result<Action> {
        let (action, fields) = match old {
            None => (Action::Created, Vec::new()),
            Some(old) => {
                let fields = differing_fields(&to_value(old)?, &to_value(new)?);
                (if fields.is_empty() { Action::Unchanged } else { Action::Changed }, fields)
            }
        };
        let kind = document.spec.kind().as_str().to_owned();
        self.changes.push((document.index, Change { kind, name: name.to_owned(), action, fields }));
        Ok(action)
    }
}

fn permission(kind: Kind) -> Permission {
    match kind {
        Kind::Query | Kind::Pack | Kind::Label => Permission::WriteSchedule,
        Kind::Config | Kind::Options => Permission::WriteConfig,
        Kind::EnrollSecret => Permission::WriteSecrets,
    }
}

fn to_value(spec: &impl Serialize) -> Result<Value> {
    serde_json::to_value(spec).map_err(|error| Error::Internal(Box::new(error)))
}

/// Names of the members that are not the same in both.
fn differing_fields(old: &Value, new: &Value) -> Vec<String> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Vec::new() };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

impl Outcome {
    fn told(mut self, dry_run: bool) -> Applied {
        self.changes.sort_by_key(|(index, _)| *index);
        let warnings =
            self.warnings.into_iter().map(|warning| FieldError { name: warning.place, reason: warning.reason });
        Applied {
            dry_run,
            changes: self.changes.into_iter().map(|(_, change)| change).collect(),
            warnings: warnings.collect(),
        }
    }
}

/// The documents of one kind with their specs.
macro_rules! of_kind {
    ($documents:expr, $kind:ident) => {
        $documents.iter().filter_map(|document| match &document.spec {
            muster_api::spec::SpecDocument::$kind(spec) => Some((document, spec)),
            _ => None,
        })
    };
}
use of_kind;
