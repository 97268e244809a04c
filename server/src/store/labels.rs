//! Labels and who is in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set};

use super::entity::{hosts, label_host_names, label_members, labels};
use super::{MAX_PARAMETERS, Result, bulk};

/// Deletes a label that no pack is targeted at, and who is in it; the caller has looked inside this transaction.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    label_members::Entity::delete_many().filter(label_members::Column::LabelId.eq(id)).exec(db).await?;
    label_host_names::Entity::delete_many().filter(label_host_names::Column::LabelId.eq(id)).exec(db).await?;
    labels::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}

/// Labels by id, in the order of their ids.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<labels::Model>> {
    let select = labels::Entity::find().filter(labels::Column::Id.is_in(ids.iter().copied()));
    Ok(select.order_by_asc(labels::Column::Id).all(db).await?)
}

/// Ids of the members, sorted.
pub async fn members(db: &impl ConnectionTrait, label_id: i64) -> Result<Vec<i64>> {
    Ok(label_members::Entity::find()
        .filter(label_members::Column::LabelId.eq(label_id))
        .select_only()
        .column(label_members::Column::HostId)
        .order_by_asc(label_members::Column::HostId)
        .into_tuple()
        .all(db)
        .await?)
}

/// Identifiers of the members of a manual label, or of every one, sorted.
pub async fn manual_members(db: &impl ConnectionTrait, of: Option<i64>) -> Result<BTreeMap<i64, Vec<String>>> {
    let rows: Vec<(i64, String)> = label_members::Entity::find()
        .apply_if(of, |select, id| select.filter(label_members::Column::LabelId.eq(id)))
        .join(
            sea_orm::JoinType::InnerJoin,
            label_members::Entity::belongs_to(hosts::Entity)
                .from(label_members::Column::HostId)
                .to(hosts::Column::Id)
                .into(),
        )
        .join(
            sea_orm::JoinType::InnerJoin,
            label_members::Entity::belongs_to(labels::Entity)
                .from(label_members::Column::LabelId)
                .to(labels::Column::Id)
                .into(),
        )
        .filter(labels::Column::MembershipType.eq(labels::MembershipWord::Manual))
        .select_only()
        .column(label_members::Column::LabelId)
        .column(hosts::Column::Identifier)
        .order_by_asc(hosts::Column::Identifier)
        .into_tuple()
        .all(db)
        .await?;
    let mut members: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (label_id, identifier) in rows {
        members.entry(label_id).or_default().push(identifier);
    }
    Ok(members)
}

/// The names by which the hosts of a manual label, or of every one, were listed, sorted. Labels of older versions have
/// none.
pub async fn host_names(db: &impl ConnectionTrait, of: Option<i64>) -> Result<BTreeMap<i64, Vec<String>>> {
    let select = label_host_names::Entity::find()
        .apply_if(of, |select, id| select.filter(label_host_names::Column::LabelId.eq(id)));
    let rows = select.order_by_asc(label_host_names::Column::Name).all(db).await?;
    let mut names: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in rows {
        names.entry(row.label_id).or_default().push(row.name);
    }
    Ok(names)
}

/// Replaces the names by which the hosts of a label are listed.
pub async fn set_host_names(db: &impl ConnectionTrait, label_id: i64, names: &[String]) -> Result<()> {
    label_host_names::Entity::delete_many().filter(label_host_names::Column::LabelId.eq(label_id)).exec(db).await?;
    for batch in names.chunks(MAX_PARAMETERS / 2) {
        let rows =
            batch.iter().map(|name| label_host_names::ActiveModel { label_id: Set(label_id), name: Set(name.clone()) });
        label_host_names::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The labels of hosts, sorted, of the memberships that `members` picks. Hosts without any are left out.
pub async fn by_host(
    db: &impl ConnectionTrait,
    members: sea_orm::Select<label_members::Entity>,
) -> Result<HashMap<i64, Vec<i64>>> {
    let members = members.select_only().columns([label_members::Column::HostId, label_members::Column::LabelId]);
    let members: Vec<(i64, i64)> = members.order_by_asc(label_members::Column::LabelId).into_tuple().all(db).await?;
    let mut labels: HashMap<i64, Vec<i64>> = HashMap::new();
    for (host_id, label_id) in members {
        labels.entry(host_id).or_default().push(label_id);
    }
    Ok(labels)
}

/// The labels a host is in, sorted.
pub async fn of_host(db: &impl ConnectionTrait, host_id: i64) -> Result<Vec<i64>> {
    let members = label_members::Entity::find().filter(label_members::Column::HostId.eq(host_id)).select_only();
    let members = members.column(label_members::Column::LabelId).order_by_asc(label_members::Column::LabelId);
    Ok(members.into_tuple().all(db).await?)
}

/// Adds hosts that are not members yet, as (label, host); the caller has looked inside this transaction.
pub async fn add_members(db: &impl ConnectionTrait, members: impl IntoIterator<Item = (i64, i64)>) -> Result<()> {
    let members: BTreeSet<(i64, i64)> = members.into_iter().collect();
    let rows = members
        .into_iter()
        .map(|(label_id, host_id)| label_members::ActiveModel { label_id: Set(label_id), host_id: Set(host_id) });
    bulk::insert(db, rows.collect()).await
}

pub async fn remove_members(db: &impl ConnectionTrait, label_id: i64, mut host_ids: Vec<i64>) -> Result<()> {
    host_ids.sort_unstable();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        label_members::Entity::delete_many()
            .filter(label_members::Column::LabelId.eq(label_id))
            .filter(label_members::Column::HostId.is_in(bulk::padded(batch.to_vec())))
            .exec(db)
            .await?;
    }
    Ok(())
}
