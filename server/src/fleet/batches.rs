use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Error, Result};
use crate::lock::lock;

/// Longest work on one batch. A connection to the database can fall silent for ever, and batches come one after the other:
/// without an end, one such connection would stop all that follow. Far longer than any request waits for the database.
const LONGEST: Duration = Duration::from_secs(8);

/// Questions to the database that come one by one and are answered many at a time, one batch after the other.
///
/// A batch is worked on by a task of its own: it belongs to all who wait for it, so a request that is given up takes
/// nothing from the others.
#[derive(Debug)]
pub(super) struct Batches<Q, A> {
    waiting: Mutex<QuestionQueue<Q, A>>,
    serial: tokio::sync::Mutex<()>,
    /// Most questions in one batch.
    size: usize,
    /// Most questions that wait for their batch.
    max_waiting: usize,
    longest: Duration,
}

/// A question, and where its answer goes.
pub(super) type Unanswered<Q, A> = (Q, oneshot::Sender<A>);

/// Questions in the order in which they came.
#[derive(Debug)]
struct QuestionQueue<Q, A> {
    questions: BTreeMap<u64, Unanswered<Q, A>>,
    next: u64,
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

impl<Q: 'static, A: 'static> Batches<Q, A> {
    pub fn new(size: usize, max_waiting: usize) -> Self {
        let waiting = Mutex::new(QuestionQueue { questions: BTreeMap::new(), next: 0 });
        Self { waiting, serial: tokio::sync::Mutex::default(), size, max_waiting, longest: LONGEST }
    }

    /// Waits for the answer to a question. `work` answers the batch in whose turn it is called; that batch need not hold
    /// this question, and is never empty. Questions that it does not answer, or not in time ([`LONGEST`]), fail. Call this
    /// on a thread that runs local tasks, as all that answer requests do.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when `work` does not answer, or too many wait.
    pub async fn ask<F>(
        self: &Arc<Self>,
        question: Q,
        work: impl FnOnce(Vec<Unanswered<Q, A>>) -> F + 'static,
    ) -> Result<A>
    where
        F: Future<Output = ()> + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let _queued = self.enqueue((question, sender))?;
        let batches = Arc::clone(self);
        // One task for each question, so there are always enough; most find nothing left to do.
        tokio::task::spawn_local(async move {
            let _guard = batches.serial.lock().await;
            let batch = batches.next();
            let questions = batch.len();
            if questions > 0 && tokio::time::timeout(batches.longest, work(batch)).await.is_err() {
                let seconds = batches.longest.as_secs();
                tracing::warn!(questions, seconds, "the database has not answered in time; the requests are refused");
            }
        });
        receiver.await.map_err(|_| Error::Unavailable("the database did not answer".to_owned()))
    }

    fn enqueue(&self, question: Unanswered<Q, A>) -> Result<QueuedQuestion<'_, Q, A>> {
        let mut waiting = lock(&self.waiting);
        if waiting.questions.len() >= self.max_waiting {
            return Err(Error::Unavailable("too many requests wait for the database".to_owned()));
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.questions.insert(number, question);
        Ok(QueuedQuestion { batches: self, number })
    }

    /// The next batch.
    fn next(&self) -> Vec<Unanswered<Q, A>> {
        let mut waiting = lock(&self.waiting);
        let first = std::iter::from_fn(|| Some(waiting.questions.pop_first()?.1));
        first.take(self.size).collect()
    }

    /// How many questions wait, and whether a batch is under way.
    #[cfg(test)]
    pub fn state(&self) -> (usize, bool) {
        (lock(&self.waiting).questions.len(), self.serial.try_lock().is_err())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt as _;

    use super::*;

    fn batches(max_waiting: usize) -> Arc<Batches<u32, u32>> {
        Arc::new(Batches { longest: Duration::from_millis(20), ..Batches::new(2, max_waiting) })
    }

    async fn answer(batch: Vec<Unanswered<u32, u32>>) {
        for (question, sender) in batch {
            let _ = sender.send(question + 1);
        }
    }

    #[actix_web::test]
    async fn a_batch_that_never_ends_does_not_stop_those_behind_it() {
        let batches = batches(10);
        let mut silent = Box::pin(batches.ask(1, |batch| async move {
            let _kept = batch;
            std::future::pending().await
        }));
        assert!((&mut silent).now_or_never().is_none());
        tokio::task::yield_now().await;
        assert_eq!(batches.state(), (0, true));
        assert_eq!(batches.ask(5, answer).await.unwrap(), 6);
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
        let _held = batches.serial.lock().await;
        let mut both = Box::pin(futures_util::future::join(batches.ask(1, answer), batches.ask(2, answer)));
        assert!((&mut both).now_or_never().is_none());
        assert!(batches.ask(3, answer).await.is_err(), "too many");
        drop(both);
        assert_eq!(batches.state().0, 0);
    }
}
