//! Host rows and when they were last seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, Func};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{hosts, label_members, node_keys, parked_queries};
use super::{MAX_PARAMETERS, Result, Store, Tx, bulk, case, labels};
use crate::clock::Moment;

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<hosts::Model>> {
    Ok(hosts::Entity::find_by_id(id).one(db).await?)
}

/// The host, which nobody else changes until the transaction is over.
pub async fn locked(tx: &Tx, id: i64) -> Result<Option<hosts::Model>> {
    Ok(hosts::Entity::find_by_id(id).lock_exclusive().one(tx).await?)
}

/// Ids of the hosts with these identifiers, whatever their capitals; a few hundred at most.
pub async fn ids_of(db: &impl ConnectionTrait, identifiers: &[String]) -> Result<HashMap<String, i64>> {
    let found = hosts::Entity::find().filter(is_named(NAMES[0], identifiers)).order_by_asc(hosts::Column::Id);
    let found = found.select_only().columns([hosts::Column::Identifier, hosts::Column::Id]);
    let rows: Vec<(String, i64)> = found.into_tuple().all(db).await?;
    let ids: case::ByName<i64> = rows.into_iter().collect();
    Ok(identifiers.iter().filter_map(|identifier| Some((identifier.clone(), *ids.get(identifier)?))).collect())
}

/// Columns by which hosts are named, and what the database keeps of each without capitals, with an index.
pub(super) const NAMES: [&str; 4] = ["identifier_fold", "uuid_fold", "hostname_fold", "computer_name_fold"];

/// Whether a column of [`NAMES`] holds one of these words. The database takes at least those for the same that
/// [`case::is_same`] does.
pub(super) fn is_named(column: &'static str, words: &[String]) -> Expr {
    Expr::col(column).is_in(words.iter().map(|word| Expr::expr(Func::lower(Expr::val(word.as_str())))))
}

/// Finds hosts an operator means by a word: identifier, UUID, host name or computer name. Capitals do not matter.
pub async fn named(db: &impl ConnectionTrait, word: &str) -> Result<Vec<hosts::Model>> {
    let words = [word.to_owned()];
    let is_meant = NAMES.into_iter().fold(Condition::any(), |any, column| any.add(is_named(column, &words)));
    let mut rows = hosts::Entity::find().filter(is_meant).order_by_asc(hosts::Column::Id).all(db).await?;
    rows.retain(|host| {
        [&host.identifier, &host.uuid, &host.hostname, &host.computer_name].iter().any(|name| case::is_same(name, word))
    });
    Ok(rows)
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

/// Finds the host of each word: by identifier or, where no host has that, by UUID, host name or computer name. Capitals
/// do not matter, unless hosts differ in these alone.
pub async fn named_many(db: &impl ConnectionTrait, words: &[String]) -> Result<HashMap<String, NamedHost>> {
    let mut found = HashMap::new();
    for batch in words.chunks(MAX_PARAMETERS / 4) {
        let is_meant = NAMES.into_iter().fold(Condition::any(), |any, column| any.add(is_named(column, batch)));
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
            .order_by_asc(hosts::Column::Id)
            .into_model()
            .all(db)
            .await?;
        let mut by_word: HashMap<String, Vec<&HostNames>> = HashMap::new();
        for row in &rows {
            let names = [&row.identifier, &row.uuid, &row.hostname, &row.computer_name].map(|name| case::fold(name));
            for word in BTreeSet::from(names) {
                by_word.entry(word).or_default().push(row);
            }
        }
        for word in batch {
            let Some(rows) = by_word.get(&case::fold(word)) else { continue };
            let named = match meant(rows, word, |row| &row.identifier) {
                Some(row) => NamedHost::One { id: row.id, identifier: row.identifier.clone() },
                None => NamedHost::Several,
            };
            found.insert(word.clone(), named);
        }
    }
    Ok(found)
}

/// Which of the things that go by a word it stands for: the one of exactly this identifier, the only one of this identifier
/// but for capitals, or the only one. `None` if it may stand for several.
pub fn meant<'a, T>(things: &'a [T], word: &str, identifier: impl Fn(&T) -> &str) -> Option<&'a T> {
    if let Some(exact) = things.iter().find(|thing| identifier(thing) == word) {
        return Some(exact);
    }
    let by_identifier: Vec<&T> = things.iter().filter(|thing| case::is_same(identifier(thing), word)).collect();
    match (by_identifier.as_slice(), things) {
        ([one], _) => Some(one),
        ([], [one]) => Some(one),
        _ => None,
    }
}

/// Whether there is any host.
pub async fn is_any(db: &impl ConnectionTrait) -> Result<bool> {
    let first = hosts::Entity::find().select_only().column(hosts::Column::Id).limit(1);
    Ok(first.into_tuple::<i64>().one(db).await?.is_some())
}

/// Those of these hosts that there are, however far behind other readings are; a few hundred at most.
pub async fn confirmed(store: &Store, ids: &[i64]) -> Result<BTreeSet<i64>> {
    let found = hosts::Entity::find().filter(hosts::Column::Id.is_in(ids.iter().copied()));
    let found = found.select_only().column(hosts::Column::Id).lock_exclusive();
    let ids: Vec<i64> = found.into_tuple().all(store.current()).await?;
    Ok(ids.into_iter().collect())
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

/// Adds hosts that set the same columns.
pub async fn insert_many(db: &impl ConnectionTrait, hosts: Vec<hosts::ActiveModel>) -> Result<()> {
    bulk::insert(db, hosts).await
}

/// Writes the columns that are set.
pub async fn update(db: &impl ConnectionTrait, host: hosts::ActiveModel) -> Result<()> {
    host.update(db).await?;
    Ok(())
}

/// Marks a few hundred hosts to be asked everything with their next check-ins, whatever they were asked before. Gives the ids
/// of those there were.
pub async fn ask_again(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<Vec<i64>> {
    let found: Vec<i64> = hosts::Entity::find()
        .filter(hosts::Column::Id.is_in(host_ids.iter().copied()))
        .select_only()
        .column(hosts::Column::Id)
        .order_by_asc(hosts::Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(db)
        .await?;
    let marked = hosts::Entity::update_many()
        .col_expr(hosts::Column::RefetchRequested, true.into())
        .col_expr(hosts::Column::OpenRound, Expr::value(None::<String>))
        .filter(hosts::Column::Id.is_in(found.iter().copied()));
    if !found.is_empty() {
        marked.exec(db).await?;
    }
    Ok(found)
}

/// Deletes a few hundred hosts with their keys, their label memberships, their carves and what they are not asked any more.
/// Gives the identifiers of those there were.
pub async fn delete(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<BTreeMap<i64, String>> {
    let ids = || host_ids.iter().copied();
    let deleted: Vec<(i64, String)> = hosts::Entity::find()
        .filter(hosts::Column::Id.is_in(ids()))
        .select_only()
        .columns([hosts::Column::Id, hosts::Column::Identifier])
        // Before the keys, as all do who change both.
        .lock_exclusive()
        .into_tuple()
        .all(db)
        .await?;
    node_keys::Entity::delete_many().filter(node_keys::Column::HostId.is_in(ids())).exec(db).await?;
    label_members::Entity::delete_many().filter(label_members::Column::HostId.is_in(ids())).exec(db).await?;
    parked_queries::Entity::delete_many().filter(parked_queries::Column::HostId.is_in(ids())).exec(db).await?;
    super::statistics::events::forget_hosts(db, host_ids).await?;
    super::schema::forget_hosts(db, host_ids).await?;
    super::carves::forget_hosts(db, host_ids).await?;
    super::carve_requests::forget_hosts(db, host_ids).await?;
    hosts::Entity::delete_many().filter(hosts::Column::Id.is_in(ids())).exec(db).await?;
    Ok(deleted.into_iter().collect())
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
        let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(bulk::padded(batch.to_vec())));
        known.extend(with_labels(db, rows.all(db).await?).await?);
    }
    Ok(known)
}

/// As [`known_many`], however far behind other readings are. The labels may lag.
pub async fn known_confirmed(store: &Store, ids: &[i64]) -> Result<Vec<KnownHost>> {
    let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(bulk::padded(ids.to_vec())));
    with_labels(store.reader(), rows.lock_exclusive().all(store.current()).await?).await
}

async fn with_labels(db: &impl ConnectionTrait, rows: Vec<hosts::Model>) -> Result<Vec<KnownHost>> {
    let is_of_any = label_members::Column::HostId.is_in(bulk::padded(rows.iter().map(|host| host.id).collect()));
    let mut labels = labels::by_host(db, label_members::Entity::find().filter(is_of_any)).await?;
    let known = rows.into_iter().map(|host| {
        let label_ids = labels.remove(&host.id).unwrap_or_default();
        KnownHost { host, label_ids }
    });
    Ok(known.collect())
}

/// A host's contact to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastSeen {
    pub host_id: i64,
    pub at: Moment,
}

/// The contacts since a moment in rows of hosts with ids above `after`, up to `limit`, in the order of the ids.
pub async fn seen_since(db: &impl ConnectionTrait, since: Moment, after: i64, limit: u64) -> Result<Vec<LastSeen>> {
    let hosts = hosts::Entity::find().filter(hosts::Column::Id.gt(after)).filter(hosts::Column::SeenAt.gt(since));
    let hosts = hosts.order_by_asc(hosts::Column::Id).limit(limit).select_only();
    let seen: Vec<(i64, Moment)> =
        hosts.columns([hosts::Column::Id, hosts::Column::SeenAt]).into_tuple().all(db).await?;
    Ok(seen.into_iter().map(|(host_id, at)| LastSeen { host_id, at }).collect())
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
pub async fn set_intervals(db: &impl ConnectionTrait, intervals: AgentIntervals, host_ids: &[i64]) -> Result<()> {
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        hosts::Entity::update_many()
            .col_expr(hosts::Column::DistributedInterval, intervals.distributed.into())
            .col_expr(hosts::Column::ConfigRefresh, intervals.config_refresh.into())
            .col_expr(hosts::Column::LoggerTlsPeriod, intervals.logger.into())
            .filter(hosts::Column::Id.is_in(bulk::padded(batch.to_vec())))
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
