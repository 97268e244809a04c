//! What a host is asked next. Any node may get the request, so the host's row decides, under its lock: of two nodes,
//! one asks. Hosts that ask at nearly the same moment share a transaction; where nobody waits for what they say, that moment is
//! as long as four seconds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::refresh_check::{RefreshCheck, RefreshNeed};
use super::round::{NextStep, Round};
use super::{Name, changed_at, details, due, sql_of};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::batches::{Batches, Unanswered};
use crate::fleet::halves::in_halves;
use crate::fleet::schedule::Plan;
use crate::store::entity::parked_queries;
use crate::store::reports::{AskedHost, RefreshRecord, asked_alone};
use crate::store::{self, Store};

/// Most hosts in one transaction.
const BATCH: usize = 200;

/// Time from one transaction to the next, which the hosts in between share, where somebody may wait for what they say.
const SPACING: Duration = Duration::from_millis(100);

/// The same where nobody does: hosts whose time in the interval has come.
const LEISURELY_SPACING: Duration = Duration::from_secs(4);

/// So many of these wait for no others.
const ENOUGH_LEISURELY: usize = 32;

/// Most hosts that wait for a transaction; those that come later are asked at a later check-in.
const MAX_WAITING: usize = 20_000;

/// A host that asks for work.
#[derive(Debug, Clone)]
pub(super) struct RefreshRequest {
    pub host_id: i64,
    pub platform: Box<str>,
    pub plan: Arc<Plan>,
    pub intervals: due::RefreshIntervals,
    pub now: Moment,
    /// The same by a clock that nobody sets: hosts wait for others.
    pub since: Instant,
    /// The check by memory, which found that something may be due.
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
    /// The host's record as it is now.
    pub record: Option<RefreshRecord>,
    /// Whether it is asked now, or was by another node, which tables it has.
    pub is_schema_settled: bool,
}

type AskedBatches = Arc<Batches<RefreshRequest, Assigned>>;

/// Hosts on their way to the database.
#[derive(Debug)]
pub(super) struct Asker {
    awaited: AskedBatches,
    leisurely: AskedBatches,
    /// Longest time for which a host that nobody waits for waits for others.
    leisure: Duration,
}

impl Asker {
    /// Hosts wait for others no longer than `most_leisure`.
    pub(super) fn new(most_leisure: Duration) -> Self {
        let leisure = LEISURELY_SPACING.min(most_leisure);
        let leisurely = Batches::new(BATCH, MAX_WAITING, leisure).enough_at(ENOUGH_LEISURELY);
        Self { awaited: Arc::new(Batches::new(BATCH, MAX_WAITING, SPACING)), leisurely: Arc::new(leisurely), leisure }
    }

    /// Hosts that wait or are worked on, in both batches, and the most they may be.
    pub(super) fn size(&self) -> (usize, usize) {
        let ((awaited, most), (leisurely, most_leisurely)) = (self.awaited.size(), self.leisurely.size());
        (awaited + leisurely, most + most_leisurely)
    }

    /// How long a host may wait for others, beside the time that the database takes.
    pub(super) fn leisure(&self, wanted: &RefreshRequest) -> Duration {
        if wanted.check.is_awaited() { SPACING } else { self.leisure }
    }

    /// Decides what a host is asked, and notes it in the host's row.
    ///
    /// # Errors
    /// When the database does not answer, too many hosts wait for it, or somebody holds the host's row; then the host is
    /// not asked.
    pub(super) async fn ask(&self, store: &Store, wanted: RefreshRequest) -> Result<Assigned> {
        let store = store.clone();
        let work = move |batch| {
            let store = store.clone();
            async move {
                // A task of its own, which takes back what was not sent however long it takes. So many at most are under way
                // as there are connections to the database.
                let decided = tokio::task::spawn_local(async move { decide_batch(&store, batch).await });
                if let Err(error) = decided.await {
                    tracing::warn!(%error, "hosts are not asked about themselves now");
                }
                Vec::new()
            }
        };
        let batches = if wanted.check.is_awaited() { &self.awaited } else { &self.leisurely };
        Ok(batches.ask(wanted, work).await?)
    }
}

/// Decides for a batch of hosts. The database may take longer than their requests wait. Who has gone by then gets no
/// questions, and the row is put back.
async fn decide_batch(store: &Store, mut batch: Vec<Unanswered<RefreshRequest, Assigned>>) {
    batch.sort_by_key(|asked| asked.question.host_id);
    let mut undelivered = Vec::new();
    let decide = async |part: &Vec<Unanswered<RefreshRequest, Assigned>>| {
        store.write(async |tx| give(tx, part.iter().map(|asked| &asked.question).collect()).await).await
    };
    in_halves(batch, decide, |part, decided| match decided {
        Ok(decided) => {
            for (asked, decision) in part.into_iter().zip(decided) {
                // Somebody holds the row: the host is asked later.
                let Some(decision) = decision else { continue };
                let change = decision.change.filter(|_| !decision.assigned.names.is_empty());
                if asked.answer(decision.assigned).is_err() {
                    undelivered.extend(change);
                }
            }
        }
        // The callers notice that they get no answer.
        Err(error) => tracing::debug!(%error, hosts = part.len(), "hosts are not asked about themselves now"),
    })
    .await;
    if undelivered.is_empty() {
        return;
    }
    // why: a round that no host was sent would count as lost, and two losses park a question.
    let (hosts, reason) = match store.write(async |tx| take_back(tx, &undelivered).await).await {
        Ok(0) => return,
        Ok(held) => (held, "their rows are held".to_owned()),
        Err(error) => (undelivered.len(), error.to_string()),
    };
    tracing::warn!(hosts, reason, "questions that were not sent could not be taken back; they count as lost once");
}

/// What was decided for one host.
struct Decision {
    assigned: Assigned,
    /// The host's record before and after, if it was changed.
    change: Option<(RefreshRecord, RefreshRecord)>,
}

/// Puts back the records of hosts that did not get their questions, unless they have changed again. Gives the number of
/// those whose rows somebody holds, which are left as they are.
async fn take_back(tx: &store::Tx, undelivered: &[(RefreshRecord, RefreshRecord)]) -> store::Result<usize> {
    let host_ids: Vec<i64> = undelivered.iter().map(|(_, after)| after.id).collect();
    let current = asked_alone(tx, &host_ids).await?;
    let is_unchanged = |after: &RefreshRecord| current.rows.get(&after.id).is_some_and(|host| host.record == *after);
    let unchanged = undelivered.iter().filter(|(_, after)| is_unchanged(after));
    store::reports::set_asked(tx, unchanged.map(|(before, _)| before.clone())).await?;
    Ok(current.held.len())
}

/// Decides for several hosts, sorted by id so that two transactions lock rows in the same order; `None` where somebody
/// else holds the row.
async fn give(tx: &store::Tx, wanted: Vec<&RefreshRequest>) -> store::Result<Vec<Option<Decision>>> {
    let mut host_ids: Vec<i64> = wanted.iter().map(|wanted| wanted.host_id).collect();
    host_ids.dedup();
    let mut locked = asked_alone(tx, &host_ids).await?;
    let parked = parked_of(tx, &wanted, &locked.rows).await?;
    let asks_schema = schema_asked_of(tx, &wanted).await?;
    let (mut all, mut changed) = (Vec::with_capacity(wanted.len()), BTreeMap::new());
    for wanted in wanted {
        let Some(AskedHost { record: asked, .. }) = locked.rows.get_mut(&wanted.host_id) else {
            // One that is not held was deleted; its next request says so.
            let is_gone = !locked.held.contains(&wanted.host_id);
            all.push(is_gone.then(|| Decision { assigned: Assigned::default(), change: None }));
            continue;
        };
        let before = asked.clone();
        let (parked, asks_schema) = (parked.get(&wanted.host_id), asks_schema.contains(&wanted.host_id));
        let assigned = decide(wanted, asked, parked.map_or(&[], Vec::as_slice), asks_schema);
        for parked in &assigned.parked {
            store::parked_queries::park(tx, parked.clone()).await?;
        }
        let change = (*asked != before).then(|| (before, asked.clone()));
        if change.is_some() {
            changed.insert(asked.id, asked.clone());
        }
        all.push(Some(Decision { assigned: Assigned { record: Some(asked.clone()), ..assigned }, change }));
    }
    store::reports::set_asked(tx, changed.into_values()).await?;
    let is_asked = |decision: &Decision| decision.assigned.names.iter().any(|name| name.is_schema());
    let ids = all.iter().flatten().filter(|decision| is_asked(decision));
    let schema_asked: Vec<i64> = ids.filter_map(|decision| Some(decision.assigned.record.as_ref()?.id)).collect();
    if !schema_asked.is_empty() {
        store::schema::asked(tx, &schema_asked).await?;
    }
    Ok(all)
}

/// Those of the hosts that were picked to say which tables they have that no node has asked yet. A statement only if this node
/// takes any for such a host.
async fn schema_asked_of(tx: &store::Tx, wanted: &[&RefreshRequest]) -> store::Result<HashSet<i64>> {
    let mut picked: Vec<i64> =
        wanted.iter().filter(|wanted| wanted.intervals.asks_schema).map(|wanted| wanted.host_id).collect();
    picked.dedup();
    if picked.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(store::schema::unasked(tx, &picked).await?.into_iter().collect())
}

/// The questions that these hosts are not asked any more, where something is due for them. The rows of most hosts say that
/// there are none. That is certain only if the record is still what memory has, because whoever parks a question changes the
/// record in the same transaction.
async fn parked_of(
    tx: &store::Tx,
    wanted: &[&RefreshRequest],
    locked: &HashMap<i64, AskedHost>,
) -> store::Result<HashMap<i64, Vec<parked_queries::Model>>> {
    let may_have_parked = |wanted: &&&RefreshRequest| {
        let Some(AskedHost { record, has_parked }) = locked.get(&wanted.host_id) else { return false };
        if wanted.check.is_of(record) {
            return *has_parked;
        }
        let check = RefreshCheck::of(record.clone(), &wanted.plan, wanted.intervals, wanted.now);
        !matches!(check.need, RefreshNeed::Nothing(_))
    };
    let mut host_ids: Vec<i64> = wanted.iter().filter(may_have_parked).map(|wanted| wanted.host_id).collect();
    host_ids.dedup();
    let mut parked: HashMap<i64, Vec<parked_queries::Model>> = HashMap::new();
    for row in store::parked_queries::of_hosts(tx, &host_ids).await? {
        parked.entry(row.host_id).or_default().push(row);
    }
    Ok(parked)
}

/// The next step of a host's round. Begins a round if something is due. Updates `asked` to match.
fn decide(
    wanted: &RefreshRequest,
    asked: &mut RefreshRecord,
    parked: &[parked_queries::Model],
    asks_schema: bool,
) -> Assigned {
    let RefreshRequest { plan, now, .. } = wanted;
    let mut given = Assigned::default();
    // Another node may have asked, and memory knows nothing of open rounds.
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
        RefreshNeed::Due(due) if due.schema && !asks_schema => {
            given.is_schema_settled = true;
            return given;
        }
        RefreshNeed::Due(due) => {
            let mut names = Vec::new();
            if due.schema {
                given.is_schema_settled = true;
                names.push(Name::Detail(details::SCHEMA.name));
            }
            if due.statistics {
                // Noted with the question, as a node of the version before ends the round without a word.
                asked.statistics_updated_at = *now;
                names.push(Name::Detail(details::STATISTICS.name));
            }
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
    // An agent has the time of a round from when it is sent its questions.
    let step = round.next(now.plus(Duration::from_secs(wanted.since.elapsed().as_secs())));
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

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
