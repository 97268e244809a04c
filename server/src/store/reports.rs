//! What hosts have said about themselves, written for many of them at one time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{hosts, label_members, labels};
use super::{MAX_PARAMETERS, Result, labels as memberships};
use crate::clock::Moment;

/// What one host has said.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub host_id: i64,
    /// Columns that are set are written.
    pub details: hosts::ActiveModel,
    /// Whether it is in a label, for every label it was asked about and answered.
    pub labels: BTreeMap<i64, bool>,
}

/// What writing reports has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Hosts whose labels are others now.
    pub moved: BTreeSet<i64>,
    pub added: u64,
    pub removed: u64,
}

/// Writes reports, sorted by host. Only memberships that differ from what is there are touched. Hosts and labels that
/// are gone are left out.
pub async fn write(db: &impl ConnectionTrait, reports: &BTreeMap<i64, Report>) -> Result<Written> {
    let existing = existing_hosts(db, reports.keys().copied().collect()).await?;
    let mut written = Written::default();
    for (host_id, report) in reports {
        if existing.contains(host_id) && report.details.is_changed() {
            let mut details = report.details.clone();
            details.id = sea_orm::NotSet;
            // A host that has been deleted meanwhile stays so, and the others' reports are written.
            hosts::Entity::update_many().set(details).filter(hosts::Column::Id.eq(*host_id)).exec(db).await?;
        }
    }
    let known_labels: HashSet<i64> = labels::Entity::find()
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
    for (host_id, report) in reports.iter().filter(|(host_id, _)| existing.contains(*host_id)) {
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
        memberships::add_members(db, label_id, host_ids).await?;
    }
    for (label_id, host_ids) in removed {
        written.removed += host_ids.len() as u64;
        memberships::remove_members(db, label_id, host_ids).await?;
    }
    Ok(written)
}

async fn existing_hosts(db: &impl ConnectionTrait, host_ids: Vec<i64>) -> Result<HashSet<i64>> {
    let mut existing = HashSet::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        let rows: Vec<i64> = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .select_only()
            .column(hosts::Column::Id)
            .into_tuple()
            .all(db)
            .await?;
        existing.extend(rows);
    }
    Ok(existing)
}

/// Memberships of the hosts that have said anything about labels, as (label, host).
async fn current_members(
    db: &impl ConnectionTrait,
    reports: &BTreeMap<i64, Report>,
    existing: &HashSet<i64>,
) -> Result<HashSet<(i64, i64)>> {
    let asked: Vec<i64> = reports
        .values()
        .filter(|report| !report.labels.is_empty() && existing.contains(&report.host_id))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Asked {
    pub detail_updated_at: Moment,
    pub label_updated_at: Moment,
    pub refetch_requested: bool,
}

pub async fn asked(db: &impl ConnectionTrait, host_id: i64) -> Result<Option<Asked>> {
    Ok(hosts::Entity::find_by_id(host_id)
        .select_only()
        .columns([hosts::Column::DetailUpdatedAt, hosts::Column::LabelUpdatedAt, hosts::Column::RefetchRequested])
        .into_model()
        .one(db)
        .await?)
}
