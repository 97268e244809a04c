//! What enrollments read and write, for many hosts at one time.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Condition, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _,
    QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{hosts, label_members, node_keys};
use super::hosts::{NAMES, is_named};
use super::{Error, Result, Tx, bulk, case};

/// The hosts with these folded identifiers, oldest first. Nobody else changes them until the transaction is over. An older
/// version may have left several whose identifiers differ in capitals alone.
pub async fn locked_by_identifiers(tx: &Tx, folded: &BTreeSet<String>) -> Result<Vec<hosts::Model>> {
    if folded.is_empty() {
        return Ok(Vec::new());
    }
    let words = bulk::padded(folded.iter().cloned().collect());
    let same = hosts::Entity::find().filter(is_named(NAMES[0], &words)).select_only();
    let same = same.columns([hosts::Column::Id, hosts::Column::Identifier]);
    let mut same: Vec<(i64, String)> = same.into_tuple().all(tx).await?;
    // The database may take more for the same than this does.
    same.retain(|(_, identifier)| folded.contains(&case::fold(identifier)));
    if same.is_empty() {
        return Ok(Vec::new());
    }
    // In the order of their ids, as all who lock several hosts do.
    let ids = bulk::padded(same.into_iter().map(|(id, _)| id).collect());
    let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(ids)).order_by_asc(hosts::Column::Id);
    Ok(rows.lock_exclusive().all(tx).await?)
}

/// Those of these folded identifiers that some host has.
pub async fn known_identifiers(db: &impl ConnectionTrait, folded: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let words = bulk::padded(folded.iter().cloned().collect());
    let same = hosts::Entity::find().filter(is_named(NAMES[0], &words));
    let found: Vec<String> = same.select_only().column(hosts::Column::Identifier).into_tuple().all(db).await?;
    Ok(found.iter().map(|identifier| case::fold(identifier)).collect())
}

/// Adds hosts, none of which was there when their identifiers were locked, and gives their ids. Loses the race against
/// whoever adds one at the same time whose identifier differs in capitals alone: unlike [`locked_by_identifiers`], the
/// database takes the two for different ones.
pub async fn insert_hosts(tx: &Tx, hosts: Vec<hosts::Model>) -> Result<HashMap<String, i64>> {
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    let folded: BTreeSet<String> = hosts.iter().map(|host| case::fold(&host.identifier)).collect();
    let added: Vec<String> = hosts.iter().map(|host| host.identifier.clone()).collect();
    let rows = hosts.into_iter().map(|host| {
        let mut row = host.into_active_model().reset_all();
        row.id = ActiveValue::NotSet;
        row
    });
    bulk::insert(tx, rows.collect()).await?;
    // Waits for the other transaction, or is waited for: the database ends one of the two.
    let words = bulk::padded(folded.iter().cloned().collect());
    let same = hosts::Entity::find().filter(is_named(NAMES[0], &words));
    let same = same.select_only().columns([hosts::Column::Identifier, hosts::Column::Id]).lock_exclusive();
    let found: Vec<(String, i64)> = same.into_tuple().all(tx).await?;
    let found: HashMap<String, i64> =
        found.into_iter().filter(|(identifier, _)| folded.contains(&case::fold(identifier))).collect();
    if found.len() != added.len() || !added.iter().all(|identifier| found.contains_key(identifier)) {
        return Err(Error::Busy(DbErr::RecordNotUpdated));
    }
    Ok(found)
}

/// Writes these columns of hosts that are there.
pub async fn update_hosts(tx: &Tx, columns: &[hosts::Column], hosts: Vec<hosts::Model>) -> Result<()> {
    let rows = hosts.into_iter().map(|host| {
        let (id, host) = (host.id, host.into_active_model());
        (id.into(), columns.iter().filter_map(|column| host.get(*column).into_value()).collect())
    });
    bulk::update::<hosts::Entity>(tx, hosts::Column::Id, columns, rows.collect()).await
}

/// Labels of these hosts, as (host, label).
pub async fn labels_of(tx: &Tx, host_ids: &BTreeSet<i64>) -> Result<Vec<(i64, i64)>> {
    if host_ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = bulk::padded(host_ids.iter().copied().collect());
    let members = label_members::Entity::find().filter(label_members::Column::HostId.is_in(ids)).select_only();
    let members = members.columns([label_members::Column::HostId, label_members::Column::LabelId]);
    Ok(members.into_tuple().all(tx).await?)
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
