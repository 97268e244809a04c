use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::{Error, Result};
use crate::lock::lock;

/// Questions to the database that come one by one and are answered many at a time, one batch after the other.
///
/// A batch is worked on by a task of its own: it belongs to all who wait for it, so a request that is given up takes
/// nothing from the others.
#[derive(Debug)]
pub(super) struct Batches<Q, A> {
    waiting: Mutex<Vec<Unanswered<Q, A>>>,
    serial: tokio::sync::Mutex<()>,
    /// Most questions in one batch.
    size: usize,
    /// Most questions that wait for their batch.
    max_waiting: usize,
}

/// A question, and where its answer goes.
pub(super) type Unanswered<Q, A> = (Q, oneshot::Sender<A>);

impl<Q: 'static, A: 'static> Batches<Q, A> {
    pub fn new(size: usize, max_waiting: usize) -> Self {
        Self { waiting: Mutex::default(), serial: tokio::sync::Mutex::default(), size, max_waiting }
    }

    /// Waits for the answer to a question. `work` answers the batch in whose turn it is called; that batch need not hold
    /// this question, and is never empty. Questions it does not answer fail. Call this on a thread that runs local tasks,
    /// as all that answer requests do.
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
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= self.max_waiting {
                return Err(Error::Unavailable("too many requests wait for the database".to_owned()));
            }
            waiting.push((question, sender));
        }
        let batches = Arc::clone(self);
        // One task for each question, so there are always enough; most find nothing left to do.
        tokio::task::spawn_local(async move {
            let _guard = batches.serial.lock().await;
            let batch = batches.next();
            if !batch.is_empty() {
                work(batch).await;
            }
        });
        receiver.await.map_err(|_| Error::Unavailable("the database did not answer".to_owned()))
    }

    /// The next batch, without the questions nobody waits for any more.
    fn next(&self) -> Vec<Unanswered<Q, A>> {
        let mut waiting = lock(&self.waiting);
        let first = waiting.len().min(self.size);
        let mut batch: Vec<_> = waiting.drain(..first).collect();
        batch.retain(|(_, sender)| !sender.is_closed());
        batch
    }

    /// How many questions wait, and whether a batch is under way.
    #[cfg(test)]
    pub fn state(&self) -> (usize, bool) {
        (lock(&self.waiting).len(), self.serial.try_lock().is_err())
    }
}
