//! The hosts that are picked now, as every node knows them, and what they say on its way to the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::pick::{OPEN_FOR, is_open};
use super::{AgentSchemas, TableReport};
use crate::clock::Moment;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store;
use crate::store::entity::table_sets;

/// Most picks that are open at one time.
const MAX_OPEN: u64 = 2_000;

/// Hosts that were picked and have not reported yet, as of the last reading.
#[derive(Debug, Default)]
pub(super) struct OpenPicks(Mutex<HashMap<i64, OpenPick>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenPick {
    picked_at: Moment,
    was_asked: bool,
}

impl OpenPicks {
    /// Whether a host was picked and not asked since.
    pub fn are_unasked(&self, host_id: i64) -> bool {
        lock(&self.0).get(&host_id).is_some_and(|pick| !pick.was_asked)
    }

    pub fn has(&self, host_id: i64) -> bool {
        lock(&self.0).contains_key(&host_id)
    }

    pub fn was_asked(&self, host_id: i64) {
        if let Some(pick) = lock(&self.0).get_mut(&host_id) {
            pick.was_asked = true;
        }
    }

    /// Takes over what has been read, and gives the hosts that are to be asked and were not before.
    fn replace(&self, mut read: HashMap<i64, OpenPick>) -> Vec<i64> {
        let mut known = lock(&self.0);
        let mut new = Vec::new();
        for (host_id, pick) in &mut read {
            match known.get(host_id) {
                // What was read may be older than what this node has asked.
                Some(before) if before.picked_at == pick.picked_at => pick.was_asked |= before.was_asked,
                _ if !pick.was_asked => new.push(*host_id),
                _ => {}
            }
        }
        *known = read;
        new
    }
}

impl AgentSchemas {
    /// Writes what hosts have said, and reads which are picked now.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn follow(&self) -> Result<()> {
        if self.interval.is_zero() {
            return Ok(());
        }
        self.write_waiting().await?;
        let now = self.clock.now();
        let awaited = store::schema::awaited(self.store.reader(), now.minus(OPEN_FOR), MAX_OPEN).await?;
        let open = awaited.into_iter().filter(|pick| is_open(pick, now)).map(|pick| {
            (pick.host_id, OpenPick { picked_at: pick.picked_at, was_asked: pick.asked_at >= pick.picked_at })
        });
        for host_id in self.picks.replace(open.collect()) {
            // One that has not called this node yet is looked at anyway when it does.
            if let Some(host) = self.hosts.index.get(host_id) {
                host.refresh_state.look_again();
            }
        }
        Ok(())
    }

    async fn write_waiting(&self) -> Result<()> {
        let waiting = self.waiting.take();
        if waiting.is_empty() {
            return Ok(());
        }
        let written = self.write_reports(&waiting).await;
        if written.is_err() {
            self.waiting.put_back(waiting);
        }
        written
    }

    /// Writes the reports of hosts that were picked and have not reported since. What others say is dropped, and what a host
    /// says that is of another version by now.
    async fn write_reports(&self, waiting: &BTreeMap<i64, TableReport>) -> Result<()> {
        let now = self.clock.now();
        let reports = waiting.clone();
        // Compressing takes the processor some milliseconds for each.
        let encode = move || -> BTreeMap<i64, _> {
            reports.into_iter().map(|(host_id, report)| (host_id, (report.version, report.tables.encode()))).collect()
        };
        let encoded = tokio::task::spawn_blocking(encode).await.map_err(|error| Error::Internal(Box::new(error)))?;
        let host_ids: Vec<i64> = waiting.keys().copied().collect();
        let since = now.minus(self.interval);
        let written = self
            .store
            .write(async |tx| {
                let mut written = Vec::new();
                for pick in store::schema::locked(tx, &host_ids).await? {
                    let Some((version, (hash, tables))) = encoded.get(&pick.host_id) else { continue };
                    let is_awaited = pick.reported_at < pick.picked_at && pick.picked_at >= since;
                    if is_awaited && pick.version == version.to_string() {
                        let set = table_sets::Model {
                            set_hash: hash.to_vec(),
                            used_at: now.max(pick.picked_at),
                            tables: tables.clone(),
                        };
                        store::schema::report(tx, pick.host_id, set).await?;
                        written.push(pick.host_id);
                    }
                }
                Ok(written)
            })
            .await?;
        self.metrics.schema_reports("kept", written.len() as u64);
        self.metrics.schema_reports("dropped", (waiting.len() - written.len()) as u64);
        Ok(())
    }
}
