//! The users who read lists, and the order in which their lists are worked on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admin::work::{self, OperatorPool, internal};
use crate::config;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::pool::{Pool, PoolEntry};
use crate::telemetry::Metrics;

/// Kind of work on lists, by what the work takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Goes through a whole table.
    Search,
    /// Reads and writes a part of a list that is being sent.
    Part,
}

/// Room for one piece of work of each kind at a time.
#[derive(Debug)]
struct WorkSlots {
    searches: Arc<Semaphore>,
    parts: Arc<Semaphore>,
}

impl Default for WorkSlots {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { searches: one(), parts: one() }
    }
}

impl WorkSlots {
    fn of(&self, work: Work) -> Arc<Semaphore> {
        Arc::clone(match work {
            Work::Search => &self.searches,
            Work::Part => &self.parts,
        })
    }
}

/// A user who is reading lists.
#[derive(Debug, Default)]
struct Reader {
    lists: u32,
    /// Bytes of answers that are read whole and wait for the user's clients.
    waiting_bytes: usize,
    slots: Arc<WorkSlots>,
}

/// The lists that users are reading. Users take turns: whoever reads many lists has one piece of work at most on the
/// threads or next to them, so others wait for one piece of each user and not for all of them.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    operators: OperatorPool,
    /// Where the parts of lists that are being sent are read, so that no search holds these up.
    parts: Pool,
    /// Room for lists that are being sent.
    streams: Arc<Semaphore>,
    by_user: Arc<Mutex<HashMap<i64, Reader>>>,
    max_lists: u32,
    max_bytes: usize,
    metrics: Arc<Metrics>,
}

/// A list that a user is reading. Dropping it makes room for another.
#[derive(Debug)]
pub(in crate::admin) struct ListGuard {
    user_id: i64,
    bytes: usize,
    stream: Option<OwnedSemaphorePermit>,
    slots: Arc<WorkSlots>,
    readers: Readers,
}

impl Drop for ListGuard {
    fn drop(&mut self) {
        let mut by_user = lock(&self.readers.by_user);
        if let Some(reader) = by_user.get_mut(&self.user_id) {
            reader.lists -= 1;
            reader.waiting_bytes -= self.bytes;
            if reader.lists == 0 {
                by_user.remove(&self.user_id);
            }
        }
    }
}

impl Readers {
    pub fn new(config: &config::Server, operators: OperatorPool, metrics: Arc<Metrics>) -> Self {
        Self {
            operators,
            // Each list that is being sent has one part in the queue at most.
            parts: Pool::new("streams", 1, None, &metrics),
            streams: Arc::new(Semaphore::new(config.max_streams.min(Semaphore::MAX_PERMITS))),
            by_user: Arc::default(),
            max_lists: config.max_lists_per_user.max(1),
            max_bytes: config.max_list_bytes_per_user.0,
            metrics,
        }
    }

    /// Counts a list of the user.
    ///
    /// # Errors
    /// [`Error::Unavailable`] to users who read as many as they may.
    pub fn begin(&self, user_id: i64) -> Result<ListGuard> {
        let mut by_user = lock(&self.by_user);
        let reader = by_user.entry(user_id).or_default();
        if reader.lists >= self.max_lists {
            return Err(self.refusal("max_lists_per_user", "you are reading as many lists as"));
        }
        reader.lists += 1;
        Ok(ListGuard { user_id, bytes: 0, stream: None, slots: Arc::clone(&reader.slots), readers: self.clone() })
    }

    fn refusal(&self, limit: &str, what: &str) -> Error {
        self.metrics.limit_hit(limit);
        Error::Unavailable(format!("{what} server.{limit} allows"))
    }
}

impl ListGuard {
    /// Counts an answer that waits whole for the user's client, until the guard is dropped. One is always allowed, whatever
    /// its size.
    ///
    /// # Errors
    /// [`Error::Unavailable`] to users whose answers already take as much memory as they may.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        let readers = &self.readers;
        let mut by_user = lock(&readers.by_user);
        let Some(reader) = by_user.get_mut(&self.user_id) else { return Ok(()) };
        if reader.waiting_bytes > 0 && reader.waiting_bytes + bytes > readers.max_bytes {
            let what = "answers that your clients have not read yet take as much memory as";
            return Err(readers.refusal("max_list_bytes_per_user", what));
        }
        reader.waiting_bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Counts a list that is sent while it is read, until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when as many are being sent as may be.
    pub fn begin_stream(&mut self) -> Result<()> {
        let readers = &self.readers;
        let stream = Arc::clone(&readers.streams).try_acquire_owned();
        let stream = stream.map_err(|_| readers.refusal("max_streams", "as many lists are being sent as"))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Works on the list on a thread of a pool, when one is free for its user. The list counts until the work is done, even if nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the queue is full.
    pub(super) async fn work<T, F>(self, kind: Work, work: impl FnOnce() -> F + Send + 'static) -> Result<(Self, T)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let entry = self.entry(kind)?;
        // The user's own turn comes first: the others of this user wait there and not for the threads.
        let own = self.slots.of(kind).acquire_owned().await.map_err(internal)?;
        let work = move || async move {
            let outcome = work().await.map(|done| (self, done));
            drop(own);
            outcome
        };
        work::run(entry, work).await
    }

    fn entry(&self, kind: Work) -> Result<PoolEntry> {
        match kind {
            Work::Search => self.readers.operators.enter(),
            Work::Part => {
                let entry = self.readers.parts.enter();
                entry.ok_or_else(|| self.readers.refusal("max_streams", "as many lists are being sent as"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    const BUSY: i64 = 1;
    const OTHER: i64 = 2;

    /// Pieces of work that tell when they begin, and end when they are told to.
    struct Works {
        readers: Readers,
        begun: UnboundedSender<(i64, oneshot::Sender<()>)>,
        beginnings: UnboundedReceiver<(i64, oneshot::Sender<()>)>,
        ending: Vec<JoinHandle<Result<()>>>,
    }

    impl Works {
        fn new(change: impl FnOnce(&mut config::Server)) -> Self {
            let mut config = config::Server { operator_threads: 1, ..config::Server::default() };
            change(&mut config);
            let (begun, beginnings) = unbounded_channel();
            let metrics = Arc::new(Metrics::new().unwrap());
            let readers = Readers::new(&config, OperatorPool::new(&config, Arc::clone(&metrics)), metrics);
            Self { readers, begun, beginnings, ending: Vec::new() }
        }

        /// Puts a piece of work of the user into the queue.
        async fn add(&mut self, user_id: i64, kind: Work) {
            let (guard, begun) = (self.readers.begin(user_id).unwrap(), self.begun.clone());
            let working = guard.work(kind, move || async move {
                let (end, ended) = oneshot::channel();
                begun.send((user_id, end)).unwrap();
                ended.await.map_err(|error| Error::Internal(Box::new(error)))
            });
            self.ending.push(tokio::spawn(async { working.await.map(drop) }));
            // Until it waits where it has to.
            tokio::task::yield_now().await;
        }

        async fn next(&mut self) -> (i64, oneshot::Sender<()>) {
            self.beginnings.recv().await.unwrap()
        }
    }

    /// A user who reads sixteen lists over and over has one of them in the queue.
    #[tokio::test]
    async fn another_user_waits_for_one_piece_of_a_busy_one() {
        let mut works = Works::new(|_| {});
        for _ in 0..15 {
            works.add(BUSY, Work::Search).await;
        }
        works.add(OTHER, Work::Search).await;
        let mut order = Vec::new();
        while order.len() < 16 {
            let (user_id, end) = works.next().await;
            order.push(user_id);
            end.send(()).unwrap();
        }
        assert_eq!(order[..3], [BUSY, OTHER, BUSY]);
        for ended in works.ending {
            ended.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_search_holds_no_list_up_that_is_being_sent() {
        let mut works = Works::new(|_| {});
        works.add(BUSY, Work::Search).await;
        let (_, _search) = works.next().await;
        for user_id in [BUSY, OTHER] {
            works.add(user_id, Work::Part).await;
            let (of, end) = works.next().await;
            assert_eq!(of, user_id);
            end.send(()).unwrap();
        }
    }

    /// A client that goes away leaves its search behind; it may not begin another one in its place.
    #[tokio::test]
    async fn work_that_nobody_waits_for_counts_until_it_is_done() {
        let mut works = Works::new(|config| config.max_lists_per_user = 1);
        works.add(BUSY, Work::Search).await;
        let (_, end) = works.next().await;
        works.ending.pop().unwrap().abort();
        assert!(works.readers.begin(BUSY).is_err());
        works.readers.begin(OTHER).unwrap();
        end.send(()).unwrap();
        while works.readers.begin(BUSY).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn answers_that_wait_are_bounded_for_each_user() {
        let works = Works::new(|config| config.max_list_bytes_per_user = config::Bytes(100));
        let begin = |user_id| works.readers.begin(user_id).unwrap();
        let (mut large, mut small) = (begin(BUSY), begin(BUSY));
        large.hold(1_000).unwrap();
        assert!(small.hold(1).is_err());
        begin(OTHER).hold(100).unwrap();
        drop(large);
        small.hold(60).unwrap();
        assert!(begin(BUSY).hold(41).is_err());
        begin(BUSY).hold(40).unwrap();
        drop(small);
        begin(BUSY).hold(100).unwrap();
    }
}
