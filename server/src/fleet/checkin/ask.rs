//! What a host is asked next. Any server may get the request, so the decision is made on the host's row, which only one
//! of them changes at a time. Hosts that ask at one moment share a transaction.

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

/// Hosts in one transaction.
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
    /// Labels it was not asked about, because they are for other platforms.
    pub ruled_out: Vec<i64>,
    /// Questions that are not put to it any more.
    pub parked: Vec<parked_queries::Model>,
    /// When to look again, if it gets nothing.
    pub rest_until: Option<Moment>,
}

/// Hosts on their way to the database.
#[derive(Debug, Default)]
pub(super) struct Asker {
    waiting: Mutex<Vec<(RefreshRequest, oneshot::Sender<Assigned>)>>,
    serial: tokio::sync::Mutex<()>,
}

impl Asker {
    /// Decides what a host is asked, and notes that it was.
    ///
    /// # Errors
    /// When the database does not answer; then it is not asked.
    pub(super) async fn ask(&self, store: &Store, wanted: RefreshRequest) -> Result<Assigned> {
        let (sender, mut receiver) = oneshot::channel();
        lock(&self.waiting).push((wanted, sender));
        // Whoever holds the lock does the work for all who wait; those who come after them find it done.
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
            // Those who have given up get no questions, which nobody would answer.
            batch.retain(|(_, sender)| !sender.is_closed());
            batch.sort_by_key(|(wanted, _)| wanted.host_id);
            let given =
                store.write(async |tx| give(tx, batch.iter().map(|(wanted, _)| wanted).collect()).await).await?;
            for ((_, sender), given) in batch.into_iter().zip(given) {
                // It may have given up meanwhile; then the round waits for answers as after any lost request.
                let _ = sender.send(given);
            }
        }
    }
}

/// Decides for several hosts, sorted by id.
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
        // A host that is gone is told so by its next request.
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

/// The next step of a host's round, which is begun if something is due. `asked` is brought to what it is then.
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
