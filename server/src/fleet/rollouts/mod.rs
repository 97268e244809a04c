//! Changes that reach hosts in stages.
//!
//! A rollout is a row that holds what it changes, old and new, and how far it is. The plan serves the new version to its cohort
//! ([`crate::fleet::schedule`]); everything else stays as it is in the tables until the last stage has passed, when the documents
//! of the rollout are applied. So reverting writes one row.
//!
//! While it is under way, samples of hosts are counted for the cohort and for the others ([`watch`]). The leader compares both
//! ([`gates`]) and takes the next step ([`steps`]): each is one transaction, which counts only if nobody has taken a step since the
//! row was read, and which adds what was decided, with the figures. Nothing is remembered between steps, so whichever node leads
//! next goes on.

mod begin;
mod gates;
mod operate;
mod report;
mod show;
mod stages;
mod steps;
mod watch;

use std::sync::Arc;

pub(in crate::fleet) use self::begin::NewRollout;
pub use self::operate::RolloutWish;
pub(in crate::fleet) use self::stages::read_stages;
pub(in crate::fleet) use self::watch::{Reported, ReportedQuery, RolloutWatch};
use super::access::Access;
use super::changes::Changes;
use crate::sinks::Webhook;
use crate::telemetry::Metrics;

/// Most rollouts that are under way at one time: every one may double the number of distinct configs.
pub(in crate::fleet) const MAX_OPEN: usize = 4;

/// Most reverted rollouts of options whose hosts are served what undoes them.
pub(in crate::fleet) const MAX_REMAINING: usize = 8;

/// Rollouts that are kept, with what was decided about them.
const KEPT: u64 = 200;

/// Most decisions of a rollout that are shown.
const DECISIONS_SHOWN: u64 = 200;

/// Shows rollouts, takes their steps, and lets operators take others.
#[derive(Debug)]
pub struct Rollouts {
    changes: Changes,
    access: Arc<Access>,
    webhook: Option<Webhook>,
    metrics: Arc<Metrics>,
}

impl Rollouts {
    pub fn new(changes: Changes, access: Arc<Access>, webhook: Option<Webhook>, metrics: Arc<Metrics>) -> Self {
        Self { changes, access, webhook, metrics }
    }
}

#[cfg(test)]
mod tests;
