//! Enrollments that share a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::rows::{EnrollOrder, EnrollOutcome, Enrollment};
use super::transaction::{Written, write};
use crate::bus::{ChangeEvent, Notifier};
use crate::fleet::batches::Unanswered;
use crate::fleet::halves::in_halves;
use crate::fleet::{Error, Result, within};
use crate::store::{self, Store, case, enrollments};

/// Most enrollments in one transaction, so that none holds rows, or the one writer of SQLite, for long.
const BATCH: usize = 256;

/// Longest wait for all that is looked up of hosts that wait, before a batch is chosen without.
const PATIENCE: Duration = Duration::from_millis(500);

/// What an enrollment is answered.
pub(super) type EnrollmentAnswer = Result<EnrollOutcome>;

/// Boxed, as batches are chosen by putting all that wait in order.
pub(super) type WaitingEnrollment = Unanswered<Box<Enrollment>, EnrollmentAnswer>;

/// Writes enrollments.
#[derive(Debug)]
pub(super) struct Enroller {
    store: Store,
    cooldown: Duration,
    notifier: Arc<dyn Notifier>,
    /// Batches that were begun.
    batches: AtomicU64,
}

impl Enroller {
    pub fn new(store: Store, cooldown: Duration, notifier: Arc<dyn Notifier>) -> Self {
        Self { store, cooldown, notifier, batches: AtomicU64::new(0) }
    }

    /// Writes a batch of the enrollments that wait. Gives back those that wait on: the others, and those of hosts whose rows
    /// somebody holds.
    ///
    /// A row that is held is left out, and is tried again with a later batch. So one that is held for long keeps no other host
    /// waiting. A row that is being deleted is not seen to be held: what waits for it is tried in halves.
    pub async fn write(&self, mut waiting: Vec<WaitingEnrollment>) -> Vec<WaitingEnrollment> {
        let number = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        for enrollment in waiting.iter_mut().filter(|waiting| waiting.question.order.since == 0) {
            enrollment.question.order.since = number;
        }
        if waiting.len() > BATCH {
            self.sort(&mut waiting).await;
        }
        let mut wait_on = waiting.split_off(waiting.len().min(BATCH));
        let write = async |part: &Vec<WaitingEnrollment>| {
            self.transaction(&part.iter().map(|waiting| &*waiting.question).collect::<Vec<_>>()).await
        };
        in_halves(waiting, write, |part, outcomes| match outcomes {
            Ok(outcomes) => {
                for (mut waiting, outcome) in part.into_iter().zip(outcomes) {
                    if let Some(outcome) = outcome {
                        // Who has stopped waiting enrolls again.
                        drop(waiting.answer(Ok(outcome)));
                    } else {
                        waiting.question.order = EnrollOrder { goes_first: Some(false), since: number };
                        wait_on.push(waiting);
                    }
                }
            }
            Err(error) => refuse(part, error.into()),
        })
        .await;
        wait_on
    }

    /// Moves hosts that have a row to the front: a flood of new ones does not keep them from coming back. Hosts whose rows were
    /// held go behind, one after the other with new ones.
    pub async fn sort(&self, waiting: &mut [WaitingEnrollment]) {
        let identifier = |waiting: &WaitingEnrollment| case::fold(&waiting.question.identity.identifier);
        let new = waiting.iter().filter(|waiting| waiting.question.order.goes_first.is_none());
        let identifiers: BTreeSet<String> = new.map(identifier).collect();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        let look_up = async {
            for words in identifiers.into_iter().collect::<Vec<_>>().chunks(BATCH) {
                let words = words.iter().cloned().collect();
                let found = enrollments::known_identifiers(self.store.reader(), &words).await?;
                known.extend(words.into_iter().map(|word| (word.clone(), found.contains(&word))));
            }
            Ok(())
        };
        // Those that were not looked up go behind this time.
        drop(within(PATIENCE, look_up).await);
        for waiting in waiting.iter_mut().filter(|waiting| waiting.question.order.goes_first.is_none()) {
            waiting.question.order.goes_first = known.get(&identifier(waiting)).copied();
        }
        waiting.sort_by_key(|waiting| {
            let order = waiting.question.order;
            (order.goes_first != Some(true), order.since)
        });
    }

    async fn transaction(&self, all: &[&Enrollment]) -> store::Result<Vec<Option<EnrollOutcome>>> {
        let Written { outcomes, is_for_others } =
            self.store.write_beside(async |tx| write(tx, all, self.cooldown).await).await?;
        if is_for_others {
            self.notifier.publish(ChangeEvent::Hosts);
        }
        Ok(outcomes)
    }
}

/// Answers enrollments that were not written. Several only when the database serves none of them.
fn refuse(part: Vec<WaitingEnrollment>, error: Error) {
    let reason = match &error {
        Error::Unavailable(reason) => reason.clone(),
        other => other.to_string(),
    };
    let mut error = Some(error);
    for waiting in part {
        let refusal = error.take().unwrap_or_else(|| Error::Unavailable(reason.clone()));
        drop(waiting.answer(Err(refusal)));
    }
}
