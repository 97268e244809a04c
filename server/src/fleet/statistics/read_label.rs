//! What a query costs on the hosts of a label, from their last samples.
//!
//! Costs over time are kept by platform and version only: labels are many and change. A host's last sample has its counters
//! since they began, so a thousand hosts spread over the label are enough for percentiles of its runs.

use std::collections::BTreeSet;

use muster_api::rest::LabelCost;
use roaring::RoaringTreemap;

use super::Statistics;
use super::batch::beside;
use super::cost::Cost;
use super::difference::{Since, difference};
use super::known::KnownSchedule;
use super::read::run_cost;
use super::read_query::{MAX_VERSIONS, QuerySpan};
use super::sample::Counters;
use super::versions::QueryName;
use crate::fleet::Result;
use crate::store::statistics::samples;

/// Most hosts whose samples are read.
const MAX_HOSTS: usize = 1_000;

/// Hosts whose samples are in memory at one time.
const AT_ONCE: usize = 100;

impl Statistics {
    /// The cost of a query on these hosts, which are those of a label.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::fleet) async fn label_cost(
        &self,
        label_id: i64,
        wanted: &QuerySpan,
        members: &RoaringTreemap,
    ) -> Result<LabelCost> {
        let name = QueryName { pack: wanted.pack.clone(), name: wanted.name.clone() };
        let versions = self.versions.of_name(self.store.reader(), &name, MAX_VERSIONS).await?;
        let versions: BTreeSet<i64> = versions.into_iter().collect();
        let hosts = usize::try_from(members.len()).unwrap_or(usize::MAX);
        let chosen: Vec<i64> = members.iter().step_by(hosts.div_ceil(MAX_HOSTS).max(1)).map(u64::cast_signed).collect();
        let mut cost = Cost::default();
        let mut sampled_hosts = 0;
        for host_ids in chosen.chunks(AT_ONCE) {
            let rows = samples::of_hosts(self.store.reader(), host_ids).await?;
            sampled_hosts += rows.len() as u64;
            let (wanted, mut so_far) = (versions.clone(), cost);
            cost = beside(move || {
                rows.iter().filter_map(|sample| KnownSchedule::decode(sample)).for_each(|known| {
                    add_runs(&mut so_far, &known, &wanted);
                });
                so_far
            })
            .await?;
        }
        Ok(LabelCost { label_id, label_hosts: members.len(), sampled_hosts, cost: run_cost(&cost) })
    }
}

/// Adds what a host has counted of any version of a query.
fn add_runs(cost: &mut Cost, known: &KnownSchedule, versions: &BTreeSet<i64>) {
    let queries = known.queries.iter().filter(|query| query.gone == 0 && versions.contains(&query.version_id));
    let runs = queries.map(|query| difference(&Counters::default(), &query.counters, Since::default()));
    for runs in runs.filter(|runs| runs.runs > 0) {
        cost.hosts += 1;
        cost.add(&runs, known.version.counts_output());
    }
}
