use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Error;
use crate::lock::lock;

/// Longest work on one batch. A connection to the database can fall silent for ever, and batches come one after the other:
/// without an end, one such connection would stop all that follow. Far longer than any request waits for the database.
const LONGEST: Duration = Duration::from_secs(8);

/// So many questions wait for no others: a larger batch costs each of them hardly less.
const ENOUGH: usize = 64;

/// Batches without that pause after one in which nobody else came: who asks one question after the other does not wait.
const UNPAUSED: u8 = 4;

/// Questions to the database that come one by one and are answered many at a time, one batch after the other.
///
/// Batches are worked on by a task of their own: they belong to all who wait for them, so a request that is given up takes
/// nothing from the others.
#[derive(Debug)]
pub(super) struct Batches<Q, A> {
    waiting: Mutex<QuestionQueue<Q, A>>,
    /// Most questions in one batch.
    size: usize,
    /// Most questions that wait for their batch.
    max_waiting: usize,
    /// Time from the beginning of a batch to that of the next, as long as it lets questions come together: those share
    /// their statements and their flush.
    spacing: Duration,
    longest: Duration,
    /// Signals that [`ENOUGH`] wait.
    enough: Notify,
}

/// A question, and where its answer goes.
pub(super) type Unanswered<Q, A> = (Q, oneshot::Sender<A>);

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
    next: u64,
    /// A task works on batches until none is left.
    is_worked_on: bool,
    /// When the last batch began.
    begun: Option<Instant>,
    /// Batches that go without a pause before them.
    unpaused: u8,
}

impl<Q, A> QuestionQueue<Q, A> {
    fn new() -> Self {
        Self { questions: BTreeMap::new(), next: 0, is_worked_on: false, begun: None, unpaused: 0 }
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
            waiting.questions.clear();
        }
    }
}

impl<Q: 'static, A: 'static> Batches<Q, A> {
    pub fn new(size: usize, max_waiting: usize, spacing: Duration) -> Self {
        let waiting = Mutex::new(QuestionQueue::new());
        Self { waiting, size, max_waiting, spacing, longest: LONGEST, enough: Notify::new() }
    }

    /// Waits for the answer to a question. `work` answers batches, which need not hold this question and are never
    /// empty; it is the same for all who ask. Questions that it does not answer, or not in time ([`LONGEST`]), fail. Call
    /// this on a thread that runs local tasks, as all that answer requests do.
    ///
    /// # Errors
    /// [`NoAnswer`] when `work` does not answer, or too many wait.
    pub async fn ask<F>(
        self: &Arc<Self>,
        question: Q,
        work: impl Fn(Vec<Unanswered<Q, A>>) -> F + 'static,
    ) -> Result<A, NoAnswer>
    where
        F: Future<Output = ()> + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let (_queued, worker) = self.enqueue((question, sender))?;
        if let Some(worker) = worker {
            tokio::task::spawn_local(worker.run(work));
        }
        receiver.await.map_err(|_| NoAnswer::Failed)
    }

    /// Adds a question, and the worker if none is there.
    #[expect(clippy::type_complexity, reason = "two guards that the one caller takes apart at once")]
    fn enqueue(
        self: &Arc<Self>,
        question: Unanswered<Q, A>,
    ) -> Result<(QueuedQuestion<'_, Q, A>, Option<BatchWorker<Q, A>>), NoAnswer> {
        let mut waiting = lock(&self.waiting);
        if waiting.questions.len() >= self.max_waiting {
            return Err(NoAnswer::Full);
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.questions.insert(number, question);
        if waiting.questions.len() == ENOUGH {
            self.enough.notify_one();
        }
        let is_first = !std::mem::replace(&mut waiting.is_worked_on, true);
        let queued = QueuedQuestion { batches: self, number };
        Ok((queued, is_first.then(|| BatchWorker { batches: Arc::clone(self), is_over: false })))
    }

    /// Until when the next batch gathers questions, if it is worth it.
    fn pause(&self) -> Option<Instant> {
        let waiting = lock(&self.waiting);
        let until = waiting.begun.map(|begun| begun + self.spacing);
        let is_short = waiting.questions.len() < ENOUGH;
        until.filter(|until| is_short && waiting.unpaused == 0 && *until > Instant::now())
    }

    /// The next batch; `has_paused` says whether it had time to gather. If there is none, the worker is over.
    fn next(&self, has_paused: bool) -> Option<Vec<Unanswered<Q, A>>> {
        let mut waiting = lock(&self.waiting);
        let batch: Vec<_> = std::iter::from_fn(|| Some(waiting.questions.pop_first()?.1)).take(self.size).collect();
        if batch.is_empty() {
            waiting.is_worked_on = false;
            return None;
        }
        waiting.unpaused = match (batch.len(), has_paused) {
            (1, true) => UNPAUSED,
            (1, false) => waiting.unpaused.saturating_sub(1),
            _ => 0,
        };
        waiting.begun = Some(Instant::now());
        Some(batch)
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
        F: Future<Output = ()>,
    {
        loop {
            let mut has_paused = false;
            while let Some(until) = self.batches.pause() {
                has_paused = true;
                // Whether there are enough is looked at again, as the signal may be an old one.
                let _ = tokio::time::timeout_at(until, self.batches.enough.notified()).await;
            }
            let Some(batch) = self.batches.next(has_paused) else { break };
            let (questions, longest) = (batch.len(), self.batches.longest);
            if tokio::time::timeout(longest, work(batch)).await.is_err() {
                let seconds = longest.as_secs();
                tracing::warn!(questions, seconds, "the database has not answered in time; the requests are refused");
            }
        }
        self.is_over = true;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt as _;

    use super::*;

    const SPACING: Duration = Duration::from_millis(20);

    fn batches(max_waiting: usize) -> Arc<Batches<u32, u32>> {
        Arc::new(Batches { longest: SPACING, ..Batches::new(2, max_waiting, SPACING) })
    }

    async fn answer(batch: Vec<Unanswered<u32, u32>>) {
        for (question, sender) in batch {
            let _ = sender.send(question + 1);
        }
    }

    #[actix_web::test]
    async fn a_batch_that_never_ends_does_not_stop_those_behind_it() {
        let batches = batches(10);
        let work = |batch: Vec<Unanswered<u32, u32>>| async move {
            if batch[0].0 == 1 {
                std::future::pending::<()>().await;
            }
            answer(batch).await;
        };
        let mut silent = Box::pin(batches.ask(1, work));
        assert!((&mut silent).now_or_never().is_none());
        tokio::task::yield_now().await;
        assert_eq!(batches.state(), (0, true));
        assert_eq!(batches.ask(5, work).await.unwrap(), 6);
        assert!(silent.await.is_err());
    }

    /// Where nothing runs local tasks, the task of a question cannot be begun.
    #[test]
    fn a_question_that_could_not_be_asked_does_not_wait() {
        let batches = batches(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = runtime.block_on(AssertUnwindSafe(batches.ask(1, answer)).catch_unwind());
        assert!(asked.is_err());
        assert_eq!(batches.state(), (0, false));
        let asked = tokio::task::LocalSet::new().block_on(&runtime, batches.ask(2, answer));
        assert_eq!(asked.unwrap(), 3);
    }

    #[actix_web::test]
    async fn a_request_that_is_given_up_makes_room_at_once() {
        let batches = batches(2);
        lock(&batches.waiting).is_worked_on = true;
        let mut both = Box::pin(futures_util::future::join(batches.ask(1, answer), batches.ask(2, answer)));
        assert!((&mut both).now_or_never().is_none());
        assert!(batches.ask(3, answer).await.is_err(), "too many");
        drop(both);
        assert_eq!(batches.state().0, 0);
    }

    #[actix_web::test]
    async fn questions_that_come_together_are_answered_together() {
        let batches = batches(100);
        let sizes = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let ask = |question| {
            let sizes = std::rc::Rc::clone(&sizes);
            batches.ask(question, move |batch| {
                sizes.borrow_mut().push(batch.len());
                answer(batch)
            })
        };
        for question in 0..3 {
            assert_eq!(ask(question).await, Ok(question + 1));
        }
        assert_eq!(*sizes.borrow(), [1, 1, 1]);
        let all = futures_util::future::join_all((0..5).map(ask)).await;
        assert_eq!(all, [1, 2, 3, 4, 5].map(Ok));
        // Of the size of a batch here.
        assert_eq!(sizes.borrow()[3..], [2, 2, 1]);
    }
}
