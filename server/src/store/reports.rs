//! What hosts have said about themselves, written for many of them at one time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, IdenStatic as _,
    Iterable as _, QueryFilter, QueryOrder, QuerySelect, Set, Value,
};

use super::directory::{self, DirectoryRow};
use super::entity::{hosts, label_members, labels, parked_queries};
use super::{MAX_PARAMETERS, Result, bulk, labels as memberships};
use crate::clock::Moment;

/// What one host has said.
#[derive(Debug, Clone, Default)]
pub struct HostReport {
    pub host_id: i64,
    /// Columns that are set are written.
    pub details: hosts::ActiveModel,
    /// Whether it is in a label, for every label it was asked about and answered.
    pub labels: BTreeMap<i64, bool>,
    /// Questions it has answered, and whether by saying that it does not run them any more.
    pub answered: BTreeMap<String, bool>,
}

/// What writing reports has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportsWritten {
    /// Hosts whose labels, or what the directory holds of them, are others now.
    pub moved: BTreeSet<i64>,
    pub added: u64,
    pub removed: u64,
}

/// Writes reports about these hosts, and what they were asked where that has changed. Only memberships that differ from
/// what is there are touched. Hosts and labels that are gone are left out.
pub async fn write(
    db: &impl ConnectionTrait,
    reports: &BTreeMap<i64, HostReport>,
    existing: &HashMap<i64, ReportingHost>,
    asked: &BTreeMap<i64, RefreshRecord>,
) -> Result<ReportsWritten> {
    let mut written = ReportsWritten::default();
    let mut rows: BTreeMap<u64, Vec<(i64, SetColumns)>> = BTreeMap::new();
    for (host_id, report) in reports {
        let Some(host) = existing.get(host_id) else { continue };
        let mut row = report.details.clone();
        if host.known.leave_out_same(&mut row) {
            written.moved.insert(*host_id);
        }
        let columns = columns_of(row, asked.get(host_id));
        if !columns.is_empty() {
            rows.entry(exact_columns(&columns)).or_default().push((*host_id, columns));
        }
    }
    for rows in rows.into_values() {
        update(db, rows).await?;
    }
    let (added, removed) = changed_members(db, reports, existing).await?;
    written.moved.extend(added.iter().map(|(_, host_id)| *host_id));
    written.moved.extend(removed.values().flatten());
    written.added = added.len() as u64;
    memberships::add_members(db, added).await?;
    for (label_id, host_ids) in removed {
        written.removed += host_ids.len() as u64;
        memberships::remove_members(db, label_id, host_ids).await?;
    }
    Ok(written)
}

/// Columns to be written of a host, each at its position, and their values.
type SetColumns = BTreeMap<usize, Value>;

fn columns_of(mut row: hosts::ActiveModel, asked: Option<&RefreshRecord>) -> SetColumns {
    if let Some(asked) = asked {
        asked.set_in(&mut row);
    }
    let set = |(at, column)| match row.get(column) {
        ActiveValue::Set(value) => Some((at, value)),
        _ => None,
    };
    hosts::Column::iter().enumerate().skip(1).filter_map(set).collect()
}

/// Those of these columns, each a bit at its position, that hosts must have in common to share a statement: those that may be
/// null, as null means there that the column keeps its value, and those with indexes, which databases write for every host in
/// the statement.
fn exact_columns(columns: &SetColumns) -> u64 {
    let is_exact = |column: &hosts::Column| {
        column.def().is_null() || directory::COLUMNS.iter().any(|other| other.as_str() == column.as_str())
    };
    let exact = hosts::Column::iter().enumerate().filter(|(at, column)| columns.contains_key(at) && is_exact(column));
    exact.fold(0, |bits, (at, _)| bits | 1 << at)
}

/// Writes columns of hosts that have [`exact_columns`] in common, and keeps the others of which a host has said nothing: agents of
/// different platforms say different things.
async fn update(db: &impl ConnectionTrait, rows: Vec<(i64, SetColumns)>) -> Result<()> {
    let nulls: SetColumns = rows.iter().flat_map(|(_, row)| row).map(|(at, value)| (*at, value.as_null())).collect();
    let columns: Vec<(hosts::Column, bulk::Keep)> = hosts::Column::iter()
        .enumerate()
        .filter(|(at, _)| nulls.contains_key(at))
        .map(|(at, column)| match rows.iter().all(|(_, row)| row.contains_key(&at)) {
            true => (column, bulk::Keep::New),
            false => (column, bulk::Keep::NewIfAny),
        })
        .collect();
    let values = |mut row: SetColumns| -> Vec<Value> {
        nulls.iter().map(|(at, null)| row.remove(at).unwrap_or_else(|| null.clone())).collect()
    };
    let rows = rows.into_iter().map(|(id, row)| (id.into(), values(row))).collect();
    bulk::merge::<hosts::Entity>(db, hosts::Column::Id, &columns, rows).await
}

/// A host that has said something: what memory holds of its row, and what it was asked.
#[derive(Debug, FromQueryResult)]
pub struct ReportingHost {
    #[sea_orm(nested)]
    known: DirectoryRow,
    detail_updated_at: Moment,
    label_updated_at: Moment,
    statistics_updated_at: Moment,
    refetch_requested: bool,
    open_round: Option<String>,
}

impl ReportingHost {
    pub fn asked(&self) -> RefreshRecord {
        RefreshRecord {
            id: self.known.id,
            detail_updated_at: self.detail_updated_at,
            label_updated_at: self.label_updated_at,
            statistics_updated_at: self.statistics_updated_at,
            refetch_requested: self.refetch_requested,
            open_round: self.open_round.clone(),
        }
    }
}

/// Rows of hosts, by id. Those that are gone are left out.
#[derive(Debug)]
pub struct LockedRows<T> {
    /// Nobody else changes them until the transaction is over.
    pub rows: HashMap<i64, T>,
    /// Hosts whose rows another transaction holds.
    pub held: BTreeSet<i64>,
}

/// Locks rows of hosts, without waiting for those that are held. `extended` adds to what they were asked.
async fn locked<T: FromQueryResult>(
    tx: &super::Tx,
    host_ids: &[i64],
    extended: impl Fn(sea_orm::Select<hosts::Entity>) -> sea_orm::Select<hosts::Entity>,
    id_of: impl Fn(&T) -> i64,
) -> Result<LockedRows<T>> {
    let (mut locked, mut held) = (HashMap::new(), BTreeSet::new());
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        let hosts = extended(asked_of(batch)).lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let rows: Vec<T> = hosts.into_model().all(tx).await?;
        locked.extend(rows.into_iter().map(|row| (id_of(&row), row)));
        let missing: Vec<i64> = batch.iter().copied().filter(|id| !locked.contains_key(id)).collect();
        if !missing.is_empty() {
            let there = hosts::Entity::find().filter(hosts::Column::Id.is_in(bulk::padded(missing)));
            let there: Vec<i64> = there.select_only().column(hosts::Column::Id).into_tuple().all(tx).await?;
            held.extend(there);
        }
    }
    Ok(LockedRows { rows: locked, held })
}

/// Hosts that have said something. Ask for this first in the transaction, so that whatever is read afterwards is as new.
pub async fn reporting(tx: &super::Tx, host_ids: &[i64]) -> Result<LockedRows<ReportingHost>> {
    let known = || directory::COLUMNS.iter().copied().filter(|column| !matches!(column, hosts::Column::Id));
    locked(tx, host_ids, |select| select.columns(known()), |host: &ReportingHost| host.known.id).await
}

/// Memberships that are to be added, as (label, host), and those to be removed, by label.
type ChangedMembers = (Vec<(i64, i64)>, BTreeMap<i64, Vec<i64>>);

/// Compares what hosts have said of labels with what is there.
async fn changed_members(
    db: &impl ConnectionTrait,
    reports: &BTreeMap<i64, HostReport>,
    existing: &HashMap<i64, ReportingHost>,
) -> Result<ChangedMembers> {
    let current = current_members(db, reports, existing).await?;
    let mut added: Vec<(i64, i64)> = Vec::new();
    let mut removed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (host_id, report) in reports.iter().filter(|(host_id, _)| existing.contains_key(*host_id)) {
        for (label_id, is_member) in &report.labels {
            match (is_member, current.contains(&(*label_id, *host_id))) {
                (true, false) => added.push((*label_id, *host_id)),
                (false, true) => removed.entry(*label_id).or_default().push(*host_id),
                _ => {}
            }
        }
    }
    if added.is_empty() && removed.is_empty() {
        return Ok((added, removed));
    }
    // Agents cannot change the members of manual labels, nor of labels of a type this version does not know.
    let dynamic = labels::Entity::find().filter(labels::Column::MembershipType.eq(labels::MembershipWord::Dynamic));
    let dynamic: Vec<i64> = dynamic.select_only().column(labels::Column::Id).into_tuple().all(db).await?;
    let dynamic: HashSet<i64> = dynamic.into_iter().collect();
    added.retain(|(label_id, _)| dynamic.contains(label_id));
    removed.retain(|label_id, _| dynamic.contains(label_id));
    Ok((added, removed))
}

/// Memberships of the hosts that have said anything about labels, as (label, host).
async fn current_members(
    db: &impl ConnectionTrait,
    reports: &BTreeMap<i64, HostReport>,
    existing: &HashMap<i64, ReportingHost>,
) -> Result<HashSet<(i64, i64)>> {
    let asked: Vec<i64> = reports
        .values()
        .filter(|report| !report.labels.is_empty() && existing.contains_key(&report.host_id))
        .map(|report| report.host_id)
        .collect();
    let mut current = HashSet::new();
    for batch in asked.chunks(MAX_PARAMETERS / 2) {
        let rows: Vec<(i64, i64)> = label_members::Entity::find()
            .filter(label_members::Column::HostId.is_in(bulk::padded(batch.to_vec())))
            .select_only()
            .column(label_members::Column::LabelId)
            .column(label_members::Column::HostId)
            .order_by_asc(label_members::Column::HostId)
            .into_tuple()
            .all(db)
            .await?;
        current.extend(rows);
    }
    Ok(current)
}

/// When a host was last asked, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct RefreshRecord {
    pub id: i64,
    pub detail_updated_at: Moment,
    pub label_updated_at: Moment,
    pub statistics_updated_at: Moment,
    pub refetch_requested: bool,
    /// Questions it was sent and has not all answered.
    pub open_round: Option<String>,
}

impl RefreshRecord {
    fn set_in(&self, row: &mut hosts::ActiveModel) {
        row.detail_updated_at = Set(self.detail_updated_at);
        row.label_updated_at = Set(self.label_updated_at);
        row.statistics_updated_at = Set(self.statistics_updated_at);
        row.refetch_requested = Set(self.refetch_requested);
        row.open_round = Set(self.open_round.clone());
    }
}

fn asked_of(host_ids: &[i64]) -> sea_orm::Select<hosts::Entity> {
    hosts::Entity::find()
        .filter(hosts::Column::Id.is_in(bulk::padded(host_ids.to_vec())))
        .order_by_asc(hosts::Column::Id)
        .select_only()
        .columns([
            hosts::Column::Id,
            hosts::Column::DetailUpdatedAt,
            hosts::Column::LabelUpdatedAt,
            hosts::Column::StatisticsUpdatedAt,
            hosts::Column::RefetchRequested,
            hosts::Column::OpenRound,
        ])
}

/// A host that is asked.
#[derive(Debug, Clone, FromQueryResult)]
pub struct AskedHost {
    #[sea_orm(nested)]
    pub record: RefreshRecord,
    /// Whether there are questions that it is not asked any more, as of the beginning of the statement: whoever held the row
    /// then may have parked one since, and changed the record with it.
    pub has_parked: bool,
}

/// What hosts were asked. Ask for this first in the transaction, so that whatever is read afterwards is as new.
pub async fn asked_alone(tx: &super::Tx, host_ids: &[i64]) -> Result<LockedRows<AskedHost>> {
    let parked = Query::select()
        .expr(Expr::val(1))
        .from(parked_queries::Entity)
        .and_where(
            Expr::col((parked_queries::Entity, parked_queries::Column::HostId))
                .equals((hosts::Entity, hosts::Column::Id)),
        )
        .take();
    let extended =
        |select: sea_orm::Select<hosts::Entity>| select.column_as(Expr::exists(parked.clone()), "has_parked");
    locked(tx, host_ids, extended, |asked: &AskedHost| asked.record.id).await
}

/// Writes down what hosts were asked.
pub async fn set_asked(db: &impl ConnectionTrait, asked: impl IntoIterator<Item = RefreshRecord>) -> Result<()> {
    let columns = [
        hosts::Column::DetailUpdatedAt,
        hosts::Column::LabelUpdatedAt,
        hosts::Column::StatisticsUpdatedAt,
        hosts::Column::RefetchRequested,
        hosts::Column::OpenRound,
    ];
    let rows = asked.into_iter().map(|asked| {
        let values = vec![
            asked.detail_updated_at.into(),
            asked.label_updated_at.into(),
            asked.statistics_updated_at.into(),
            asked.refetch_requested.into(),
            asked.open_round.into(),
        ];
        (asked.id.into(), values)
    });
    bulk::update::<hosts::Entity>(db, hosts::Column::Id, &columns, rows.collect()).await
}
