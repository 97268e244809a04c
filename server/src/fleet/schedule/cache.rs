//! Assembled configs, in memory within one budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::assemble::Assembled;
use super::plan::{AssemblyKey, Plan};
use crate::fleet::hosts::Assignment;
use crate::lock::lock;
use crate::under_way::{Wait, WaitsFor};

/// The configs that were assembled lately, of the current plan and of earlier ones, in `osquery.max_config_cache` together.
/// Hosts hold no config themselves: one that is not here any more is assembled again when a host asks for it.
#[derive(Debug)]
pub(super) struct ConfigCache {
    max_bytes: usize,
    kept: Mutex<KeptConfigs>,
}

#[derive(Debug, Default)]
struct KeptConfigs {
    configs: HashMap<KeptKey, KeptConfig>,
    bytes: usize,
    /// Counts look-ups.
    lookups: u64,
}

/// The number of a plan, and what a config depends on within it.
type KeptKey = (u64, AssemblyKey);

#[derive(Debug, Default)]
struct KeptConfig {
    /// Empty while it is being assembled, which those who want it as well wait for.
    config: Arc<OnceLock<Arc<Assembled>>>,
    /// Its size, once that counts.
    bytes: usize,
    used: u64,
}

impl ConfigCache {
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, kept: Mutex::default() }
    }

    /// The config for an assignment, assembled now if it is not here.
    pub fn config(&self, plan: &Plan, assignment: &Assignment) -> Arc<Assembled> {
        let key = (plan.number(), plan.key(assignment));
        let room = lock(&self.kept).room(&key);
        if let Some(config) = room.get() {
            return Arc::clone(config);
        }
        let mut wait = Some(Wait::begin(WaitsFor::ConfigAssembly));
        let config = Arc::clone(room.get_or_init(|| {
            // Nobody else is at it.
            if let Some(wait) = wait.take() {
                wait.forget();
            }
            Arc::new(plan.assemble(assignment))
        }));
        drop(wait);
        lock(&self.kept).keep(&key, config.bytes.len(), self.max_bytes);
        config
    }

    /// Bytes of the configs that are kept, and the most they may be.
    pub fn size(&self) -> (usize, usize) {
        (lock(&self.kept).bytes, self.max_bytes)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }
}

impl KeptConfigs {
    /// Where a config is, or is to be put.
    fn room(&mut self, key: &KeptKey) -> Arc<OnceLock<Arc<Assembled>>> {
        self.lookups += 1;
        let used = self.lookups;
        let kept = self.configs.entry(key.clone()).or_default();
        kept.used = used;
        Arc::clone(&kept.config)
    }

    /// Counts a config that was assembled, and lets go of others until all fit: of earlier plans first, then those that
    /// nobody has looked up for longest.
    fn keep(&mut self, key: &KeptKey, bytes: usize, max_bytes: usize) {
        let Some(kept) = self.configs.get_mut(key).filter(|kept| kept.bytes == 0) else { return };
        if bytes > max_bytes {
            self.configs.remove(key);
            return;
        }
        kept.bytes = bytes;
        self.bytes += bytes;
        while self.bytes > max_bytes {
            let whole = self.configs.iter().filter(|(_, kept)| kept.bytes > 0);
            let Some(first) = whole.min_by_key(|((plan, _), kept)| (*plan, kept.used)).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.bytes -= self.configs.remove(&first).map_or(0, |kept| kept.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Moment;
    use crate::fleet::schedule::{Edition, PlannedPack, Retired};
    use crate::store::packs::TargetLabels;

    /// A plan with a pack for each of these labels.
    fn plan(labels: std::ops::Range<i64>) -> Plan {
        let pack = |id| PlannedPack {
            id,
            name: format!("pack {id}"),
            platform: String::new(),
            version: String::new(),
            shard: None,
            discovery: Vec::new(),
            is_disabled: false,
            targets: TargetLabels::any(vec![id]),
            queries: Vec::new(),
        };
        // Their generation is the same, as that of a change and of one that was rolled back before it.
        let edition = Edition { generation: 7, outdated_at: Moment(i64::MAX) };
        Plan::of(edition, json!({}), Retired::default(), labels.map(pack).collect())
    }

    fn assigned(label: i64) -> Assignment {
        Assignment { platform: Box::default(), label_ids: Box::new([label]), ..Assignment::default() }
    }

    fn is_kept(cache: &ConfigCache, plan: &Plan, label: i64) -> bool {
        lock(&cache.kept).configs.contains_key(&(plan.number(), plan.key(&assigned(label))))
    }

    #[test]
    fn configs_of_earlier_plans_make_room_first_and_then_those_that_are_not_used() {
        let (before, now) = (plan(1..9), plan(1..9));
        let one = now.assemble(&assigned(1)).bytes.len();
        let cache = ConfigCache::new(3 * one);
        let old = cache.config(&before, &assigned(1));
        for label in [1, 2] {
            assert_eq!(cache.config(&now, &assigned(label)).bytes, now.assemble(&assigned(label)).bytes);
        }
        assert!(is_kept(&cache, &before, 1));
        cache.config(&now, &assigned(3));
        assert!(!is_kept(&cache, &before, 1), "of an earlier plan");
        assert_eq!(Arc::strong_count(&old), 1, "nobody else holds it");
        cache.config(&now, &assigned(1));
        cache.config(&now, &assigned(4));
        assert_eq!([1, 2, 3, 4].map(|label| is_kept(&cache, &now, label)), [true, false, true, true]);
        assert_eq!(cache.bytes(), 3 * one);
    }

    #[test]
    fn a_config_larger_than_the_cache_is_served_and_not_kept() {
        let (plan, cache) = (plan(1..2), ConfigCache::new(1));
        assert_eq!(cache.config(&plan, &assigned(1)).bytes, plan.assemble(&assigned(1)).bytes);
        assert_eq!(cache.bytes(), 0);
        assert!(lock(&cache.kept).configs.is_empty());
    }

    #[test]
    fn one_config_is_assembled_for_all_who_ask_at_one_time() {
        let (plan, cache) = (plan(1..200), ConfigCache::new(1 << 20));
        let configs: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| cache.config(&plan, &assigned(5)))).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
    }
}
