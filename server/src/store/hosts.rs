//! Host rows and when they were last seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{hosts, label_members, node_keys, parked_queries};
use super::{MAX_PARAMETERS, Result};
use crate::clock::Moment;

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<hosts::Model>> {
    Ok(hosts::Entity::find_by_id(id).one(db).await?)
}

pub async fn by_identifier(db: &impl ConnectionTrait, identifier: &str) -> Result<Option<hosts::Model>> {
    Ok(hosts::Entity::find().filter(hosts::Column::Identifier.eq(identifier)).one(db).await?)
}

/// Finds hosts an operator means by a word: identifier, UUID, host name or computer name.
pub async fn named(db: &impl ConnectionTrait, word: &str) -> Result<Vec<hosts::Model>> {
    let is_meant = hosts::Column::Identifier
        .eq(word)
        .or(hosts::Column::Uuid.eq(word))
        .or(hosts::Column::Hostname.eq(word))
        .or(hosts::Column::ComputerName.eq(word));
    Ok(hosts::Entity::find().filter(is_meant).order_by_asc(hosts::Column::Id).all(db).await?)
}

/// What a word an operator uses stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedHost {
    One {
        id: i64,
        identifier: String,
    },
    /// More than one host goes by it.
    Several,
}

/// All that a host may be called.
#[derive(Debug, FromQueryResult)]
struct HostNames {
    id: i64,
    identifier: String,
    uuid: String,
    hostname: String,
    computer_name: String,
}

/// Finds the host of each word: by identifier or, where no host has that, by UUID, host name or computer name.
pub async fn named_many(db: &impl ConnectionTrait, words: &[String]) -> Result<HashMap<String, NamedHost>> {
    let mut found = HashMap::new();
    for batch in words.chunks(MAX_PARAMETERS / 4) {
        let is_meant = hosts::Column::Identifier
            .is_in(batch)
            .or(hosts::Column::Uuid.is_in(batch))
            .or(hosts::Column::Hostname.is_in(batch))
            .or(hosts::Column::ComputerName.is_in(batch));
        let rows: Vec<HostNames> = hosts::Entity::find()
            .filter(is_meant)
            .select_only()
            .columns([
                hosts::Column::Id,
                hosts::Column::Identifier,
                hosts::Column::Uuid,
                hosts::Column::Hostname,
                hosts::Column::ComputerName,
            ])
            .into_model()
            .all(db)
            .await?;
        let mut by_word: HashMap<&str, Vec<&HostNames>> = HashMap::new();
        for row in &rows {
            for word in BTreeSet::from([&row.identifier, &row.uuid, &row.hostname, &row.computer_name]) {
                by_word.entry(word).or_default().push(row);
            }
        }
        for word in batch {
            let Some(rows) = by_word.get(word.as_str()) else { continue };
            let exact = rows.iter().find(|row| row.identifier == *word);
            let named = match (exact, rows.as_slice()) {
                (Some(row), _) | (None, [row]) => NamedHost::One { id: row.id, identifier: row.identifier.clone() },
                _ => NamedHost::Several,
            };
            found.insert(word.clone(), named);
        }
    }
    Ok(found)
}

/// Ids of all hosts.
pub async fn ids(db: &impl ConnectionTrait) -> Result<BTreeSet<i64>> {
    let ids: Vec<i64> = hosts::Entity::find().select_only().column(hosts::Column::Id).into_tuple().all(db).await?;
    Ok(ids.into_iter().collect())
}

/// The platform of every host.
pub async fn platforms(db: &impl ConnectionTrait) -> Result<Vec<(i64, String)>> {
    let select = hosts::Entity::find().select_only().columns([hosts::Column::Id, hosts::Column::Platform]);
    Ok(select.into_tuple().all(db).await?)
}

/// Host names by id; hosts that are gone have none.
pub async fn hostnames(db: &impl ConnectionTrait, ids: &[i64]) -> Result<HashMap<i64, String>> {
    names(db, ids, hosts::Column::Hostname).await
}

/// Computer names by id; hosts that are gone have none.
pub async fn computer_names(db: &impl ConnectionTrait, ids: &[i64]) -> Result<HashMap<i64, String>> {
    names(db, ids, hosts::Column::ComputerName).await
}

async fn names(db: &impl ConnectionTrait, ids: &[i64], column: hosts::Column) -> Result<HashMap<i64, String>> {
    let mut names = HashMap::new();
    for batch in ids.chunks(MAX_PARAMETERS) {
        let rows: Vec<(i64, String)> = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .select_only()
            .columns([hosts::Column::Id, column])
            .into_tuple()
            .all(db)
            .await?;
        names.extend(rows);
    }
    Ok(names)
}

/// When a host was last heard of, and how often it is to call.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Contact {
    pub id: i64,
    pub created_at: Moment,
    pub seen_at: Moment,
    pub distributed_interval: i64,
    pub config_refresh: i64,
}

/// Contacts of hosts heard of since a moment.
pub async fn contacts_since(db: &impl ConnectionTrait, moment: Moment) -> Result<Vec<Contact>> {
    let recent = hosts::Entity::find().filter(hosts::Column::SeenAt.gte(moment)).select_only().columns([
        hosts::Column::Id,
        hosts::Column::CreatedAt,
        hosts::Column::SeenAt,
        hosts::Column::DistributedInterval,
        hosts::Column::ConfigRefresh,
    ]);
    Ok(recent.into_model().all(db).await?)
}

/// Contacts of these hosts; those that are gone have none.
pub async fn contacts(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Contact>> {
    let mut contacts = Vec::new();
    for batch in ids.chunks(MAX_PARAMETERS) {
        let rows: Vec<Contact> = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .select_only()
            .columns([
                hosts::Column::Id,
                hosts::Column::CreatedAt,
                hosts::Column::SeenAt,
                hosts::Column::DistributedInterval,
                hosts::Column::ConfigRefresh,
            ])
            .into_model()
            .all(db)
            .await?;
        contacts.extend(rows);
    }
    Ok(contacts)
}

/// Adds a host and tells its id.
pub async fn insert(db: &impl ConnectionTrait, host: hosts::ActiveModel) -> Result<i64> {
    Ok(hosts::Entity::insert(host).exec(db).await?.last_insert_id)
}

/// Writes the columns that are set.
pub async fn update(db: &impl ConnectionTrait, host: hosts::ActiveModel) -> Result<()> {
    host.update(db).await?;
    Ok(())
}

/// Deletes hosts with their keys, their label memberships and what they are not asked any more. Gives the identifiers of
/// those there were.
pub async fn delete(db: &impl ConnectionTrait, ids: &BTreeSet<i64>) -> Result<BTreeMap<i64, String>> {
    let mut deleted = BTreeMap::new();
    let ids: Vec<i64> = ids.iter().copied().collect();
    for batch in ids.chunks(MAX_PARAMETERS) {
        let batch = || batch.iter().copied();
        let found: Vec<(i64, String)> = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch()))
            .select_only()
            .columns([hosts::Column::Id, hosts::Column::Identifier])
            .into_tuple()
            .all(db)
            .await?;
        deleted.extend(found);
        node_keys::Entity::delete_many().filter(node_keys::Column::HostId.is_in(batch())).exec(db).await?;
        label_members::Entity::delete_many().filter(label_members::Column::HostId.is_in(batch())).exec(db).await?;
        parked_queries::Entity::delete_many().filter(parked_queries::Column::HostId.is_in(batch())).exec(db).await?;
        hosts::Entity::delete_many().filter(hosts::Column::Id.is_in(batch())).exec(db).await?;
    }
    Ok(deleted)
}

/// A host as the index in memory needs it.
#[derive(Debug, Clone)]
pub struct KnownHost {
    pub host: hosts::Model,
    /// Sorted.
    pub label_ids: Vec<i64>,
}

/// Reads a host with its labels.
pub async fn known(db: &impl ConnectionTrait, id: i64) -> Result<Option<KnownHost>> {
    let Some(host) = by_id(db, id).await? else { return Ok(None) };
    let label_ids = label_members::Entity::find()
        .filter(label_members::Column::HostId.eq(id))
        .select_only()
        .column(label_members::Column::LabelId)
        .order_by_asc(label_members::Column::LabelId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(Some(KnownHost { host, label_ids }))
}

/// As [`known`], for many hosts; those that are gone are left out.
pub async fn known_many(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<KnownHost>> {
    let mut known = Vec::with_capacity(ids.len());
    for batch in ids.chunks(MAX_PARAMETERS / 30) {
        let members: Vec<(i64, i64)> = label_members::Entity::find()
            .filter(label_members::Column::HostId.is_in(batch.iter().copied()))
            .select_only()
            .columns([label_members::Column::HostId, label_members::Column::LabelId])
            .order_by_asc(label_members::Column::LabelId)
            .into_tuple()
            .all(db)
            .await?;
        let mut labels: HashMap<i64, Vec<i64>> = HashMap::new();
        for (host_id, label_id) in members {
            labels.entry(host_id).or_default().push(label_id);
        }
        let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(batch.iter().copied())).all(db).await?;
        known.extend(rows.into_iter().map(|host| {
            let label_ids = labels.remove(&host.id).unwrap_or_default();
            KnownHost { host, label_ids }
        }));
    }
    Ok(known)
}

/// A host's contact to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastSeen {
    pub host_id: i64,
    pub at: Moment,
}

/// Writes many contacts in few statements, none over a later one. Rows that are gone are left alone.
pub async fn mark_seen(db: &impl ConnectionTrait, mut seen: Vec<LastSeen>) -> Result<()> {
    seen.sort_unstable();
    // Four parameters a host: three in the CASE, one in the IN.
    for batch in seen.chunks(MAX_PARAMETERS / 4 / 10) {
        let mut at = CaseStatement::new();
        for contact in batch {
            let is_older =
                Expr::col(hosts::Column::Id).eq(contact.host_id).and(Expr::col(hosts::Column::SeenAt).lt(contact.at));
            at = at.case(is_older, contact.at);
        }
        hosts::Entity::update_many()
            .col_expr(hosts::Column::SeenAt, at.finally(Expr::col(hosts::Column::SeenAt)).into())
            .filter(hosts::Column::Id.is_in(batch.iter().map(|contact| contact.host_id)))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// What a host's config tells it about its own intervals, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentIntervals {
    pub distributed: i64,
    pub config_refresh: i64,
    pub logger: i64,
}

/// Writes one set of intervals to all hosts that have it.
pub async fn set_intervals(db: &impl ConnectionTrait, intervals: AgentIntervals, mut host_ids: Vec<i64>) -> Result<()> {
    host_ids.sort_unstable();
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        hosts::Entity::update_many()
            .col_expr(hosts::Column::DistributedInterval, intervals.distributed.into())
            .col_expr(hosts::Column::ConfigRefresh, intervals.config_refresh.into())
            .col_expr(hosts::Column::LoggerTlsPeriod, intervals.logger.into())
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Gives the keys of one agent instance to another host row.
pub async fn move_keys(db: &impl ConnectionTrait, from: i64, instance_id: &str, to: i64) -> Result<()> {
    node_keys::Entity::update_many()
        .col_expr(node_keys::Column::HostId, to.into())
        .filter(node_keys::Column::HostId.eq(from))
        .filter(node_keys::Column::InstanceId.eq(instance_id))
        .exec(db)
        .await?;
    Ok(())
}
