//! Saved queries.

use std::collections::{BTreeSet, HashMap};

use muster_api::rest::{Query, QueryInput};
use muster_api::spec::QuerySpec;
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft};
use super::error::none_of;
use super::listing::Listing;
use super::names::{check_description, check_name, check_sql};
use super::{Error, Problem, Result, packs, specs};
use crate::clock::Moment;
use crate::store;
use crate::store::entity::{queries, users};

/// What a query is called in errors.
const KIND: &str = "Query";

/// Says what is wrong with a query; `path` gives the path of each of its keys.
pub(super) fn check(path: impl Fn(&str) -> String, spec: &QuerySpec, problems: &mut Vec<Problem>) {
    check_name(&path("name"), &spec.name, problems);
    check_sql(&path("query"), &spec.query, problems);
    check_description(&path("description"), &spec.description, problems);
}

/// The query as it is stored, without what only a new one has.
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

/// Deletes a query, or says why it has to stay.
pub(super) async fn delete(
    draft: &Draft<'_>,
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
    Ok(store::queries::delete(draft.tx, query.id).await?)
}

/// Reads and changes saved queries.
#[derive(Debug, Clone)]
pub struct Queries {
    changes: Changes,
}

impl Queries {
    pub fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// # Errors
    /// [`Error::Forbidden`] to who may not read queries.
    pub async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Query>> {
        principal.may(Permission::ReadQueries)?;
        let rows = store::queries::all(self.changes.reader()).await?;
        self.show(principal, listing.page(rows)).await
    }

    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Query> {
        principal.may(Permission::ReadQueries)?;
        let row = find(self.changes.reader(), id).await?;
        self.show(principal, vec![row]).await?.pop().ok_or_else(|| Error::no_such(KIND, id))
    }

    /// Makes a query.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what it cannot be, [`Error::AlreadyExists`] when the name is taken.
    pub async fn create(&self, principal: &Principal, input: &QueryInput) -> Result<Query> {
        principal.may(Permission::WriteSchedule)?;
        let spec = put_over(QuerySpec::default(), input)?;
        let id = self
            .changes
            .make(principal, false, async |draft| {
                check_free(draft.tx, &spec.name, None).await?;
                let query = queries::ActiveModel {
                    author_id: Set(Some(principal.user.id)),
                    created_at: Set(draft.now),
                    ..row(&spec, draft.now)
                };
                let id = store::queries::insert(draft.tx, query).await?;
                draft.record("created_saved_query", json!({ "query_id": id, "query_name": spec.name }));
                Ok(id)
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Changes what `input` has.
    ///
    /// # Errors
    /// As for making one, and [`Error::NotFound`].
    pub async fn edit(&self, principal: &Principal, id: i64, input: &QueryInput) -> Result<Query> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let old = specs::query_spec(find(draft.tx, id).await?);
                let spec = put_over(old.clone(), input)?;
                if spec == old {
                    return Ok(());
                }
                check_free(draft.tx, &spec.name, Some(id)).await?;
                let query = queries::ActiveModel { id: Unchanged(id), ..row(&spec, draft.now) };
                store::queries::update(draft.tx, query).await?;
                draft.record("edited_saved_query", json!({ "query_id": id, "query_name": spec.name }));
                Ok(())
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Deletes the query of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Invalid`] while a pack schedules it.
    pub async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        self.delete_one(principal, async |db| find(db, id).await).await
    }

    /// As [`Queries::delete`], by name.
    ///
    /// # Errors
    /// The same.
    pub async fn delete_named(&self, principal: &Principal, name: &str) -> Result<()> {
        let missing = || Error::NotFound { kind: KIND, key: name.to_owned() };
        self.delete_one(principal, async |db| store::queries::by_name(db, name).await?.ok_or_else(missing)).await
    }

    async fn delete_one(
        &self,
        principal: &Principal,
        find: impl AsyncFn(&store::Tx) -> Result<queries::Model>,
    ) -> Result<()> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let query = find(draft.tx).await?;
                let mut problems = Vec::new();
                delete(draft, || "query".to_owned(), &query, &mut problems).await?;
                none_of(problems)?;
                draft.record("deleted_saved_query", json!({ "query_name": query.name }));
                Ok(())
            })
            .await
    }

    /// Deletes all of these or none, and tells how many there were.
    ///
    /// # Errors
    /// [`Error::Invalid`] while a pack schedules one of them.
    pub async fn delete_many(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        principal.may(Permission::WriteSchedule)?;
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        self.changes
            .make(principal, false, async |draft| {
                let mut problems = Vec::new();
                let mut found = Vec::new();
                for id in &ids {
                    let Some(query) = store::queries::by_id(draft.tx, *id).await? else { continue };
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

    async fn show(&self, principal: &Principal, rows: Vec<queries::Model>) -> Result<Vec<Query>> {
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
}

async fn find(db: &impl ConnectionTrait, id: i64) -> Result<queries::Model> {
    store::queries::by_id(db, id).await?.ok_or_else(|| Error::no_such(KIND, id))
}

/// Refuses a name that another query has.
async fn check_free(db: &impl ConnectionTrait, name: &str, own_id: Option<i64>) -> Result<()> {
    match store::queries::by_name(db, name).await? {
        Some(other) if Some(other.id) != own_id => Err(Error::AlreadyExists { kind: KIND, name: name.to_owned() }),
        _ => Ok(()),
    }
}

/// The query with what `input` has put in, if it can be one.
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
