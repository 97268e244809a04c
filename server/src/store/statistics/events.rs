//! What agents have stopped: denylisted queries, and workers that were replaced.

use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    Value,
};

use crate::clock::Moment;
use crate::store::entity::{denylisted_queries, schedule_samples, worker_restarts};
use crate::store::{Result, Tx, bulk};

/// What is denylisted on these hosts.
pub async fn denylisted_on(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<Vec<denylisted_queries::Model>> {
    use denylisted_queries::Column;
    let open = denylisted_queries::Entity::find()
        .filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())))
        .filter(Column::Until.is_null());
    Ok(open.order_by_asc(Column::Id).all(db).await?)
}

/// Notes that queries are denylisted.
pub async fn denylist(tx: &Tx, all: Vec<denylisted_queries::Model>) -> Result<()> {
    let rows = all.into_iter().map(|row| denylisted_queries::ActiveModel {
        host_id: Set(row.host_id),
        pack: Set(row.pack),
        name: Set(row.name),
        since: Set(row.since),
        until: Set(row.until),
        ..Default::default()
    });
    bulk::insert(tx, rows.collect()).await
}

/// Notes that these are not denylisted any more.
pub async fn release(tx: &Tx, ids: Vec<i64>, now: Moment) -> Result<()> {
    if !ids.is_empty() {
        denylisted_queries::Entity::update_many()
            .col_expr(denylisted_queries::Column::Until, now.into())
            .filter(denylisted_queries::Column::Id.is_in(bulk::padded(ids)))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// Denylisted queries, the latest first: of one host, of one query, or all; with those that were released if so wanted.
#[derive(Debug, Clone, Default)]
pub struct DenylistFilter {
    pub host_id: Option<i64>,
    pub query: Option<(String, String)>,
    pub with_released: bool,
}

impl DenylistFilter {
    fn condition(&self) -> Condition {
        use denylisted_queries::Column;
        let query = self.query.as_ref();
        Condition::all()
            .add_option(self.host_id.map(|id| Column::HostId.eq(id)))
            .add_option(query.map(|(pack, _)| Column::Pack.eq(pack)))
            .add_option(query.map(|(_, name)| Column::Name.eq(name)))
            .add_option((!self.with_released).then(|| Column::Until.is_null()))
    }
}

pub async fn denylist_page(
    db: &impl ConnectionTrait,
    filter: &DenylistFilter,
    offset: u64,
    limit: u64,
) -> Result<Vec<denylisted_queries::Model>> {
    let found = denylisted_queries::Entity::find().filter(filter.condition());
    let found = found.order_by_desc(denylisted_queries::Column::Id).offset(offset).limit(limit);
    Ok(found.all(db).await?)
}

/// On how many hosts queries are denylisted, as (pack, name, hosts).
pub async fn denylisted_hosts(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<(String, String, i64)>> {
    use denylisted_queries::Column;
    let counts = denylisted_queries::Entity::find()
        .filter(Column::Until.is_null())
        .select_only()
        .columns([Column::Pack, Column::Name])
        .column_as(Column::HostId.count(), "hosts")
        .group_by(Column::Pack)
        .group_by(Column::Name);
    Ok(counts.limit(limit).into_tuple().all(db).await?)
}

/// On how many hosts a query is denylisted.
pub async fn denylisted_hosts_of(db: &impl ConnectionTrait, pack: &str, name: &str) -> Result<u64> {
    let filter = DenylistFilter { query: Some((pack.to_owned(), name.to_owned())), ..DenylistFilter::default() };
    Ok(denylisted_queries::Entity::find().filter(filter.condition()).count(db).await?)
}

/// Notes that workers were replaced.
pub async fn restarted(tx: &Tx, all: Vec<worker_restarts::Model>) -> Result<()> {
    let rows = all.into_iter().map(|row| worker_restarts::ActiveModel {
        host_id: Set(row.host_id),
        seen_at: Set(row.seen_at),
        started_at: Set(row.started_at),
        is_upgrade: Set(row.is_upgrade),
        is_reported: Set(row.is_reported),
        suspects: Set(row.suspects),
        ..Default::default()
    });
    bulk::insert(tx, rows.collect()).await
}

/// Replaces what is known of restarts: queries, and where it is known from.
pub async fn change_restarts(tx: &Tx, all: Vec<worker_restarts::Model>) -> Result<()> {
    use worker_restarts::Column;
    let rows = all.into_iter().map(|row| {
        let values: Vec<Value> = vec![row.is_upgrade.into(), row.is_reported.into(), row.suspects.into()];
        (row.id.into(), values)
    });
    let columns = [Column::IsUpgrade, Column::IsReported, Column::Suspects];
    bulk::update::<worker_restarts::Entity>(tx, Column::Id, &columns, rows.collect()).await
}

/// Restarts on these hosts that were seen since a moment.
pub async fn restarts_since(
    db: &impl ConnectionTrait,
    host_ids: &[i64],
    since: Moment,
) -> Result<Vec<worker_restarts::Model>> {
    use worker_restarts::Column;
    if host_ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = worker_restarts::Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    Ok(found.filter(Column::SeenAt.gte(since)).order_by_asc(Column::Id).all(db).await?)
}

/// Workers that were replaced, the latest first: on one host, or all.
pub async fn restarts_page(
    db: &impl ConnectionTrait,
    host_id: Option<i64>,
    offset: u64,
    limit: u64,
) -> Result<Vec<worker_restarts::Model>> {
    use worker_restarts::Column;
    let found =
        worker_restarts::Entity::find().filter(Condition::all().add_option(host_id.map(|id| Column::HostId.eq(id))));
    Ok(found.order_by_desc(Column::Id).offset(offset).limit(limit).all(db).await?)
}

/// Workers that were replaced since a moment, the latest first, but for upgrades.
pub async fn lately_restarted(
    db: &impl ConnectionTrait,
    since: Moment,
    limit: u64,
) -> Result<Vec<worker_restarts::Model>> {
    use worker_restarts::Column;
    let found = worker_restarts::Entity::find().filter(Column::SeenAt.gte(since)).filter(Column::IsUpgrade.eq(false));
    Ok(found.order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// Removes what was over or seen before this, so many of each at most.
pub async fn forget(tx: &Tx, before: Moment, limit: u64) -> Result<u64> {
    let over = denylisted_queries::Entity::find().filter(denylisted_queries::Column::Until.lt(before)).limit(limit);
    let over: Vec<i64> = over.select_only().column(denylisted_queries::Column::Id).into_tuple().all(tx).await?;
    let old = worker_restarts::Entity::find().filter(worker_restarts::Column::SeenAt.lt(before)).limit(limit);
    let old: Vec<i64> = old.select_only().column(worker_restarts::Column::Id).into_tuple().all(tx).await?;
    let mut removed = 0;
    if !over.is_empty() {
        let over = denylisted_queries::Column::Id.is_in(bulk::padded(over));
        removed += denylisted_queries::Entity::delete_many().filter(over).exec(tx).await?.rows_affected;
    }
    if !old.is_empty() {
        let old = worker_restarts::Column::Id.is_in(bulk::padded(old));
        removed += worker_restarts::Entity::delete_many().filter(old).exec(tx).await?.rows_affected;
    }
    Ok(removed)
}

/// Removes so many of what is denylisted on hosts without a last sample: nothing would end it.
pub async fn forget_unheld(tx: &Tx, limit: u64) -> Result<u64> {
    use denylisted_queries::Column;
    let sampled = Query::select().column(schedule_samples::Column::HostId).from(schedule_samples::Entity).to_owned();
    let unheld = denylisted_queries::Entity::find()
        .filter(Column::Until.is_null())
        .filter(Column::HostId.not_in_subquery(sampled))
        .limit(limit);
    let unheld: Vec<i64> = unheld.select_only().column(Column::Id).into_tuple().all(tx).await?;
    if unheld.is_empty() {
        return Ok(0);
    }
    let unheld = Column::Id.is_in(bulk::padded(unheld));
    Ok(denylisted_queries::Entity::delete_many().filter(unheld).exec(tx).await?.rows_affected)
}

/// Removes all of these hosts: the samples first, as whoever writes them locks them before the rest.
pub async fn forget_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<()> {
    let ids = || host_ids.iter().copied();
    schedule_samples::Entity::delete_many().filter(schedule_samples::Column::HostId.is_in(ids())).exec(db).await?;
    denylisted_queries::Entity::delete_many().filter(denylisted_queries::Column::HostId.is_in(ids())).exec(db).await?;
    worker_restarts::Entity::delete_many().filter(worker_restarts::Column::HostId.is_in(ids())).exec(db).await?;
    Ok(())
}
