//! What is in the database of what hosts have reported, worked out once until that changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::agreed::{GroupSchema, HeldReport, agreed};
use super::table_set::TableSet;
use super::{AgentGroup, AgentSchemas, MAX_REPORTS};
use crate::clock::Moment;
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::schema_reports::Model;

/// Most sets of tables that are held: those of the agent groups with most hosts.
const MAX_SETS: usize = 500;

/// Most columns in the sets that are held: some 30 MB.
const MAX_COLUMNS_HELD: usize = 400_000;

/// Size of a group from which on one host more or less changes nothing.
const LARGE: u64 = 3;

/// What counts in each agent group.
pub(super) type LearntSchema = BTreeMap<AgentGroup, GroupSchema>;

#[derive(Debug, Default)]
pub(super) struct LearntCache(tokio::sync::Mutex<CachedSchema>);

#[derive(Debug, Default)]
struct CachedSchema {
    /// What `schema` was worked out from.
    basis: SchemaBasis,
    sets: HashMap<Vec<u8>, Arc<TableSet>>,
    schema: Arc<LearntSchema>,
}

/// All that decides what counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct SchemaBasis {
    /// Hosts with the moment of their report.
    reports: Vec<(i64, Moment)>,
    /// Numbers of hosts, up to [`LARGE`].
    sizes: BTreeMap<AgentGroup, u64>,
}

impl AgentSchemas {
    /// What counts in each agent group of which any host has reported. `sizes` are the numbers of hosts of all groups. One
    /// statement if nothing has changed.
    pub(super) async fn learnt(&self, sizes: &BTreeMap<AgentGroup, u64>) -> Result<Arc<LearntSchema>> {
        let since = self.clock.now().minus(self.kept_for());
        let mut rows = store::schema::reports(self.store.reader(), MAX_REPORTS).await?;
        rows.retain(|row| row.reported_at > since && row.set_hash.is_some());
        let mut grouped: BTreeMap<AgentGroup, Vec<Model>> = BTreeMap::new();
        let mut basis = SchemaBasis::default();
        for row in rows {
            let Some(group) = AgentGroup::of(&row.platform, &row.version) else { continue };
            basis.reports.push((row.host_id, row.reported_at));
            let size = sizes.get(&group).copied().unwrap_or(0).min(LARGE);
            basis.sizes.insert(group.clone(), size);
            grouped.entry(group).or_default().push(row);
        }
        let mut cached = self.learnt.0.lock().await;
        if cached.basis == basis {
            return Ok(Arc::clone(&cached.schema));
        }
        self.read_sets(&mut cached.sets, &grouped, sizes).await?;
        let (sets, sizes) = (cached.sets.clone(), basis.sizes.clone());
        let work = move || {
            let held = grouped
                .into_iter()
                .map(|(group, rows)| (group, rows.into_iter().filter_map(|row| held(row, &sets)).collect()));
            agreed(&held.collect(), &sizes)
        };
        let schema = tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(Box::new(error)))?;
        cached.schema = Arc::new(schema);
        cached.basis = basis;
        Ok(Arc::clone(&cached.schema))
    }

    /// Brings the sets in memory to those that the reports name.
    async fn read_sets(
        &self,
        sets: &mut HashMap<Vec<u8>, Arc<TableSet>>,
        grouped: &BTreeMap<AgentGroup, Vec<Model>>,
        sizes: &BTreeMap<AgentGroup, u64>,
    ) -> Result<()> {
        let mut largest: Vec<&AgentGroup> = grouped.keys().collect();
        largest.sort_by_key(|group| std::cmp::Reverse(sizes.get(*group).copied().unwrap_or(0)));
        let mut named: BTreeSet<&Vec<u8>> = BTreeSet::new();
        for hash in largest.into_iter().flat_map(|group| &grouped[group]).filter_map(|row| row.set_hash.as_ref()) {
            if named.len() < MAX_SETS {
                named.insert(hash);
            } else if !named.contains(hash) {
                self.metrics.limit_hit("schema_sets");
                break;
            }
        }
        sets.retain(|hash, _| named.contains(hash));
        let missing: Vec<Vec<u8>> = named.into_iter().filter(|hash| !sets.contains_key(*hash)).cloned().collect();
        let mut columns: usize = sets.values().map(|set| set.columns()).sum();
        for row in store::schema::sets(self.store.reader(), &missing).await? {
            match TableSet::decode(&row.tables) {
                Some(tables) if columns + tables.columns() > MAX_COLUMNS_HELD => self.metrics.limit_hit("schema_sets"),
                Some(tables) => {
                    columns += tables.columns();
                    sets.insert(row.set_hash, Arc::new(tables));
                }
                None => tracing::warn!("a set of tables that this version cannot read is left out"),
            }
        }
        Ok(())
    }
}

/// The report of a row, if its set of tables is here.
fn held(row: Model, sets: &HashMap<Vec<u8>, Arc<TableSet>>) -> Option<HeldReport> {
    let tables = Arc::clone(sets.get(&row.set_hash?)?);
    Some(HeldReport { address: row.address, reported_at: row.reported_at, tables })
}
