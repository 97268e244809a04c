//! Samples on their way to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Statistics;
use super::batch::{FoldedBatch, ReadySample, SamplesByHost};
use super::query_costs::Group;
use super::served_configs::NamedSample;
use super::versions::VersionName;
use super::waiting::WaitingSample;
use crate::fleet::halves::in_halves;
use crate::fleet::{Error, Result};

/// Longest time for which a sample is tried to be written.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Most versions of a batch that are looked for although they are not served now. Agents can name any.
const MAX_OLDER: usize = 2_000;

/// Why a batch was not written, or not all of it.
struct BatchFailure {
    error: Error,
    /// Others can be written all the same.
    is_of_some_hosts: bool,
}

impl From<Error> for BatchFailure {
    fn from(error: Error) -> Self {
        Self { error, is_of_some_hosts: false }
    }
}

impl Statistics {
    pub(super) async fn write_waiting(&self) -> Result<()> {
        let _guard = self.serial.lock().await;
        let mut outcome = Ok(());
        let mut batches = self.waiting.take().into_iter();
        while let Some(batch) = batches.next() {
            let Err(BatchFailure { error, is_of_some_hosts }) = self.write_batch(batch).await else { continue };
            outcome = Err(error);
            if !is_of_some_hosts {
                batches.by_ref().flatten().for_each(|waiting| self.put_back(waiting));
            }
        }
        outcome
    }

    fn put_back(&self, waiting: WaitingSample) {
        // The database refuses it for good, or is away for long: the next sample of the host says the same and more.
        let is_old = self.clock.now().since(waiting.received) > LONGEST_WAIT;
        if is_old || !self.waiting.add(waiting) {
            self.metrics.limit_hit("waiting_samples");
        }
    }

    async fn write_batch(&self, batch: Vec<WaitingSample>) -> std::result::Result<(), BatchFailure> {
        let hosts = match self.prepare(&batch).await {
            Ok(hosts) => hosts,
            Err(error) => {
                batch.into_iter().for_each(|waiting| self.put_back(waiting));
                return Err(error.into());
            }
        };
        let mut outcome = Ok(());
        let work = async |part: &SamplesByHost| {
            self.store.write(async |tx| self.write_part(tx, Arc::new(part.clone())).await).await
        };
        in_halves(hosts, work, |part, written| match written {
            Ok(FoldedBatch { folded, late, restarts, too_large }) => {
                self.metrics.worker_restarts.inc_by(restarts);
                self.metrics.samples("folded", folded);
                self.metrics.samples("late", late);
                (0..too_large).for_each(|_| self.metrics.limit_hit("statistics_part"));
            }
            Err(error) => {
                let is_of_some_hosts = error.may_be_of_one_row();
                part.into_values().for_each(|ready| self.put_back(ready.waiting.clone()));
                outcome = Err(BatchFailure { error: error.into(), is_of_some_hosts });
            }
        })
        .await;
        outcome
    }

    /// Finds the queries that the samples name, and notes versions that nobody has met before.
    async fn prepare(&self, batch: &[WaitingSample]) -> Result<SamplesByHost> {
        let (configs, schedule, all) = (Arc::clone(&self.configs), Arc::clone(&self.schedule), batch.to_vec());
        let named = tokio::task::spawn_blocking(move || configs.name(&schedule, all)).await;
        let named: Vec<NamedSample> = named.map_err(|error| Error::Internal(Box::new(error)))?;
        // A host whose packs make no config that agents load runs what it had before, which nobody knows here.
        self.metrics.samples("without_config", (batch.len() - named.len()) as u64);
        self.learn_versions(&named).await?;
        let known = self.versions.known();
        let mut hosts = SamplesByHost::new();
        for mut named in named {
            let sample = named.resolve(&known);
            self.metrics.unknown_statistics.inc_by(named.unknown as u64);
            let group = Group::of(&named.waiting.host.assignment.load().platform, sample.version);
            let ready = ReadySample { waiting: named.waiting, sample, group };
            hosts.insert(ready.waiting.host.id, Arc::new(ready));
        }
        Ok(hosts)
    }

    async fn learn_versions(&self, named: &[NamedSample]) -> Result<()> {
        let known = self.versions.known();
        let missing: BTreeMap<VersionName, bool> =
            named.iter().flat_map(|sample| sample.unknown_versions(&known)).collect();
        let (served, older): (BTreeMap<_, bool>, BTreeMap<_, bool>) =
            missing.into_iter().partition(|(_, is_served)| *is_served);
        let served: BTreeSet<VersionName> = served.into_keys().collect();
        self.versions.intern(&self.store, &served, self.clock.now()).await?;
        self.versions.find(self.store.reader(), older.keys().take(MAX_OLDER)).await
    }
}
