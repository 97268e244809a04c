//! Labels: named groups of hosts.

mod rules;

pub(super) use rules::{check, is_built_in, is_of_other_version, row};

use muster_api::rest::{HostView, Label, LabelInput, LabelSummary};
use muster_api::spec::{LabelSpec, LabelType};
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft};
use super::error::none_of;
use super::hosts::{HostQuery, Hosts};
use super::listing::Listing;
use super::{Error, Problem, Result, packs, specs};
use crate::store::{self, entity::labels};

/// What a label is called in errors.
const KIND: &str = "Label";

/// Deletes a label, or says why it has to stay.
pub(super) async fn delete(
    draft: &mut Draft<'_>,
    path: impl Fn() -> String,
    label: &labels::Model,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let refusal = match specs::label_kind(label) {
        Some((LabelType::Regular, _)) => None,
        Some((LabelType::Builtin, _)) => Some(is_built_in(path(), &label.name)),
        None => Some(is_of_other_version(path(), &label.name)),
    };
    if let Some(problem) = refusal {
        problems.push(problem);
        return Ok(());
    }
    let packs = store::packs::targeting(draft.tx, label.id).await?;
    if !packs.is_empty() {
        let reason = format!("label {:?} is a target of {}; remove it there first", label.name, packs::quoted(&packs));
        problems.push(Problem::new(path(), reason));
        return Ok(());
    }
    store::labels::delete(draft.tx, label.id).await?;
    draft.dropped_labels.insert(label.id);
    Ok(())
}

/// Reads and changes labels.
#[derive(Debug, Clone)]
pub struct Labels {
    changes: Changes,
}

impl Labels {
    pub fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// # Errors
    /// [`Error::Forbidden`] to who may not read labels.
    pub async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Label>> {
        principal.may(Permission::ReadLabels)?;
        let mut rows = store::labels::all(self.changes.reader()).await?;
        rows.retain(|row| specs::label_kind(row).is_some());
        self.show(listing.page(rows)).await
    }

    /// All labels without their contents.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to who may not read labels.
    pub async fn summary(&self, principal: &Principal) -> Result<Vec<LabelSummary>> {
        principal.may(Permission::ReadLabels)?;
        let rows = store::labels::all(self.changes.reader()).await?;
        let summary = |spec: LabelSpec| LabelSummary {
            id: spec.id.unwrap_or_default(),
            name: spec.name,
            description: spec.description,
            label_type: spec.label_type,
        };
        Ok(rows.into_iter().filter_map(specs::label_spec).map(summary).collect())
    }

    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Label> {
        principal.may(Permission::ReadLabels)?;
        let row = find(self.changes.reader(), id).await?;
        self.show(vec![row]).await?.pop().ok_or_else(|| Error::no_such(KIND, id))
    }

    /// The hosts in a label.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such label.
    pub async fn hosts(
        &self,
        principal: &Principal,
        id: i64,
        hosts: &Hosts,
        mut query: HostQuery,
    ) -> Result<Vec<HostView>> {
        principal.may(Permission::ReadLabels)?;
        query.filter.label_id = Some(find(self.changes.reader(), id).await?.id);
        hosts.list(principal, &query).await
    }

    /// Makes a dynamic label; hosts come in when they have answered its query.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what it cannot be, [`Error::AlreadyExists`] when the name is taken.
    pub async fn create(&self, principal: &Principal, input: &LabelInput) -> Result<Label> {
        principal.may(Permission::WriteSchedule)?;
        let spec = LabelSpec {
            query: input.query.clone().unwrap_or_default(),
            platform: input.platform.clone().unwrap_or_default(),
            ..LabelSpec::default()
        };
        let spec = put_over(spec, input)?;
        let id = self
            .changes
            .make(principal, false, async |draft| {
                check_free(draft.tx, &spec.name, None).await?;
                let label = labels::ActiveModel { created_at: Set(draft.now), ..row(&spec, None, draft.now) };
                let id = store::labels::insert(draft.tx, label).await?;
                draft.record("created_label", json!({ "label_id": id, "label_name": spec.name }));
                Ok(id)
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Changes name and description.
    ///
    /// # Errors
    /// As for making one, and [`Error::NotFound`]; [`Error::Invalid`] for another query or platform.
    pub async fn edit(&self, principal: &Principal, id: i64, input: &LabelInput) -> Result<Label> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let label = find(draft.tx, id).await?;
                let name = label.name.clone();
                let old = specs::label_spec(label)
                    .ok_or_else(|| Error::Invalid(vec![is_of_other_version("label", &name)]))?;
                match old.label_type {
                    LabelType::Regular => {}
                    LabelType::Builtin => return Err(Error::Invalid(vec![is_built_in("label", &old.name)])),
                }
                let spec = put_over(old.clone(), input)?;
                if spec == old {
                    return Ok(());
                }
                check_free(draft.tx, &spec.name, Some(id)).await?;
                let label = labels::ActiveModel { id: Unchanged(id), ..row(&spec, Some(&old), draft.now) };
                store::labels::update(draft.tx, label).await?;
                draft.record("edited_label", json!({ "label_id": id, "label_name": spec.name }));
                Ok(())
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Deletes the label of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Invalid`] while a pack is targeted at it, or when it is built in.
    pub async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        self.delete_one(principal, async |db| find(db, id).await).await
    }

    /// As [`Labels::delete`], by name.
    ///
    /// # Errors
    /// The same.
    pub async fn delete_named(&self, principal: &Principal, name: &str) -> Result<()> {
        let missing = || Error::NotFound { kind: KIND, key: name.to_owned() };
        self.delete_one(principal, async |db| store::labels::by_name(db, name).await?.ok_or_else(missing)).await
    }

    async fn delete_one(
        &self,
        principal: &Principal,
        find: impl AsyncFn(&store::Tx) -> Result<labels::Model>,
    ) -> Result<()> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let label = find(draft.tx).await?;
                let mut problems = Vec::new();
                delete(draft, || "label".to_owned(), &label, &mut problems).await?;
                none_of(problems)?;
                draft.record("deleted_label", json!({ "label_id": label.id, "label_name": label.name }));
                Ok(())
            })
            .await
    }

    async fn show(&self, rows: Vec<labels::Model>) -> Result<Vec<Label>> {
        let counts = self.changes.store().read_lagging(async |db| store::labels::counts(db).await).await?;
        let show = |row: labels::Model| {
            let (created_at, updated_at, id) = (row.created_at.to_utc(), row.updated_at.to_utc(), row.id);
            let count = counts.get(&id).copied().unwrap_or(0);
            let spec = specs::label_spec(row)?;
            Some(Label {
                created_at,
                updated_at,
                id,
                display_text: spec.name.clone(),
                name: spec.name,
                description: spec.description,
                query: spec.query,
                platform: spec.platform,
                label_type: spec.label_type,
                label_membership_type: spec.label_membership_type,
                host_count: (count > 0).then_some(count),
                count,
                host_ids: None,
            })
        };
        Ok(rows.into_iter().filter_map(show).collect())
    }
}

async fn find(db: &impl ConnectionTrait, id: i64) -> Result<labels::Model> {
    store::labels::by_id(db, id).await?.ok_or_else(|| Error::no_such(KIND, id))
}

/// Refuses a name that another label has.
async fn check_free(db: &impl ConnectionTrait, name: &str, own_id: Option<i64>) -> Result<()> {
    match store::labels::by_name(db, name).await? {
        Some(other) if Some(other.id) != own_id => Err(Error::AlreadyExists { kind: KIND, name: name.to_owned() }),
        _ => Ok(()),
    }
}

/// The label with what `input` has put in, if it can be one. Query and platform must be those it has.
fn put_over(mut spec: LabelSpec, input: &LabelInput) -> Result<LabelSpec> {
    spec.name = input.name.clone().unwrap_or(spec.name);
    spec.description = input.description.clone().unwrap_or(spec.description);
    let mut problems = Vec::new();
    for (key, sent, kept) in [("query", &input.query, &spec.query), ("platform", &input.platform, &spec.platform)] {
        if sent.as_ref().is_some_and(|sent| sent != kept) {
            problems.push(Problem::new(key, "cannot be changed; make another label"));
        }
    }
    check(str::to_owned, &spec, &mut problems);
    none_of(problems)?;
    Ok(spec)
}
