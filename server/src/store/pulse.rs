//! The one statement with which a node asks, every two seconds, what other nodes have changed.

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, IntoColumnRef, Order, Query, SelectStatement, UnionType};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::Result;
use super::entity::host_changes::HostChangeKind;
use super::entity::live_queries::{self, LiveStatusWord};
use super::entity::{generations, host_changes, leases, nodes};
use super::feed::{FeedPage, HostChange};
use super::generations::SCHEDULE;
use super::live_queries::OpenRow;
use super::nodes::{LEADER, heard_of};
use crate::clock::Moment;

/// Changes as of one moment.
#[derive(Debug)]
pub struct Pulse {
    /// The counter of the schedule; 0 before the first change.
    pub generation: i64,
    /// The feed of host changes after the position that was asked for.
    pub changes: FeedPage,
    /// Live queries that go on, as far as they may change.
    pub open_live_queries: Vec<OpenRow>,
    /// Nodes that were heard of.
    pub nodes: Vec<nodes::Model>,
    /// The lease of the leader; `None` if nobody has ever led.
    pub leader: Option<leases::Model>,
}

/// Bounds of a [`Pulse`].
#[derive(Debug, Clone, Copy)]
pub struct PulseRange {
    /// The feed is read after this position.
    pub after: i64,
    /// Most entries of the feed.
    pub limit: u64,
    /// Nodes that were last heard of before are left out.
    pub heard_since: Moment,
}

const GENERATION: i64 = 0;
const CHANGE: i64 = 1;
const LIVE_QUERY: i64 = 2;
const NODE: i64 = 3;
const LEASE: i64 = 4;

/// Columns by part, besides the number that all have. Those of other parts are null in its rows.
const OF_CHANGES: [&str; 3] = ["host_id", "kind", "changed_at"];
const OF_LIVE_QUERIES: [&str; 6] =
    ["watched_until", "rate", "is_paused", "pace_changes", "canaries_until", "is_paused_early"];
const OF_NODES: [&str; 4] = ["node_id", "alive_at", "knows_leases", "node_version"];
const OF_LEASE: [&str; 1] = ["holder"];

#[derive(Debug, FromQueryResult)]
struct PulseRow {
    part: i64,
    /// The counter, the position in the feed, the id of a live query, up to when a node has written, or when the lease ends.
    number: i64,
    host_id: Option<i64>,
    kind: Option<HostChangeKind>,
    changed_at: Option<Moment>,
    watched_until: Option<Moment>,
    rate: Option<i64>,
    /// As a number, because a union has no booleans on MySQL.
    is_paused: Option<i64>,
    pace_changes: Option<i64>,
    canaries_until: Option<Moment>,
    /// As a number, too.
    is_paused_early: Option<i64>,
    node_id: Option<String>,
    alive_at: Option<Moment>,
    /// As a number, too.
    knows_leases: Option<i64>,
    node_version: Option<String>,
    holder: Option<String>,
}

impl PulseRow {
    fn change(self) -> Option<HostChange> {
        Some(HostChange { id: self.number, host_id: self.host_id?, kind: self.kind?, at: self.changed_at? })
    }

    fn live_query(self) -> Option<OpenRow> {
        Some(OpenRow {
            id: self.number,
            watched_until: self.watched_until,
            rate: self.rate?,
            is_paused: self.is_paused? != 0,
            pace_changes: self.pace_changes?,
            canaries_until: self.canaries_until,
            is_paused_early: self.is_paused_early? != 0,
        })
    }

    fn node(self) -> Option<nodes::Model> {
        Some(nodes::Model {
            id: self.node_id?,
            written_at: Moment(self.number),
            alive_at: self.alive_at,
            knows_leases: self.knows_leases.map(|knows| knows != 0),
            version: self.node_version,
        })
    }

    fn lease(self) -> Option<leases::Model> {
        Some(leases::Model { name: LEADER.to_owned(), holder: self.holder?, expires_at: Moment(self.number) })
    }
}

/// Reads all parts, the changes in the order of their positions.
pub async fn read(db: &impl ConnectionTrait, range: PulseRange) -> Result<Pulse> {
    let changes = FeedPage { after: range.after, changes: Vec::new() };
    let mut pulse = Pulse { generation: 0, changes, open_live_queries: Vec::new(), nodes: Vec::new(), leader: None };
    for row in db.query_all(&statement(range)).await? {
        let row = PulseRow::from_query_result(&row, "")?;
        match row.part {
            GENERATION => pulse.generation = row.number,
            CHANGE => pulse.changes.changes.extend(row.change()),
            LIVE_QUERY => pulse.open_live_queries.extend(row.live_query()),
            NODE => pulse.nodes.extend(row.node()),
            _ => pulse.leader = row.lease(),
        }
    }
    pulse.changes.changes.sort_by_key(|change| change.id);
    Ok(pulse)
}

fn statement(range: PulseRange) -> SelectStatement {
    let feed = Query::select()
        .columns([
            host_changes::Column::Id,
            host_changes::Column::HostId,
            host_changes::Column::Kind,
            host_changes::Column::ChangedAt,
        ])
        .from(host_changes::Entity)
        .and_where(Expr::col(host_changes::Column::Id).gt(range.after))
        .order_by(host_changes::Column::Id, Order::Asc)
        .limit(range.limit)
        .to_owned();
    let generation = part(GENERATION, generations::Column::Value, &[])
        .from(generations::Entity)
        .and_where(Expr::col(generations::Column::Name).eq(SCHEDULE))
        .to_owned();
    // In a query of its own: SQLite has order and limit only at the end of a union.
    let changes = part(CHANGE, host_changes::Column::Id, &OF_CHANGES).from_subquery(feed, "feed").to_owned();
    let live = part(LIVE_QUERY, live_queries::Column::Id, &OF_LIVE_QUERIES)
        .from(live_queries::Entity)
        .and_where(Expr::col(live_queries::Column::Status).eq(LiveStatusWord::Open))
        .to_owned();
    // Under names that are no other part's.
    let heard = Query::select()
        .columns([nodes::Column::WrittenAt, nodes::Column::AliveAt, nodes::Column::KnowsLeases])
        .expr_as(Expr::col(nodes::Column::Id), "node_id")
        .expr_as(Expr::col(nodes::Column::Version), "node_version")
        .from(nodes::Entity)
        .and_where(heard_of(range.heard_since))
        .to_owned();
    let nodes = part(NODE, nodes::Column::WrittenAt, &OF_NODES).from_subquery(heard, "heard").to_owned();
    let leader = part(LEASE, leases::Column::ExpiresAt, &OF_LEASE)
        .from(leases::Entity)
        .and_where(Expr::col(leases::Column::Name).eq(LEADER))
        .to_owned();
    [changes, live, nodes, leader]
        .into_iter()
        .fold(generation, |mut all, part| all.union(UnionType::All, part).to_owned())
}

/// The columns of one part. Constants are written out: of a bound value, the database would not know the type.
fn part(part: i64, number: impl IntoColumnRef, own: &[&'static str]) -> SelectStatement {
    let mut select = Query::select();
    select.expr_as(Expr::Constant(part.into()), "part").expr_as(Expr::col(number), "number");
    for column in OF_CHANGES.into_iter().chain(OF_LIVE_QUERIES).chain(OF_NODES).chain(OF_LEASE) {
        let value = if own.contains(&column) { Expr::col(Alias::new(column)) } else { Expr::null() };
        select.expr_as(value, column);
    }
    select
}
