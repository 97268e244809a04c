//! What hosts have said about themselves, written for many of them at one time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::entity::{hosts, label_members, labels};
use super::{MAX_PARAMETERS, Result, labels as memberships};
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
    /// Hosts whose labels, platform, name or intervals are others now.
    pub moved: BTreeSet<i64>,
    pub added: u64,
    pub removed: u64,
}

/// Writes reports, sorted by host. Only memberships that differ from what is there are touched. Hosts and labels that
/// are gone are left out.
pub async fn write(db: &impl ConnectionTrait, reports: &BTreeMap<i64, HostReport>) -> Result<ReportsWritten> {
    let existing = existing_hosts(db, reports.keys().copied().collect()).await?;
    let mut written = ReportsWritten::default();
    for (host_id, report) in reports {
        if let Some(host) = existing.get(host_id)
            && report.details.is_changed()
        {
            if host.differs_from(&report.details) {
                written.moved.insert(*host_id);
            }
            let mut details = report.details.clone();
            details.id = sea_orm::NotSet;
            // A host that has been deleted meanwhile stays so, and the others' reports are written.
            hosts::Entity::update_many().set(details).filter(hosts::Column::Id.eq(*host_id)).exec(db).await?;
        }
    }
    // Agents cannot change the members of manual labels, nor of labels of a type this version does not know.
    let known_labels: HashSet<i64> = labels::Entity::find()
        .filter(labels::Column::MembershipType.eq(labels::MembershipWord::Dynamic))
        .select_only()
        .column(labels::Column::Id)
        .into_tuple()
        .all(db)
        .await?
        .into_iter()
        .collect();
    let current = current_members(db, reports, &existing).await?;
    let mut added: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut removed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (host_id, report) in reports.iter().filter(|(host_id, _)| existing.contains_key(*host_id)) {
        for (label_id, is_member) in report.labels.iter().filter(|(label_id, _)| known_labels.contains(*label_id)) {
            let changes = match (is_member, current.contains(&(*label_id, *host_id))) {
                (true, false) => &mut added,
                (false, true) => &mut removed,
                _ => continue,
            };
            changes.entry(*label_id).or_default().push(*host_id);
            written.moved.insert(*host_id);
        }
    }
    for (label_id, host_ids) in added {
        written.added += host_ids.len() as u64;
        memberships::add_members(db, host_ids.into_iter().map(|host_id| (label_id, host_id))).await?;
    }
    for (label_id, host_ids) in removed {
        written.removed += host_ids.len() as u64;
        memberships::remove_members(db, label_id, host_ids).await?;
    }
    Ok(written)
}

fn differs<T: PartialEq + Into<sea_orm::Value>>(said: &ActiveValue<T>, known: &T) -> bool {
    matches!(said, ActiveValue::Set(said) if said != known)
}

/// What memory holds of a host's row.
#[derive(Debug, FromQueryResult)]
struct Identified {
    id: i64,
    platform: String,
    hostname: String,
    distributed_interval: i64,
    config_refresh: i64,
}

impl Identified {
    fn differs_from(&self, said: &hosts::ActiveModel) -> bool {
        differs(&said.platform, &self.platform)
            || differs(&said.hostname, &self.hostname)
            || differs(&said.distributed_interval, &self.distributed_interval)
            || differs(&said.config_refresh, &self.config_refresh)
    }
}

async fn existing_hosts(db: &impl ConnectionTrait, host_ids: Vec<i64>) -> Result<HashMap<i64, Identified>> {
    let mut existing = HashMap::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        let rows: Vec<Identified> = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .select_only()
            .columns([
                hosts::Column::Id,
                hosts::Column::Platform,
                hosts::Column::Hostname,
                hosts::Column::DistributedInterval,
                hosts::Column::ConfigRefresh,
            ])
            .into_model()
            .all(db)
            .await?;
        existing.extend(rows.into_iter().map(|host| (host.id, host)));
    }
    Ok(existing)
}

/// Memberships of the hosts that have said anything about labels, as (label, host).
async fn current_members(
    db: &impl ConnectionTrait,
    reports: &BTreeMap<i64, HostReport>,
    existing: &HashMap<i64, Identified>,
) -> Result<HashSet<(i64, i64)>> {
    let asked: Vec<i64> = reports
        .values()
        .filter(|report| !report.labels.is_empty() && existing.contains_key(&report.host_id))
        .map(|report| report.host_id)
        .collect();
    let mut current = HashSet::new();
    for batch in asked.chunks(MAX_PARAMETERS / 2) {
        let rows: Vec<(i64, i64)> = label_members::Entity::find()
            .filter(label_members::Column::HostId.is_in(batch.iter().copied()))
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
    pub refetch_requested: bool,
    /// Questions it was sent and has not all answered.
    pub open_round: Option<String>,
}

fn asked_of(host_ids: &[i64]) -> sea_orm::Select<hosts::Entity> {
    hosts::Entity::find()
        .filter(hosts::Column::Id.is_in(host_ids.iter().copied()))
        .order_by_asc(hosts::Column::Id)
        .select_only()
        .columns([
            hosts::Column::Id,
            hosts::Column::DetailUpdatedAt,
            hosts::Column::LabelUpdatedAt,
            hosts::Column::RefetchRequested,
            hosts::Column::OpenRound,
        ])
}

pub async fn asked(db: &impl ConnectionTrait, host_id: i64) -> Result<Option<RefreshRecord>> {
    Ok(asked_of(&[host_id]).into_model().one(db).await?)
}

/// What hosts were asked; nobody else changes it until the transaction is over. Ask for this first in it, so that
/// whatever is read afterwards is as new.
pub async fn asked_alone(tx: &super::Tx, host_ids: &[i64]) -> Result<HashMap<i64, RefreshRecord>> {
    let mut all = HashMap::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        let rows: Vec<RefreshRecord> = asked_of(batch).lock_exclusive().into_model().all(tx).await?;
        all.extend(rows.into_iter().map(|asked| (asked.id, asked)));
    }
    Ok(all)
}

/// Writes down what a host was asked.
pub async fn set_asked(db: &impl ConnectionTrait, asked: &RefreshRecord) -> Result<()> {
    hosts::Entity::update_many()
        .col_expr(hosts::Column::DetailUpdatedAt, asked.detail_updated_at.into())
        .col_expr(hosts::Column::LabelUpdatedAt, asked.label_updated_at.into())
        .col_expr(hosts::Column::RefetchRequested, asked.refetch_requested.into())
        .col_expr(hosts::Column::OpenRound, Expr::value(asked.open_round.clone()))
        .filter(hosts::Column::Id.eq(asked.id))
        .exec(db)
        .await?;
    Ok(())
}
