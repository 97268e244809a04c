//! Labels: named groups of hosts.

mod rules;

pub(super) use rules::{check, is_of_other_version, refusal, row};

use muster_api::rest::{Label, LabelInput, LabelSummary};
use muster_api::spec::LabelSpec;
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft, ObjectChange, ObjectKind};
use super::error::none_of;
use super::hosts::{HOST_EXPIRY, HostExpiry};
use super::listing::listed;
use super::resource::{PlanResource, check_name_free};
use super::{Error, Problem, Result, packs, specs};
use crate::store::{self, case, entity::labels, settings};

/// Deletes a label, or adds a problem that says why it has to stay.
pub(super) async fn delete(
    draft: &mut Draft<'_>,
    path: impl Fn() -> String,
    label: &labels::Model,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let label_type = specs::label_kind(label).map(|(label_type, _)| label_type);
    if let Some(problem) = refusal(path(), &label.name, label_type) {
        problems.push(problem);
        return Ok(());
    }
    let packs = store::packs::targeting(draft.tx, label.id).await?;
    if !packs.is_empty() {
        let reason = format!("label {:?} is a target of {}; remove it there first", label.name, packs::quoted(&packs));
        problems.push(Problem::new(path(), reason));
        return Ok(());
    }
    if let Some(reason) = named_by_expiry(draft.tx, &label.name).await? {
        problems.push(Problem::new(path(), reason));
        return Ok(());
    }
    let before = specs::label_spec(label.clone());
    store::labels::delete(draft.tx, label.id).await?;
    draft.dropped_labels.insert(label.id);
    keep(draft, label.id, before.as_ref(), None)
}

/// Why a label has to keep its name: the configuration names it, and would not apply any more without it.
async fn named_by_expiry(db: &impl ConnectionTrait, name: &str) -> Result<Option<String>> {
    let config = settings::get(db, settings::APP_CONFIG).await?.unwrap_or_default();
    let named = HostExpiry::of(&config)?.host_expiry_labels;
    let position = named.iter().position(|entry| case::is_same(&entry.label, name));
    Ok(position.map(|position| {
        format!(
            "label {name:?} is named by {HOST_EXPIRY}.host_expiry_labels[{position}] of the configuration; take it out there first: \
             fleetctl get config > config.yml, change the file, fleetctl apply -f config.yml"
        )
    }))
}

/// Keeps with the activity what differs in a label.
fn keep(draft: &mut Draft<'_>, id: i64, before: Option<&LabelSpec>, after: Option<&LabelSpec>) -> Result<()> {
    let name = after.or(before).map(|spec| spec.name.clone()).unwrap_or_default();
    let (before, after) = (before.map(specs::to_value).transpose()?, after.map(specs::to_value).transpose()?);
    draft.objects.add(ObjectChange { kind: ObjectKind::Label, id, name, before, after })
}

/// Reads and changes labels.
#[derive(Debug, Clone)]
pub struct Labels {
    changes: Changes,
}

impl Labels {
    /// All labels without their queries and counts.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read labels.
    pub async fn summary(&self, principal: &Principal) -> Result<Vec<LabelSummary>> {
        principal.may(Permission::ReadLabels)?;
        let rows = store::named::all::<labels::Entity>(self.changes.reader()).await?;
        let summary = |spec: LabelSpec| LabelSummary {
            id: spec.id.unwrap_or_default(),
            name: spec.name,
            description: spec.description,
            label_type: spec.label_type,
        };
        Ok(rows.into_iter().filter_map(specs::label_spec).map(summary).collect())
    }

    /// Names of the packs that are targeted at a label, sorted.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn targeted_by(&self, principal: &Principal, id: i64) -> Result<Vec<String>> {
        principal.may(Permission::ReadPacks)?;
        Ok(store::packs::targeting(self.changes.reader(), id).await?)
    }
}

listed!(labels::Model);

impl PlanResource for Labels {
    const KIND: &'static str = "Label";
    const READ: Permission = Permission::ReadLabels;
    type Row = labels::Model;
    type Table = labels::Entity;
    type Spec = LabelSpec;
    type View = Label;
    type Input = LabelInput;

    fn new(changes: Changes) -> Self {
        Self { changes }
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn all(db: &impl ConnectionTrait) -> Result<Vec<labels::Model>> {
        let mut rows = store::named::all::<labels::Entity>(db).await?;
        rows.retain(|row| specs::label_kind(row).is_some());
        Ok(rows)
    }

    async fn can_show(&self) -> Result<()> {
        self.changes.hosts().directory.loaded().await
    }

    async fn show(&self, _: &Principal, rows: Vec<labels::Model>) -> Result<Vec<Label>> {
        let counts = self.changes.hosts().current_directory().await?.label_sizes().await?;
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

    fn sql(label: &Label) -> Option<&str> {
        Some(&label.query)
    }

    fn new_sql(input: &LabelInput) -> Option<&str> {
        input.query.as_deref()
    }

    fn check_new(input: &LabelInput) -> Result<LabelSpec> {
        let spec = LabelSpec {
            query: input.query.clone().unwrap_or_default(),
            platform: input.platform.clone().unwrap_or_default(),
            ..LabelSpec::default()
        };
        put_over(spec, input)
    }

    /// Inserts a dynamic label; hosts join when they have answered its query.
    async fn insert(draft: &mut Draft<'_>, _: &Principal, spec: &LabelSpec, _: &LabelInput) -> Result<i64> {
        check_name_free::<Labels>(draft, &spec.name, None).await?;
        let label = labels::ActiveModel { created_at: Set(draft.now), ..row(spec, None, draft.now) };
        let id = store::named::insert(draft.tx, label).await?;
        keep(draft, id, None, Some(spec))?;
        draft.record("created_label", json!({ "label_id": id, "label_name": spec.name }));
        Ok(id)
    }

    async fn update(draft: &mut Draft<'_>, old: labels::Model, input: &LabelInput) -> Result<()> {
        let (id, name) = (old.id, old.name.clone());
        let old = specs::label_spec(old).ok_or_else(|| Error::Invalid(vec![is_of_other_version("label", &name)]))?;
        none_of(refusal("label", &old.name, Some(old.label_type)).into_iter().collect())?;
        let spec = put_over(old.clone(), input)?;
        if spec == old {
            return Ok(());
        }
        check_name_free::<Labels>(draft, &spec.name, Some(id)).await?;
        if !case::is_same(&spec.name, &old.name)
            && let Some(reason) = named_by_expiry(draft.tx, &old.name).await?
        {
            return Err(Error::invalid("name", reason));
        }
        let label = labels::ActiveModel { id: Unchanged(id), ..row(&spec, Some(&old), draft.now) };
        store::named::update(draft.tx, label).await?;
        keep(draft, id, Some(&old), Some(&spec))?;
        draft.record("edited_label", json!({ "label_id": id, "label_name": spec.name }));
        Ok(())
    }

    async fn remove(draft: &mut Draft<'_>, label: labels::Model) -> Result<()> {
        let mut problems = Vec::new();
        delete(draft, || "label".to_owned(), &label, &mut problems).await?;
        none_of(problems)?;
        draft.record("deleted_label", json!({ "label_id": label.id, "label_name": label.name }));
        Ok(())
    }
}

/// The label with the fields of `input`, checked. The query and platform cannot change.
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
