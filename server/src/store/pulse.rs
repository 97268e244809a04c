//! The one statement with which a node asks, every two seconds, whether other nodes have changed anything.

use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement, UnionType};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::Result;
use super::entity::live_queries::{self, LiveStatusWord};
use super::entity::{generations, host_changes};
use super::generations::SCHEDULE;
use super::live_queries::OpenRow;
use crate::clock::Moment;

/// How far changes have come, as of one moment.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The counter of the schedule; 0 before the first change.
    pub generation: i64,
    /// The position of the newest entry in the feed of host changes; 0 if there is none.
    pub newest_change: i64,
    /// Live queries that go on, as far as they may change.
    pub open_live_queries: Vec<OpenRow>,
}

const GENERATION: i64 = 0;
const FEED: i64 = 1;
const LIVE_QUERY: i64 = 2;

/// A row of any of the three parts.
#[derive(Debug, FromQueryResult)]
struct PulseRow {
    part: i64,
    /// The counter, the position, or the id of a live query.
    number: Option<i64>,
    watched_until: Option<Moment>,
    rate: Option<i64>,
    is_paused: Option<i64>,
    pace_changes: Option<i64>,
}

impl PulseRow {
    fn live_query(self) -> Option<OpenRow> {
        Some(OpenRow {
            id: self.number?,
            watched_until: self.watched_until,
            rate: self.rate?,
            is_paused: self.is_paused? != 0,
            pace_changes: self.pace_changes?,
        })
    }
}

/// Reads all three parts.
pub async fn read(db: &impl ConnectionTrait) -> Result<Pulse> {
    let mut pulse = Pulse::default();
    for row in db.query_all(&statement()).await? {
        let row = PulseRow::from_query_result(&row, "")?;
        match row.part {
            GENERATION => pulse.generation = row.number.unwrap_or_default(),
            FEED => pulse.newest_change = row.number.unwrap_or_default(),
            _ => pulse.open_live_queries.extend(row.live_query()),
        }
    }
    Ok(pulse)
}

/// Columns that are not of a part are null there. Whether a live query is paused comes as a number, because a union has
/// no booleans on MySQL.
fn statement() -> SelectStatement {
    // Written out: of a bound value, the database would not know the type.
    let part = |number: i64| Query::select().expr_as(Expr::Constant(number.into()), "part").to_owned();
    let with_nothing = |mut part: SelectStatement| {
        for column in ["watched_until", "rate", "is_paused", "pace_changes"] {
            part.expr_as(Expr::null(), column);
        }
        part
    };
    let generation = part(GENERATION)
        .expr_as(Expr::col(generations::Column::Value), "number")
        .from(generations::Entity)
        .and_where(Expr::col(generations::Column::Name).eq(SCHEDULE))
        .to_owned();
    let feed =
        part(FEED).expr_as(Expr::col(host_changes::Column::Id).max(), "number").from(host_changes::Entity).to_owned();
    let live = part(LIVE_QUERY)
        .expr_as(Expr::col(live_queries::Column::Id), "number")
        .columns([live_queries::Column::WatchedUntil, live_queries::Column::Rate])
        .expr_as(Expr::col(live_queries::Column::IsPaused), "is_paused")
        .column(live_queries::Column::PaceChanges)
        .from(live_queries::Entity)
        .and_where(Expr::col(live_queries::Column::Status).eq(LiveStatusWord::Open))
        .to_owned();
    with_nothing(generation).union(UnionType::All, with_nothing(feed)).union(UnionType::All, live).to_owned()
}
