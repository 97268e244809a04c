//! A scheduled query with everything that is known of its cost.

use muster_api::rest::QueryCostReport;

use super::access::{Permission, Principal};
use super::explain::schedules;
use super::hosts::TargetGroups;
use super::statistics::QuerySpan;
use super::{Error, Fleet, Result};
use crate::store;

impl Fleet {
    /// Fails for a query that nothing schedules and no host has reported; `pack` is empty for the top-level schedule of the
    /// agent options.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn check_scheduled_or_reported(&self, principal: &Principal, pack: &str, name: &str) -> Result<()> {
        principal.may(Permission::ReadPacks)?;
        if schedules(&self.schedule.plan(), pack, name) || self.statistics.has_met(pack, name).await? {
            return Ok(());
        }
        Err(Error::NotFound { kind: "Scheduled query", key: name.to_owned() })
    }

    /// What a scheduled query costs over a span of time, and on the hosts of a label if one is given.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such label, [`Error::Invalid`] for a span that ends before it begins.
    pub async fn query_cost(&self, principal: &Principal, wanted: &QuerySpan) -> Result<QueryCostReport> {
        let mut report = self.statistics.query_report(principal, wanted).await?;
        if let Some(label_id) = wanted.label_id {
            principal.may(Permission::ReadLabels)?;
            if store::labels::by_ids(self.hosts.reader(), &[label_id]).await?.is_empty() {
                return Err(Error::NotFound { kind: "Label", key: label_id.to_string() });
            }
            let groups = TargetGroups { label_lists: vec![vec![label_id]], ..TargetGroups::default() };
            let members = self.hosts.members(groups).await?;
            report.label = Some(self.statistics.label_cost(label_id, wanted, &members).await?);
        }
        Ok(report)
    }
}
