//! What a host is asked next. Any node may get the request, so the host's row decides, under its lock: of two nodes,
//! one asks. Hosts that ask at the same moment share a transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::refresh_check::{RefreshCheck, RefreshNeed};
use super::round::{NextStep, Round};
use super::{Name, changed_at, details, due, sql_of};
use crate::clock::Moment;
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store::entity::parked_queries;
use crate::store::reports::{RefreshRecord, asked_alone};
use crate::store::{self, Store};

/// Most hosts in one transaction.
const BATCH: usize = 200;

/// A host that asks for work.
#[derive(Debug, Clone)]
pub(super) struct RefreshRequest {
    pub host_id: i64,
    pub platform: Box<str>,
    pub plan: Arc<Plan>,
    pub intervals: due::RefreshIntervals,
    pub now: Moment,
    /// What the host's row has said before.
    pub check: RefreshCheck,
}

/// What the host gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Assigned {
    pub names: Vec<Name>,
    /// Labels for other platforms, about which the host is not asked.
    pub ruled_out: Vec<i64>,
    /// Questions that are parked from now on.
    pub parked: Vec<parked_queries::Model>,
    /// When to check again, if there are no questions.
    pub rest_until: Option<Moment>,
}

/// Hosts on their way to the database.
#[derive(Debug, Default)]
pub(super) struct Asker {
    waiting: Mutex<Vec<(RefreshRequest, oneshot::Sender<Assigned>)>>,
    serial: tokio::sync::Mutex<()>,
}

impl Asker {
    /// Decides what a host is asked, and notes it in the host's row.
    ///
    /// # Errors
    /// When the database does not answer; then the host is not asked.
    pub(super) async fn ask(&self, store: &Store, wanted: RefreshRequest) -> Result<Assigned> {
        let (sender, mut receiver) = oneshot::channel();
        lock(&self.waiting).push((wanted, sender));
        // The caller that holds the lock works for all that wait; they find their answers when they get the lock.
        let _guard = self.serial.lock().await;
        loop {
            match receiver.try_recv() {
                Ok(given) => return Ok(given),
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(Error::Unavailable("the database did not take what hosts are asked".to_owned()));
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let mut batch: Vec<_> = {
                let mut waiting = lock(&self.waiting);
                let first = waiting.len().min(BATCH);
                waiting.drain(..first).collect()
            };
            // A caller that has timed out would drop its questions, and the round would wait for answers in vain.
            batch.retain(|(_, sender)| !sender.is_closed());
            batch.sort_by_key(|(wanted, _)| wanted.host_id);
            let given =
                store.write(async |tx| give(tx, batch.iter().map(|(wanted, _)| wanted).collect()).await).await?;
            for ((_, sender), given) in batch.into_iter().zip(given) {
                // The caller may time out just now; then the round waits for answers as after any lost request.
                let _ = sender.send(given);
            }
        }
    }
}

/// Decides for several hosts, sorted by id so that two transactions lock rows in the same order.
async fn give(tx: &store::Tx, wanted: Vec<&RefreshRequest>) -> store::Result<Vec<Assigned>> {
    let mut host_ids: Vec<i64> = wanted.iter().map(|wanted| wanted.host_id).collect();
    host_ids.dedup();
    let mut asked = asked_alone(tx, &host_ids).await?;
    let mut parked: HashMap<i64, Vec<parked_queries::Model>> = HashMap::new();
    for row in store::parked_queries::of_hosts(tx, &host_ids).await? {
        parked.entry(row.host_id).or_default().push(row);
    }
    let mut all = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        // The host was deleted; its next request says so.
        let Some(asked) = asked.get_mut(&wanted.host_id) else {
            all.push(Assigned::default());
            continue;
        };
        let before = asked.clone();
        let given = decide(wanted, asked, parked.get(&wanted.host_id).map_or(&[], Vec::as_slice));
        for parked in &given.parked {
            store::parked_queries::park(tx, parked.clone()).await?;
        }
        if *asked != before {
            store::reports::set_asked(tx, asked).await?;
        }
        all.push(given);
    }
    Ok(all)
}

/// The next step of a host's round. Begins a round if something is due. Updates `asked` to match.
fn decide(wanted: &RefreshRequest, asked: &mut RefreshRecord, parked: &[parked_queries::Model]) -> Assigned {
    let RefreshRequest { plan, now, .. } = wanted;
    let mut given = Assigned::default();
    // Another node, or an answer, may have changed the row since it was read without the lock.
    let check = wanted.check.clone().renewed(asked.clone(), plan, wanted.intervals, *now);
    let mut round = match check.need {
        // Another node knows of newer labels; this one will in a moment.
        RefreshNeed::Open(round) if round.generation() > plan.generation => return given,
        RefreshNeed::Open(mut round) => {
            round.keep(|name| sql_of(name, plan).is_some());
            round
        }
        RefreshNeed::Nothing(next) => {
            given.rest_until = Some(next);
            return given;
        }
        RefreshNeed::Due(due) => {
            let mut names = Vec::new();
            if due.details {
                names.extend(details::for_platform(&wanted.platform).map(|query| Name::Detail(query.name)));
            }
            if due.labels {
                let (for_it, others): (Vec<_>, Vec<_>) =
                    plan.dynamic_labels().iter().partition(|label| label.is_for(&wanted.platform));
                names.extend(for_it.into_iter().map(|label| Name::Label(label.id)));
                given.ruled_out = others.into_iter().map(|label| label.id).collect();
            }
            names.retain(|name| {
                let text = name.to_string();
                let changed_at = changed_at(*name, plan);
                !parked.iter().any(|parked| parked.name == text && changed_at <= parked.parked_at)
            });
            Round::new(names, due, *now, plan.generation)
        }
    };
    let step = round.next(*now);
    given.parked = (step.parked.into_iter())
        .map(|(name, reason)| parked_queries::Model {
            host_id: wanted.host_id,
            name: name.to_string(),
            reason,
            parked_at: *now,
        })
        .collect();
    match step.step {
        NextStep::Send(names) => given.names = names,
        NextStep::Wait => given.rest_until = Some(round.waits_until()),
        NextStep::Done(done) => {
            done.note(asked);
            return given;
        }
    }
    asked.open_round = Some(round.to_text());
    given
}
