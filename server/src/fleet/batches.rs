use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::Error;
use crate::lock::lock;
use crate::spacing::Spacing;
use crate::under_way::{WaitsFor, waiting_for};

/// Longest work on one batch. A connection to the database can fall silent for ever, and batches come one after the other:
/// without an end, one such connection would stop all that follow. Far longer than any request waits for the database.
const LONGEST: Duration = Duration::from_secs(8);

/// Unless said otherwise, so many questions wait for no others: a larger batch costs each of them hardly less.
const ENOUGH: usize = 64;

/// Questions to the database that come one by one and are answered many at a time, one batch after the other.
///
/// Batches are worked on by a task of their own: they belong to all who wait for them, so a request that is given up takes
/// nothing from the others.
#[derive(Debug)]
pub(super) struct Batches<Q, A> {
    waiting: Mutex<QuestionQueue<Q, A>>,
    /// Most questions in one batch.
    size: usize,
    /// Most questions that wait for their answer.
    max_waiting: usize,
    pub(super) longest: Duration,
    /// So many questions wait for no others.
    enough: usize,
    /// Signals that enough wait.
    has_enough: Notify,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(super) struct Unanswered<Q, A> {
    pub question: Q,
    /// Counts questions in the order in which they came.
    number: u64,
    sender: oneshot::Sender<A>,
}

impl<Q, A> Unanswered<Q, A> {
    /// Answers. Gives the answer back if nobody waits for it any more.
    pub fn answer(self, answer: A) -> Result<(), A> {
        self.sender.send(answer)
    }

    pub fn is_given_up(&self) -> bool {
        self.sender.is_closed()
    }

    /// A question for whose answer nobody waits.
    #[cfg(test)]
    pub fn of(question: Q) -> Self {
        Self::awaited(question).0
    }

    #[cfg(test)]
    pub fn awaited(question: Q) -> (Self, oneshot::Receiver<A>) {
        let (sender, receiver) = oneshot::channel();
        (Self { question, number: 0, sender }, receiver)
    }
}

/// Why a question got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Too many wait already.
    Full,
    /// The work on its batch failed or took too long.
    Failed,
}

impl From<NoAnswer> for Error {
    fn from(reason: NoAnswer) -> Self {
        Self::Unavailable(match reason {
            NoAnswer::Full => "too many requests wait for the database".to_owned(),
            NoAnswer::Failed => "the database did not answer".to_owned(),
        })
    }
}

/// Questions in the order in which they came.
#[derive(Debug)]
struct QuestionQueue<Q, A> {
    questions: BTreeMap<u64, Unanswered<Q, A>>,
    /// Questions of the batch that is worked on.
    in_flight: usize,
    next: u64,
    /// A task works on batches until none is left.
    is_worked_on: bool,
    /// Questions that come together share their statements and their flush.
    spacing: Spacing,
}

impl<Q, A> QuestionQueue<Q, A> {
    fn new(spacing: Duration) -> Self {
        let spacing = Spacing::new(spacing);
        Self { questions: BTreeMap::new(), in_flight: 0, next: 0, is_worked_on: false, spacing }
    }
}

/// A question that waits as long as this lives: no longer than the request that asks.
struct QueuedQuestion<'a, Q, A> {
    batches: &'a Batches<Q, A>,
    number: u64,
}

impl<Q, A> Drop for QueuedQuestion<'_, Q, A> {
    fn drop(&mut self) {
        lock(&self.batches.waiting).questions.remove(&self.number);
    }
}

/// The task that works on batches. If it ends before its time, as with its thread, the questions that wait fail, and the
/// next one begins another.
struct BatchWorker<Q, A> {
    batches: Arc<Batches<Q, A>>,
    is_over: bool,
}

impl<Q, A> Drop for BatchWorker<Q, A> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut waiting = lock(&self.batches.waiting);
            waiting.is_worked_on = false;
            waiting.in_flight = 0;
            waiting.questions.clear();
        }
    }
}

impl<Q: 'static, A: 'static> Batches<Q, A> {
    pub fn new(size: usize, max_waiting: usize, spacing: Duration) -> Self {
        let waiting = Mutex::new(QuestionQueue::new(spacing));
        Self { waiting, size, max_waiting, longest: LONGEST, enough: ENOUGH, has_enough: Notify::new() }
    }

    /// With batches that begin as soon as so many wait.
    pub fn enough_at(self, enough: usize) -> Self {
        Self { enough, ..self }
    }

    /// With work on one batch that takes no longer than this.
    pub fn ending_after(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Waits for the answer to a question. `work` answers batches, which need not hold this question and are never
    /// empty; it is the same for all who ask. Questions that it gives back wait on. Those that it neither answers nor gives
    /// back, or not in time ([`LONGEST`]), fail. Call this on a thread that runs local tasks, as all that answer requests do.
    ///
    /// # Errors
    /// [`NoAnswer`] when `work` does not answer, or too many wait.
    pub async fn ask<F>(
        self: &Arc<Self>,
        question: Q,
        work: impl Fn(Vec<Unanswered<Q, A>>) -> F + 'static,
    ) -> Result<A, NoAnswer>
    where
        F: Future<Output = Vec<Unanswered<Q, A>>> + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (_queued, worker) = self.enqueue(question, sender)?;
        if let Some(worker) = worker {
            tokio::task::spawn_local(worker.run(work));
        }
        waiting_for(WaitsFor::SharedBatch, receiver).await.map_err(|_| NoAnswer::Failed)
    }

    /// Adds a question, and the worker if none is there.
    #[expect(clippy::type_complexity, reason = "two guards that the one caller takes apart at once")]
    fn enqueue(
        self: &Arc<Self>,
        question: Q,
        sender: oneshot::Sender<A>,
    ) -> Result<(QueuedQuestion<'_, Q, A>, Option<BatchWorker<Q, A>>), NoAnswer> {
        let mut waiting = lock(&self.waiting);
        if waiting.questions.len() + waiting.in_flight >= self.max_waiting {
            return Err(NoAnswer::Full);
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.questions.insert(number, Unanswered { question, number, sender });
        if waiting.questions.len() == self.enough {
            self.has_enough.notify_one();
        }
        let is_first = !std::mem::replace(&mut waiting.is_worked_on, true);
        let queued = QueuedQuestion { batches: self, number };
        Ok((queued, is_first.then(|| BatchWorker { batches: Arc::clone(self), is_over: false })))
    }

    /// Until when the next batch gathers questions, if it is worth it.
    fn pause(&self) -> Option<Instant> {
        let waiting = lock(&self.waiting);
        let is_short = waiting.questions.len() < self.enough;
        waiting.spacing.until().filter(|_| is_short)
    }

    /// The next batch; `has_paused` says whether it had time to gather. If there is none, the worker is over.
    fn next(&self, has_paused: bool) -> Option<Vec<Unanswered<Q, A>>> {
        let mut waiting = lock(&self.waiting);
        let asked = std::iter::from_fn(|| Some(waiting.questions.pop_first()?.1));
        let batch: Vec<_> = asked.filter(|question| !question.is_given_up()).take(self.size).collect();
        waiting.in_flight = batch.len();
        if batch.is_empty() {
            waiting.is_worked_on = false;
            return None;
        }
        waiting.spacing.begin(batch.len(), has_paused);
        Some(batch)
    }

    /// Notes that the batch is over. These of it wait on, in their places.
    fn is_over(&self, given_back: Vec<Unanswered<Q, A>>) {
        let mut waiting = lock(&self.waiting);
        waiting.in_flight = 0;
        let wait_on = given_back.into_iter().filter(|question| !question.is_given_up());
        waiting.questions.extend(wait_on.map(|question| (question.number, question)));
    }

    /// How long the batch under way has been worked on.
    pub fn works_for(&self) -> Option<Duration> {
        let waiting = lock(&self.waiting);
        waiting.spacing.begun().filter(|_| waiting.in_flight > 0).map(|begun| begun.elapsed())
    }

    /// How many questions wait or are worked on, and the most they may be.
    pub fn size(&self) -> (usize, usize) {
        let waiting = lock(&self.waiting);
        (waiting.questions.len() + waiting.in_flight, self.max_waiting)
    }

    /// How many questions wait, and whether a batch is under way or has just been.
    #[cfg(test)]
    pub fn state(&self) -> (usize, bool) {
        let waiting = lock(&self.waiting);
        (waiting.questions.len(), waiting.is_worked_on)
    }
}

impl<Q: 'static, A: 'static> BatchWorker<Q, A> {
    async fn run<F>(mut self, work: impl Fn(Vec<Unanswered<Q, A>>) -> F)
    where
        F: Future<Output = Vec<Unanswered<Q, A>>>,
    {
        let between = lock(&self.batches.waiting).spacing.between();
        loop {
            let mut has_paused = false;
            while let Some(until) = self.batches.pause() {
                has_paused = true;
                // Whether there are enough is looked at again, as the signal may be an old one.
                let _ = tokio::time::timeout_at(until.into(), self.batches.has_enough.notified()).await;
            }
            let Some(batch) = self.batches.next(has_paused) else { break };
            let (questions, longest) = (batch.len(), self.batches.longest);
            let given_back = tokio::time::timeout(longest, work(batch)).await.unwrap_or_else(|_| {
                let seconds = longest.as_secs();
                tracing::warn!(questions, seconds, "the database has not answered in time; the requests are refused");
                Vec::new()
            });
            let is_stuck = given_back.len() == questions;
            self.batches.is_over(given_back);
            if is_stuck {
                tokio::time::sleep(between).await;
            }
        }
        self.is_over = true;
    }
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
