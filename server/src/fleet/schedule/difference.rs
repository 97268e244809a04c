//! Whose configs differ between two plans.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Plan, PlannedPack, assemble};
use crate::fleet::hosts::Assignment;

/// What a plan changes. Packs are compared once, and options once for each platform.
pub struct PlanDifference<'a> {
    old: &'a Plan,
    new: &'a Plan,
    /// Packs that are served otherwise, or are in one plan alone.
    packs: HashSet<&'a str>,
    /// By platform, whether the options are the same.
    options: HashMap<Box<str>, bool>,
}

impl<'a> PlanDifference<'a> {
    pub fn between(old: &'a Plan, new: &'a Plan) -> Self {
        let old_packs: HashMap<&str, &PlannedPack> = old.packs.iter().map(|pack| (pack.name.as_str(), pack)).collect();
        let is_served_as = |pack: &PlannedPack| {
            old_packs.get(pack.name.as_str()).is_some_and(|old| assemble::pack_json(old) == assemble::pack_json(pack))
        };
        let packs = new.packs.iter().filter(|pack| !is_served_as(pack)).map(|pack| pack.name.as_str()).collect();
        Self { old, new, packs, options: HashMap::new() }
    }

    /// Whether hosts that have had one assignment and will have another get another config.
    pub fn changes(&mut self, before: &Assignment, after: &Assignment) -> bool {
        let (old, new) = (self.old, self.new);
        if !self.has_same_options(before) {
            return true;
        }
        let mut new_packs = new.packs_for(after);
        let is_as_before = |old: &PlannedPack| {
            new_packs.next().is_some_and(|new| new.name == old.name && !self.packs.contains(new.name.as_str()))
        };
        let is_same = old.packs_for(before).all(is_as_before);
        !is_same || new_packs.next().is_some()
    }

    /// Hosts outside of all cohorts are compared.
    fn has_same_options(&mut self, assignment: &Assignment) -> bool {
        if let Some(known) = self.options.get(&assignment.platform) {
            return *known;
        }
        let of = |plan: &Plan| -> Map<String, Value> { plan.options_for(assignment) };
        let is_same = of(self.old) == of(self.new);
        self.options.insert(assignment.platform.clone(), is_same);
        is_same
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Edition, Retired, ScheduledQuery};
    use super::*;
    use crate::store::packs::TargetLabels;

    fn pack(name: &str, labels: &[i64], sql: &str) -> PlannedPack {
        let query = ScheduledQuery {
            name: "q".to_owned(),
            sql: sql.to_owned(),
            interval_secs: 60,
            snapshot: None,
            removed: None,
            denylist: None,
            shard: None,
            platform: String::new(),
            version: String::new(),
        };
        PlannedPack {
            id: 1,
            name: name.to_owned(),
            platform: String::new(),
            version: String::new(),
            shard: None,
            discovery: Vec::new(),
            is_disabled: false,
            targets: TargetLabels::any(labels.to_vec()),
            queries: vec![query],
        }
    }

    fn plan(interval: i64, packs: Vec<PlannedPack>) -> Plan {
        let options = json!({
            "config": { "options": { "distributed_interval": 10 } },
            "overrides": { "platforms": { "darwin": { "options": { "distributed_interval": interval } } } },
        });
        Plan::of(Edition::default(), options, Retired::default(), packs)
    }

    fn host(platform: &str, labels: &[i64]) -> Assignment {
        Assignment { platform: platform.into(), label_ids: labels.into(), ..Assignment::default() }
    }

    #[test]
    fn hosts_are_touched_by_what_they_are_served_alone() {
        let base = || vec![pack("a", &[1], "x"), pack("b", &[2], "x")];
        let old = plan(5, base());
        for (new, touched, left) in [
            (plan(5, base()), vec![], vec![host("ubuntu", &[1, 2]), host("darwin", &[])]),
            (plan(6, base()), vec![host("darwin", &[])], vec![host("ubuntu", &[1, 2])]),
            (
                plan(5, vec![pack("a", &[1], "y"), pack("b", &[2], "x")]),
                vec![host("ubuntu", &[1, 2])],
                vec![host("ubuntu", &[2])],
            ),
            (
                plan(5, vec![pack("a", &[1], "x")]),
                vec![host("ubuntu", &[2])],
                vec![host("ubuntu", &[1]), host("", &[])],
            ),
            // Another label of the same hosts changes nothing for them.
            (
                plan(5, vec![pack("a", &[1, 3], "x"), pack("b", &[2], "x")]),
                vec![host("", &[3])],
                vec![host("", &[1, 3])],
            ),
            (plan(5, [base(), vec![pack("c", &[1], "x")]].concat()), vec![host("", &[1])], vec![host("", &[2])]),
        ] {
            let mut difference = PlanDifference::between(&old, &new);
            assert!(touched.iter().all(|host| difference.changes(host, host)), "{touched:?}");
            assert!(!left.iter().any(|host| difference.changes(host, host)), "{left:?}");
        }
        let same = plan(5, base());
        let mut difference = PlanDifference::between(&old, &same);
        assert!(difference.changes(&host("", &[1]), &host("", &[1, 2])), "a host that joins a label of a pack");
        assert!(!difference.changes(&host("", &[1]), &host("", &[1, 7])));
    }
}
