//! Saved queries.

use std::collections::{BTreeSet, HashMap};

use muster_api::rest::{Query, QueryInput};
use muster_api::spec::QuerySpec;
use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::{ChangedFields, Changes, Draft, ObjectChange, ObjectKind, content_mark};
use super::error::none_of;
use super::guard::GuardedSql;
use super::listing::{Listing, listed};
use super::names::{check_description, check_name, check_sql};
use super::resource::{PlanResource, check_free, check_name_free, existing};
use super::{Error, Problem, Result, packs, specs, sql, statistics};
use crate::clock::Moment;
use crate::store;
use crate::store::entity::{queries, users};

/// Adds the problems of a query; `path` gives the path of each of its keys.
pub(super) fn check(path: impl Fn(&str) -> String, spec: &QuerySpec, problems: &mut Vec<Problem>) {
    check_name(&path("name"), &spec.name, problems);
    check_sql(&path("query"), &spec.query, problems);
    check_description(&path("description"), &spec.description, problems);
}

/// The row of a query, without the columns that only a new one sets.
pub(super) fn row(spec: &QuerySpec, now: Moment) -> queries::ActiveModel {
    queries::ActiveModel {
        name: Set(spec.name.clone()),
        description: Set(spec.description.clone()),
        query: Set(spec.query.clone()),
        observer_can_run: Set(spec.observer_can_run),
        updated_at: Set(now),
        ..Default::default()
    }
}

/// Keeps with the activity what differs in a query.
fn keep(draft: &mut Draft<'_>, id: i64, before: Option<&QuerySpec>, after: Option<&QuerySpec>) -> Result<()> {
    let name = after.or(before).map(|spec| spec.name.clone()).unwrap_or_default();
    let (before, after) = (before.map(specs::to_value).transpose()?, after.map(specs::to_value).transpose()?);
    draft.objects.add(ObjectChange { kind: ObjectKind::Query, id, name, before, after })
}

/// Deletes a query, or adds a problem that says why it has to stay.
pub(super) async fn delete(
    draft: &mut Draft<'_>,
    path: impl Fn() -> String,
    query: &queries::Model,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let packs = store::packs::scheduling(draft.tx, query.id).await?;
    if !packs.is_empty() {
        let reason = format!("query {:?} is scheduled by {}; remove it there first", query.name, packs::quoted(&packs));
        problems.push(Problem::new(path(), reason));
        return Ok(());
    }
    store::named::delete::<queries::Entity>(draft.tx, query.id).await?;
    keep(draft, query.id, Some(&specs::query_spec(query.clone())), None)
}

/// A query that somebody edits, as it is stored.
#[derive(Debug)]
pub struct QueryToEdit {
    pub spec: QuerySpec,
    /// The mark of these contents, for [`Queries::edit_seen`].
    pub mark: String,
}

/// What an edit of a query would change.
#[derive(Debug)]
pub struct QueryEdit {
    /// The query as it is stored.
    pub stored: QueryToEdit,
    pub changed: ChangedFields,
    /// What is valid and probably a mistake.
    pub warnings: Vec<Problem>,
    /// Names of the packs that schedule it, sorted.
    pub packs: Vec<String>,
    /// Hosts in a label of these packs that are enabled; `None` while the server still counts them.
    pub hosts: Option<u64>,
}

/// Reads and changes saved queries.
#[derive(Debug, Clone)]
pub struct Queries {
    changes: Changes,
}

impl Queries {
    /// As [`Resource::list`](super::resource::Resource::list), without what the queries cost.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users without the permission to read queries.
    pub async fn list_without_costs(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Query>> {
        principal.may(Permission::ReadQueries)?;
        let rows = store::named::all::<queries::Entity>(self.changes.reader()).await?;
        self.show_without_costs(principal, listing.page(rows)).await
    }

    /// Ids and names of the queries whose names have this part, so many at most.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users without the permission to read queries.
    pub async fn with_part(&self, principal: &Principal, part: &str, limit: u64) -> Result<Vec<(i64, String)>> {
        principal.may(Permission::ReadQueries)?;
        Ok(store::named::with_part::<queries::Entity>(self.changes.reader(), part, limit).await?)
    }

    /// Whether observers may run one query at least.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users without the permission to read queries.
    pub async fn has_for_observers(&self, principal: &Principal) -> Result<bool> {
        principal.may(Permission::ReadQueries)?;
        Ok(store::queries::has_for_observers(self.changes.reader()).await?)
    }

    /// A query, and where it is scheduled, as (pack, name): for users who may read packs.
    ///
    /// # Errors
    /// As for [`Resource::by_id`](super::resource::Resource::by_id).
    pub async fn with_schedules(&self, principal: &Principal, id: i64) -> Result<(Query, Vec<(String, String)>)> {
        principal.may(Permission::ReadQueries)?;
        let db = self.changes.reader();
        let row = existing::<Self>(db, id).await?;
        let scheduled = match principal.may(Permission::ReadPacks) {
            Ok(()) => store::packs::scheduled_details_of_query(db, id).await?,
            Err(_) => Vec::new(),
        };
        let schedules = scheduled.into_iter().map(|detail| (detail.pack, detail.scheduled.name)).collect();
        let query = self.show_without_costs(principal, vec![row]).await?.pop();
        Ok((query.ok_or_else(|| Error::no_such(Self::KIND, id))?, schedules))
    }

    /// What the table guard says of the SQL of a saved query when this user asks or schedules it; nothing while it cannot tell.
    pub async fn guard_says(&self, principal: &Principal, query: &Query) -> Vec<Problem> {
        self.changes.look(principal, &query.query).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a query is shown without what the table guard says");
            Vec::new()
        })
    }

    /// A query to be edited.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound), and [`Error::Forbidden`](super::Error::Forbidden) to users who may not
    /// change it.
    pub async fn to_edit(&self, principal: &Principal, id: i64) -> Result<QueryToEdit> {
        principal.may(Permission::WriteSchedule)?;
        to_edit(existing::<Self>(self.changes.reader(), id).await?)
    }

    /// What an edit would change, and what the query is used for. Changes nothing.
    ///
    /// # Errors
    /// As for [`Resource::edit`](super::resource::Resource::edit), but for the sizes of configs.
    pub async fn preview(&self, principal: &Principal, id: i64, edit: &QueryInput) -> Result<QueryEdit> {
        principal.may(Permission::WriteSchedule)?;
        let db = self.changes.reader();
        let stored = to_edit(existing::<Self>(db, id).await?)?;
        let spec = put_over(stored.spec.clone(), edit)?;
        if spec.name != stored.spec.name {
            check_free(
                Self::KIND,
                &spec.name,
                store::named::by_name::<queries::Entity>(db, &spec.name).await?,
                Some(id),
            )?;
        }
        let changed = ChangedFields::between(Some(&specs::to_value(&stored.spec)?), Some(&specs::to_value(&spec)?));
        let mut warnings: Vec<Problem> =
            sql::doubt(&spec.query).map(|reason| Problem::new("query", reason)).into_iter().collect();
        if spec.query != stored.spec.query {
            let asked = vec![GuardedSql::saved(spec.query.clone(), "query".to_owned())];
            warnings.extend(self.changes.judge(principal, asked.clone()).await?);
            warnings.extend(self.changes.check_schema(asked).await?);
        }
        let (packs, hosts) = self.uses(id).await?;
        Ok(QueryEdit { stored, changed, warnings, packs, hosts })
    }

    /// Names of the packs that schedule a query, and the number of hosts that may run it by them.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users without the permission to read packs.
    pub async fn used_by(&self, principal: &Principal, id: i64) -> Result<(Vec<String>, Option<u64>)> {
        principal.may(Permission::ReadPacks)?;
        self.uses(id).await
    }

    async fn uses(&self, id: i64) -> Result<(Vec<String>, Option<u64>)> {
        let db = self.changes.reader();
        let scheduled = store::packs::scheduled_details_of_query(db, id).await?;
        let names: BTreeSet<String> = scheduled.iter().map(|detail| detail.pack.clone()).collect();
        let pack_ids: BTreeSet<i64> = scheduled.iter().map(|detail| detail.scheduled.pack_id).collect();
        let (groups, directory) = (packs::hosts_of_enabled(db, &pack_ids).await?, &self.changes.hosts().directory);
        let hosts = match directory.loaded().await {
            Ok(()) => self.changes.hosts().current_directory().await?.count_in_any(vec![groups]).await?.pop(),
            Err(_) => None,
        };
        Ok((names.into_iter().collect(), hosts))
    }

    /// As [`Resource::edit`](super::resource::Resource::edit), if the query is still as the caller has seen it, which `mark`
    /// says.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`](super::Error::ChangedMeanwhile) if it is not, and the same.
    pub async fn edit_seen(&self, principal: &Principal, id: i64, edit: &QueryInput, mark: &str) -> Result<()> {
        principal.may_change(Permission::WriteSchedule)?;
        let update = async |draft: &mut Draft<'_>| {
            let old = existing::<Self>(draft.tx, id).await?;
            if to_edit(old.clone())?.mark != mark {
                return Err(Error::ChangedMeanwhile("the query"));
            }
            Self::update(draft, old, edit).await
        };
        self.changes.make(principal, false, update).await
    }

    async fn show_without_costs(&self, principal: &Principal, rows: Vec<queries::Model>) -> Result<Vec<Query>> {
        let db = self.changes.reader();
        let authors: HashMap<i64, users::Model> =
            store::users::all(db).await?.into_iter().map(|user| (user.id, user)).collect();
        let mut packs = match principal.may(Permission::ReadPacks) {
            Ok(()) => packs::by_query(db).await?,
            Err(_) => HashMap::new(),
        };
        let show = |row: queries::Model| {
            let author = row.author_id.and_then(|id| authors.get(&id));
            Query {
                created_at: row.created_at.to_utc(),
                updated_at: row.updated_at.to_utc(),
                id: row.id,
                name: row.name,
                description: row.description,
                query: row.query,
                saved: true,
                observer_can_run: row.observer_can_run,
                author_id: author.map(|author| author.id),
                author_name: author.map(|author| author.name.clone()).unwrap_or_default(),
                author_email: author.map(|author| author.email.clone()).unwrap_or_default(),
                packs: packs.remove(&row.id).unwrap_or_default(),
                stats: None,
            }
        };
        Ok(rows.into_iter().map(show).collect())
    }

    /// Deletes all queries of these ids or none, and gives their number. Unknown ids are skipped.
    ///
    /// # Errors
    /// [`Error::Invalid`](super::Error::Invalid) while a pack schedules one of them.
    pub async fn delete_many(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        principal.may_change(Permission::WriteSchedule)?;
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        self.changes
            .make(principal, false, async |draft| {
                let mut problems = Vec::new();
                let mut found = Vec::new();
                for id in &ids {
                    let Some(query) = store::named::by_id::<queries::Entity>(draft.tx, *id).await? else { continue };
                    delete(draft, || "ids".to_owned(), &query, &mut problems).await?;
                    found.push(query.id);
                }
                none_of(problems)?;
                if !found.is_empty() {
                    draft.record("deleted_multiple_saved_query", json!({ "query_ids": found }));
                }
                Ok(found.len() as u64)
            })
            .await
    }
}

listed!(queries::Model);

impl PlanResource for Queries {
    const KIND: &'static str = "Query";
    const READ: Permission = Permission::ReadQueries;
    type Row = queries::Model;
    type Table = queries::Entity;
    type Spec = QuerySpec;
    type View = Query;
    type Input = QueryInput;

    fn new(changes: Changes) -> Self {
        Self { changes }
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn show(&self, principal: &Principal, rows: Vec<queries::Model>) -> Result<Vec<Query>> {
        let db = self.changes.reader();
        // Of one query alone, its own schedules are read.
        let scheduled = match rows.as_slice() {
            [one] => store::packs::scheduled_details_of_query(db, one.id).await?,
            _ => store::packs::scheduled_details(db).await?,
        };
        let mut schedules: HashMap<i64, Vec<_>> = HashMap::new();
        for detail in &scheduled {
            schedules.entry(detail.scheduled.query_id).or_default().push(statistics::wanted(detail));
        }
        let wanted: Vec<_> = rows.iter().map(|row| schedules.remove(&row.id).unwrap_or_default()).collect();
        let stats = self.changes.statistics().stats_of(&wanted).await;
        let mut shown = self.show_without_costs(principal, rows).await?;
        shown.iter_mut().zip(stats).for_each(|(query, stats)| query.stats = stats);
        Ok(shown)
    }

    fn sql(query: &Query) -> Option<&str> {
        Some(&query.query)
    }

    fn new_sql(input: &QueryInput) -> Option<&str> {
        input.query.as_deref()
    }

    fn check_new(input: &QueryInput) -> Result<QuerySpec> {
        put_over(QuerySpec::default(), input)
    }

    async fn insert(draft: &mut Draft<'_>, principal: &Principal, spec: &QuerySpec, _: &QueryInput) -> Result<i64> {
        check_name_free::<Queries>(draft, &spec.name, None).await?;
        let query = queries::ActiveModel {
            author_id: Set(Some(principal.user.id)),
            created_at: Set(draft.now),
            ..row(spec, draft.now)
        };
        let id = store::named::insert(draft.tx, query).await?;
        keep(draft, id, None, Some(spec))?;
        draft.record("created_saved_query", json!({ "query_id": id, "query_name": spec.name }));
        Ok(id)
    }

    async fn update(draft: &mut Draft<'_>, old: queries::Model, input: &QueryInput) -> Result<()> {
        let id = old.id;
        let old = specs::query_spec(old);
        let spec = put_over(old.clone(), input)?;
        if spec == old {
            return Ok(());
        }
        check_name_free::<Queries>(draft, &spec.name, Some(id)).await?;
        let query = queries::ActiveModel { id: Unchanged(id), ..row(&spec, draft.now) };
        store::named::update(draft.tx, query).await?;
        keep(draft, id, Some(&old), Some(&spec))?;
        draft.record("edited_saved_query", json!({ "query_id": id, "query_name": spec.name }));
        Ok(())
    }

    async fn remove(draft: &mut Draft<'_>, query: queries::Model) -> Result<()> {
        let mut problems = Vec::new();
        delete(draft, || "query".to_owned(), &query, &mut problems).await?;
        none_of(problems)?;
        draft.record("deleted_saved_query", json!({ "query_name": query.name }));
        Ok(())
    }
}

fn to_edit(row: queries::Model) -> Result<QueryToEdit> {
    let spec = specs::query_spec(row);
    let mark = content_mark(&specs::to_value(&spec)?);
    Ok(QueryToEdit { spec, mark })
}

/// The query with the fields of `input`, checked.
fn put_over(mut spec: QuerySpec, input: &QueryInput) -> Result<QuerySpec> {
    spec.name = input.name.clone().unwrap_or(spec.name);
    spec.query = input.query.clone().unwrap_or(spec.query);
    spec.description = input.description.clone().unwrap_or(spec.description);
    spec.observer_can_run = input.observer_can_run.unwrap_or(spec.observer_can_run);
    let mut problems = Vec::new();
    check(str::to_owned, &spec, &mut problems);
    none_of(problems)?;
    Ok(spec)
}
