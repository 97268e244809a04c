//! Applies documents: all of them in one transaction, or none.

mod config;
mod delete;
mod doubts;
mod expiry;
mod fit;
mod folder;
mod foreign;
mod guarded;
mod labels;
mod packs;
mod parse;
mod plans;
mod queries;
mod rollouts;
mod schedules;
mod secrets;
mod unnamed;
mod user_roles;

use std::collections::{BTreeSet, HashSet};

use muster_api::rest::{Action, Applied, Change, FieldDifference, FieldError};
use muster_api::spec::{DocumentKind, SpecDocument};
use serde::Serialize;
use serde_json::{Value, json};

pub use self::folder::FolderClaim;
use self::foreign::Skipped;
use self::guarded::{guarded, paths};
use self::parse::{Located, ReadDocuments};
pub(in crate::fleet) use self::plans::MAX_DELETES;
use self::plans::{KeptPlan, Marks, PlannedOutcome, RestsOn, check_deletes};
use super::access::{Permission, Principal};
use super::changes::{ChangedFields, Changes, Draft, ObjectChange, ObjectChanges, ObjectKind, Touched, content_mark};
use super::error::none_of;
use super::hosts::LabelMoves;
use super::packs::GLOBAL;
use super::schedule::{BuiltInOptions, ChangedQuery};
use super::specs::to_value;
use super::{Error, Problem, Result, specs};
use crate::clock::Moment;
use crate::store::{self, settings};

/// The maximum number of documents of a request.
const MAX_DOCUMENTS: usize = 20_000;

/// Applies documents.
#[derive(Debug)]
pub struct Applier {
    changes: Changes,
}

/// How documents are to be applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyWish {
    /// Report what would change, and change nothing.
    pub dry_run: bool,
    /// Take agent options with mistakes, which become warnings, as long as agents can read the rest.
    pub force: bool,
    /// Refuse to delete more objects than that.
    pub max_deletes: Option<u64>,
    /// Delete what no document names.
    pub delete_unnamed: bool,
}

/// What must not have changed since somebody looked.
#[derive(Debug, Default)]
struct Expected {
    /// The mark of the agent options.
    options_mark: Option<String>,
    plan: Option<KeptPlan>,
    folder: Option<FolderClaim>,
}

/// What an apply has come to.
#[derive(Default)]
struct Ran {
    applied: Applied,
    compared: ChangedFields,
    outcome: PlannedOutcome,
    /// Of a dry run: the scheduled queries that hosts would run otherwise.
    queries: Vec<ChangedQuery>,
}

/// An apply in progress, inside its transaction.
struct ApplyRun<'a> {
    tx: &'a store::Tx,
    now: Moment,
    /// `None` for what nobody of this server has written.
    author_id: Option<i64>,
    author_name: String,
    built_in: &'a BuiltInOptions,
    is_forced: bool,
    /// Whether what no document names is deleted.
    is_whole: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    skipped: Skipped,
    changes: Vec<(usize, Change)>,
    /// What the outcomes were worked out from, by their positions.
    marks: Marks,
    /// The SQL that they run.
    rests: RestsOn,
    /// What changes in objects, field by field.
    objects: ObjectChanges,
    /// As `objects`, for the last document of a kind of which there is one: whoever edits it looks before it is changed.
    compared: ChangedFields,
    /// Hosts whose labels change.
    touched_hosts: BTreeSet<i64>,
    label_moves: LabelMoves,
}

/// The agent options that somebody edits.
#[derive(Debug)]
pub struct OptionsToEdit {
    pub options: Value,
    /// The mark of these contents, for [`Applier::replace_options`].
    pub mark: String,
}

/// What replacing the agent options changes.
#[derive(Debug)]
pub struct OptionsEdit {
    pub changed: ChangedFields,
    /// Their paths begin with `documents[0].spec`.
    pub warnings: Vec<FieldError>,
}

impl Applier {
    pub fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// Applies `documents`, or reports what applying them would change.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem found, each under its path such as `documents[2].spec.name`; then nothing
    /// has changed. [`Error::Forbidden`] if the caller may not change one of the documents, or may not change any.
    pub async fn apply(&self, principal: &Principal, documents: Vec<Value>, wish: ApplyWish) -> Result<Applied> {
        check_count(&documents)?;
        Ok(self.run(principal, move || parse::documents(documents), Expected::default(), wish).await?.applied)
    }

    /// The agent options in force, to be edited.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read them.
    pub async fn options_to_edit(&self, principal: &Principal) -> Result<OptionsToEdit> {
        principal.may(Permission::ReadConfig)?;
        let stored = settings::get(self.changes.reader(), settings::APP_CONFIG).await?.unwrap_or_default();
        let options = specs::shown_config(&stored, self.changes.built_in_options())["agent_options"].take();
        Ok(OptionsToEdit { mark: content_mark(&options), options })
    }

    /// Replaces the agent options, or reports what that would change. With a mark only if they still are as the caller has
    /// seen them.
    ///
    /// # Errors
    /// As for [`Applier::apply`] with one document, and [`Error::ChangedMeanwhile`].
    pub async fn replace_options(
        &self,
        principal: &Principal,
        options: Value,
        mark: Option<String>,
        dry_run: bool,
    ) -> Result<OptionsEdit> {
        let read = move || parse::specs(DocumentKind::Options, vec![options]);
        let wish = ApplyWish { dry_run, ..ApplyWish::default() };
        let expected = Expected { options_mark: mark, ..Expected::default() };
        let Ran { applied, compared, .. } = self.run(principal, read, expected, wish).await?;
        Ok(OptionsEdit { changed: compared, warnings: applied.warnings })
    }

    /// As [`Applier::apply`], for specs of one kind. Their problems have the paths of documents.
    ///
    /// # Errors
    /// As for [`Applier::apply`].
    pub async fn apply_specs(
        &self,
        principal: &Principal,
        kind: DocumentKind,
        specs: Vec<Value>,
        dry_run: bool,
    ) -> Result<Applied> {
        check_count(&specs)?;
        let wish = ApplyWish { dry_run, ..ApplyWish::default() };
        Ok(self.run(principal, move || parse::specs(kind, specs), Expected::default(), wish).await?.applied)
    }

    async fn run(
        &self,
        principal: &Principal,
        read: impl FnOnce() -> ReadDocuments + Send + 'static,
        expected: Expected,
        wish: ApplyWish,
    ) -> Result<Ran> {
        let ApplyWish { dry_run, force, max_deletes, delete_unnamed } = wish;
        // Whatever there is to apply: all kinds need at least this.
        principal.may_apply(dry_run)?;
        // Not on a thread that answers agents: there may be thousands of documents.
        let mut read = tokio::task::spawn_blocking(read).await.map_err(|error| Error::Internal(Box::new(error)))?;
        for document in &read.located {
            principal.may_write(permission(document.spec.kind()), dry_run)?;
            if let SpecDocument::Rollout(rollout) = &document.spec {
                for kind in rollout.documents.iter().filter_map(|document| DocumentKind::parse(&document.kind)) {
                    principal.may_write(permission(kind), dry_run)?;
                }
            }
        }
        if delete_unnamed {
            unnamed::check(principal, &read, dry_run)?;
        }
        if read.located.is_empty() {
            none_of(read.problems.clone())?;
            // Nothing can change: changes of others need not wait.
            let warnings = read.warnings.iter().cloned().chain(read.skipped.clone().into_warnings()).collect();
            let applied = applied(read.ignored.clone(), warnings, dry_run);
            return Ok(Ran { applied, ..Ran::default() });
        }
        read.warnings.extend(self.changes.check_schema(guarded(&read.located, &BTreeSet::new())).await?);
        self.changes.look_ahead(principal, |labels| guarded(&read.located, labels)).await?;
        let apply = async |draft: &mut Draft<'_>| {
            draft.paths = paths(&read.located);
            if let Some(mark) = &expected.options_mark {
                let stored = settings::get(draft.tx, settings::APP_CONFIG).await?.unwrap_or_default();
                if content_mark(&self.changes.built_in_options().in_force(&stored)) != *mark {
                    return Err(Error::ChangedMeanwhile("the agent options"));
                }
            }
            let mut run = ApplyRun {
                author_id: principal.actor().id,
                author_name: principal.actor().name,
                is_forced: force,
                is_whole: delete_unnamed,
                problems: read.problems.clone(),
                warnings: read.warnings.clone(),
                skipped: read.skipped.clone(),
                changes: read.ignored.clone(),
                ..ApplyRun::empty(draft.tx, draft.now, self.changes.built_in_options())
            };
            run.all(&read.located).await?;
            if delete_unnamed {
                unnamed::delete(&mut run, draft, &read).await?;
            }
            none_of(without_consequences(std::mem::take(&mut run.problems), read.problems.len()))?;
            check_deletes(&run.changes, max_deletes)?;
            let outcome = PlannedOutcome::of(&run.changes, &run.marks, std::mem::take(&mut run.rests));
            if let Some(plan) = &expected.plan {
                plan.check(&outcome)?;
                store::plans::delete(draft.tx, plan.id).await?;
            }
            if let Some(folder) = &expected.folder {
                folder.take(draft).await?;
            }
            if run.has_changes() {
                let without_values = |change: &Change| Change { differences: Vec::new(), ..change.clone() };
                let changes = run.changes.iter().map(|(_, change)| change).filter(|change| is_effective(change));
                let changes: Vec<Change> = changes.map(without_values).collect();
                let mut details = json!({ "changes": changes });
                if let Some(plan) = &expected.plan {
                    details["plan"] = plan.id.into();
                }
                if let (Some(folder), Some(details)) = (&expected.folder, details.as_object_mut()) {
                    details.extend(folder.details.clone());
                }
                draft.record("applied_documents", details);
            }
            draft.touched_hosts = run.touched_hosts;
            draft.label_moves = run.label_moves;
            draft.objects.append(run.objects);
            run.warnings.extend(run.skipped.into_warnings());
            let applied = applied(run.changes, run.warnings, dry_run);
            Ok(Ran { applied, compared: run.compared, outcome, queries: Vec::new() })
        };
        let (ran, touched, said) = self.changes.make_and_count(principal, dry_run, apply).await?;
        let (hosts, queries) = touched.map(|Touched { hosts, queries }| (hosts, queries)).unzip();
        let mut applied = Applied { hosts, ..ran.applied };
        applied.warnings.extend(said.into_iter().map(field_error));
        Ok(Ran { applied, queries: queries.unwrap_or_default(), ..ran })
    }
}

/// Applies the documents of a rollout that is done, inside of the transaction that ends it.
///
/// # Errors
/// [`Error::Invalid`] with every problem found.
pub(super) async fn make_change(draft: &mut Draft<'_>, built_in: &BuiltInOptions, documents: Vec<Value>) -> Result<()> {
    let read = parse::documents(documents);
    none_of(read.problems)?;
    let mut run = ApplyRun { is_forced: true, ..ApplyRun::empty(draft.tx, draft.now, built_in) };
    run.all(&read.located).await?;
    none_of(run.problems)?;
    draft.objects.append(run.objects);
    Ok(())
}

impl<'a> ApplyRun<'a> {
    fn empty(tx: &'a store::Tx, now: Moment, built_in: &'a BuiltInOptions) -> Self {
        Self {
            tx,
            now,
            author_id: None,
            author_name: String::new(),
            built_in,
            is_forced: false,
            is_whole: false,
            problems: Vec::new(),
            warnings: Vec::new(),
            skipped: Skipped::default(),
            changes: Vec::new(),
            marks: Marks::default(),
            rests: RestsOn::default(),
            objects: ObjectChanges::default(),
            compared: ChangedFields::default(),
            touched_hosts: BTreeSet::new(),
            label_moves: LabelMoves::default(),
        }
    }
}

impl ApplyRun<'_> {
    /// Applies queries and labels before the packs that name them.
    async fn all(&mut self, documents: &[Located]) -> Result<()> {
        self.queries(documents).await?;
        self.labels(documents).await?;
        self.packs(documents).await?;
        self.schedules(documents).await?;
        self.config(documents).await?;
        self.secrets(documents).await?;
        self.user_roles(documents).await?;
        // Last: what they change is worked out from what all others leave.
        self.rollouts(documents).await
    }

    fn has_changes(&self) -> bool {
        self.changes.iter().any(|(_, change)| is_effective(change))
    }

    /// Makes the outcome noted last a change of `field`.
    fn as_changed(&mut self, field: &str) -> Action {
        if let Some((_, change)) = self.changes.last_mut() {
            change.action = Action::Changed;
            change.fields = vec![field.to_owned()];
        }
        Action::Changed
    }

    /// Notes what else the outcome noted last was worked out from: a plan is off when that is something else.
    fn rests_on(&mut self, seen: &Value) {
        let last = self.changes.len().saturating_sub(1);
        let before = self.marks.get(&last);
        let mark = content_mark(&json!([before, seen]));
        self.marks.insert(last, mark);
    }

    fn problem(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem::new(path, reason));
    }

    fn warn(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.warnings.push(Problem::new(path, reason));
    }

    /// Records that a document is skipped, which a warning explains.
    fn ignore(&mut self, document: &Located, name: &str) {
        self.outcome(document.index, document.spec.kind(), name, Action::Ignored);
    }

    fn outcome(&mut self, index: usize, kind: DocumentKind, name: &str, action: Action) {
        let change = Change { kind: kind.as_str().to_owned(), name: name.to_owned(), action, ..Change::default() };
        self.changes.push((index, change));
    }

    /// Records the outcome of a document by comparing the old object with the new one, whose id is 0 if it is new.
    fn note<T: Serialize + PartialEq>(
        &mut self,
        document: &Located,
        object: (i64, &str),
        old: Option<&T>,
        new: &T,
    ) -> Result<Action> {
        self.note_as(document.index, document.spec.kind(), object, old, new)
    }

    /// As [`ApplyRun::note`], for an object of another kind than the document at `index`.
    fn note_as<T: Serialize + PartialEq>(
        &mut self,
        index: usize,
        kind: DocumentKind,
        (id, name): (i64, &str),
        old: Option<&T>,
        new: &T,
    ) -> Result<Action> {
        let (action, fields) = match old {
            None => (Action::Created, Vec::new()),
            // The usual case when files are applied again: nothing to serialize.
            Some(old) if old == new => (Action::Unchanged, Vec::new()),
            Some(old) => {
                let fields = differing_fields(&to_value(old)?, &to_value(new)?);
                (if fields.is_empty() { Action::Unchanged } else { Action::Changed }, fields)
            }
        };
        let mut differences = Vec::new();
        if matches!(action, Action::Created | Action::Changed) {
            let (before, after) = (old.map(to_value).transpose()?, Some(to_value(new)?));
            self.marks.insert(self.changes.len(), content_mark(&json!([before, after])));
            let mut compared = ChangedFields::between(before.as_ref(), after.as_ref());
            if let Some(object_kind) = object_kind(kind) {
                if object_kind == ObjectKind::Config {
                    self.compared = compared.clone();
                }
                let name = if kind == DocumentKind::GlobalSchedule { GLOBAL } else { name };
                let change = ObjectChange { kind: object_kind, id, name: name.to_owned(), before, after };
                compared = self.objects.add_compared(change, compared)?;
            }
            if action == Action::Changed && kind != DocumentKind::EnrollSecret {
                differences = compared.fields.into_iter().map(FieldDifference::from).collect();
            }
        }
        self.changes.push((
            index,
            Change { kind: kind.as_str().to_owned(), name: name.to_owned(), action, fields, differences },
        ));
        Ok(action)
    }
}

fn is_effective(change: &Change) -> bool {
    !matches!(change.action, Action::Unchanged | Action::Ignored)
}

/// Leaves out problems with values that the first `read` problems have named already: reading put placeholders there.
fn without_consequences(problems: Vec<Problem>, read: usize) -> Vec<Problem> {
    let named: HashSet<String> = problems.iter().take(read).map(|problem| problem.path.clone()).collect();
    let is_named = |path: &str| {
        let mut above = path.match_indices(['.', '[']).filter_map(|(end, _)| path.get(..end));
        named.contains(path) || above.any(|path| named.contains(path))
    };
    let is_left = |(position, problem): &(usize, Problem)| *position < read || !is_named(&problem.path);
    problems.into_iter().enumerate().filter(is_left).map(|(_, problem)| problem).collect()
}

fn check_count(documents: &[Value]) -> Result<()> {
    if documents.len() > MAX_DOCUMENTS {
        let reason = format!("more than {MAX_DOCUMENTS} documents; send them in parts");
        return Err(Error::invalid("documents", reason));
    }
    Ok(())
}

/// The kind under which changes are kept; `None` for documents that hold secrets or users, and for rollouts, which keep their own.
fn object_kind(kind: DocumentKind) -> Option<ObjectKind> {
    match kind {
        DocumentKind::Query => Some(ObjectKind::Query),
        DocumentKind::Pack | DocumentKind::GlobalSchedule => Some(ObjectKind::Pack),
        DocumentKind::Label => Some(ObjectKind::Label),
        DocumentKind::Config | DocumentKind::Options => Some(ObjectKind::Config),
        DocumentKind::EnrollSecret | DocumentKind::UserRoles | DocumentKind::Rollout => None,
    }
}

fn permission(kind: DocumentKind) -> Permission {
    match kind {
        // What a rollout changes is asked for by itself.
        DocumentKind::Query
        | DocumentKind::Pack
        | DocumentKind::Label
        | DocumentKind::GlobalSchedule
        | DocumentKind::Rollout => Permission::WriteSchedule,
        DocumentKind::Config | DocumentKind::Options => Permission::WriteConfig,
        DocumentKind::EnrollSecret => Permission::WriteSecrets,
        DocumentKind::UserRoles => Permission::ManageUsers,
    }
}

/// Names of the members that differ.
fn differing_fields(old: &Value, new: &Value) -> Vec<String> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Vec::new() };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// The response, in the order of the documents.
fn applied(mut changes: Vec<(usize, Change)>, warnings: Vec<Problem>, dry_run: bool) -> Applied {
    changes.sort_by_key(|(index, _)| *index);
    let warnings = warnings.into_iter().map(field_error);
    let changes = changes.into_iter().map(|(_, change)| change).collect();
    Applied { dry_run, changes, warnings: warnings.collect(), ..Applied::default() }
}

fn field_error(problem: Problem) -> FieldError {
    FieldError { name: problem.path, reason: problem.reason }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_once() {
        let problem = |path: &str| Problem::new(path, "x");
        let all =
            ["a[1].name", "a[1].list[0]", "a[1].name", "a[1].names", "a[1].list[0].x", "a[1].list[1]", "a[10].name"];
        let left = without_consequences(all.map(problem).to_vec(), 2);
        let paths: Vec<&str> = left.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["a[1].name", "a[1].list[0]", "a[1].names", "a[1].list[1]", "a[10].name"]);
    }
}
