//! Claims and answers, those of many hosts in one script.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::jobs::{Jobs, tagged};
use super::keys::{key, page_and_bits};
use super::link::Purpose;
use super::together::{WaitingStep, reply};
use crate::bus::{BusError, CLOCKS_DIFFER_US, Claim, JobChange, JobKey};
use crate::clock::Moment;
use crate::under_way::{WaitsFor, waiting_for};

/// About how many bytes a step takes besides its line.
const STEP_BYTES: usize = 256;

/// When the claim of a host that checks in comes too late. One that is not begun within about a second is refused, and the host
/// is asked at its next check-in.
const CLAIMED_WITHIN: Duration = Duration::from_millis(2500);

/// A claim of a host.
#[derive(Debug)]
pub(super) struct ClaimStep {
    pub host: i64,
    pub at: Moment,
    pub is_alone: bool,
    pub is_canary: bool,
}

/// An answer of a host. It holds the room that it takes.
#[derive(Debug)]
pub(super) struct AnswerStep {
    host: i64,
    line: Bytes,
    note: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// Pages of hosts as keys of one script, each once.
struct Pages {
    keys: Vec<String>,
    before: usize,
}

impl Pages {
    /// Pages behind the keys that the script has anyway.
    fn behind(keys: Vec<String>) -> Self {
        Self { before: keys.len(), keys }
    }

    /// The number of a host's page, from 1 on, and the host's bits in it.
    fn position(&mut self, job: JobKey, host: i64) -> (String, String) {
        let (page, bits) = page_and_bits(job, host);
        let pages = &self.keys[self.before..];
        let number = pages.iter().position(|known| *known == page).unwrap_or(pages.len());
        if number == pages.len() {
            self.keys.push(page);
        }
        ((number + 1).to_string(), bits)
    }
}

/// The outcome of a step that was not done because nobody ran it.
fn broken_off() -> BusError {
    BusError::Unavailable("a step of a live query was given up; try again".to_owned())
}

impl Jobs {
    pub async fn claim(self: &Arc<Self>, job: JobKey, step: ClaimStep) -> Result<Claim, BusError> {
        let by = Instant::now() + CLAIMED_WITHIN;
        let (outcome, must_run) = self.claims.add(job, step, STEP_BYTES, by);
        if must_run {
            let jobs = Arc::clone(self);
            self.link.runtime().spawn(async move {
                let mut run = jobs.claims.run(job);
                while let Some(steps) = run.next() {
                    let outcomes = jobs.claim_all(job, &steps).await;
                    reply(steps, outcomes);
                }
            });
        }
        waiting_for(WaitsFor::SharedBatch, outcome).await.map_err(|_| broken_off())?
    }

    async fn claim_all(&self, job: JobKey, steps: &[WaitingStep<ClaimStep, Claim>]) -> Result<Vec<Claim>, BusError> {
        let mut pages = Pages::behind(vec![key(job, "meta"), key(job, "events")]);
        let now = steps.iter().map(|waiting| waiting.step.at.0).max().unwrap_or_default();
        let mut arguments = vec![now.to_string().into_bytes(), CLOCKS_DIFFER_US.to_string().into_bytes()];
        for WaitingStep { step: ClaimStep { host, at, is_alone, is_canary }, .. } in steps {
            let (page, bits) = pages.position(job, *host);
            let (event, tag) = tagged(&JobChange::Sent { host: *host, at: *at, is_alone: *is_alone });
            let canary = if *is_canary { "1" } else { "0" };
            arguments.extend([page.into_bytes(), bits.into_bytes(), event, tag.into_bytes(), canary.into()]);
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let step = (Purpose::Job, "claim", &self.steps.claim);
        let (found, until, outcomes): (i64, i64, Vec<i64>) = self.step(step, job, &pages.keys, &arguments).await?;
        self.all_decided(job, found, outcomes.contains(&1))?;
        let claim = |outcome| match outcome {
            1 => Claim::Won,
            2 => Claim::Held(Some(Moment(until))),
            3 => Claim::Held(None),
            _ => Claim::Taken,
        };
        Ok(outcomes.into_iter().map(claim).collect())
    }

    pub async fn answer(
        self: &Arc<Self>,
        job: JobKey,
        host: i64,
        line: Bytes,
        note: Vec<u8>,
        by: Instant,
    ) -> Result<bool, BusError> {
        let bytes = line.len() + note.len() + STEP_BYTES;
        let room = self.link.room(bytes, by).await?;
        let (outcome, must_run) = self.answers.add(job, AnswerStep { host, line, note, _room: room }, bytes, by);
        if must_run {
            let jobs = Arc::clone(self);
            self.link.runtime().spawn(async move {
                let mut run = jobs.answers.run(job);
                while let Some(steps) = run.next() {
                    let outcomes = jobs.answer_all(job, &steps).await;
                    reply(steps, outcomes);
                }
            });
        }
        waiting_for(WaitsFor::SharedBatch, outcome).await.map_err(|_| broken_off())?
    }

    async fn answer_all(&self, job: JobKey, steps: &[WaitingStep<AnswerStep, bool>]) -> Result<Vec<bool>, BusError> {
        let mut pages = Pages::behind(vec![key(job, "meta"), key(job, "events"), key(job, "lines")]);
        let positions: Vec<_> = steps
            .iter()
            .map(|WaitingStep { step: AnswerStep { host, note, .. }, .. }| {
                let (event, tag) = tagged(&JobChange::Settled { host: *host, note: note.clone() });
                (pages.position(job, *host), event, tag)
            })
            .collect();
        let mut arguments: Vec<&[u8]> = Vec::with_capacity(steps.len() * 5);
        for (WaitingStep { step, .. }, ((page, bits), event, tag)) in steps.iter().zip(&positions) {
            arguments.extend([page.as_bytes(), bits.as_bytes(), event, tag.as_bytes(), &step.line]);
        }
        let by = steps.iter().map(|waiting| waiting.by).max().unwrap_or_else(Instant::now);
        let step = (Purpose::Answer { by }, "answer", &self.steps.answer);
        let (found, first, end, outcomes): (i64, u64, u64, Vec<i64>) =
            self.step(step, job, &pages.keys, &arguments).await?;
        self.all_decided(job, found, outcomes.contains(&1))?;
        self.heard(job, first, end);
        Ok(outcomes.into_iter().map(|outcome| outcome == 1).collect())
    }

    /// Notifies the other nodes if any step of a script was done; `found` is -1 when there is no such job.
    fn all_decided(&self, job: JobKey, found: i64, is_any_done: bool) -> Result<(), BusError> {
        self.decided(job, if found < 0 { found } else { i64::from(is_any_done) }).map(drop)
    }
}
