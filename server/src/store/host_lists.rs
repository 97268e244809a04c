//! Lists of hosts as operators ask for them. The database filters, orders and cuts; a list is read as ids first and then
//! as rows, some at a time, so that it takes little memory and hosts that come and go leave its order alone.

use std::collections::HashMap;
use std::future::ready;

use chrono::DateTime;
use futures_util::TryStreamExt as _;
use sea_orm::sea_query::{Expr, ExprTrait, Func, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Value,
};

use super::Result;
use super::entity::{hosts, label_members};
use super::hosts::{CONTACT, Contact};
use crate::clock::Moment;

/// What a list of hosts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    /// Part of a host name, UUID, serial number or address; capitals (A to Z) do not matter.
    pub text: String,
    /// Only hosts in this label.
    pub label_id: Option<i64>,
    /// Only hosts that are there since then.
    pub created_since: Option<Moment>,
    /// Only hosts behind this value, in the order of the list.
    pub after: Option<OrderValue>,
    /// Leaves out the first ones.
    pub offset: u64,
    pub limit: Option<u64>,
    pub order: HostOrder,
    pub is_descending: bool,
}

/// What a list of hosts may be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    EnrolledAt,
}

/// A value of what a list is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderValue {
    Number(i64),
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
            Self::SeenTime | Self::CreatedAt | Self::UpdatedAt | Self::DetailUpdatedAt | Self::EnrolledAt => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                Some(OrderValue::Time(Moment(time.timestamp_micros())))
            }
            _ => Some(OrderValue::Text(text.to_owned())),
        }
    }

    fn column(self) -> hosts::Column {
        match self {
            Self::Id => hosts::Column::Id,
            Self::Hostname => hosts::Column::Hostname,
            Self::ComputerName => hosts::Column::ComputerName,
            Self::Uuid => hosts::Column::Uuid,
            Self::Platform => hosts::Column::Platform,
            Self::OsVersion => hosts::Column::OsVersion,
            Self::OsqueryVersion => hosts::Column::OsqueryVersion,
            Self::PrimaryIp => hosts::Column::PrimaryIp,
            Self::HardwareModel => hosts::Column::HardwareModel,
            Self::HardwareSerial => hosts::Column::HardwareSerial,
            Self::Memory => hosts::Column::Memory,
            Self::Uptime => hosts::Column::UptimeSecs,
            Self::SeenTime => hosts::Column::SeenAt,
            Self::CreatedAt => hosts::Column::CreatedAt,
            Self::UpdatedAt => hosts::Column::UpdatedAt,
            Self::DetailUpdatedAt => hosts::Column::DetailUpdatedAt,
            Self::EnrolledAt => hosts::Column::EnrolledAt,
        }
    }
}

/// Ids of the hosts of a list, in its order.
pub async fn ids(db: &DatabaseConnection, filter: &HostFilter) -> Result<Vec<i64>> {
    let direction = if filter.is_descending { Order::Desc } else { Order::Asc };
    let select = matching(filter)
        .select_only()
        .column(hosts::Column::Id)
        .order_by(filter.order.column(), direction)
        .order_by_asc(hosts::Column::Id)
        // SQLite knows an offset only behind a limit.
        .limit(filter.limit.unwrap_or(i64::MAX as u64))
        .offset(filter.offset);
    // Row by row: what the driver keeps of a row is many times an id.
    Ok(select.into_tuple::<i64>().stream(db).await?.try_collect().await?)
}

/// What `pick` makes of the hosts of a list, in the list's order, whatever its page.
pub async fn picked<T>(
    db: &DatabaseConnection,
    filter: &HostFilter,
    pick: impl Fn(&Contact) -> Option<T>,
) -> Result<Vec<T>> {
    let direction = if filter.is_descending { Order::Desc } else { Order::Asc };
    let select = matching(filter)
        .select_only()
        .columns(CONTACT)
        .order_by(filter.order.column(), direction)
        .order_by_asc(hosts::Column::Id);
    let contacts = select.into_model::<Contact>().stream(db).await?;
    Ok(contacts.try_filter_map(|contact| ready(Ok(pick(&contact)))).try_collect().await?)
}

/// The rows of these hosts, in the order of `ids`; those that are gone are left out.
pub async fn rows(db: &DatabaseConnection, ids: &[i64]) -> Result<Vec<hosts::Model>> {
    let rows = hosts::Entity::find().filter(hosts::Column::Id.is_in(ids.iter().copied())).all(db).await?;
    let mut by_id: HashMap<i64, hosts::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// The number of hosts of a list, whatever its page.
pub async fn count(db: &impl ConnectionTrait, filter: &HostFilter) -> Result<u64> {
    Ok(matching(filter).count(db).await?)
}

fn matching(filter: &HostFilter) -> Select<hosts::Entity> {
    let mut select = hosts::Entity::find();
    if let Some(label_id) = filter.label_id {
        let members = Query::select()
            .column(label_members::Column::HostId)
            .from(label_members::Entity)
            .and_where(label_members::Column::LabelId.eq(label_id))
            .take();
        select = select.filter(hosts::Column::Id.in_subquery(members));
    }
    if let Some(since) = filter.created_since {
        select = select.filter(hosts::Column::CreatedAt.gte(since));
    }
    if let Some(after) = &filter.after {
        let value = match after {
            OrderValue::Number(number) => Value::from(*number),
            OrderValue::Text(text) => Value::from(text.as_str()),
            OrderValue::Time(moment) => Value::from(*moment),
        };
        let column = filter.order.column();
        select = select.filter(if filter.is_descending { column.lt(value) } else { column.gt(value) });
    }
    if filter.text.is_empty() {
        return select;
    }
    // The database lowers both, so that text finds what is written like it, whatever the database takes for a capital.
    let text = || Expr::expr(Func::lower(Expr::val(filter.text.as_str())));
    let lower = |column: hosts::Column| Expr::expr(Func::lower(Expr::col(column)));
    let has = |column: hosts::Column| Expr::expr(Func::cust("INSTR").arg(lower(column)).arg(text())).gt(0);
    select.filter(
        has(hosts::Column::Hostname)
            .or(has(hosts::Column::ComputerName))
            .or(has(hosts::Column::Uuid))
            .or(has(hosts::Column::HardwareSerial))
            .or(has(hosts::Column::PrimaryIp)),
    )
}
