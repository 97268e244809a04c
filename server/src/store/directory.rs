//! What the directory of all hosts in memory is filled from.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::entity::hosts::Column;
use super::entity::{hosts, label_members};
use super::hosts::KnownHost;
use super::{MAX_PARAMETERS, Result};
use crate::clock::Moment;

/// The part of a host's row that hosts are picked, ordered and counted by.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct DirectoryRow {
    pub id: i64,
    pub identifier: String,
    pub hostname: String,
    pub computer_name: String,
    pub uuid: String,
    pub hardware_serial: String,
    pub primary_ip: String,
    pub platform: String,
    pub os_version: String,
    pub osquery_version: String,
    pub hardware_model: String,
    pub memory: i64,
    pub created_at: Moment,
    pub enrolled_at: Moment,
    pub seen_at: Moment,
    pub distributed_interval: i64,
    pub config_refresh: i64,
}

const COLUMNS: [Column; 17] = [
    Column::Id,
    Column::Identifier,
    Column::Hostname,
    Column::ComputerName,
    Column::Uuid,
    Column::HardwareSerial,
    Column::PrimaryIp,
    Column::Platform,
    Column::OsVersion,
    Column::OsqueryVersion,
    Column::HardwareModel,
    Column::Memory,
    Column::CreatedAt,
    Column::EnrolledAt,
    Column::SeenAt,
    Column::DistributedInterval,
    Column::ConfigRefresh,
];

/// A host as the directory holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryHost {
    pub row: DirectoryRow,
    /// Sorted.
    pub label_ids: Vec<i64>,
}

impl From<&KnownHost> for DirectoryHost {
    fn from(known: &KnownHost) -> Self {
        let host = &known.host;
        let row = DirectoryRow {
            id: host.id,
            identifier: host.identifier.clone(),
            hostname: host.hostname.clone(),
            computer_name: host.computer_name.clone(),
            uuid: host.uuid.clone(),
            hardware_serial: host.hardware_serial.clone(),
            primary_ip: host.primary_ip.clone(),
            platform: host.platform.clone(),
            os_version: host.os_version.clone(),
            osquery_version: host.osquery_version.clone(),
            hardware_model: host.hardware_model.clone(),
            memory: host.memory,
            created_at: host.created_at,
            enrolled_at: host.enrolled_at,
            seen_at: host.seen_at,
            distributed_interval: host.distributed_interval,
            config_refresh: host.config_refresh,
        };
        Self { row, label_ids: known.label_ids.clone() }
    }
}

/// Up to `limit` hosts with ids above `id`, in the order of their ids.
pub async fn after(db: &impl ConnectionTrait, id: i64, limit: u64) -> Result<Vec<DirectoryHost>> {
    let select = hosts::Entity::find().filter(Column::Id.gt(id)).order_by_asc(Column::Id).limit(limit);
    let rows: Vec<DirectoryRow> = select.select_only().columns(COLUMNS).into_model().all(db).await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let members = label_members::Entity::find().filter(label_members::Column::HostId.between(first.id, last.id));
    with_labels(db, rows, members).await
}

/// These hosts, in the order of their ids; those that are gone are left out.
pub async fn of(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<DirectoryHost>> {
    let mut found = Vec::with_capacity(ids.len());
    for batch in ids.chunks(MAX_PARAMETERS) {
        let ids = || batch.iter().copied();
        let select = hosts::Entity::find().filter(Column::Id.is_in(ids())).order_by_asc(Column::Id);
        let rows: Vec<DirectoryRow> = select.select_only().columns(COLUMNS).into_model().all(db).await?;
        let members = label_members::Entity::find().filter(label_members::Column::HostId.is_in(ids()));
        found.extend(with_labels(db, rows, members).await?);
    }
    Ok(found)
}

async fn with_labels(
    db: &impl ConnectionTrait,
    rows: Vec<DirectoryRow>,
    members: sea_orm::Select<label_members::Entity>,
) -> Result<Vec<DirectoryHost>> {
    let members: Vec<(i64, i64)> = members
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
    let host = |row: DirectoryRow| DirectoryHost { label_ids: labels.remove(&row.id).unwrap_or_default(), row };
    Ok(rows.into_iter().map(host).collect())
}
