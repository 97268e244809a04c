//! Assignments, which decide about the configs of hosts, each once for all hosts that have it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwapOption;

use crate::fleet::schedule::{Assembled, Cohorts, Edition};
use crate::lock::lock;

/// Assignments that nobody has any more are looked for when there are this many, and whenever there are twice as many as were
/// left.
const SWEEP_FROM: usize = 64;

/// The facts that decide about a host's config. Replaced as a whole when any of them changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Assignment {
    /// `os_version.platform`, which picks the override of the agent options.
    pub platform: Box<str>,
    /// Sorted.
    pub label_ids: Box<[i64]>,
    /// Labels that packs exclude and of which it is not known whether the host is in them, sorted; only while a config is being
    /// chosen ([`crate::fleet::schedule::Plan::with_host`]).
    pub unknown_label_ids: Box<[i64]>,
    /// The rollouts whose new version one host gets; only while a config is being chosen, too.
    pub cohorts: Cohorts,
}

/// An assignment that hosts share, and the config that was made for it last.
#[derive(Debug)]
pub struct SharedAssignment {
    pub assignment: Arc<Assignment>,
    config: ArcSwapOption<(Edition, Weak<Assembled>)>,
}

impl SharedAssignment {
    fn of(assignment: Arc<Assignment>) -> Self {
        Self { assignment, config: ArcSwapOption::empty() }
    }

    /// Its config in plans of this edition, if it was made and is still in the cache.
    pub fn config(&self, edition: Edition) -> Option<Arc<Assembled>> {
        let config = self.config.load();
        let (of, config) = config.as_deref()?;
        if *of == edition { config.upgrade() } else { None }
    }

    /// Notes its config in plans of this edition.
    pub fn has_config(&self, edition: Edition, config: &Arc<Assembled>) {
        self.config.store(Some(Arc::new((edition, Arc::downgrade(config)))));
    }
}

impl Deref for SharedAssignment {
    type Target = Assignment;

    fn deref(&self) -> &Assignment {
        &self.assignment
    }
}

impl From<Assignment> for Arc<SharedAssignment> {
    fn from(assignment: Assignment) -> Self {
        Self::new(SharedAssignment::of(Arc::new(assignment)))
    }
}

/// The assignments of the hosts in memory.
#[derive(Debug, Default)]
pub struct Assignments(Mutex<KnownAssignments>);

#[derive(Debug, Default)]
struct KnownAssignments {
    shared: HashMap<Arc<Assignment>, Arc<SharedAssignment>>,
    sweep_at: usize,
}

impl Assignments {
    /// The one that all hosts with this assignment share.
    pub fn share(&self, assignment: Assignment) -> Arc<SharedAssignment> {
        let mut known = lock(&self.0);
        if let Some(shared) = known.shared.get(&assignment) {
            return Arc::clone(shared);
        }
        if known.shared.len() >= known.sweep_at {
            known.shared.retain(|_, shared| Arc::strong_count(shared) > 1);
            known.sweep_at = (known.shared.len() * 2).max(SWEEP_FROM);
        }
        let shared: Arc<SharedAssignment> = assignment.into();
        known.shared.insert(Arc::clone(&shared.assignment), Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(label: i64) -> Assignment {
        Assignment { platform: "ubuntu".into(), label_ids: Box::new([label]), ..Assignment::default() }
    }

    #[test]
    fn equal_assignments_are_shared_and_those_of_nobody_forgotten() {
        let assignments = Assignments::default();
        let kept = assignments.share(assigned(-1));
        for label in 0..10_000 {
            assignments.share(assigned(label));
        }
        assert!(lock(&assignments.0).shared.len() <= SWEEP_FROM);
        assert!(Arc::ptr_eq(&kept, &assignments.share(assigned(-1))));
        assert!(!Arc::ptr_eq(&kept, &assignments.share(assigned(1))));
    }

    #[test]
    fn a_config_is_that_of_its_edition_while_the_cache_has_it() {
        let (one, other) =
            (Edition { generation: 1, ..Edition::default() }, Edition { generation: 2, ..Edition::default() });
        let shared: Arc<SharedAssignment> = assigned(1).into();
        assert!(shared.config(one).is_none());
        let config = Arc::default();
        shared.has_config(one, &config);
        assert!(shared.config(one).is_some_and(|found| Arc::ptr_eq(&found, &config)));
        assert!(shared.config(other).is_none());
        drop(config);
        assert!(shared.config(one).is_none());
    }
}
