//! What enrollments read and write, for many hosts at one time.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Condition, ExprTrait as _, LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait,
    IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::entity::{hosts, label_members, node_keys};
use super::hosts::{NAMES, is_named};
use super::{Error, Result, Tx, bulk, case, labels};

/// Rows of hosts that enroll.
#[derive(Debug, Default)]
pub struct LockedHosts {
    /// Oldest first. Nobody else changes them until the transaction is over.
    pub rows: Vec<hosts::Model>,
    /// Folded identifiers of rows that another transaction holds.
    pub held: BTreeSet<String>,
}

/// The hosts with these folded identifiers, without waiting for those that are held. An older version may have left several
/// whose identifiers differ in capitals alone. The transaction is to be one of [`super::Store::write_beside`].
pub async fn locked_by_identifiers(tx: &Tx, folded: &BTreeSet<String>) -> Result<LockedHosts> {
    let mut same = ids_by_identifiers(same_identifiers(folded), tx, folded).await?;
    if same.is_empty() {
        return Ok(LockedHosts::default());
    }
    let ids = bulk::padded(same.values().copied().collect());
    let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(ids)).order_by_asc(hosts::Column::Id);
    let rows = rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(tx).await?;
    let locked: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
    same.retain(|_, id| !locked.contains(id));
    Ok(LockedHosts { rows, held: same.into_keys().map(|identifier| case::fold(&identifier)).collect() })
}

/// Those of these folded identifiers that some host has; a few hundred at most.
pub async fn known_identifiers(db: &impl ConnectionTrait, folded: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let found = ids_by_identifiers(same_identifiers(folded), db, folded).await?;
    Ok(found.keys().map(|identifier| case::fold(identifier)).collect())
}

/// Finds hosts with these folded identifiers, and more: databases take more for the same than [`ids_by_identifiers`] leaves.
fn same_identifiers(folded: &BTreeSet<String>) -> Select<hosts::Entity> {
    let words = bulk::padded(folded.iter().cloned().collect());
    let same = hosts::Entity::find().filter(is_named(NAMES[0], &words)).select_only();
    same.columns([hosts::Column::Identifier, hosts::Column::Id])
}

async fn ids_by_identifiers(
    same: Select<hosts::Entity>,
    db: &impl ConnectionTrait,
    folded: &BTreeSet<String>,
) -> Result<HashMap<String, i64>> {
    let rows: Vec<(String, i64)> = same.into_tuple().all(db).await?;
    Ok(rows.into_iter().filter(|(identifier, _)| folded.contains(&case::fold(identifier))).collect())
}

/// Adds hosts, none of which was there when their identifiers were locked, and gives their ids. Loses the race against
/// whoever adds one at the same time whose identifier differs in capitals alone: unlike [`locked_by_identifiers`], the
/// database takes the two for different ones.
pub async fn insert_hosts(tx: &Tx, hosts: Vec<hosts::Model>) -> Result<HashMap<String, i64>> {
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    let folded: BTreeSet<String> = hosts.iter().map(|host| case::fold(&host.identifier)).collect();
    let added: BTreeSet<String> = hosts.iter().map(|host| host.identifier.clone()).collect();
    let rows = hosts.into_iter().map(|host| {
        let mut row = host.into_active_model().reset_all();
        row.id = ActiveValue::NotSet;
        row
    });
    bulk::insert(tx, rows.collect()).await?;
    // A locking reading, which shows what was added however far behind others are.
    let same = same_identifiers(&folded).lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let ids = ids_by_identifiers(same, tx, &folded).await?;
    // Of two transactions, each adds its row before it reads what is not committed either: one at least sees the other's.
    // SQLite has one at a time.
    let there = match tx.get_database_backend() {
        DbBackend::Sqlite => HashMap::new(),
        _ => ids_by_identifiers(same_identifiers(&folded), tx, &folded).await?,
    };
    let has_twin = ids.keys().chain(there.keys()).any(|identifier| !added.contains(identifier));
    if has_twin || ids.len() != added.len() {
        return Err(Error::Busy(DbErr::RecordNotUpdated));
    }
    Ok(ids)
}

/// Writes these columns of hosts that are there.
pub async fn update_hosts(tx: &Tx, columns: &[hosts::Column], hosts: Vec<hosts::Model>) -> Result<()> {
    let rows = hosts.into_iter().map(|host| {
        let (id, host) = (host.id, host.into_active_model());
        (id.into(), columns.iter().filter_map(|column| host.get(*column).into_value()).collect())
    });
    bulk::update::<hosts::Entity>(tx, hosts::Column::Id, columns, rows.collect()).await
}

/// Labels of these hosts.
pub async fn labels_of(tx: &Tx, host_ids: &BTreeSet<i64>) -> Result<HashMap<i64, Vec<i64>>> {
    if host_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = bulk::padded(host_ids.iter().copied().collect());
    labels::by_host(tx, label_members::Entity::find().filter(label_members::Column::HostId.is_in(ids))).await
}

/// The keys of agent instances of hosts, oldest first. The keys of other instances are not read: there may be thousands.
pub async fn keys_of(tx: &Tx, instances: &BTreeSet<(i64, String)>) -> Result<Vec<node_keys::Model>> {
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let instances: Vec<&(i64, String)> = bulk::padded(instances.iter().collect());
    let is_meant = instances.into_iter().fold(Condition::any(), |any, (host_id, instance_id)| {
        let is_it = node_keys::Column::HostId.eq(*host_id).and(node_keys::Column::InstanceId.eq(instance_id.as_str()));
        any.add(is_it)
    });
    let keys = node_keys::Entity::find().filter(is_meant).order_by_asc(node_keys::Column::CreatedAt);
    Ok(keys.all(tx).await?)
}

/// Adds keys.
pub async fn insert_keys(tx: &Tx, keys: Vec<node_keys::Model>) -> Result<()> {
    bulk::insert(tx, keys.into_iter().map(|key| key.into_active_model().reset_all()).collect()).await
}
