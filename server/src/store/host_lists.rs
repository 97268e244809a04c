//! Rows of lists of hosts, and what lists can be ordered by. The directory in memory picks and orders.

use std::collections::HashMap;

use chrono::DateTime;
use futures_util::TryStreamExt as _;
use roaring::RoaringTreemap;
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::entity::hosts;
use super::{Connection, Result};
use crate::clock::Moment;
use crate::under_way::{WaitsFor, waiting_for};

/// What a list of hosts may be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HostOrder {
    #[default]
    Id,
    Hostname,
    ComputerName,
    Uuid,
    Platform,
    OsVersion,
    OsqueryVersion,
    PrimaryIp,
    HardwareModel,
    HardwareSerial,
    Memory,
    Uptime,
    SeenTime,
    CreatedAt,
    UpdatedAt,
    DetailUpdatedAt,
    LabelUpdatedAt,
    EnrolledAt,
    GigsAvailable,
    PercentAvailable,
}

/// A value of what a list is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderValue {
    Number(i64),
    /// Hundredths.
    Fraction(i64),
    Text(String),
    Time(Moment),
}

impl HostOrder {
    /// Reads a value as answers show it; `None` if it is none of this order.
    pub fn value(self, text: &str) -> Option<OrderValue> {
        match self {
            Self::Id | Self::Memory => text.parse().ok().map(OrderValue::Number),
            // Answers show nanoseconds.
            Self::Uptime => text.parse().ok().map(|nanos: i64| OrderValue::Number(nanos / 1_000_000_000)),
            Self::GigsAvailable | Self::PercentAvailable => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(hundredths).map(OrderValue::Fraction)
            }
            Self::SeenTime
            | Self::CreatedAt
            | Self::UpdatedAt
            | Self::DetailUpdatedAt
            | Self::LabelUpdatedAt
            | Self::EnrolledAt => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                Some(OrderValue::Time(Moment(time.timestamp_micros())))
            }
            _ => Some(OrderValue::Text(text.to_owned())),
        }
    }

    /// The column of an order whose values change with every report, which the directory does not hold.
    pub fn column_of_its_own(self) -> Option<hosts::Column> {
        match self {
            Self::Uptime => Some(hosts::Column::UptimeSecs),
            Self::UpdatedAt => Some(hosts::Column::UpdatedAt),
            Self::DetailUpdatedAt => Some(hosts::Column::DetailUpdatedAt),
            Self::LabelUpdatedAt => Some(hosts::Column::LabelUpdatedAt),
            Self::GigsAvailable => Some(hosts::Column::GigsDiskSpaceAvailable),
            Self::PercentAvailable => Some(hosts::Column::PercentDiskSpaceAvailable),
            _ => None,
        }
    }
}

/// A number as lists compare it: with two digits behind the point.
fn hundredths(number: f64) -> i64 {
    (number * 100.0).round() as i64
}

/// The values of a column of numbers or times, by host; of disk space in hundredths.
pub async fn values(db: &Connection, column: hosts::Column) -> Result<HashMap<i64, i64>> {
    let select = hosts::Entity::find().select_only().columns([hosts::Column::Id, column]);
    if matches!(column, hosts::Column::GigsDiskSpaceAvailable | hosts::Column::PercentDiskSpaceAvailable) {
        let read = async {
            let rows = select.into_tuple::<(i64, f64)>().stream(db.inner()).await?;
            rows.map_ok(|(id, number)| (id, hundredths(number))).try_collect().await
        };
        return Ok(waiting_for(WaitsFor::Database, read).await?);
    }
    // Row by row: what the driver keeps of a row is many times two numbers.
    let read = async { select.into_tuple::<(i64, i64)>().stream(db.inner()).await?.try_collect().await };
    Ok(waiting_for(WaitsFor::Database, read).await?)
}

/// The hosts that have said that they have less than so many gigabytes of disk space left.
pub async fn with_disk_below(db: &Connection, gigabytes: u32) -> Result<RoaringTreemap> {
    let (gigs, percent) = (hosts::Column::GigsDiskSpaceAvailable, hosts::Column::PercentDiskSpaceAvailable);
    // Hosts that have not said it yet have neither.
    let is_known = gigs.gt(0.0).or(percent.gt(0.0));
    let select = hosts::Entity::find().filter(gigs.lt(f64::from(gigabytes))).filter(is_known);
    let select = select.select_only().column(hosts::Column::Id).into_tuple::<i64>();
    let read = async {
        let rows = select.stream(db.inner()).await?;
        rows.map_ok(i64::cast_unsigned).try_collect().await
    };
    Ok(waiting_for(WaitsFor::Database, read).await?)
}

/// The rows of these hosts; those that are gone are left out.
pub async fn rows(db: &Connection, ids: &[i64]) -> Result<HashMap<i64, hosts::Model>> {
    let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(ids.iter().copied())).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
