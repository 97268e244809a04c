use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::slots::{self, Ongoing, WorkKind, WorkNow, WorkSlot};
use super::trace;

macro_rules! waits {
    ($( $(#[doc = $doc:literal])* $name:ident = $word:literal; )*) => {
        /// What work waits for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum WaitsFor {
            $( $(#[doc = $doc])* $name, )*
        }

        impl WaitsFor {
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// As operators read it.
            pub fn word(self) -> &'static str {
                match self { $( Self::$name => $word, )* }
            }
        }
    };
}

waits! {
    /// The body of a request of an agent, its sender that is. Not counted.
    RequestBody = "request body";
    /// A connection of a pool whose connections are all in use.
    DatabaseConnection = "database connection";
    /// The right to write to SQLite, or another attempt after a lost race.
    DatabaseLock = "database lock";
    /// The answer to a statement, rows included that other transactions hold.
    Database = "database";
    /// The answer to a question that the database is asked with those of other hosts.
    SharedBatch = "shared batch";
    /// The answer to a command, a new connection included.
    Redis = "redis";
    /// The end of other reads or answers before Redis is asked.
    RedisQueue = "redis queue";
    /// Log lines to be durable.
    LogSink = "log sink";
    /// Blocks of carves to be durable, or to be read or removed.
    CarveStorage = "carve storage";
    /// The end of what others, on this node or another one, do with batches of the same host.
    BatchLock = "batch lock";
    /// A thread of a pool.
    PoolThread = "pool thread";
    /// The end of other changes by operators.
    ChangeQueue = "change queue";
    /// A config that another request assembles.
    ConfigAssembly = "config assembly";
}

/// Waits that have ended.
#[repr(align(64))]
struct Ended {
    count: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

static ENDED: [Ended; WaitsFor::ALL.len()] =
    [const { Ended { count: AtomicU64::new(0), nanos: AtomicU64::new(0), longest: AtomicU64::new(0) } };
        WaitsFor::ALL.len()];

/// A wait of the work that this thread does, until it is dropped.
#[derive(Debug)]
pub struct Wait {
    what: WaitsFor,
    since: Instant,
    slot: Option<WorkSlot>,
    is_counted: bool,
    /// Of work that has not told what it is.
    _own: Option<Ongoing>,
}

impl Wait {
    pub fn begin(what: WaitsFor) -> Self {
        let since = Instant::now();
        let (slot, own) = match slots::current() {
            Some(slot) => (Some(slot), None),
            None => {
                let own = Ongoing::begin(WorkKind::Unnamed, what.word(), since);
                (own.slot(), Some(own))
            }
        };
        if let Some(slot) = slot {
            slot.add_wait(what, since);
        }
        Self { what, since, slot, is_counted: true, _own: own }
    }

    /// Ends it as if it had not been.
    pub fn forget(mut self) {
        self.is_counted = false;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Self { what, since, .. } = *self;
        let id = self.slot.and_then(|slot| slot.remove_wait(what, since));
        if !self.is_counted {
            return;
        }
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let ended = &ENDED[what as usize];
        ended.count.fetch_add(1, Ordering::Relaxed);
        ended.nanos.fetch_add(nanos, Ordering::Relaxed);
        ended.longest.fetch_max(nanos, Ordering::Relaxed);
        if let (Some(slot), Some(id)) = (self.slot, id) {
            trace::ended(slot.row(), what.word().into(), "wait", id, since);
        }
    }
}

/// Shows and counts a wait, if `work` has to wait.
pub async fn waiting_for<F: Future>(what: WaitsFor, work: F) -> F::Output {
    waiting_first(what, what, work).await
}

/// As [`waiting_for`], for work that waits for something until it is woken, and for something else from then on.
pub async fn waiting_first<F: Future>(first: WaitsFor, then: WaitsFor, work: F) -> F::Output {
    let mut work = pin!(work);
    let mut wait: Option<Wait> = None;
    std::future::poll_fn(|context| {
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            match &wait {
                None => wait = Some(Wait::begin(first)),
                Some(begun) if begun.what != then => wait = Some(Wait::begin(then)),
                Some(_) => {}
            }
        }
        polled
    })
    .await
}

/// How long was waited for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitFigures {
    pub what: WaitsFor,
    pub waiting_now: u64,
    /// Since when the longest wait of now lasts.
    pub longest_since: Option<Instant>,
    /// Waits that have ended since the start of the process.
    pub count: u64,
    pub total: Duration,
    pub max: Duration,
}

/// The figures of all waits, those of `now` included but for what requests for `/debug` wait for: whoever asks for the figures
/// would else be among them.
pub fn wait_figures(now: &WorkNow) -> Vec<WaitFigures> {
    let of_others = || now.works.iter().filter(|work| work.kind != WorkKind::Debug).flat_map(|work| &work.waits);
    let figures = |what: WaitsFor| {
        let current = || of_others().filter(move |(waits_for, _)| *waits_for == what);
        let ended = &ENDED[what as usize];
        WaitFigures {
            what,
            waiting_now: current().count() as u64,
            longest_since: current().map(|(_, since)| *since).min(),
            count: ended.count.load(Ordering::Relaxed),
            total: Duration::from_nanos(ended.nanos.load(Ordering::Relaxed)),
            max: Duration::from_nanos(ended.longest.load(Ordering::Relaxed)),
        }
    };
    WaitsFor::ALL.iter().copied().map(figures).collect()
}
