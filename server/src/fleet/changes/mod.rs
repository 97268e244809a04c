//! The one way to change what hosts run.
//!
//! A change is one transaction. It moves the generation on first, which makes changes on all nodes wait for each other,
//! then writes, then reads the plan as it will be and refuses what agents could not load, and then adds the activity.
//! Once it is committed, that plan becomes the current one of this node; other nodes are notified and load theirs. A
//! dry run does the same and rolls back; it publishes nothing, and neither does an attempt that is rolled back and
//! retried.

mod burdens;
mod fields;
mod objects;
mod predicted;
mod rollouts;
mod sizes;
mod touched;

pub use fields::{ChangedFields, FieldChange, content_mark};
use objects::SavedSql;
pub use objects::{ObjectChange, ObjectChanges, ObjectKind};
pub use touched::Touched;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::access::{Permission, Principal};
use super::guard::{DocumentPaths, GuardedSql, TableGuard, Verdict, Views, views_of};
use super::hosts::{Hosts, LabelMoves};
use super::schedule::{BuiltInOptions, Plan, Schedule};
use super::statistics::Statistics;
use super::{Error, Problem, Result};
use crate::bus::{ChangeEvent, Notifier};
use crate::clock::{Clock, Moment};
use crate::lock::lock;
use crate::store::{self, Store, WriteError, activities, feed, generations, object_changes};

/// Makes changes: each in one transaction with its activity and the next generation. The memory of this node has the
/// change when it returns.
#[derive(Debug, Clone)]
pub struct Changes {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
    notifier: Arc<dyn Notifier>,
    statistics: Arc<Statistics>,
    guard: Arc<TableGuard>,
}

/// A change under way, inside its transaction.
pub struct Draft<'a> {
    pub tx: &'a store::Tx,
    pub now: Moment,
    /// Hosts whose labels change.
    pub touched_hosts: BTreeSet<i64>,
    /// How they change, as far as it is to be counted whose config that changes.
    pub label_moves: LabelMoves,
    /// Labels that are deleted.
    pub dropped_labels: BTreeSet<i64>,
    /// What the activity changes in objects, field by field.
    pub objects: ObjectChanges,
    /// Where the objects stand in what was sent.
    pub(in crate::fleet) paths: DocumentPaths,
    /// Whether it takes hosts back to what they were served before, which no check may stand in the way of.
    pub is_undoing: bool,
    /// Whether the table guard has looked at all that changes before.
    pub is_judged: bool,
    activity: Option<(&'static str, Value)>,
}

impl Draft<'_> {
    /// Records the activity. A draft without one is rolled back.
    pub fn record(&mut self, kind: &'static str, details: Value) {
        self.activity = Some((kind, details));
    }
}

/// Why the transaction is not committed.
enum Stop<T> {
    Failed(Error),
    /// There was nothing to change, or it was a dry run of something.
    Undone(Attempted<T>),
    /// The table guard has to look at this SQL first.
    Unjudged(Vec<Views>, Vec<GuardedSql>),
}

/// How often a change is tried again because SQL in it has to be looked at, or because something else that it is judged by has changed
/// meanwhile.
const JUDGED_AGAIN: usize = 4;

/// What became of a change.
struct Attempted<T> {
    value: T,
    dry: Option<Box<DryRun>>,
    /// What the table guard says of it.
    warnings: Vec<Problem>,
}

/// What came of one try.
enum DraftOutcome<T> {
    Done(Attempted<T>),
    /// Nothing was changed: the table guard has to look at this SQL first.
    Unjudged(Vec<Views>, Vec<GuardedSql>),
}

/// What a dry run would have changed.
struct DryRun {
    plan: Plan,
    label_moves: LabelMoves,
}

impl<T> From<store::Error> for Stop<T> {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<T> From<Error> for Stop<T> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<T> WriteError for Stop<T> {}

impl Changes {
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub fn new(
        store: Store,
        clock: Clock,
        schedule: Arc<Schedule>,
        hosts: Arc<Hosts>,
        notifier: Arc<dyn Notifier>,
        statistics: Arc<Statistics>,
        guard: Arc<TableGuard>,
    ) -> Self {
        Self { store, clock, schedule, hosts, notifier, statistics, guard }
    }

    /// Judges SQL that is not changed now, or that will be.
    ///
    /// # Errors
    /// As for [`TableGuard::judge`].
    pub(super) async fn judge(&self, principal: &Principal, asked: Vec<GuardedSql>) -> Result<Vec<Problem>> {
        Ok(self.guard.judge(principal, views_of(&self.schedule.plan()), asked, true).await?.into_said()?.warnings)
    }

    pub(super) fn built_in_options(&self) -> &BuiltInOptions {
        self.schedule.built_in()
    }

    /// What queries cost, to be shown with them.
    pub(super) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What hosts lack of what SQL names that is about to be saved.
    ///
    /// # Errors
    /// As for [`TableGuard::check_schema`].
    pub(super) async fn check_schema(&self, asked: Vec<GuardedSql>) -> Result<Vec<Problem>> {
        self.guard.check_schema(views_of(&self.schedule.plan()), asked, None).await
    }

    /// What the table guard would say of a saved query.
    ///
    /// # Errors
    /// When the database does not answer, and SQLite is to be asked.
    pub(super) async fn look(&self, principal: &Principal, sql: &str) -> Result<Vec<Problem>> {
        let asked = vec![GuardedSql::saved(sql.to_owned(), "query".to_owned())];
        self.guard.look(principal, views_of(&self.schedule.plan()), asked).await
    }

    /// Has the table guard look at SQL that is about to be changed, so that the change need not be made twice. `guarded` is told the
    /// labels that rules name.
    ///
    /// # Errors
    /// As for [`TableGuard::look_ahead`].
    pub(super) async fn look_ahead(
        &self,
        principal: &Principal,
        guarded: impl FnOnce(&BTreeSet<String>) -> Vec<GuardedSql>,
    ) -> Result<()> {
        self.guard.look_ahead(principal, views_of(&self.schedule.plan()), guarded(&self.guard.labels())).await
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A connection for reading.
    pub(super) fn reader(&self) -> &store::Connection {
        self.store.reader()
    }

    /// Makes a change for `principal`, whose permission the caller has checked; a dry run is rolled back.
    ///
    /// # Errors
    /// The errors of `change`, and [`Error::Invalid`] when the config of some host would be too large for agents, or when the
    /// table guard refuses SQL. Nothing has changed then.
    pub(super) async fn make<T, F>(&self, principal: &Principal, dry_run: bool, change: F) -> Result<T>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        Ok(self.attempt(principal, dry_run, change).await?.value)
    }

    /// As [`Changes::make`], with what the table guard warns of.
    ///
    /// # Errors
    /// As for [`Changes::make`].
    pub(super) async fn make_and_warn<T, F>(&self, principal: &Principal, change: F) -> Result<(T, Vec<Problem>)>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        let Attempted { value, warnings, .. } = self.attempt(principal, false, change).await?;
        Ok((value, warnings))
    }

    /// As [`Changes::make_and_warn`]; a dry run also counts the hosts whose config would change, and tells which queries they would
    /// run otherwise. Hosts are looked at after the transaction. Nothing is told while they are still being read.
    ///
    /// # Errors
    /// As for [`Changes::make`].
    pub(super) async fn make_and_count<T, F>(
        &self,
        principal: &Principal,
        dry_run: bool,
        change: F,
    ) -> Result<(T, Option<Touched>, Vec<Problem>)>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        let Attempted { value, dry, warnings } = self.attempt(principal, dry_run, change).await?;
        let touched = match dry {
            Some(dry) if self.hosts.directory.is_loaded() => Some(self.touched(dry.plan, dry.label_moves).await?),
            _ => None,
        };
        Ok((value, touched, warnings))
    }

    /// What the table guard says of a draft, whose plan is `after`.
    async fn guard<T>(
        &self,
        principal: &Principal,
        draft: &mut Draft<'_>,
        after: &Plan,
        dry_run: bool,
    ) -> std::result::Result<Verdict, Stop<T>> {
        let current = self.schedule.plan();
        let before = if current.generation + 1 == after.generation {
            current
        } else {
            // why: another node has made changes that this one has not read yet. They are committed, and what they have
            // brought is not to be taken for a part of this change.
            let committed = self.store.snapshot().await?;
            Arc::new(Plan::load(&committed, draft.now, self.schedule.built_in()).await?)
        };
        self.keep_guarded_labels(principal, draft, (&before, after))?;
        let mut asked = self.guard.planned_anew(&before, after, &draft.paths);
        for SavedSql { name, sql } in draft.objects.take_saved() {
            let path = draft.paths.of(ObjectKind::Query, &name, "query");
            asked.push(GuardedSql::saved(sql, path));
        }
        let views = views_of(after);
        let known = self.guard.judge_known(principal, views.clone(), asked.clone(), dry_run).await?;
        known.ok_or(Stop::Unjudged(views, asked))
    }

    /// Keeps hosts in the labels that rules of the table guard name, against all but administrators: who takes a host out of a label, or
    /// the label away, takes the rule away.
    fn keep_guarded_labels(
        &self,
        principal: &Principal,
        draft: &Draft<'_>,
        (before, after): (&Plan, &Plan),
    ) -> Result<()> {
        if principal.may(Permission::ManageUsers).is_ok() {
            return Ok(());
        }
        for name in self.guard.labels() {
            let Some(id) = before.label_id(&name) else { continue };
            let sql = |plan: &Plan| plan.dynamic_label(id).map(|label| label.sql.clone());
            let field = if after.label_id(&name) != Some(id) {
                "name"
            } else if sql(before) != sql(after) {
                "query"
            } else if draft.label_moves.leave(id) {
                "hosts"
            } else {
                continue;
            };
            let reason = format!(
                "rules of the table guard are for hosts of the label {name:?}: only administrators rename or delete it, change its query, \
                 or take hosts out of it"
            );
            return Err(Error::invalid(draft.paths.of(ObjectKind::Label, &name, field), reason));
        }
        Ok(())
    }

    async fn attempt<T, F>(&self, principal: &Principal, dry_run: bool, change: F) -> Result<Attempted<T>>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        for _ in 0..JUDGED_AGAIN {
            match self.try_once(principal, dry_run, &change).await? {
                DraftOutcome::Done(attempted) => return Ok(attempted),
                // Not in the transaction, for which others wait.
                DraftOutcome::Unjudged(views, asked) => self.guard.look_ahead(principal, views, asked).await?,
            }
        }
        Err(Error::Unavailable("what the table guard judges by keeps changing; try again".to_owned()))
    }

    async fn try_once<T, F>(&self, principal: &Principal, dry_run: bool, change: &F) -> Result<DraftOutcome<T>>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        self.guard.prepare().await?;
        // Made when the transaction is over: what it would do is refused then, so that it leaves nothing.
        let requests = Mutex::new(Vec::new());
        let assignments = self.hosts.assignments();
        let outcome = self
            .store
            .write_with(async |tx| -> std::result::Result<_, Stop<T>> {
                // First, because the row of the generation makes changes on all nodes wait for each other until they
                // are committed: each reads what the one before it has left.
                generations::bump(tx, generations::SCHEDULE).await?;
                // After that wait: what is stamped now is committed soon.
                let now = self.clock.now();
                let mut draft = Draft {
                    tx,
                    now,
                    touched_hosts: BTreeSet::new(),
                    label_moves: LabelMoves::default(),
                    dropped_labels: BTreeSet::new(),
                    objects: ObjectChanges::default(),
                    paths: DocumentPaths::default(),
                    is_undoing: false,
                    is_judged: false,
                    activity: None,
                };
                let value = change(&mut draft).await?;
                let Some((kind, details)) = draft.activity.take() else {
                    return Err(Stop::Undone(Attempted { value, dry: None, warnings: Vec::new() }));
                };
                // After everything the plan is made of: nothing below changes it. Its generation is the one this
                // transaction has written and alone can commit, so once it has, this is the plan of that generation.
                let plan = Plan::load(tx, now, self.schedule.built_in()).await?;
                let mut warnings = Vec::new();
                if !draft.is_undoing {
                    rollouts::check(&plan)?;
                    sizes::check(&self.schedule, &plan, &assignments)?;
                }
                if !draft.is_undoing && !draft.is_judged {
                    let mut verdict = self.guard(principal, &mut draft, &plan, dry_run).await?;
                    *lock(&requests) = std::mem::take(&mut verdict.requests);
                    warnings = verdict.into_said()?.warnings;
                }
                let activity = activities::add(tx, now, &principal.actor(), kind, &details).await?;
                object_changes::add(tx, activity, draft.objects.take()).await?;
                if dry_run {
                    let dry = Some(Box::new(DryRun { plan, label_moves: draft.label_moves }));
                    return Err(Stop::Undone(Attempted { value, dry, warnings }));
                }
                feed::append(tx, feed::HostChangeKind::Changed, draft.touched_hosts.iter().copied(), now).await?;
                let attempted = Attempted { value, dry: None, warnings };
                Ok((attempted, plan, draft.touched_hosts, draft.dropped_labels))
            })
            .await;
        match outcome {
            Ok((attempted, plan, touched_hosts, mut dropped_labels)) => {
                // Changes of other nodes that came before this one are in the plan, too.
                dropped_labels.extend(self.schedule.publish(plan));
                self.notifier.publish(ChangeEvent::Schedule);
                self.hosts.drop_labels(&dropped_labels);
                self.hosts.mark_changed_here(touched_hosts);
                // The change is made. Hosts that cannot be read now are read by the next run of the periodic tasks.
                if let Err(error) = self.hosts.refresh_stale().await {
                    tracing::warn!(%error, "change committed; some hosts follow once the database answers again");
                }
                Ok(DraftOutcome::Done(attempted))
            }
            Err(Stop::Undone(attempted)) => Ok(DraftOutcome::Done(attempted)),
            Err(Stop::Unjudged(views, asked)) => Ok(DraftOutcome::Unjudged(views, asked)),
            Err(Stop::Failed(error)) => {
                let requests = std::mem::take(&mut *lock(&requests));
                if !dry_run {
                    self.guard.ask_for_approval(principal, &requests).await?;
                }
                Err(error)
            }
        }
    }
}
