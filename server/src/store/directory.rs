//! Rows that the directory of all hosts in memory is filled from.

use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::hosts::Column;
use super::entity::{hosts, label_members};
use super::hosts::KnownHost;
use super::{MAX_PARAMETERS, Result, labels};
use crate::clock::Moment;

macro_rules! directory_columns {
    ($($field:ident: $type:ty = $column:ident),* $(,)?) => {
        /// The part of a host's row that hosts are picked, ordered and counted by.
        #[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
        pub struct DirectoryRow {
            $(pub $field: $type),*
        }

        pub(super) const COLUMNS: &[Column] = &[$(Column::$column),*];

        impl From<&hosts::Model> for DirectoryRow {
            fn from(host: &hosts::Model) -> Self {
                Self { $($field: host.$field.clone()),* }
            }
        }

        impl DirectoryRow {
            /// Whether a column that is set has another value here.
            pub(super) fn differs_from(&self, said: &hosts::ActiveModel) -> bool {
                $(matches!(&said.$field, ActiveValue::Set(said) if *said != self.$field))||*
            }
        }
    };
}
directory_columns! {
    id: i64 = Id,
    hostname: String = Hostname,
    computer_name: String = ComputerName,
    uuid: String = Uuid,
    hardware_serial: String = HardwareSerial,
    primary_ip: String = PrimaryIp,
    platform: String = Platform,
    os_version: String = OsVersion,
    osquery_version: String = OsqueryVersion,
    hardware_model: String = HardwareModel,
    memory: i64 = Memory,
    created_at: Moment = CreatedAt,
    enrolled_at: Moment = EnrolledAt,
    seen_at: Moment = SeenAt,
    distributed_interval: i64 = DistributedInterval,
    config_refresh: i64 = ConfigRefresh,
}

/// A host as the directory holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryHost {
    pub row: DirectoryRow,
    /// Sorted.
    pub label_ids: Vec<i64>,
}

impl From<&KnownHost> for DirectoryHost {
    fn from(known: &KnownHost) -> Self {
        Self { row: (&known.host).into(), label_ids: known.label_ids.clone() }
    }
}

/// Up to `limit` hosts with ids above `id`, in the order of their ids.
pub async fn after(db: &impl ConnectionTrait, id: i64, limit: u64) -> Result<Vec<DirectoryHost>> {
    let select = hosts::Entity::find().filter(Column::Id.gt(id)).order_by_asc(Column::Id).limit(limit);
    let rows: Vec<DirectoryRow> = select.select_only().columns(COLUMNS.iter().copied()).into_model().all(db).await?;
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
        let rows: Vec<DirectoryRow> =
            select.select_only().columns(COLUMNS.iter().copied()).into_model().all(db).await?;
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
    let mut labels = labels::by_host(db, members).await?;
    let host = |row: DirectoryRow| DirectoryHost { label_ids: labels.remove(&row.id).unwrap_or_default(), row };
    Ok(rows.into_iter().map(host).collect())
}
