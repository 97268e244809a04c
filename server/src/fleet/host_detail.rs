//! A host with everything that is known of it.

use muster_api::rest::{Explained, HostDetail, HostStatistics, HostView};

use super::access::{Permission, Principal};
use super::explain::{may_explain, runs_on};
use super::{Fleet, Result};
use crate::store;
use crate::store::entity::hosts::Model;

impl Fleet {
    /// One host by id.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound) when there is none.
    pub async fn host_by_id(&self, principal: &Principal, id: i64) -> Result<HostDetail> {
        principal.may(Permission::ReadHosts)?;
        self.host_detail(principal, self.hosts.row_by_id(id).await?).await
    }

    /// One host by what an operator calls it: identifier, UUID, host name or computer name.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound) when there is none, [`Error::Invalid`](super::Error::Invalid) when
    /// several hosts go by that name.
    pub async fn host_by_name(&self, principal: &Principal, word: &str) -> Result<HostDetail> {
        principal.may(Permission::ReadHosts)?;
        self.host_detail(principal, self.hosts.row_by_name(word).await?).await
    }

    /// What scheduled queries cost a host.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound) when there is no such host.
    pub async fn host_statistics(&self, principal: &Principal, id: i64) -> Result<HostStatistics> {
        principal.may(Permission::ReadPacks)?;
        let row = self.hosts.row_by_id(id).await?;
        self.statistics.of_host(principal, id, &row.hostname).await
    }

    /// A host without its schedules, and what queries cost it: `None` for users who may not read packs.
    ///
    /// # Errors
    /// As for [`Fleet::host_by_id`].
    pub async fn host_and_costs(&self, principal: &Principal, id: i64) -> Result<(HostDetail, Option<HostStatistics>)> {
        principal.may(Permission::ReadHosts)?;
        let row = self.hosts.row_by_id(id).await?;
        let label_ids = self.hosts.label_ids(row.id).await?;
        let detail = self.hosts.detail(&row, &label_ids).await?;
        let costs = match principal.may(Permission::ReadPacks) {
            Ok(()) => Some(self.statistics.of_host(principal, id, &row.hostname).await?),
            Err(_) => None,
        };
        Ok((detail, costs))
    }

    /// A host, which scheduled queries it runs and why, and what they cost it.
    ///
    /// # Errors
    /// As for [`Fleet::explain_by_id`].
    pub async fn explained_costs(
        &self,
        principal: &Principal,
        id: i64,
    ) -> Result<(HostView, Explained, HostStatistics)> {
        may_explain(principal)?;
        let row = self.hosts.row_by_id(id).await?;
        let host = self.hosts.show(&row);
        let costs = self.statistics.of_host(principal, id, &row.hostname).await?;
        Ok((host, self.explain(row).await?, costs))
    }

    /// The schedules of packs are left out for users who may not read packs.
    async fn host_detail(&self, principal: &Principal, row: Model) -> Result<HostDetail> {
        let label_ids = self.hosts.label_ids(row.id).await?;
        let mut detail = self.hosts.detail(&row, &label_ids).await?;
        if principal.may(Permission::ReadPacks).is_err() {
            return Ok(detail);
        }
        let runs = runs_on(&self.schedule.plan(), &row, &label_ids);
        let pack_ids: Vec<i64> = detail.packs.iter().map(|pack| pack.id).collect();
        let mut scheduled = store::packs::scheduled_details_of_packs(self.hosts.reader(), &pack_ids).await?;
        scheduled.retain(|detail| runs.contains(&(detail.scheduled.pack_id, detail.scheduled.name.clone())));
        detail.pack_stats = self.statistics.pack_stats(row.id, scheduled).await?;
        Ok(detail)
    }
}
