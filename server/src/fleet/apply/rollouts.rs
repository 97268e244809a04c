//! Begins rollouts. Their documents are applied to see what they change, and taken back: the row of the rollout holds both versions.

use muster_api::rest::Action;
use muster_api::spec::{DocumentKind, RolloutSpec};
use serde_json::Value;

use super::parse::ReadDocuments;
use super::{ApplyRun, Located, of_kind, parse, to_value};
use crate::fleet::names::check_name;
use crate::fleet::rollouts::{MAX_OPEN, MAX_REMAINING, NewRollout, read_stages};
use crate::fleet::schedule::{Plan, RolloutChange};
use crate::fleet::{Problem, Result, path};
use crate::store;
use crate::store::case::ByName;
use crate::store::entity::labels;
use crate::store::entity::rollouts::{Model, RolloutStateWord};

/// Most documents of a rollout.
const MAX_DOCUMENTS: usize = 200;

impl ApplyRun<'_> {
    pub(super) async fn rollouts(&mut self, documents: &[Located]) -> Result<()> {
        for (document, spec) in of_kind!(documents, Rollout) {
            self.rollout(document, spec).await?;
        }
        Ok(())
    }

    async fn rollout(&mut self, document: &Located, spec: &RolloutSpec) -> Result<()> {
        let before = self.problems.len();
        check_name(&document.path("name"), &spec.name, &mut self.problems);
        let labels: ByName<i64> =
            store::named::all::<labels::Entity>(self.tx).await?.into_iter().map(|row| (row.name, row.id)).collect();
        let label_id = |name: &str| labels.get(name).copied();
        let stages = read_stages(spec, |key| document.path(key), label_id, &mut self.problems);
        let value = to_value(spec)?;
        let same_name = store::rollouts::by_name(self.tx, &spec.name).await?;
        if let Some(earlier) = &same_name {
            let is_same = serde_json::from_str(&earlier.document).is_ok_and(|earlier: Value| earlier == value);
            // One inside of a document began with what was there then: done once, the document may be changed again since.
            let is_over = document.is_inline && earlier.state == RolloutStateWord::Done;
            if (is_same || is_open(earlier)) && !is_over {
                self.rollout_again(document, spec, earlier, is_same);
                return Ok(());
            }
        }
        let Some(change) = self.change_of(document, spec).await? else { return Ok(()) };
        self.check_beside_others(document, &change).await?;
        if self.problems.len() > before {
            return Ok(());
        }
        let seen = to_value(&change)?;
        let new =
            NewRollout { name: &spec.name, document: value.to_string(), stages, change, actor: &self.author_name };
        if self.problems.is_empty() {
            new.begin(self.tx, self.now).await?;
        }
        self.outcome(document.index, DocumentKind::Rollout, &spec.name, Action::Created);
        self.rests_on(&seen);
        Ok(())
    }

    /// A rollout of this name has begun before.
    fn rollout_again(&mut self, document: &Located, spec: &RolloutSpec, earlier: &Model, is_same: bool) {
        let name = &spec.name;
        if !is_same {
            let reason = format!(
                "the rollout {name:?} is under way with other contents; wait until it is done, abort it with `fleetctl rollout \
                 abort {name:?}`, or give this one another name"
            );
            return self.problem(document.path("name"), reason);
        }
        if earlier.state == RolloutStateWord::Reverted {
            let reason = format!(
                "this rollout was reverted and does not begin again: `fleetctl rollout status {name:?}` says why; change it, or \
                 give it another name"
            );
            self.warn(document.path("name"), reason);
        }
        self.outcome(document.index, DocumentKind::Rollout, name, Action::Unchanged);
    }

    /// What the documents of a rollout change. `None` if they cannot be applied, or change nothing, which is told.
    async fn change_of(&mut self, document: &Located, spec: &RolloutSpec) -> Result<Option<RolloutChange>> {
        let at = document.path("documents");
        if spec.documents.len() > MAX_DOCUMENTS {
            self.problem(at, format!("a rollout has at most {MAX_DOCUMENTS} documents"));
            return Ok(None);
        }
        let values: Vec<Value> = spec.documents.iter().map(to_value).collect::<Result<_>>()?;
        let read = parse::documents(values);
        let known = self.problems.len();
        for inner in read.located.iter().filter(|inner| !may_roll_out(inner.spec.kind())) {
            let at = document.inner_path(&path::member(&path::item("documents", inner.index), "kind"));
            self.problem(
                at,
                "a rollout changes queries, packs, the global_schedule and options; apply others before it",
            );
        }
        let old = Plan::load(self.tx, self.now, self.built_in).await?;
        self.tx.save().await?;
        let outcome = self.apply_inner(document, read).await;
        let new = Plan::load(self.tx, self.now, self.built_in).await;
        self.tx.back_to_saved().await?;
        outcome?;
        let change = RolloutChange::between(&old, &new?);
        if self.problems.len() > known {
            return Ok(None);
        }
        if change.is_empty() && document.is_inline {
            self.outcome(document.index, DocumentKind::Rollout, &spec.name, Action::Unchanged);
            return Ok(None);
        }
        if change.is_empty() {
            self.problem(at, "changes nothing that hosts run: what it says is so already, or no pack schedules it");
            return Ok(None);
        }
        Ok(Some(change))
    }

    async fn apply_inner(&mut self, document: &Located, read: ReadDocuments) -> Result<()> {
        let outer = |problem: Problem| Problem { path: document.inner_path(&problem.path), reason: problem.reason };
        let mut inner = ApplyRun {
            author_id: self.author_id,
            is_forced: self.is_forced,
            problems: read.problems,
            warnings: read.warnings,
            skipped: read.skipped,
            ..ApplyRun::empty(self.tx, self.now, self.built_in)
        };
        // Of the kinds that may not be rolled out none is applied.
        let located: Vec<Located> = read.located.into_iter().filter(|inner| may_roll_out(inner.spec.kind())).collect();
        Box::pin(inner.all(&located)).await?;
        let warnings = inner.warnings.into_iter().chain(inner.skipped.into_warnings());
        self.warnings.extend(warnings.map(outer));
        self.problems.extend(inner.problems.into_iter().map(outer));
        // Nothing has changed yet, but the table guard looks at SQL now.
        self.objects.save_later(inner.objects);
        Ok(())
    }

    /// Two rollouts never change the same, and not too many decide about configs.
    async fn check_beside_others(&mut self, document: &Located, change: &RolloutChange) -> Result<()> {
        let others = store::rollouts::in_force(self.tx, self.now).await?;
        let open: Vec<&Model> = others.iter().filter(|row| is_open(row)).collect();
        if open.len() >= MAX_OPEN {
            let names: Vec<&str> = open.iter().map(|row| row.name.as_str()).collect();
            let reason = format!("{MAX_OPEN} rollouts are under way, which is the most: {}", names.join(", "));
            self.problem(document.path("name"), reason);
        }
        if change.options.is_some() && others.len() - open.len() >= MAX_REMAINING {
            let reason = format!(
                "{MAX_REMAINING} rollouts of options were reverted in the last 30 days, and their hosts are still served what undoes \
                 them; apply the options without a rollout, or wait"
            );
            self.problem(document.path("documents"), reason);
        }
        for other in open {
            let Ok(theirs) = serde_json::from_str::<RolloutChange>(&other.change) else { continue };
            if let Some(both) = change.common(&theirs) {
                let reason =
                    format!("the rollout {:?} changes {both}, too; wait until it is done, or abort it", other.name);
                self.problem(document.path("documents"), reason);
            }
        }
        Ok(())
    }
}

/// The documents that a rollout is to apply, as far as they can be read; what is wrong with others is said when it begins.
pub(super) fn inner_documents(spec: &RolloutSpec) -> Vec<Located> {
    let values = spec.documents.iter().take(MAX_DOCUMENTS).filter_map(|document| serde_json::to_value(document).ok());
    parse::documents(values.collect()).located.into_iter().filter(|inner| may_roll_out(inner.spec.kind())).collect()
}

fn is_open(row: &Model) -> bool {
    matches!(row.state, RolloutStateWord::Running | RolloutStateWord::Paused)
}

/// Whether a rollout can change documents of a kind.
pub(super) fn may_roll_out(kind: DocumentKind) -> bool {
    matches!(kind, DocumentKind::Query | DocumentKind::Pack | DocumentKind::GlobalSchedule | DocumentKind::Options)
}
