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
            /// Leaves out columns that have the same value here: databases write the indexes of a column that is set, whether
            /// its value is another or not. Returns whether one with another value is left.
            pub(super) fn leave_out_same(&self, said: &mut hosts::ActiveModel) -> bool {
                let mut differs = false;
                $(match &said.$field {
                    ActiveValue::Set(value) if *value == self.$field => said.$field = ActiveValue::NotSet,
                    ActiveValue::Set(_) => differs = true,
                    _ => (),
                })*
                differs
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

#[cfg(test)]
mod tests {
    use sea_orm::Set;

    use super::*;

    #[test]
    fn only_what_has_another_value_is_left() {
        let name = |name: &str| name.to_owned();
        let row = DirectoryRow {
            id: 7,
            hostname: name("web-1"),
            computer_name: name("web-1"),
            uuid: name("6f0c"),
            hardware_serial: name(""),
            primary_ip: name("192.0.2.1"),
            platform: name("ubuntu"),
            os_version: name("Ubuntu 24.04"),
            osquery_version: name("5.19.0"),
            hardware_model: name("KVM"),
            memory: 1 << 30,
            created_at: Moment(1),
            enrolled_at: Moment(2),
            seen_at: Moment(3),
            distributed_interval: 10,
            config_refresh: 60,
        };
        let same =
            hosts::ActiveModel { hostname: Set(name("web-1")), uptime_secs: Set(5), ..hosts::ActiveModel::default() };
        let mut said = same.clone();
        assert!(!row.leave_out_same(&mut said));
        assert_eq!((said.hostname, said.uptime_secs), (ActiveValue::NotSet, Set(5)));

        let mut said = hosts::ActiveModel { primary_ip: Set(name("192.0.2.2")), ..same };
        assert!(row.leave_out_same(&mut said));
        assert_eq!((said.hostname, said.primary_ip), (ActiveValue::NotSet, Set(name("192.0.2.2"))));
    }
}
