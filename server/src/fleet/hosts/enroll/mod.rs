//! Enrollment. The same host gets the same row and a new key, and its older keys stay valid: agents enroll several
//! times at once, repeat lost requests, and go on with whichever key they stored last. A key is dropped when a newer
//! one of its host has been used and it has been idle for `osquery.old_key_grace`; an agent instance has eight at most.
//!
//! Enrollments that come while one is written are written together (`batch`): what they change is worked out in memory,
//! one after the other (`rows`), on rows that the transaction has locked, and then written in few statements (`transaction`).

mod batch;
mod quotas;
mod rows;
mod transaction;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_api::osquery::Enroll;

use self::batch::{Enroller, EnrollmentAnswer};
use self::rows::{EnrollOrder, EnrollOutcome, EnrolledHost, Enrollment};
use super::identity::HostIdentity;
use super::{Hosts, NodeKey, details};
use crate::bus::Notifier;
use crate::config;
use crate::fleet::batches::{Batches, NoAnswer};
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result};
use crate::store::Store;
use crate::store::entity::{self, hosts};

#[cfg(test)]
mod tests;

pub(in crate::fleet) use self::rows::empty_row;

/// Time from one batch to the next, which the enrollments in between share. A batch costs as much as a few of the hosts in it.
const SPACING: Duration = Duration::from_millis(100);

/// Enrollments on their way to the database.
#[derive(Debug)]
pub(super) struct Enrollments {
    waiting: Arc<Batches<Box<Enrollment>, EnrollmentAnswer>>,
    enroller: Arc<Enroller>,
}

impl Enrollments {
    pub fn new(store: &Store, config: &config::Osquery, notifier: &Arc<dyn Notifier>) -> Self {
        let most = usize::try_from(config.max_enrolls_waiting).unwrap_or(usize::MAX);
        Self {
            // A batch is chosen among all that wait; the others are given back.
            waiting: Arc::new(Batches::new(most, most, SPACING)),
            enroller: Arc::new(Enroller::new(store.clone(), config.enroll_cooldown, Arc::clone(notifier))),
        }
    }
}

impl Hosts {
    /// Enrollments that wait or are worked on, and the most they may be.
    pub(in crate::fleet) fn enrolling(&self) -> (usize, usize) {
        self.enrollments.waiting.size()
    }

    /// Enrolls a host and gives it a key.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a wrong secret, [`Error::NotAdmitted`] for one that has expired or is used up,
    /// [`Error::Invalid`] for a host without identity or one that enrolls too often, [`Error::TooMany`] beyond the limits,
    /// [`Error::Unavailable`] when the database does not answer in time.
    pub async fn enroll(&self, request: &Enroll) -> Result<NodeKey> {
        let (outcome, enrolled) = match self.try_enroll(request).await {
            Ok(key) => ("enrolled", Ok(key)),
            Err((reason, error)) => (reason, Err(error)),
        };
        self.metrics.enrolls.with_label_values(&[outcome]).inc();
        enrolled
    }

    /// As [`Hosts::enroll`]; an error comes with the word under which it is counted.
    async fn try_enroll(&self, request: &Enroll) -> std::result::Result<NodeKey, (&'static str, Error)> {
        let plan = self.schedule.plan();
        let Some(secret) = plan.secret(request.enroll_secret.as_deref().unwrap_or_default()) else {
            return Err(("wrong_secret", Error::Unauthenticated));
        };
        let now = self.clock.now();
        let (secret_id, has_quota) = (secret.id, secret.has_quota);
        if secret.expires_at.is_some_and(|end| end <= now) {
            return Err(("expired_secret", self.refused_secret(&plan, secret_id, "has expired")));
        }
        let identity =
            HostIdentity::of(request, self.config.host_identifier).map_err(|error| ("no_identity", error))?;
        if let Err(limit) = self.admission.admits(secret_id) {
            return Err(("over_rate", self.too_many(limit)));
        }
        let key = NodeKey::generate();
        let hash = NodeKey::hash(key.reveal());
        if identity.is_stand_in
            && let Some(left_out) = self.stand_in_log.pass((), now)
        {
            let identifier = &identity.identifier;
            tracing::info!(
                ?identifier,
                left_out,
                "enrolling host lacks the identifier chosen by osquery.host_identifier; using its own host_identifier"
            );
        }
        let mut said = hosts::ActiveModel::default();
        details::set(&mut said, &request.host_details);
        let platform_type = request.platform_type.clone();
        let (instance_id, identifier) = (identity.instance_id.clone(), identity.identifier.clone());
        let enrollment = Enrollment {
            identity,
            said,
            platform_type,
            plan,
            secret_id,
            has_quota,
            key: hash,
            now,
            order: EnrollOrder::default(),
        };
        match self.wait_for(enrollment).await? {
            EnrollOutcome::Enrolled(enrolled) => {
                self.secret_uses.note(secret_id, now);
                self.take_in(&enrolled, hash, instance_id);
                Ok(key)
            }
            EnrollOutcome::TooSoon => {
                let reason = format!("host identified by {identifier} enrolling too often");
                Err(("too_soon", Error::invalid("host_identifier", reason)))
            }
            EnrollOutcome::NoPlace => {
                let reason = "is used up: as many hosts as it is for have enrolled with it";
                Err(("used_up_secret", self.refused_secret(&self.schedule.plan(), secret_id, reason)))
            }
        }
    }

    async fn wait_for(&self, enrollment: Enrollment) -> std::result::Result<EnrollOutcome, (&'static str, Error)> {
        let enroller = Arc::clone(&self.enrollments.enroller);
        let work = move |batch| {
            let enroller = Arc::clone(&enroller);
            async move { enroller.write(batch).await }
        };
        let asked = self.enrollments.waiting.ask(Box::new(enrollment), work);
        match tokio::time::timeout(self.config.max_enroll_wait, asked).await {
            Ok(Ok(Ok(outcome))) => Ok(outcome),
            Ok(Ok(Err(error))) => Err(("failed", error)),
            Ok(Err(NoAnswer::Full)) => Err(("queue_full", self.too_many("max_enrolls_waiting"))),
            Ok(Err(reason @ NoAnswer::Failed)) => Err(("failed", reason.into())),
            Err(_) => {
                self.metrics.limit_hit("max_enroll_wait");
                let longest = self.config.max_enroll_wait;
                let (outcome, reason) = if self.enrollments.waiting.works_for().is_some_and(|time| time >= longest / 2)
                {
                    ("failed", "the database has not answered")
                } else {
                    ("too_late", "not written, as many hosts enroll at one time or somebody holds the row of the host,")
                };
                Err((outcome, Error::Unavailable(format!("{reason} within {} ms", longest.as_millis()))))
            }
        }
    }

    /// The refusal of a secret that is known. It has a log line of its own, so that strangers with wrong secrets do not hide it.
    fn refused_secret(&self, plan: &Plan, id: i64, reason: &str) -> Error {
        let name = plan.secret_name(id).unwrap_or_default();
        if let Some(left_out) = self.refused_secrets_log.pass(id, self.clock.now()) {
            tracing::warn!(secret_name = ?name, left_out, "a host was not enrolled, as its enroll secret {reason}");
        }
        Error::NotAdmitted(format!("the enroll secret {name:?} {reason}"))
    }

    fn too_many(&self, limit: &str) -> Error {
        self.metrics.limit_hit(limit);
        Error::TooMany { retry_after: Duration::from_secs(1) }
    }

    /// Takes a host that has enrolled and its key into memory, as the transaction has written them.
    fn take_in(&self, enrolled: &EnrolledHost, hash: crate::store::node_keys::KeyHash, instance_id: String) {
        let (host_id, now) = (enrolled.known.host.id, enrolled.at);
        if !enrolled.dropped.is_empty() {
            self.index.forget_changed(&BTreeSet::from([host_id]), enrolled.dropped.iter().copied(), now);
        }
        self.directory.put([(&*enrolled.known).into()]);
        // A later change may have been taken over before, and is read again.
        self.mark_stale([host_id]);
        let host = self.index.host(&enrolled.known);
        host.enrolled(now);
        if enrolled.keeps_key {
            let row = entity::node_keys::Model {
                key_hash: hash.to_vec(),
                host_id,
                instance_id,
                created_at: now,
                used_at: None,
                first_used_at: None,
            };
            self.index.add_key(&row, hash, host);
        }
    }
}
