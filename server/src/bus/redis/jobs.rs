//! Live queries on Redis. Each job has a few keys under one hash tag, so that it lies on one node of a cluster: its
//! state (`meta`), pages with two bits for each host, and two streams: events, and lines whose id is where they end.
//!
//! The keys are named by the job's id, as nodes of the version before name them. `meta` has the rest of the [`JobKey`]
//! in its field `job`, which every script compares, and one field for each page: a page without a field is what an
//! earlier job has left.
//!
//! Each step is one script, because Redis runs a script without another command in between: the check of the host's
//! bits, the change, and the event are one. The connection may run a step twice when it breaks on the way. That does no
//! harm: the second run finds the bits changed and gives false, and the event of the first one stands. Claims and answers
//! of many hosts share a script (`steps.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ::redis::{Value, cmd};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::entry::StreamEntry;
use super::keys::{key, page_and_bits, page_key, pages};
use super::link::{Link, Purpose};
use super::notifier::RedisNotifier;
use super::script::{Call, ScriptStep};
use super::steps::{AnswerStep, ClaimStep};
use super::together::Together;
use crate::bus::{
    BusError, BusFuture, CLOCKS_DIFFER_US, ChangeEvent, Claim, EVENTS_AT_ONCE, EventPiece, EventPosition, JobChange,
    JobEvent, JobKey, LiveBus, LivePace, Notifier as _, Opened, Piece, ResultLine, Start,
};
use crate::clock::Moment;
use crate::lock::lock;

/// Most lines of one read, however short they are.
const LINES_AT_ONCE: usize = 10_000;

/// How often the ends of watched streams are read, in case notifications are missed.
const LOOK: Duration = Duration::from_secs(1);

/// The [`LiveBus`] of several nodes.
#[derive(Debug)]
pub struct RedisBus {
    jobs: Arc<Jobs>,
    _looking: JoinSet<()>,
}

#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) link: Arc<Link>,
    notifier: Arc<RedisNotifier>,
    /// The ends of the streams opened at this node, as far as it has heard.
    ends: Mutex<HashMap<JobKey, WatchedJob>>,
    lifetime: Duration,
    pub(super) steps: Steps,
    pub(super) claims: Together<ClaimStep, Claim>,
    pub(super) answers: Together<AnswerStep, bool>,
}

/// The beginning and the end of a stream, as far as this node has heard.
#[derive(Debug)]
struct WatchedJob {
    first: u64,
    end: watch::Sender<u64>,
    /// The highest cursor or position of an event that this node has heard of.
    highest: u64,
}

#[derive(Debug)]
pub(super) struct Steps {
    open: ScriptStep,
    pub(super) claim: ScriptStep,
    unclaim: ScriptStep,
    pub(super) answer: ScriptStep,
    pace: ScriptStep,
    close: ScriptStep,
    events: ScriptStep,
    read: ScriptStep,
}

impl RedisBus {
    /// Redis forgets a job by itself after `lifetime`, which must be longer than any job is needed.
    pub(super) fn new(link: Arc<Link>, notifier: Arc<RedisNotifier>, lifetime: Duration) -> Self {
        let steps = Steps {
            open: ScriptStep::of_a_job(include_str!("scripts/open.lua")),
            claim: ScriptStep::of_a_job(include_str!("scripts/claim.lua")),
            unclaim: ScriptStep::of_a_job(include_str!("scripts/unclaim.lua")),
            answer: ScriptStep::of_a_job(include_str!("scripts/answer.lua")),
            pace: ScriptStep::of_a_job(include_str!("scripts/pace.lua")),
            close: ScriptStep::of_a_job(include_str!("scripts/close.lua")),
            events: ScriptStep::of_a_job(include_str!("scripts/events.lua")),
            read: ScriptStep::of_a_job(include_str!("scripts/read.lua")),
        };
        let jobs = Arc::new(Jobs {
            link,
            notifier,
            ends: Mutex::default(),
            lifetime,
            steps,
            claims: Together::default(),
            answers: Together::default(),
        });
        let mut looking = JoinSet::new();
        looking.spawn_on(look(Arc::downgrade(&jobs)), jobs.link.runtime());
        Self { jobs, _looking: looking }
    }
}

/// Follows the ends of streams that are watched at this node.
async fn look(jobs: Weak<Jobs>) {
    // why: weak, so that this task does not keep the bus alive, whose drop ends it.
    let Some(mut notifications) = jobs.upgrade().map(|jobs| jobs.notifier.subscribe()) else { return };
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = notifications.next() => event,
            _ = tick.tick() => Some(ChangeEvent::Missed),
        };
        let (Some(jobs), Some(event)) = (jobs.upgrade(), event) else { return };
        let watched: Vec<JobKey> = lock(&jobs.ends)
            .iter()
            .filter(|(job, known)| {
                known.end.receiver_count() > 0 && matches!(event, ChangeEvent::Missed | ChangeEvent::Events(_)) && {
                    !matches!(event, ChangeEvent::Events(other) if other != job.id)
                }
            })
            .map(|(job, _)| *job)
            .collect();
        for job in watched {
            // Watchers get the error when they read.
            let _ = jobs.look_at(job).await;
        }
    }
}

/// An event, and the tag that tells it from every other.
pub(super) fn tagged(change: &JobChange) -> (Vec<u8>, String) {
    // why: not 0, which stands for an event without a tag.
    (change.to_bytes(), rand::random_range(1..=u64::MAX).to_string())
}

impl Jobs {
    /// Runs a script, whose first argument is the job's key.
    pub(super) async fn step<T: ::redis::FromRedisValue>(
        &self,
        (purpose, name, step): (Purpose, &str, &ScriptStep),
        job: JobKey,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<T, BusError> {
        let made = job.made_text();
        let arguments: Vec<&[u8]> = [made.as_bytes()].into_iter().chain(arguments.iter().copied()).collect();
        self.link.call(purpose, name, job.id, Call::Script { step, keys, arguments: &arguments }).await
    }

    /// Runs a step that gives 1 (done), 0 (not done) or -1 (no such job), and notifies the other nodes if it was done.
    async fn decide(
        &self,
        name: &str,
        step: &ScriptStep,
        job: JobKey,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<bool, BusError> {
        let outcome = self.step::<i64>((Purpose::Job, name, step), job, keys, arguments).await?;
        self.decided(job, outcome)
    }

    /// Whether a step was done; `outcome` is 1 (done), 0 (not done) or -1 (no such job). Notifies the other nodes if it was.
    pub(super) fn decided(&self, job: JobKey, outcome: i64) -> Result<bool, BusError> {
        match outcome {
            // why: a notification that is lost, or never sent because this request is given up here, costs time only:
            // nodes read the events of open jobs every two seconds.
            1 => {
                self.notifier.publish(ChangeEvent::Events(job.id));
                Ok(true)
            }
            0 => Ok(false),
            _ => Err(BusError::Lost(job.id)),
        }
    }

    async fn open(&self, job: JobKey, start: Start) -> Result<Opened, BusError> {
        let ((event, tag), pages) = match start {
            Start::New => ((Vec::new(), String::new()), BTreeMap::new()),
            Start::Checkpoint { settled, note, .. } | Start::Over { settled, note } => {
                (tagged(&JobChange::Restored { note }), pages(&settled))
            }
        };
        let mut keys = vec![key(job, "meta"), key(job, "events"), key(job, "lines")];
        keys.extend(pages.keys().map(|page| page_key(job, *page)));
        // So much earlier than its row may a job seem to have been made.
        let not_before = job.made_at_us().saturating_sub(CLOCKS_DIFFER_US).to_string();
        let lifetime = self.lifetime.as_millis().to_string();
        let highest = self.highest(job).to_string();
        let mut arguments =
            vec![not_before.as_bytes(), lifetime.as_bytes(), event.as_slice(), tag.as_bytes(), highest.as_bytes()];
        arguments.extend(pages.values().map(Vec::as_slice));
        let (made, first, end): (i64, u64, u64) =
            self.step((Purpose::Job, "open", &self.steps.open), job, &keys, &arguments).await?;
        lock(&self.ends).entry(job).or_insert_with(|| WatchedJob { first, end: watch::Sender::new(0), highest: 0 });
        self.heard(job, first, end);
        Ok(if self.decided(job, made)? { Opened::Made } else { Opened::Found })
    }

    async fn events(&self, job: JobKey, after: EventPosition) -> Result<EventPiece, BusError> {
        let keys = [key(job, "meta"), key(job, "events"), key(job, "lines")];
        let (last, tag) = (after.number.to_string(), after.tag.to_string());
        let (next, most) = (after.number.saturating_add(1).to_string(), EVENTS_AT_ONCE.to_string());
        let highest = self.highest(job).max(after.number).to_string();
        let arguments = [last.as_bytes(), tag.as_bytes(), next.as_bytes(), most.as_bytes(), highest.as_bytes()];
        let step = (Purpose::Read, "events", &self.steps.events);
        let (found, entries): (i64, Vec<Value>) = self.step(step, job, &keys, &arguments).await?;
        if found < 0 {
            return Err(BusError::Lost(job.id));
        }
        let (is_from_start, is_last) = (found == 1, entries.len() < EVENTS_AT_ONCE);
        let mut last = if is_from_start { EventPosition::default() } else { after };
        let mut events = Vec::with_capacity(entries.len());
        for entry in entries {
            let StreamEntry { number, value, tag } = StreamEntry::read(entry)?;
            last = EventPosition { number, tag };
            match JobChange::from_bytes(&value) {
                Some(change) => events.push(JobEvent { position: last, change }),
                None => tracing::warn!(live_query = job.id, number, "an event of a live query cannot be read"),
            }
        }
        self.heard_of(job, last.number);
        Ok(EventPiece { events, last, is_last, is_from_start })
    }

    async fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> Result<Piece, BusError> {
        let keys = [key(job, "meta"), key(job, "lines")];
        let first = cursor.saturating_add(1).to_string();
        let last = cursor.saturating_add(max_bytes as u64).to_string();
        let most = LINES_AT_ONCE.to_string();
        let step = (Purpose::Read, "read", &self.steps.read);
        let (found, first, end, entries): (i64, u64, u64, Vec<Value>) =
            self.step(step, job, &keys, &[first.as_bytes(), last.as_bytes(), most.as_bytes()]).await?;
        if found < 0 {
            return Err(BusError::Lost(job.id));
        }
        self.heard(job, first, end);
        let mut lines = Vec::with_capacity(entries.len());
        for entry in entries {
            let StreamEntry { number, value, .. } = StreamEntry::read(entry)?;
            lines.push(ResultLine { cursor: number, text: value });
        }
        // why: a cursor may lie beyond the end after a failover that lost the last lines. Lines that have come since may
        // end before it, and must not be skipped.
        let next = lines.last().map_or(if cursor > end { 0 } else { cursor }, |line| line.cursor);
        Ok(Piece { lines, next })
    }

    async fn look_at(&self, job: JobKey) -> Result<(), BusError> {
        let mut ask = cmd("HMGET");
        ask.arg(key(job, "meta")).arg("first").arg("end");
        let found: (Option<u64>, Option<u64>) =
            self.link.call(Purpose::Job, "end", job.id, Call::Command(&ask)).await?;
        if let (Some(first), Some(end)) = found {
            self.heard(job, first, end);
        }
        Ok(())
    }

    /// Removes the keys of a job. `meta` has a field for the key of each page, so that no search for keys is needed.
    async fn remove(&self, job: JobKey) -> Result<(), BusError> {
        lock(&self.ends).remove(&job);
        let (meta, prefix) = (key(job, "meta"), key(job, "hosts:"));
        let mut list = cmd("HKEYS");
        list.arg(&meta);
        let fields: Vec<String> = self.link.call(Purpose::Job, "remove", job.id, Call::Command(&list)).await?;
        let mut unlink = cmd("UNLINK");
        unlink.arg(&meta).arg(key(job, "events")).arg(key(job, "lines"));
        unlink.arg(fields.into_iter().filter(|field| field.starts_with(&prefix)).collect::<Vec<_>>());
        self.link.call::<i64>(Purpose::Job, "remove", job.id, Call::Command(&unlink)).await?;
        Ok(())
    }

    /// The highest cursor or position of an event of a job that this node has heard of.
    fn highest(&self, job: JobKey) -> u64 {
        lock(&self.ends).get(&job).map_or(0, |known| known.highest)
    }

    fn heard_of(&self, job: JobKey, number: u64) {
        if let Some(known) = lock(&self.ends).get_mut(&job) {
            known.highest = number.max(known.highest);
        }
    }

    /// Notifies watchers of an end, unless they have heard of a later one: replies may overtake each other.
    pub(super) fn heard(&self, job: JobKey, first: u64, end: u64) {
        if let Some(known) = lock(&self.ends).get_mut(&job) {
            known.highest = end.max(known.highest);
            known.end.send_if_modified(|known_end| {
                let is_news = end > *known_end;
                if is_news {
                    // A job that was made anew, or has lost lines, begins elsewhere.
                    known.first = first;
                }
                *known_end = end.max(*known_end);
                is_news
            });
        }
    }
}

impl LiveBus for RedisBus {
    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(async move {
            // why: not PING, which goes to all masters of a cluster and fails when one is down; jobs of the others go
            // on. The purpose is that of `open`, so that the answer is about the connection a new job needs.
            let mut exists = cmd("EXISTS");
            exists.arg(key(JobKey::new(0, None), "meta"));
            self.jobs.link.call::<i64>(Purpose::Job, "ping", 0, Call::Command(&exists)).await?;
            Ok(())
        })
    }

    fn open(&self, job: JobKey, start: Start) -> BusFuture<'_, Opened> {
        Box::pin(self.jobs.open(job, start))
    }

    fn claim(&self, job: JobKey, host: i64, at: Moment, is_alone: bool, is_canary: bool) -> BusFuture<'_, Claim> {
        Box::pin(self.jobs.claim(job, ClaimStep { host, at, is_alone, is_canary }))
    }

    fn pace(&self, job: JobKey, pace: LivePace) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let keys = [key(job, "meta"), key(job, "events")];
            let (event, tag) = tagged(&JobChange::Paced(pace));
            let (rate, changes) = (pace.rate.to_string(), pace.changes.to_string());
            let [held, canaries] = [pace.is_held(), pace.is_for_canaries()].map(|is_so| if is_so { "1" } else { "0" });
            let arguments =
                [rate.as_bytes(), held.as_bytes(), changes.as_bytes(), &event, tag.as_bytes(), canaries.as_bytes()];
            self.jobs.decide("pace", &self.jobs.steps.pace, job, &keys, &arguments).await
        })
    }

    fn unclaim(&self, job: JobKey, host: i64) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let (page, bits) = page_and_bits(job, host);
            let keys = [key(job, "meta"), key(job, "events"), page];
            let (event, tag) = tagged(&JobChange::Pending { host });
            let unclaim = &self.jobs.steps.unclaim;
            self.jobs.decide("unclaim", unclaim, job, &keys, &[bits.as_bytes(), &event, tag.as_bytes()]).await
        })
    }

    fn answer(&self, job: JobKey, host: i64, line: Bytes, note: Vec<u8>, by: Instant) -> BusFuture<'_, bool> {
        Box::pin(self.jobs.answer(job, host, line, note, by))
    }

    fn close(&self, job: JobKey, note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let keys = [key(job, "meta"), key(job, "events")];
            let (event, tag) = tagged(&JobChange::Closed { note });
            self.jobs.decide("close", &self.jobs.steps.close, job, &keys, &[&event, tag.as_bytes()]).await
        })
    }

    fn events(&self, job: JobKey, after: EventPosition) -> BusFuture<'_, EventPiece> {
        Box::pin(self.jobs.events(job, after))
    }

    fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece> {
        Box::pin(self.jobs.read(job, cursor, max_bytes))
    }

    fn watch(&self, job: JobKey) -> Option<watch::Receiver<u64>> {
        lock(&self.jobs.ends).get(&job).map(|known| known.end.subscribe())
    }

    fn length(&self, job: JobKey) -> u64 {
        lock(&self.jobs.ends).get(&job).map_or(0, |known| known.end.borrow().saturating_sub(known.first))
    }

    fn remove(&self, job: JobKey) -> BusFuture<'_, ()> {
        Box::pin(self.jobs.remove(job))
    }

    fn held(&self) -> HashSet<JobKey> {
        lock(&self.jobs.ends).keys().copied().collect()
    }

    fn let_go(&self, jobs: &HashSet<JobKey>) {
        lock(&self.jobs.ends).retain(|job, _| !jobs.contains(job));
    }

    fn forget_others(&self, _: HashSet<JobKey>, _: Moment) -> BusFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
